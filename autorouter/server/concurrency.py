"""How much at once. Every request to a wire holds a `Lease` of the `Gate`:

    arrive ──► body read ──► enter ──► carried out ──► leave
      │ no room for its bytes  │ rate: 429, Retry-After told exactly
      │ or stopping            │ no slot: queue ──► a slot within queue_s ──► carried out
      ▼                        │           └──► queue full, or queue_s over: 429, Retry-After estimated
    429, 503                   ▼
                            the client's own error shape

A slot is one of `max_in_flight`, of the session's `max_per_session`, and for a stream of `max_open_streams`. All counts are
plain attributes; who holds a lease is known, so that a stop can wait for them and then cut them. It costs a request about
3 us, and a chunk of a stream nothing.

Who waits, and who is next: first in, first out within a session, and the sessions in turn.

a1 a2 a3 b1 c1        arrived in this order, a, b and c being sessions
a1 b1 c1 a2 a3        let in in this order
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from autorouter.config.schema import ConcurrencyConfig
from autorouter.errors import Busy, Stopping
from autorouter.server.asgi import Message, Receive
from autorouter.server.rate_limit import RateLimiter

STOPPING_RETRY_AFTER_S = 2.0
"""After a stop most routers are back within a second."""
DURATION_SMOOTHING = 0.1
"""Weight of the newest request in the mean duration, which is what a place in the queue is estimated by."""
MAX_RETRY_AFTER_S = 60.0
"""Longest estimated `Retry-After`: clients take more for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """What a request asks of the gate. `client` is its key or address, `session` None where it has none."""

    client: str
    session: str | None
    stream: bool
    input_tokens: float


