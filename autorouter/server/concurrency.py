"""Concurrency and rate limits. Every inference request holds a `Lease` of the `ConcurrencyLimiter`:

    open_lease ──► body read ──► acquire ──► executed ──► released
      │ no memory for its body     │ over its rate: 429, exact Retry-After
      │ or stopping                │ no slot: queued ──► a slot within queue_timeout_s ──► executed
      ▼                            │             └──► queue full, or queue_timeout_s over: 429, estimated Retry-After
    429, 503                       ▼
                                the client's own error shape

A slot counts against `max_parallel_requests` and `max_parallel_requests_per_session`. All counts are plain attributes.
The set of leases is kept so that a stop can wait for them and then cancel them. A request pays about 3 us, a chunk nothing.

The queue is first in, first out within a session, and sessions take turns:

    a1 a2 a3 b1 c1        arrived in this order, a, b and c being sessions
    a1 b1 c1 a2 a3        admitted in this order
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
from autorouter.server.asgi import AsgiMessage, Receive, wait_or_disconnect
from autorouter.server.rate_limit import RateLimiter

MAX_QUEUED_REQUESTS = 1000
"""A queued request costs its body and 2 kB."""
MAX_BUFFERED_BYTES = 512 * 1024 * 1024
"""Bodies of all requests in flight: some 200 long sessions at once."""
STOPPING_RETRY_AFTER_S = 2.0
"""Most routers are back within a second after a stop."""
DURATION_SMOOTHING = 0.1
"""Weight of the newest request in the moving average of durations, from which `Retry-After` is estimated."""
MAX_RETRY_AFTER_S = 60.0
"""Longest estimated `Retry-After`: clients treat more as a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """What the limits need to know of a request. `client` is its key's name or its address; `session` None if it has none."""

    client: str
    session: str | None
    stream: bool
    input_tokens: float


class ConcurrencyLimiter:
    """Counts the requests in flight, admits those within the limits, queues the others. For one event loop."""

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
        """Number of requests waiting for a slot."""
        return len(self._queue)

    def open_lease(self, headers: dict[str, str], max_body_bytes: int) -> Lease:
        """A lease for a request whose body isn't read yet. Raises Stopping, or Busy if it finds no memory."""
        if self.stopping:
            raise self._stopping()
        length = headers.get("content-length", "")
        lease = Lease(self, not length.isdecimal())
        lease.reserve_bytes(min(int(length), max_body_bytes) if length.isdecimal() else 0)
        return lease

    def stop(self) -> None:
        """Admit no further request and reject those that are queued."""
        self.stopping = True
        for waiter in self._queue.clear():
            if not waiter.admitted.done():
                waiter.admitted.set_exception(self._stopping())

    def cancel_all(self) -> None:
        """Cancel what is still in flight: its clients see a broken connection, never a clean end of an unfinished answer."""
        for lease in self.leases:
            lease.cancel()

    # ---- used by leases

    def _check_rates(self, request: AdmissionRequest) -> None:
        if self.requests.per_minute is None and self.tokens.per_minute is None:
            return
        now_s = self.timer()
        wait_s = self.requests.wait_s(request.client, 1.0, now_s)
        if wait_s > 0:
            raise self._reject(_rate_error("requests", self.requests, wait_s))
        wait_s = self.tokens.wait_s(request.client, request.input_tokens, now_s)
        if wait_s > 0:
            raise self._reject(_rate_error("input tokens", self.tokens, wait_s))
        self.requests.take(request.client, 1.0, now_s)
        self.tokens.take(request.client, request.input_tokens, now_s)

    def try_acquire(self, lease: Lease, request: AdmissionRequest) -> bool:
        """Whether there was a slot. Raises Busy if the client is over its rate, Stopping during a stop."""
        if self.stopping:
            raise self._stopping()
        self._check_rates(request)
        # No request overtakes another of its session; those queued in other sessions couldn't use this slot.
        if self._fits(lease) and (not self._queue or queue_key(request) not in self._queue):
            self._acquire(lease)
            return True
        return False

    async def wait(self, lease: Lease, request: AdmissionRequest) -> None:
        """Wait for a slot, for at most `queue_timeout_s`. Raises Busy or Stopping."""
        limits = self.limits
        if len(self._queue) >= MAX_QUEUED_REQUESTS:
            raise self._reject(self._busy(f"{len(self._queue)} requests wait already"))
        waiter = self._queue.add(queue_key(request), lease)
        try:
            async with asyncio.timeout(limits.queue_timeout_s):
                await waiter.admitted
        except TimeoutError:
            raise self._reject(self._busy(f"no slot within {limits.queue_timeout_s:g} s")) from None
        finally:
            self._queue.remove(waiter)
            if not lease.acquired:
                self._admit_queued()  # it may have blocked others of its session

    def release(self, lease: Lease) -> None:
        self.held_bytes -= lease.bytes
        self.leases.discard(lease)
        if not lease.acquired:
            return
        self.in_flight -= 1
        self.open_streams -= lease.stream
        if lease.session is not None and self.limits.max_parallel_requests_per_session is not None:
            self._per_session[lease.session] -= 1
            if not self._per_session[lease.session]:
                del self._per_session[lease.session]
        self._mean_s += DURATION_SMOOTHING * (self.timer() - lease.acquired_s - self._mean_s)
        if self._queue:
            self._admit_queued()

    def reserve_bytes(self, lease: Lease, count: int) -> None:
        # A single request always fits: rejected, it would be retried forever.
        if self.held_bytes > lease.bytes and self.held_bytes + count > MAX_BUFFERED_BYTES:
            raise self._reject(self._busy(f"the bodies of running requests fill {MAX_BUFFERED_BYTES >> 20} MiB"))
        self.held_bytes += count
        lease.bytes += count

    def _fits(self, lease: Lease) -> bool:
        limits = self.limits
        if self.in_flight >= limits.max_parallel_requests:
            return False
        session = lease.session
        return (
            session is None
            or limits.max_parallel_requests_per_session is None
            or self._per_session[session] < limits.max_parallel_requests_per_session
        )

    def _acquire(self, lease: Lease) -> None:
        self.in_flight += 1
        self.open_streams += lease.stream
        if lease.session is not None and self.limits.max_parallel_requests_per_session is not None:
            self._per_session[lease.session] += 1
        lease.acquired, lease.acquired_s = True, self.timer()

    def _admit_queued(self) -> None:
        while (waiter := self._queue.take(self._fits)) is not None:
            if not waiter.admitted.done():
                self._acquire(waiter.item)
                waiter.admitted.set_result(None)

    def _busy(self, what: str) -> Busy:
        rounds = (len(self._queue) + 1) / self.limits.max_parallel_requests
        wait_s = min(MAX_RETRY_AFTER_S, max(1.0, rounds * self._mean_s))
        hint = "try again, or raise limits.max_parallel_requests"
        return Busy(f"The router is busy: {what}", hint=hint, retry_after_s=wait_s)

    def _stopping(self) -> Stopping:
        self.rejected += 1
        return Stopping("The router is stopping", hint="try again in a moment", retry_after_s=STOPPING_RETRY_AFTER_S)

    def _reject(self, error: Busy) -> Busy:
        self.rejected += 1
        return error


