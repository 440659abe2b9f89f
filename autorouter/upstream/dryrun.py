"""The dry run: a transport that answers by itself. Client, decoder, error mapping and receipts around it stay real.

    seed = sha256(body digest, candidate id, attempt)     ids, time stamps and jitter; no clock, no random
    wait = ttft_s × jitter × time_scale                   before the headers; jitter 0.8 .. 1.2
    rate = throughput_tokens_per_s, likewise              between the pieces of a stream

It never fails by chance: a random failure would make a dry run unrepeatable, and what can't be repeated can't be
compared or tested. Whoever wants failures names them (`Call.fault`, see `faults`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from autorouter.core.values import Usage
from autorouter.upstream import dryrun_chat, faults, script
from autorouter.upstream.faults import Fault, Refusal
from autorouter.upstream.flow import Flow
from autorouter.upstream.transport import Call, Failure, Reply

REMEMBERED: Final = 256
"""Prompts kept per transport to tell which prefix a provider's cache would hold."""
JITTER: Final = 0.2
LEAST_RATE: Final = 0.1
"""Tokens per second; below it a candidate's throughput is taken as a slip."""

Sleep = Callable[[float], Awaitable[object]]


class DryRunTransport:
    """Answers of `script`, at the pace of the candidate. `time_scale` 1 is real time, 0 doesn't sleep at all (but gives
    way to other tasks). For a fresh transport the same call gets the same bytes; an older one differs from it only in
    `cached_tokens`, which follow what it saw before."""

    def __init__(self, *, time_scale: float = 0.1, sleep: Sleep = asyncio.sleep) -> None:
        self._time_scale = time_scale
        self._sleep = sleep
        self._prefixes = PrefixMemory(REMEMBERED)

    async def send(self, call: Call) -> Reply:
        """Wait as long as the candidate would, then answer. Raises Failure only where `call.fault` says so."""
        if not call.path.partition("?")[0].rstrip("/").endswith(dryrun_chat.PATH):
            await self._nap(0)
            return self._refused(_NO_PATH)
        try:
            spec = faults.parse(call.fault) if call.fault else None
            decoded = dryrun_chat.decode(call.body, call.candidate.id)
        except ValueError as exc:
            await self._nap(0)
            return self._refused(_bad_request(str(exc)))
        fault = spec.at(call.attempt, call.candidate.id, decoded.request.role) if spec else None
        return await self._answer(call, decoded, fault)

    async def aclose(self) -> None:
        """Forget what was seen. There is nothing else to close."""
        self._prefixes.clear()

    async def _answer(self, call: Call, decoded: dryrun_chat.Decoded, fault: Fault | None) -> Reply:
        seed = _seed(decoded.request.seed, call)
        jitter = _jitter(seed)
        if fault is not None and fault.failure is not None:
            await self._nap(call.target.timeouts.first_byte_s if fault.failure == "timeout" else 0)
            raise _failure(fault.failure, call)
        ttft_s = call.candidate.ttft_s * jitter
        if fault is not None and fault.refusal is not None:
            await self._nap(ttft_s)
            return self._refused(fault.refusal)
        answer, untwisted = _planned(decoded.request, fault)
        usage = self._usage(call, decoded.parts, script.output_tokens(answer))
        stamp = dryrun_chat.Stamp(
            model=(fault and fault.served_model) or call.candidate.model,
            seed=seed,
            usage=usage if fault is None or fault.usage else None,
        )
        flow = dryrun_chat.encode(answer, stamp, stream=call.stream, include_usage=decoded.include_usage)
        if fault is not None and fault.reshape is not None and untwisted:
            flow = fault.reshape(flow)
        writing_s = usage.output_tokens / max(call.candidate.throughput_tokens_per_s, LEAST_RATE) * jitter
        slow_s = fault.slow_s if fault is not None else 0.0
        await self._nap(ttft_s + slow_s + (0 if call.stream else writing_s))
        return DryReply(call, flow, writing_s if call.stream else 0.0, self._nap)

    def _usage(self, call: Call, parts: Sequence[bytes], output_tokens: int) -> Usage:
        prompt = max(1, len(call.body) // script.BYTES_PER_TOKEN)
        cached = self._prefixes.shared_bytes(call.candidate.id, parts) // script.BYTES_PER_TOKEN
        return Usage(input_tokens=prompt, cached_tokens=min(cached, prompt), output_tokens=output_tokens)

    def _refused(self, refusal: Refusal) -> Reply:
        body = dryrun_chat.refusal(refusal.code, refusal.error_type, refusal.message)
        flow = Flow(pieces=(body,), stream=False, error=body)
        return DryReply(None, flow, 0.0, self._nap, refusal.status, refusal.headers)

    async def _nap(self, unscaled_s: float) -> None:
        duration_s = unscaled_s * self._time_scale
        if duration_s > 0:
            await self._sleep(duration_s)
        else:
            await asyncio.sleep(0)


class DryReply:
    """An answer that plays its flow. `writing_s` is spread over its pieces; the first comes at once."""

    __slots__ = ("_call", "_closed", "_ending", "_nap", "_pause_s", "_pieces", "headers", "status")

    def __init__(
        self,
        call: Call | None,
        flow: Flow,
        writing_s: float,
        nap: Sleep,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        kind = "text/event-stream; charset=utf-8" if flow.stream else "application/json"
        self.headers: Mapping[str, str] = {"content-type": kind, **(headers or {})}
        self._call = call
        self._pieces = iter(flow.pieces)
        self._ending = flow.ending
        self._pause_s = writing_s / max(1, len(flow.pieces))
        self._nap = nap
        self._closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces, each once; then the failure, if the fault has one."""
        pause_s = 0.0
        for piece in self._pieces:
            await self._nap(pause_s)
            if self._closed:
                return
            yield piece
            pause_s = self._pause_s
        if self._call is not None and self._ending is not None and not self._closed:
            await self._nap(self._call.target.timeouts.between_bytes_s if self._ending == "timeout" else pause_s)
            if not self._closed:
                raise _failure(self._ending, self._call)

    def close(self) -> None:
        """Nothing more comes, not even a failure."""
        self._closed = True


class PrefixMemory:
    """Which prompts a candidate saw: the `limit` latest, each as the digests of its prefixes. Nothing expires by time,
    for the dry run has no clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str, bytes], tuple[bytes, ...]] = OrderedDict()

    def shared_bytes(self, candidate_id: str, parts: Sequence[bytes]) -> int:
        """Length of the longest run of first parts that this candidate saw before; remembers these parts."""
        chain = _chain(parts)
        seen = (old for (owner, _), old in self._seen.items() if owner == candidate_id)
        shared = max((_common(old, chain) for old in seen), default=0)
        key = (candidate_id, chain[-1] if chain else b"")
        self._seen[key] = chain
        self._seen.move_to_end(key)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return sum(len(part) for part in parts[:shared])

    def clear(self) -> None:
        self._seen.clear()


