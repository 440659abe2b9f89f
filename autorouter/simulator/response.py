"""What an upstream does with one request, decided before a byte of it is sent. The dry run hands the response to the
engine, the mock server sends it over a socket.

    response = simulate_response(call, cache, clock=time.time)
    response.connection_failure                              None, or what happens instead of an answer
    response.status, response.headers, response.body         the answer
    response.first_byte_delay_s, response.generation_s       silence before the headers, and spread over the pieces

    seed = sha256(body digest, candidate id, attempt)        ids, time stamps and jitter; nothing is random
    delay = ttft_s × jitter                                  jitter 0.8 .. 1.2
    rate = throughput_tokens_per_s, with the same jitter

The clock is needed for one fault only, whose `Retry-After` is a date.
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
from autorouter.simulator.codec import ResponseBody
from autorouter.simulator.faults.catalog import PLACEHOLDER_KEY
from autorouter.simulator.faults.spec import parse_faults as parse_faults
from autorouter.simulator.faults.types import ConnectionFailure, ErrorResponse, Fault
from autorouter.upstream.transport import UpstreamCall

JITTER: Final = 0.2
MIN_TOKENS_PER_S: Final = 0.1
"""Tokens per second. A lower throughput in the configuration is taken for a mistake: answers would never end."""
NO_FAULT: Final = Fault(name="", summary="a good answer")
_HTML_PAGE: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResponse:
    """One response, or a failed connection. `event_delay_s` is added before each piece except the first. `fault` is its
    name, empty for a good answer."""

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
    """Never raises: a request that can't be served gets an error response. `key` is what the fault `key-echo` shows;
    `default_attempts` is the number of attempts that a fault's name alone applies to, None for all."""
    wire = codec.wire_of(call.path)
    if wire is None:
        return _error_response(_UNKNOWN_PATH, "chat", clock, key)
    try:
        spec = parse_faults(call.fault, default_attempts=default_attempts) if call.fault else None
        decoded = codec.decode(call.body, call.candidate.id, wire)
    except ValueError as exc:
        return _error_response(_bad_request(str(exc)), wire, clock, key)
    fault = (spec.fault_for(call.attempt, call.candidate.id, decoded.request.role) if spec else None) or NO_FAULT
    if wire not in fault.wires:
        fault = NO_FAULT
    seed = hashlib.sha256(decoded.request.seed + f"{call.candidate.id}\0{call.attempt}".encode()).digest()
    jitter = _jitter(seed)
    ttft_s = call.candidate.ttft_s * jitter
    if fault.connection_failure is not None:
        return SimulatedResponse(body=_EMPTY_BODY, connection_failure=fault.connection_failure, fault=fault.name)
    if fault.error_response is not None:
        return replace(
            _error_response(fault.error_response, wire, clock, key), first_byte_delay_s=ttft_s, fault=fault.name
        )
    answer, transform_body = _answer_and_transform(decoded.request, fault)
    usage = _usage(call, decoded.prompt_parts, model.output_tokens(answer), cache)
    stream = call.stream and not fault.ignores_stream
    metadata = codec.AnswerMetadata(
        model=fault.served_model or call.candidate.model,
        seed=seed,
        usage=_reported_usage(usage, fault),
        argument_chunking=fault.argument_chunking,
    )
    body = codec.encode(answer, metadata, wire, stream=stream, include_usage=decoded.include_usage)
    if transform_body is not None:
        body = transform_body(body)
    generation_s = usage.output_tokens / max(call.candidate.throughput_tokens_per_s, MIN_TOKENS_PER_S) * jitter
    return SimulatedResponse(
        body=body,
        headers={"content-type": "text/event-stream; charset=utf-8" if body.stream else "application/json"},
        first_byte_delay_s=ttft_s + fault.first_byte_delay_s + (0 if stream else generation_s),
        generation_s=generation_s if stream else 0.0,
        event_delay_s=fault.event_delay_s,
        fault=fault.name,
    )


def _answer_and_transform(
    request: model.SimulatedRequest, fault: Fault
) -> tuple[model.SimulatedAnswer, Callable[[ResponseBody], ResponseBody] | None]:
    """The answer, and the transformation of its bytes."""
    if fault.answer_override is None:
        return model.plan_answer(request), fault.transform_body
    answer = fault.answer_override(request)
    # `half-json` cuts the JSON inside the answer if there is any, and the body only otherwise.
    is_json_cut = fault.name == "half-json" and answer != model.plan_answer(request)
    return answer, None if is_json_cut else fault.transform_body


def _usage(call: UpstreamCall, parts: Sequence[bytes], output_tokens: int, cache: PrefixCache) -> Usage:
    prompt_tokens = max(1, len(call.body) // model.BYTES_PER_TOKEN)
    cached_tokens = cache.cached_bytes(call.candidate.id, parts) // model.BYTES_PER_TOKEN
    return Usage(
        input_tokens=prompt_tokens, cached_tokens=min(cached_tokens, prompt_tokens), output_tokens=output_tokens
    )


def _reported_usage(usage: Usage, fault: Fault) -> Usage | None:
    factor = fault.usage_factor
    if factor is None or factor == 1:
        return usage if factor else None
    return replace(usage, input_tokens=usage.input_tokens * factor, output_tokens=usage.output_tokens * factor)


def _error_response(error: ErrorResponse, wire: Wire, clock: Callable[[], float], key: str) -> SimulatedResponse:
    message = error.messages_text if wire == "messages" and error.messages_text else error.message
    if error.echoes_key:
        message = f"{message} {key}"
    body = codec.error_body(wire, error.status, error.code, error.error_type, message)
    headers = {"content-type": "application/json", **error.headers}
    if error.html_page:
        body, headers = _HTML_PAGE, {"content-type": "text/html"}
    if error.retry_after_date_s is not None:
        headers["retry-after"] = formatdate(clock() + error.retry_after_date_s, usegmt=True)
    return SimulatedResponse(
        body=ResponseBody(pieces=(body,), stream=False, error=body), status=error.status, headers=headers
    )


def _jitter(seed: bytes) -> float:
    """A factor within 1 ± `JITTER`."""
    return 1 - JITTER + 2 * JITTER * int.from_bytes(seed[28:32], "big") / (2**32 - 1)


_EMPTY_BODY: Final = ResponseBody(pieces=(), stream=False, error=b"")
_UNKNOWN_PATH: Final = ErrorResponse(
    status=404,
    code="not_found",
    error_type="invalid_request_error",
    message=f"The dry run serves {', '.join(codec.PATHS)} only.",
)


def _bad_request(message: str) -> ErrorResponse:
    return ErrorResponse(status=400, code="invalid_request", error_type="invalid_request_error", message=message)
