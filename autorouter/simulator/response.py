"""What an upstream does with one request, decided before a byte of it is sent. The dry run's transport plays it to the
engine, the mock server to a socket.

    play = perform(call, memory, clock=time.time)
    play.failure                            None, or what happens instead of an answer
    play.status, play.headers, play.flow    the answer
    play.wait_s, play.writing_s             silence before its headers, and spread over its pieces

    seed = sha256(body digest, candidate id, attempt)     ids, time stamps and jitter; no random
    wait = ttft_s × jitter                                jitter 0.8 .. 1.2
    rate = throughput_tokens_per_s, likewise

The clock is looked at for one fault only, whose `Retry-After` is a date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Final

from autorouter.core.types import Usage, Wire
from autorouter.simulator import codec, model
from autorouter.simulator.cache import PrefixCache
from autorouter.simulator.faults.bodies import ResponseBody
from autorouter.simulator.faults.catalog import PLACEHOLDER_KEY
from autorouter.simulator.faults.spec import parse_faults as parse_faults
from autorouter.simulator.faults.types import ConnectionFailure, ErrorResponse, Fault
from autorouter.upstream.transport import UpstreamCall

JITTER: Final = 0.2
LEAST_RATE: Final = 0.1
"""Tokens per second; below it a candidate's throughput is taken as a slip."""
GOOD: Final = Fault(name="", summary="a good answer")
_PAGE: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """One answer, or none. `pace_s` is further silence before each piece but the first. `fault`: its name, or empty."""

    body: ResponseBody
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    connection_failure: ConnectionFailure | None = None
    first_byte_delay_s: float = 0.0
    generation_s: float = 0.0
    event_delay_s: float = 0.0
    fault: str = ""


def simulate_response(
    call: UpstreamCall,
    cache: PrefixCache,
    *,
    clock: Callable[[], float],
    key: str = PLACEHOLDER_KEY,
    default_attempts: int | None = 1,
) -> SimulatedResponse:
    """Decide. Total: what can't be served is a refusal. `key` is what the fault `key-echo` shows; `bare` is how many
    attempts a fault's name alone is for."""
    wire = codec.wire_of(call.path)
    if wire is None:
        return _refused(_NO_PATH, "chat", clock, key)
    try:
        spec = parse_faults(call.fault, default_attempts=default_attempts) if call.fault else None
        decoded = codec.decode(call.body, call.candidate.id, wire)
    except ValueError as exc:
        return _refused(_bad_request(str(exc)), wire, clock, key)
    fault = (spec.fault_for(call.attempt, call.candidate.id, decoded.request.role) if spec else None) or GOOD
    if wire not in fault.wires:
        fault = GOOD
    seed = hashlib.sha256(decoded.request.seed + f"{call.candidate.id}\0{call.attempt}".encode()).digest()
    jitter = _jitter(seed)
    ttft_s = call.candidate.ttft_s * jitter
    if fault.connection_failure is not None:
        return SimulatedResponse(body=_NOTHING, connection_failure=fault.connection_failure, fault=fault.name)
    if fault.error_response is not None:
        return replace(_refused(fault.error_response, wire, clock, key), first_byte_delay_s=ttft_s, fault=fault.name)
    answer, reshape = _answer(decoded.request, fault)
    usage = _usage(call, decoded.prompt_parts, model.output_tokens(answer), cache)
    stream = call.stream and not fault.ignores_stream
    stamp = codec.AnswerMetadata(
        model=fault.served_model or call.candidate.model,
        seed=seed,
        usage=_told(usage, fault),
        argument_chunking=fault.argument_chunking,
    )
    flow = _encode(answer, stamp, wire, stream=stream, include_usage=decoded.include_usage)
    if reshape is not None:
        flow = reshape(flow)
    writing_s = usage.output_tokens / max(call.candidate.throughput_tokens_per_s, LEAST_RATE) * jitter
    return SimulatedResponse(
        body=flow,
        headers={"content-type": "text/event-stream; charset=utf-8" if flow.stream else "application/json"},
        first_byte_delay_s=ttft_s + fault.first_byte_delay_s + (0 if stream else writing_s),
        generation_s=writing_s if stream else 0.0,
        event_delay_s=fault.event_delay_s,
        fault=fault.name,
    )


def _answer(
    request: model.SimulatedRequest, fault: Fault
) -> tuple[model.SimulatedAnswer, Callable[[ResponseBody], ResponseBody] | None]:
    """The answer, and what is still to be done to its bytes."""
    if fault.answer_override is None:
        return model.plan_answer(request), fault.transform_body
    answer = fault.answer_override(request)
    # Cut in its content, an answer comes whole.
    cut = fault.name == "half-json" and answer != model.plan_answer(request)
    return answer, None if cut else fault.transform_body


def _usage(call: UpstreamCall, parts: Sequence[bytes], output_tokens: int, memory: PrefixCache) -> Usage:
    prompt = max(1, len(call.body) // model.BYTES_PER_TOKEN)
    cached = memory.cached_bytes(call.candidate.id, parts) // model.BYTES_PER_TOKEN
    return Usage(input_tokens=prompt, cached_tokens=min(cached, prompt), output_tokens=output_tokens)


def _told(usage: Usage, fault: Fault) -> Usage | None:
    factor = fault.usage_factor
    if factor is None or factor == 1:
        return usage if factor else None
    return replace(usage, input_tokens=usage.input_tokens * factor, output_tokens=usage.output_tokens * factor)


def _refused(refusal: ErrorResponse, wire: Wire, clock: Callable[[], float], key: str) -> SimulatedResponse:
    message = refusal.messages_text if wire == "messages" and refusal.messages_text else refusal.message
    if refusal.echoes_key:
        message = f"{message} {key}"
    body = error_body(wire, refusal.status, refusal.code, refusal.error_type, message)
    headers = {"content-type": "application/json", **refusal.headers}
    if refusal.html_page:
        body, headers = _PAGE, {"content-type": "text/html"}
    if refusal.retry_after_date_s is not None:
        headers["retry-after"] = formatdate(clock() + refusal.retry_after_date_s, usegmt=True)
    return SimulatedResponse(
        body=ResponseBody(pieces=(body,), stream=False, error=body), status=refusal.status, headers=headers
    )


def _jitter(seed: bytes) -> float:
    """A factor within 1 ± `JITTER`."""
    return 1 - JITTER + 2 * JITTER * int.from_bytes(seed[28:32], "big") / (2**32 - 1)


_NOTHING: Final = ResponseBody(pieces=(), stream=False, error=b"")
_NO_PATH: Final = ErrorResponse(
    status=404,
    code="not_found",
    error_type="invalid_request_error",
    message=f"The dry run serves {', '.join(codec.PATHS)} only.",
)


def _bad_request(message: str) -> ErrorResponse:
    return ErrorResponse(status=400, code="invalid_request", error_type="invalid_request_error", message=message)
