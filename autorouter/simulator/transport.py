"""The dry run: a transport that answers by itself. Client, decoder, error mapping and receipts around it stay real.

    the answer       `simulate_response`, from the call alone; the same call gets the same bytes
    its duration     the delays of the response × time_scale

It never fails by chance: a random failure would make a dry run unrepeatable, and what can't be repeated can't be
compared or tested. Faults are requested by name (`UpstreamCall.fault`, see `faults/`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from autorouter.simulator.cache import PrefixCache
from autorouter.simulator.response import SimulatedResponse, simulate_response
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamReply

CACHED_PROMPTS: Final = 256
"""Prompts kept per transport to tell which prefix a provider's cache would hold."""

Sleep = Callable[[float], Awaitable[object]]


class DryRunTransport:
    """Answers of `model`, at the pace of the candidate, on the wire of the call's path. `time_scale` 1 is real time, 0
    doesn't sleep at all (but gives way to other tasks). For a fresh transport the same call gets the same bytes; an older
    one differs from it only in `cached_tokens`, which follow what it saw before."""

    def __init__(
        self,
        *,
        time_scale: float = 0.1,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._time_scale = time_scale
        self._sleep = sleep
        self._clock = clock
        self._cache = PrefixCache(CACHED_PROMPTS)

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """Wait as long as the candidate would, then answer. Raises TransportError only if `call.fault` says so."""
        response = simulate_response(call, self._cache, clock=self._clock)
        if response.connection_failure is not None:
            await self._sleep_scaled(
                call.target.timeouts.first_byte_s if response.connection_failure == "timeout" else 0
            )
            raise _transport_error(response.connection_failure, call)
        await self._sleep_scaled(response.first_byte_delay_s)
        return DryRunReply(response, call, self._sleep_scaled)

    async def aclose(self) -> None:
        """Forget what was seen. There is nothing else to close."""
        self._cache.clear()

    async def _sleep_scaled(self, unscaled_s: float) -> None:
        duration_s = unscaled_s * self._time_scale
        if duration_s > 0:
            await self._sleep(duration_s)
        else:
            await asyncio.sleep(0)


class DryRunReply:
    """A simulated response as a reply. The generation time is spread over the pieces; the first comes at once."""

    __slots__ = ("_call", "_closed", "_ending", "_pause_s", "_pieces", "_sleep", "headers", "status")

    def __init__(self, response: SimulatedResponse, call: UpstreamCall, sleep: Sleep) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._call = call
        self._pieces = iter(response.body.pieces)
        self._ending = response.body.ending
        self._pause_s = response.generation_s / max(1, len(response.body.pieces)) + response.event_delay_s
        self._sleep = sleep
        self._closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces, each once; then the failure, if the fault has one."""
        pause_s = 0.0
        for piece in self._pieces:
            await self._sleep(pause_s)
            if self._closed:
                return
            yield piece
            pause_s = self._pause_s
        if self._ending is not None and not self._closed:
            await self._sleep(self._call.target.timeouts.between_bytes_s if self._ending == "timeout" else pause_s)
            if not self._closed:
                raise _transport_error(self._ending, self._call)

    def close(self) -> None:
        """Nothing more comes, not even a failure."""
        self._closed = True


_TRANSPORT_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "reset": ("reset", "the connection was reset before an answer"),
    "closed": ("reset", "the connection was closed before an answer"),
    "cut": ("cut", "the connection broke in the answer"),
    "rst": ("cut", "the connection was reset in the answer"),
    "framing": ("cut", "the answer's framing broke"),
    "timeout": ("timeout", "no bytes within the time limit"),
}
"""What happens -> the kind of the TransportError that the real transport would raise, and its message."""


def _transport_error(what: str, call: UpstreamCall) -> TransportError:
    kind, words = _TRANSPORT_ERRORS[what]
    return TransportError(kind, f"upstream `{call.target.name}`: {words} (dry-run fault)")
