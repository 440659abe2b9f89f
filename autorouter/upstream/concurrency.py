"""At most so many calls at once to an upstream: a transport around another one.

    send ──► a free slot ──► the inner send ──► reply ──► reply.close() frees it
       └──► none: wait in order ──► slot_s, or the call's own, over: Failure("busy"), so that another candidate is tried at once

Upstreams without a limit cost one look into a dictionary. `Runtime` leaves the wrapping out where no upstream has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from autorouter.upstream.transport import Call, Failure, Reply, Transport


@dataclass(frozen=True, slots=True)
class SlotLimit:
    """`count` calls at once; a further one waits `wait_s` seconds at most."""

    count: int
    wait_s: float


class Slots:
    """The slots of one upstream. `used` and `waiting` may be looked at."""

    def __init__(self, limit: SlotLimit) -> None:
        self.limit = limit
        self._semaphore = asyncio.Semaphore(limit.count)
        self.used = 0
        self.waiting = 0

    async def take(self, name: str, wait_s: float) -> None:
        """Raises Failure("busy")."""
        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                await self._semaphore.acquire()
        except TimeoutError as exc:
            words = f"upstream `{name}`: all {self.limit.count} slots are taken (upstreams.{name}.max_in_flight)"
            raise Failure("busy", words) from exc
        finally:
            self.waiting -= 1
        self.used += 1

    def free(self) -> None:
        self.used -= 1
        self._semaphore.release()


class SlottedReply:
    """A reply that holds a slot until it is closed."""

    __slots__ = ("_reply", "_slots", "headers", "status")

    def __init__(self, reply: Reply, slots: Slots) -> None:
        self._reply = reply
        self._slots: Slots | None = slots
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
            slots.free()


class SlottedTransport:
    """A transport whose upstreams have slots, as far as `limits` names them."""

    def __init__(self, inner: Transport, limits: Mapping[str, SlotLimit]) -> None:
        self._inner = inner
        self.slots = {name: Slots(limit) for name, limit in limits.items()}

    async def send(self, call: Call) -> Reply:
        slots = self.slots.get(call.target.name)
        if slots is None:
            return await self._inner.send(call)
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        await slots.take(call.target.name, slots.limit.wait_s if call.slot_s is None else call.slot_s)
        call.queued(loop.time() - since_s)
        try:
            return SlottedReply(await self._inner.send(call), slots)
        except BaseException:
            slots.free()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()
