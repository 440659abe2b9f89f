"""At most so many calls at once to an upstream: a transport around another one.

    send ──► a free slot ──► the inner send ──► reply ──► reply.close() frees it
       └──► none: wait in order ──► over max_wait_s, or the call's own limit: TransportError("busy"): another is tried

Upstreams without a limit cost one look into a dictionary. `Runtime` leaves the wrapping out where no upstream has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from autorouter.upstream.transport import Transport, TransportError, UpstreamCall, UpstreamReply


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """`count` calls at once; a further one waits `wait_s` seconds at most."""

    max_in_flight: int
    max_wait_s: float


class ConcurrencySlots:
    """The slots of one upstream. `used` and `waiting` may be looked at."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self.limit = limit
        self._semaphore = asyncio.Semaphore(limit.max_in_flight)
        self.used = 0
        self.waiting = 0

    async def acquire(self, name: str, wait_s: float) -> None:
        """Raises TransportError("busy")."""
        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._semaphore.acquire()
        except TimeoutError as exc:
            words = f"upstream `{name}`: all {self.limit.max_in_flight} slots are taken (upstreams.{name}.max_parallel_requests)"
            raise TransportError("busy", words) from exc
        finally:
            self.waiting -= 1
        self.used += 1

    def release(self) -> None:
        self.used -= 1
        self._semaphore.release()


class ConcurrencyLimitedReply:
    """A reply that holds a slot until it is closed."""

    __slots__ = ("_reply", "_slots", "headers", "status")

    def __init__(self, reply: UpstreamReply, slots: ConcurrencySlots) -> None:
        self._reply = reply
        self._slots: ConcurrencySlots | None = slots
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers

    def chunks(self) -> AsyncIterator[bytes]:
        """The inner reply's own: no chunk costs anything here."""
        return self._reply.chunks()

    def close(self) -> None:
        """May be called again."""
        self._reply.close()
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release()


class ConcurrencyLimitedTransport:
    """A transport whose upstreams have slots, as far as `limits` names them."""

    def __init__(self, inner: Transport, limits: Mapping[str, ConcurrencyLimit]) -> None:
        self._inner = inner
        self.slots = {name: ConcurrencySlots(limit) for name, limit in limits.items()}

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        slots = self.slots.get(call.target.name)
        if slots is None:
            return await self._inner.send(call)
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        await slots.acquire(
            call.target.name, slots.limit.max_wait_s if call.slot_timeout_s is None else call.slot_timeout_s
        )
        call.on_slot_acquired(loop.time() - since_s)
        try:
            return ConcurrencyLimitedReply(await self._inner.send(call), slots)
        except BaseException:
            slots.release()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()
