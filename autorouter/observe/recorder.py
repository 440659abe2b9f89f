"""Where finished requests go: one queue, and from it every listener. A request pays for an append; the rest is later.

    recorder.record(completed) ──► queue ──► in the loop, 8 at once or 10 ms later ──► receipts, metrics, access log, spans
    recorder.reject(rejected)  ──►

The work stays in the event loop: a thread would compete with it for the GIL, and building receipts there costs half as much as
in the writer's thread. A listener that raises is logged by type and site, and doesn't affect the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from autorouter.engine.receipt import CompletedRequest, receipt_record
from autorouter.engine.trace import Attempt, Trace
from autorouter.errors import exception_site
from autorouter.receipts.writer import ReceiptWriter

NOT_FAILURES = ("answered", "open", "client_gone", "stopped")
"""Results of attempts for which the upstream isn't to blame."""
BATCH_SIZE = 8
"""What records are made of is then still in the processor's cache, and no request waits more than 2 ms for them: a receipt takes
about 0.15 ms, the rest 12 us each."""
BATCH_DELAY_S = 0.01
"""How soon a smaller batch is handed on. Then the writer of receipts gathers a batch of its own."""
log = logging.getLogger("autorouter.observe")


class RejectedRequest(NamedTuple):
    """A request that never became a step. `wire` is `other` where the path is none of the three APIs'."""

    wire: str
    code: str
    status: int
    request_id: str | None
    now_s: float


class RequestListener(Protocol):
    """Gets requests after their responses have been sent, in the event loop: it must not block."""

    def on_request(self, completed: CompletedRequest) -> None: ...

    def on_rejected(self, rejected: RejectedRequest) -> None: ...

    def close(self) -> None: ...


class RequestRecorder:
    """The engine's `RequestSink`. `drain` brings the listeners up to date at any time."""

    def __init__(self, listeners: Sequence[RequestListener]) -> None:
        self._listeners = tuple(listeners)
        self._queue: deque[CompletedRequest | RejectedRequest] = deque()
        self._batch_scheduled = False
        self._timer_scheduled = False

    def record(self, completed: CompletedRequest) -> None:
        """Hand over a finished request. Returns at once."""
        self._add(completed)

    def reject(self, rejected: RejectedRequest) -> None:
        """Hand over a request that never became a step."""
        self._add(rejected)

    @property
    def backlog(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    def drain(self) -> None:
        """Notify the listeners of everything that is queued. In the event loop's thread."""
        self._notify(len(self._queue))

    def close(self) -> None:
        """Notify of what is still queued, then close the listeners. After the loop has ended."""
        self.drain()
        for listener in self._listeners:
            listener.close()

    def _add(self, item: CompletedRequest | RejectedRequest) -> None:
        self._queue.append(item)
        if not self._timer_scheduled or (not self._batch_scheduled and len(self._queue) >= BATCH_SIZE):
            self._schedule()

    def _schedule(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # No loop: a command that runs one step and ends.
            self.drain()
            return
        if not self._timer_scheduled:
            self._timer_scheduled = True
            loop.call_later(BATCH_DELAY_S, self._on_timer)
        if len(self._queue) >= BATCH_SIZE and not self._batch_scheduled:
            self._batch_scheduled = True
            loop.call_soon(self._on_batch)

    def _on_timer(self) -> None:
        self._timer_scheduled = False
        self._notify(BATCH_SIZE)
        if self._queue:
            self._schedule()

    def _on_batch(self) -> None:
        self._batch_scheduled = False
        self._notify(BATCH_SIZE)
        if len(self._queue) >= BATCH_SIZE:
            self._schedule()

    def _notify(self, limit: int) -> None:
        for _ in range(limit):
            try:
                item = self._queue.popleft()
            except IndexError:
                return
            for listener in self._listeners:
                try:
                    if isinstance(item, CompletedRequest):
                        listener.on_request(item)
                    else:
                        listener.on_rejected(item)
                except Exception as exc:
                    log.error("a listener failed: %s", exception_site(exc))


class ReceiptListener:
    """Hands each request's receipt to the writer. Rejected requests have none."""

    def __init__(self, writer: ReceiptWriter) -> None:
        self._writer = writer

    def on_request(self, completed: CompletedRequest) -> None:
        """Build the receipt, unless the writer's thread is just writing: then it builds what waits itself."""
        self._writer.put(partial(receipt_record, completed))
        self._writer.build_pending(BATCH_SIZE)

    def on_rejected(self, rejected: RejectedRequest) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: the runtime closes the writer last, because that unlocks the directory."""


def final_attempt(trace: Trace) -> Attempt | None:
    """The attempt whose answer the client got, else the last one that was tried."""
    return trace.answer or (trace.attempts[-1] if trace.attempts else None)


def time_to_first_byte_s(trace: Trace) -> float | None:
    """From the request to the first byte of a streamed answer. Failed attempts before it count."""
    final = final_attempt(trace)
    if final is None or final.ttft_s is None or trace.overhead_s is None:
        return None
    return trace.overhead_s + final.began_s - trace.attempts[0].began_s + final.ttft_s


def retries_and_fallbacks(attempts: Sequence[Attempt]) -> tuple[int, int]:
    """(retries, fallbacks). A retry asks the same candidate again in the same phase; a fallback asks another candidate after
    one has failed. Panel members that are asked at the same time are neither."""
    if len(attempts) < 2:
        return 0, 0
    retries = fallbacks = 0
    for number, attempt in enumerate(attempts):
        failures = [a for a in attempts[:number] if a.phase == attempt.phase and a.result not in NOT_FAILURES]
        # Only what had ended before this attempt began: a member that failed meanwhile didn't cause it.
        ended = [a for a in failures if a.began_s + (a.seconds or 0.0) <= attempt.began_s]
        if any(a.candidate == attempt.candidate for a in ended):
            retries += 1
        elif ended:
            fallbacks += 1
    return retries, fallbacks
