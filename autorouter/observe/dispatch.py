"""Where steps end: the receipts, and from here the observers too. A request pays for an append; the rest comes later.

    step.finish() -> put(made) -> receipts
                          └────-> waiting -> in the loop, 8 at once or 50 ms later -> tally, log lines, spans

A thread that did this would take the GIL from the loop, as with receipts. An observer that raises is noted, by type and
place, and disturbs nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from autorouter.engine.deps import ReceiptSink
from autorouter.engine.receipt import ReceiptInput
from autorouter.observe.events import CompletedRequest, RejectedRequest, RequestObserver
from autorouter.observe.places import place_of
from autorouter.observe.request_context import CURRENT_REQUEST

BATCH_SIZE = 8
"""As receipts are built: what they are made of is then still in the processor's cache. Each takes about 12 us."""
BATCH_DELAY_S = 0.05
"""A line is in the log so soon, and a burst of requests has one timer."""
log = logging.getLogger("autorouter.observe")


class RequestDispatcher:
    """Receipts with observers. `drain` at any time brings them up to date."""

    def __init__(self, receipts: ReceiptSink, observers: Sequence[RequestObserver]) -> None:
        self._receipts = receipts
        self._observers = tuple(observers)
        self._waiting: deque[CompletedRequest | RejectedRequest] = deque()
        self._called = False
        self._timed = False

    def put(self, build: Callable[[], dict[str, Any]]) -> None:
        """Hand a finished step over; returns at once."""
        self._receipts.put(build)
        if isinstance(build, ReceiptInput):
            self._add(CompletedRequest(build, CURRENT_REQUEST.get()))

    def reject(self, rejected: RejectedRequest) -> None:
        """Hand over a request that never became a step."""
        self._add(rejected)

    def drain(self) -> None:
        """Tell the observers of all that waits."""
        self._work(len(self._waiting))

    def close(self) -> None:
        """After the loop has ended: what still waits, and then the observers' own ends."""
        self.drain()
        for observer in self._observers:
            observer.close()

    def _add(self, item: CompletedRequest | RejectedRequest) -> None:
        self._waiting.append(item)
        if not self._timed or (not self._called and len(self._waiting) >= BATCH_SIZE):
            self._call()

    def _call(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.drain()
            return
        if not self._timed:
            self._timed = True
            loop.call_later(BATCH_DELAY_S, self._on_time)
        if len(self._waiting) >= BATCH_SIZE and not self._called:
            self._called = True
            loop.call_soon(self._on_call)

    def _on_time(self) -> None:
        self._timed = False
        self._work(BATCH_SIZE)
        if self._waiting:
            self._call()

    def _on_call(self) -> None:
        self._called = False
        self._work(BATCH_SIZE)
        if len(self._waiting) >= BATCH_SIZE:
            self._call()

    def _work(self, most: int) -> None:
        for _ in range(most):
            try:
                item = self._waiting.popleft()
            except IndexError:
                return
            for observer in self._observers:
                try:
                    observer.saw(item) if isinstance(item, CompletedRequest) else observer.rejected(item)
                except Exception as exc:
                    log.error("an observer failed: %s", place_of(exc))