def _chain(parts: Sequence[bytes]) -> tuple[bytes, ...]:
    """For each part a digest of it and all before it."""
    digests: list[bytes] = []
    for part in parts:
        before = digests[-1] if digests else b""
        digests.append(hashlib.sha256(before + part).digest()[:16])
    return tuple(digests)


def _common(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """How many first digests are the same. One that is equal says that all before it are, so it can be bisected."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[middle - 1] == new[middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low


def _planned(request: script.DryRequest, fault: Fault | None) -> tuple[script.Answer, bool]:
    """The answer, and whether the fault's `reshape` still has its turn."""
    if fault is None or fault.twist is None:
        return script.plan_answer(request), True
    answer = fault.twist(request)
    return answer, fault.name != "half-json" or answer == script.plan_answer(request)


def _seed(body_digest: bytes, call: Call) -> bytes:
    return hashlib.sha256(body_digest + f"{call.candidate.id}\0{call.attempt}".encode()).digest()


def _jitter(seed: bytes) -> float:
    """A factor within 1 ± `JITTER`."""
    return 1 - JITTER + 2 * JITTER * int.from_bytes(seed[28:32], "big") / (2**32 - 1)


_NO_PATH: Final = Refusal(
    status=404,
    code="not_found",
    error_type="invalid_request_error",
    message=f"The dry run serves {dryrun_chat.PATH} only.",
)


def _bad_request(message: str) -> Refusal:
    return Refusal(status=400, code="invalid_request", error_type="invalid_request_error", message=message)


def _failure(kind: str, call: Call) -> Failure:
    words = {
        "reset": "the connection was closed before an answer",
        "cut": "the connection broke in the answer",
        "timeout": "no bytes within the time limit",
    }
    return Failure(kind, f"upstream `{call.target.name}`: {words[kind]} (dry-run fault)")