class ConcurrencyLimiter:
    """Counts who is inside, lets in who may, keeps the others waiting. For one event loop."""

    def __init__(self, limits: ConcurrencyConfig, *, timer: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.in_flight = 0
        self.open_streams = 0
        self.rejected = 0
        self.held_bytes = 0
        self.stopping = False
        self.leases: set[Lease] = set()
        self.requests = RateLimiter(limits.requests_per_minute)
        self.tokens = RateLimiter(limits.tokens_per_minute)
        self.timer = timer
        self._mean_s = 1.0
        self._queue: FairQueue[Lease] = FairQueue()
        self._per_session: Counter[str] = Counter()

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    def arrive(self, headers: dict[str, str], max_body_bytes: int) -> Lease:
        """A lease for a request whose body isn't read yet. Raises Stopping, or Busy where its bytes find no room."""
        if self.stopping:
            raise self._stopping()
        length = headers.get("content-length", "")
        lease = Lease(self, not length.isdecimal())
        lease.hold(min(int(length), max_body_bytes) if length.isdecimal() else 0)
        return lease

    def stop(self) -> None:
        """Let nobody in any more; who waits is sent away."""
        self.stopping = True
        for waiter in self._queue.clear():
            if not waiter.turn.done():
                waiter.turn.set_exception(self._stopping())

    def cut(self) -> None:
        """Cancel whoever is still inside: their clients see a connection that breaks, never a clean end."""
        for lease in self.leases:
            lease.cut()

    # ---- for leases

    def _check_rates(self, wish: AdmissionRequest) -> None:
        if self.requests.per_minute is None and self.tokens.per_minute is None:
            return
        now_s = self.timer()
        wait_s = self.requests.wait_s(wish.client, 1.0, now_s)
        if wait_s > 0:
            raise self._reject(_too_fast("requests", self.requests, wait_s))
        wait_s = self.tokens.wait_s(wish.client, wish.input_tokens, now_s)
        if wait_s > 0:
            raise self._reject(_too_fast("input tokens", self.tokens, wait_s))
        self.requests.take(wish.client, 1.0, now_s)
        self.tokens.take(wish.client, wish.input_tokens, now_s)

    def try_enter(self, lease: Lease, wish: AdmissionRequest) -> bool:
        """Whether there was a slot. Raises Busy where the client is too fast, Stopping when it is too late. Nobody is
        overtaken: who waits in another session couldn't use the slot."""
        if self.stopping:
            raise self._stopping()
        self._check_rates(wish)
        if self._fits(lease) and (not self._queue or queue_key(wish) not in self._queue):
            self._enter(lease)
            return True
        return False

    async def wait(self, lease: Lease, wish: AdmissionRequest) -> None:
        """A slot, after at most `queue_s`. Raises Busy or Stopping."""
        limits = self.limits
        if len(self._queue) >= limits.max_queued:
            raise self._reject(self._busy(f"{len(self._queue)} requests wait already", "limits.max_queued"))
        waiter = self._queue.add(queue_key(wish), lease)
        try:
            async with asyncio.timeout(limits.queue_s):
                await waiter.turn
        except TimeoutError:
            raise self._reject(self._busy(f"no slot within {limits.queue_s:g} s", "limits.max_in_flight")) from None
        finally:
            self._queue.remove(waiter)
            if not lease.entered:
                self._let_in()  # a stream that gave up may have stood before others of its session

    def leave(self, lease: Lease) -> None:
        self.held_bytes -= lease.bytes
        self.leases.discard(lease)
        if not lease.entered:
            return
        self.in_flight -= 1
        self.open_streams -= lease.stream
        if lease.session is not None and self.limits.max_per_session is not None:
            self._per_session[lease.session] -= 1
            if not self._per_session[lease.session]:
                del self._per_session[lease.session]
        self._mean_s += DURATION_SMOOTHING * (self.timer() - lease.began_s - self._mean_s)
        if self._queue:
            self._let_in()

    def hold(self, lease: Lease, count: int) -> None:
        # A single one always fits: sent away, it would come again for ever.
        if self.held_bytes > lease.bytes and self.held_bytes + count > self.limits.max_held_bytes:
            raise self._reject(self._busy("the requests in hand fill limits.max_held_bytes", "limits.max_held_bytes"))
        self.held_bytes += count
        lease.bytes += count

    def _fits(self, lease: Lease) -> bool:
        limits = self.limits
        if self.in_flight >= limits.max_in_flight:
            return False
        if lease.stream and limits.max_open_streams is not None and self.open_streams >= limits.max_open_streams:
            return False
        session = lease.session
        return session is None or limits.max_per_session is None or self._per_session[session] < limits.max_per_session

    def _enter(self, lease: Lease) -> None:
        self.in_flight += 1
        self.open_streams += lease.stream
        if lease.session is not None and self.limits.max_per_session is not None:
            self._per_session[lease.session] += 1
        lease.entered, lease.began_s = True, self.timer()

    def _let_in(self) -> None:
        while (waiter := self._queue.take(self._fits)) is not None:
            if not waiter.turn.done():
                self._enter(waiter.who)
                waiter.turn.set_result(None)

    def _busy(self, what: str, key: str) -> Busy:
        places = (len(self._queue) + 1) / self.limits.max_in_flight
        wait_s = min(MAX_RETRY_AFTER_S, max(1.0, places * self._mean_s))
        return Busy(f"The router is busy: {what}", hint=f"try again, or raise {key}", retry_after_s=wait_s)

    def _stopping(self) -> Stopping:
        self.rejected += 1
        return Stopping("The router is stopping", hint="try again in a moment", retry_after_s=STOPPING_RETRY_AFTER_S)

    def _reject(self, error: Busy) -> Busy:
        self.rejected += 1
        return error


class Lease:
    """One request's hold on the gate. `with lease:` leaves it at the end, however that comes."""

    __slots__ = ("_gate", "_growing", "_task", "began_s", "bytes", "entered", "session", "stopped", "stream")

    def __init__(self, gate: ConcurrencyLimiter, growing: bool) -> None:
        self._gate = gate
        self._growing = growing
        self._task: asyncio.Task[object] | None = None
        self.began_s = 0.0
        self.bytes = 0
        self.entered = False
        self.session: str | None = None
        self.stopped = False
        self.stream = False

    def __enter__(self) -> Lease:
        self._task = asyncio.current_task()
        self._gate.leases.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: object, trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        self._gate.leave(self)
        if self.stopped and kind is asyncio.CancelledError and task is not None:
            task.uncancel()
            raise Stopping("The router was stopped", retry_after_s=STOPPING_RETRY_AFTER_S) from None

    def hold(self, count: int) -> None:
        """Account for bytes of the body. Raises Busy where they find no room."""
        self._gate.hold(self, count)

    def counted(self, receive: Receive) -> Receive:
        """`receive`, which for a body of unknown length accounts for what comes."""
        if not self._growing:
            return receive

        async def counting() -> Message:
            message = await receive()
            self.hold(len(message.get("body", b"")))
            return message

        return counting

    def enter(self, wish: AdmissionRequest) -> bool:
        """Whether there is a slot at once; `wait` otherwise. Raises Busy where the client is too fast."""
        self.session, self.stream = wish.session, wish.stream
        return self._gate.try_enter(self, wish)

    async def wait(self, wish: AdmissionRequest) -> None:
        """Wait for a slot. Raises Busy or Stopping."""
        await self._gate.wait(self, wish)

    def cut(self) -> None:
        """Cancel the request wherever it stands."""
        self.stopped = True
        if self._task is not None:
            self._task.cancel()


def queue_key(wish: AdmissionRequest) -> str:
    """Whose turn a request waits for: its session's, else its client's."""
    return wish.session or wish.client


def _too_fast(what: str, rate: RateLimiter, wait_s: float) -> Busy:
    words = f"More than {rate.per_minute:g} {what} a minute"
    return Busy(words, hint=f"wait {wait_s:.1f} s", retry_after_s=wait_s, code="rate_limit_exceeded")


T = TypeVar("T")


class Waiter(Generic[T]):
    """Somebody who waits; `turn` is done when it is let in."""

    __slots__ = ("session", "turn", "who")

    def __init__(self, session: str, who: T) -> None:
        self.session = session
        self.who = who
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairQueue(Generic[T]):
    """Sessions in turn. `len` counts who waits."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, deque[Waiter[T]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, session: str, who: T) -> Waiter[T]:
        waiter = Waiter(session, who)
        self._sessions.setdefault(session, deque()).append(waiter)
        self._count += 1
        return waiter

    def take(self, fits: Callable[[T], bool]) -> Waiter[T] | None:
        """The next one that fits, taken out; its session then has to wait for all others."""
        for session, waiting in self._sessions.items():
            if fits(waiting[0].who):
                waiter = waiting[0]
                self.remove(waiter)
                if session in self._sessions:
                    self._sessions.move_to_end(session)
                return waiter
        return None

    def remove(self, waiter: Waiter[T]) -> None:
        """Take somebody out who gave up; nothing when it isn't there any more."""
        waiting = self._sessions.get(waiter.session)
        if waiting is None or waiter not in waiting:
            return
        waiting.remove(waiter)
        self._count -= 1
        if not waiting:
            del self._sessions[waiter.session]

    def clear(self) -> list[Waiter[T]]:
        """Everybody, taken out."""
        found = [waiter for waiting in self._sessions.values() for waiter in waiting]
        self._sessions.clear()
        self._count = 0
        return found