class Lease:
    """What one request holds of the limiter. `with lease:` releases it, however the request ends."""

    __slots__ = (
        "_limiter",
        "_task",
        "_unknown_length",
        "acquired",
        "acquired_s",
        "bytes",
        "cancelled",
        "session",
        "stream",
    )

    def __init__(self, limiter: ConcurrencyLimiter, unknown_length: bool) -> None:
        self._limiter = limiter
        self._unknown_length = unknown_length
        self._task: asyncio.Task[object] | None = None
        self.acquired_s = 0.0
        self.bytes = 0
        self.acquired = False
        self.session: str | None = None
        self.cancelled = False
        self.stream = False

    def __enter__(self) -> Lease:
        self._task = asyncio.current_task()
        self._limiter.leases.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: object, trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        self._limiter.release(self)
        if self.cancelled and kind is asyncio.CancelledError and task is not None:
            task.uncancel()
            raise Stopping("The router was cancelled", retry_after_s=STOPPING_RETRY_AFTER_S) from None

    def reserve_bytes(self, count: int) -> None:
        """Account for bytes of the body. Raises Busy if all bodies would exceed `MAX_BUFFERED_BYTES`."""
        self._limiter.reserve_bytes(self, count)

    def count_bytes(self, receive: Receive) -> Receive:
        """`receive`, which for a body of unknown length accounts for each part as it comes."""
        if not self._unknown_length:
            return receive

        async def counting() -> AsgiMessage:
            message = await receive()
            self.reserve_bytes(len(message.get("body", b"")))
            return message

        return counting

    async def acquire(self, request: AdmissionRequest, receive: Receive) -> None:
        """A slot, at once or from the queue. Raises Busy, Stopping, or ClientDisconnected if the client doesn't wait."""
        self.session, self.stream = request.session, request.stream
        if not self._limiter.try_acquire(self, request):
            await wait_or_disconnect(receive, self._limiter.wait(self, request))

    def cancel(self) -> None:
        """Cancel the request, whatever it is waiting for."""
        self.cancelled = True
        if self._task is not None:
            self._task.cancel()


def queue_key(request: AdmissionRequest) -> str:
    """The queue that a request waits in: its session's, else its client's."""
    return request.session or request.client


def _rate_error(what: str, rate: RateLimiter, wait_s: float) -> Busy:
    message = f"More than {rate.per_minute:g} {what} a minute"
    return Busy(message, hint=f"wait {wait_s:.1f} s", retry_after_s=wait_s, code="rate_limit_exceeded")


T = TypeVar("T")


class Waiter(Generic[T]):
    """A queued item; its future `admitted` is done when it has its slot."""

    __slots__ = ("admitted", "item", "session")

    def __init__(self, session: str, item: T) -> None:
        self.session = session
        self.item = item
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairQueue(Generic[T]):
    """A queue per session, served in turn. `len` is the number of waiters."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, deque[Waiter[T]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, session: str, item: T) -> Waiter[T]:
        waiter = Waiter(session, item)
        self._sessions.setdefault(session, deque()).append(waiter)
        self._count += 1
        return waiter

    def take(self, fits: Callable[[T], bool]) -> Waiter[T] | None:
        """Remove and return the next waiter that fits; its session then goes behind all others."""
        for session, waiting in self._sessions.items():
            if fits(waiting[0].item):
                waiter = waiting[0]
                self.remove(waiter)
                if session in self._sessions:
                    self._sessions.move_to_end(session)
                return waiter
        return None

    def remove(self, waiter: Waiter[T]) -> None:
        """Remove a waiter that gave up; nothing if it has been taken already."""
        waiting = self._sessions.get(waiter.session)
        if waiting is None or waiter not in waiting:
            return
        waiting.remove(waiter)
        self._count -= 1
        if not waiting:
            del self._sessions[waiter.session]

    def clear(self) -> list[Waiter[T]]:
        """Remove and return all waiters."""
        waiters = [waiter for waiting in self._sessions.values() for waiter in waiting]
        self._sessions.clear()
        self._count = 0
        return waiters
