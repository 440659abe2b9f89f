"""Hedging: an answer that is slow to begin gets a rival, the first of the two to begin wins, and the other is stopped.

    lead ──────── no first event within the percentile of its own times ────────► begins: wins, the rival is stopped
      └─────────────────────────────────► rival begins here ────────────► begins first: wins, the lead is stopped

Streams of single answers only: inner calls of panels and verifiers have a quorum of their own. What the loser used so far is
paid for. A bounded share of requests: each request earns `max_share` of a hedge, a hedge costs one, and at most `SAVED` are
saved up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from autorouter.engine.calling import Failed, Opened
from autorouter.engine.trace import Attempt

T = TypeVar("T")


class Race(Generic[T]):
    """One lead, and a rival if it is slow. `rival()` begins the other attempt, or returns None where there is none;
    `lost(attempt, failed)` is told of one that failed while the other goes on, `stopped(attempt)` of the loser."""

    def __init__(
        self,
        perform: Callable[[Attempt], Awaitable[T]],
        *,
        rival: Callable[[], Attempt | None],
        lost: Callable[[Attempt, Failed], None],
        stopped: Callable[[Attempt], None],
    ) -> None:
        self._perform = perform
        self._rival = rival
        self._lost = lost
        self._stopped = stopped
        self._running: dict[asyncio.Future[T], Attempt] = {}

    async def run(self, lead: Attempt, after_s: float) -> tuple[T | Failed, Attempt]:
        """The first to begin; where both fail, the failure of the last."""
        try:
            self._begin(lead)
            done, _ = await asyncio.wait(self._running, timeout=after_s)
            other = None if done else self._rival()
            if other is not None:
                self._begin(other)
            found = await self._first()
            for attempt in self._running.values():
                self._stopped(attempt)
            return found
        finally:
            for task in self._running:
                _discard(task)

    def _begin(self, attempt: Attempt) -> None:
        self._running[asyncio.ensure_future(self._perform(attempt))] = attempt

    async def _first(self) -> tuple[T | Failed, Attempt]:
        while True:
            done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            # Of two that are there at once the lead wins: it is the better one.
            task = next(one for one in self._running if one in done)
            attempt = self._running.pop(task)
            try:
                return task.result(), attempt
            except Failed as failed:
                if not self._running:
                    return failed, attempt
                self._lost(attempt, failed)


def _discard(task: asyncio.Future[T]) -> None:
    """Stop a call, or the stream that it has just opened."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        result = task.result()
        if isinstance(result, Opened):
            result.reply.close()
