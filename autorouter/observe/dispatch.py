"""Where finished requests go: to the receipts, and from here to the observers. A request pays for an append; the rest is later.

    step.finish() -> put(receipt_input) -> receipts
                          └──────────-> queue -> in the loop, 8 at once or 50 ms later -> metrics, access log, spans

The work stays in the event loop: a thread would compete with it for the GIL, as with receipts. An observer that raises is
logged by type and site, and doesn't affect the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from autorouter.engine.deps import ReceiptSink
from autorouter.engine.receipt import ReceiptInput
from autorouter.errors import exception_site
from autorouter.observe.events import CompletedRequest, RejectedRequest, RequestObserver
from autorouter.observe.request_context import CURRENT_REQUEST

BATCH_SIZE = 8
"""As for receipts: what they are built from is then still in the processor's cache. Each takes about 12 us."""
BATCH_DELAY_S = 0.05
"""How soon a line is in the log; a burst of requests shares one timer."""
log = logging.getLogger("autorouter.observe")


class RequestDispatcher:
    """A receipt sink with observers. `drain` brings them up to date at any time."""

    def __init__(self, receipts: ReceiptSink, observers: Sequence[RequestObserver]) -> None:
        self._receipts = receipts
        self._observers = tuple(observers)
        self._queue: deque[CompletedRequest | RejectedRequest] = deque()
        self._batch_scheduled = False
        self._timer_scheduled = False

    def put(self, build: Callable[[], dict[str, Any]]) -> None:
        """Hand over a finished step. Returns at once."""
        self._receipts.put(build)
        if isinstance(build, ReceiptInput):
            self._add(CompletedRequest(build, CURRENT_REQUEST.get()))

    def reject(self, rejected: RejectedRequest) -> None:
        """Hand over a request that never became a step."""
        self._add(rejected)

    def drain(self) -> None:
        """Notify the observers of everything that is queued."""
        self._notify(len(self._queue))

    def close(self) -> None:
        """Notify of what is still queued, then close the observers. After the loop has ended."""
        self.drain()
        for observer in self._observers:
            observer.close()

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
            for observer in self._observers:
                try:
                    if isinstance(item, CompletedRequest):
                        observer.on_request(item)
                    else:
                        observer.on_rejected(item)
                except Exception as exc:
                    log.error("an observer failed: %s", exception_site(exc))
