"""Attempts in their order: candidates are tried one after the other until one gives what a phase needs.

    try primary ──► it did                        the phase has its answer
        │ failed: `retry.after` says who is next
        ▼
    the same once more, or another ──► none left, or no time: NobodyAnswered   one verdict for the client

Before its first byte nothing has been promised, so that any failure is ours to absorb. Who failed last is probed by one
request at a time. A single answer that is slow to begin may be hedged (`hedge`).

Hedging: an answer that is slow to begin gets a rival, the first of the two to begin wins, and the other is stopped.

    lead ──────── no first event within the percentile of its own times ────────► begins: wins, the rival is stopped
      └─────────────────────────────────► rival begins here ────────────► begins first: wins, the lead is stopped

Streams of single answers only: inner calls of panels and verifiers have a quorum of their own. What the loser used so far is
paid for. A bounded share of requests: each request earns `max_share` of a hedge, a hedge costs one, and at most `SAVED` are
saved up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from autorouter.core.state.health import UNKNOWN_HEALTH, begin_probe, cooldown_left_s, probe_left_s
from autorouter.core.types import Strategy
from autorouter.engine import accounting, retry
from autorouter.engine.call import Caller, CallFailed, StreamReply
from autorouter.engine.deps import Deps
from autorouter.engine.router import RoutedRequest
from autorouter.engine.trace import Attempt, Trace
from autorouter.errors import UpstreamError
from autorouter.upstream.errors import FailureVerdict

T = TypeVar("T")
AttemptCall = Callable[[Caller, Attempt, int], Awaitable[T]]
"""One attempt: the caller, the attempt to fill in, and its number within the step, from 1."""
ERROR_PRIORITY = (
    "context",
    "rate_limited",
    "overloaded",
    "busy",
    "timeout",
    "server",
    "cut",
    "reset",
    "connect",
    "protocol",
    "quota",
)
"""When all attempts failed, the client gets the verdict that helps it most: first those that a wait may cure."""
ANSWER_PHASE = "answer"
"""The phase of a single answer."""


class AllCandidatesFailed(Exception):
    """All candidates of a phase failed; the verdicts in their order, at least one."""

    def __init__(self, verdicts: Sequence[FailureVerdict]) -> None:
        super().__init__(", ".join(verdict.kind for verdict in verdicts))
        self.verdicts = tuple(verdicts)


async def first(
    queue: Sequence[str],
    caller: Caller,
    perform: AttemptCall[T],
    *,
    phase: str,
    routed: RoutedRequest,
    trace: Trace,
    began_s: float,
) -> T:
    """What the first candidate that can gives. Raises NobodyAnswered."""
    course = _AttemptLoop(list(queue), caller, perform, phase=phase, routed=routed, trace=trace, began_s=began_s)
    while course.waiting:
        attempt = course.begin()
        slow_s = course.slow_s(attempt)
        try:
            if slow_s is None:
                return await perform(course.caller, attempt, len(trace.attempts))
            found, attempt = await course.race(attempt, slow_s)
            if not isinstance(found, CallFailed):
                return found
            failed = found
        except CallFailed as exc:
            failed = exc
        move = course.failed(attempt, failed)
        if move.again_s is not None:
            course.again(attempt, move.again_s, failed.verdict)
            await asyncio.sleep(move.again_s)
    raise AllCandidatesFailed(course.verdicts)


class _AttemptLoop(Generic[T]):
    """One phase's attempts: who is still to come, and what went wrong so far."""

    def __init__(
        self,
        waiting: list[str],
        caller: Caller,
        perform: AttemptCall[T],
        *,
        phase: str,
        routed: RoutedRequest,
        trace: Trace,
        began_s: float,
    ) -> None:
        self.waiting = waiting
        self.caller = caller
        self.verdicts: list[FailureVerdict] = []
        self._perform = perform
        self._phase, self._routed, self._trace, self._began_s = phase, routed, trace, began_s
        self._tried: retry.RetryState | None = None
        self._wait_s: float | None = None

    def begin(self, *, hedge: bool = False) -> Attempt:
        """The next one's attempt. Who failed last is probed by it."""
        attempt = _begun(self.waiting.pop(0), self._phase, self.caller, self._trace, self._began_s)
        attempt.hedge, attempt.retried_after_s, self._wait_s = hedge, self._wait_s, None
        state = self.caller.deps.state
        seen = state.health.get(attempt.candidate, UNKNOWN_HEALTH)
        if seen.failures_in_row:
            state.health = {**state.health, attempt.candidate: begin_probe(seen, self.caller.deps.clock())}
        return attempt

    def failed(self, attempt: Attempt, failed: CallFailed) -> retry.RetryDecision:
        """Account for it, and see who is next."""
        verdict, deps = failed.verdict, self.caller.deps
        self.verdicts.append(verdict)
        accounting.record_failure(attempt, verdict, failed.events, self._routed, deps)
        if self._tried is None:
            self._tried = retry.RetryState()
        move = retry.decide_retry(attempt.candidate, verdict, self.waiting, self._tried, self._place())
        attempt.then, self.waiting = move.words, list(move.waiting)
        return move

    def again(self, attempt: Attempt, wait_s: float, verdict: FailureVerdict) -> None:
        """The same candidate is next, after a wait."""
        self.waiting.insert(0, attempt.candidate)
        self._wait_s = wait_s
        if verdict.kind == "reasoning":
            self.caller = replace(self.caller, strip=True)

    def _place(self) -> retry.FailureContext:
        deps, routed = self.caller.deps, self._routed
        return retry.FailureContext(
            by_id=deps.by_id,
            scores={score.candidate: score.total for score in routed.decision.scores},
            health=deps.state.health,
            now_s=deps.clock(),
            input_tokens=routed.features.input_tokens + self.caller.added_tokens,
            left_s=deps.retry.deadline_s - (deps.timer() - self._began_s),
            patience_s=deps.retry.patience_s if self._phase == ANSWER_PHASE else retry.SHORT_WAIT_S,
            part=retry.jitter_fraction(f"{self.caller.request_id}/{len(self._trace.attempts)}"),
            retry=deps.retry,
        )

    def slow_s(self, attempt: Attempt) -> float | None:
        """After how long a rival may begin; None where none may."""
        deps, routed = self.caller.deps, self._routed
        if deps.hedging is None or self._phase != ANSWER_PHASE or not routed.task.stream:
            return None
        plan = routed.decision.plan
        if plan is None or plan.strategy is not Strategy.SINGLE or not self.waiting:
            return None
        deps.hedging.earn()
        return deps.hedging.after_s(deps.state.health.get(attempt.candidate, UNKNOWN_HEALTH))

    def _well(self) -> str | None:
        """The next one against whom nothing has come up since the decision: no cooldown, and no other request that probes."""
        now_s, health = self.caller.deps.clock(), self.caller.deps.state.health
        seen = ((name, health.get(name, UNKNOWN_HEALTH)) for name in self.waiting)
        return next(
            (name for name, one in seen if not cooldown_left_s(one, now_s) and not probe_left_s(one, now_s)), None
        )

    async def race(self, lead: Attempt, slow_s: float) -> tuple[T | CallFailed, Attempt]:
        """The attempt with a rival beside it, if it is slow."""
        deps, number = self.caller.deps, len(self._trace.attempts)

        def rival() -> Attempt | None:
            assert deps.hedging is not None
            name = self._well()
            if name is None or not _affordable(name, lead, self._routed) or not deps.hedging.spend():
                return None
            self.waiting = [name, *(other for other in self.waiting if other != name)]
            lead.then = f"slow after {slow_s:.2f} s: {name} beside it"
            return self.begin(hedge=True)

        def lost(attempt: Attempt, failed: CallFailed) -> None:
            self.verdicts.append(failed.verdict)
            accounting.record_failure(attempt, failed.verdict, failed.events, self._routed, deps)
            attempt.then = "the other one goes on"

        return await HedgeRace[T](
            lambda attempt: self._perform(self.caller, attempt, number + attempt.hedge),
            rival=rival,
            lost=lost,
            stopped=lambda attempt: accounting.record_hedge_lost(attempt, self._routed, deps),
        ).run(lead, slow_s)


def _affordable(rival: str, lead: Attempt, routed: RoutedRequest) -> bool:
    """Whether both together fit what is left of the tightest cap."""
    cap = routed.decision.allowance
    if cap is None:
        return True
    usd = {score.candidate: score.step_usd for score in routed.decision.scores}
    return (usd[rival] + usd[lead.candidate]) * (1.0 + routed.features.input_error) <= cap.left_usd


def _begun(candidate_id: str, phase: str, caller: Caller, trace: Trace, began_s: float) -> Attempt:
    deps: Deps = caller.deps
    candidate, now_s = deps.by_id[candidate_id], deps.timer()
    if not trace.attempts:
        trace.overhead_s = now_s - began_s
    attempt = Attempt(
        candidate=candidate.id,
        upstream=candidate.upstream,
        model=candidate.model,
        phase=phase,
        began_s=now_s,
        added_tokens=caller.added_tokens,
    )
    trace.attempts.append(attempt)
    return attempt


def verdict_of(verdicts: Sequence[FailureVerdict], trace: Trace) -> UpstreamError:
    """The one error that the client gets."""
    rank = {kind: place for place, kind in enumerate(ERROR_PRIORITY)}
    final = verdicts[-1]
    best = min(verdicts, key=lambda v: rank.get(v.kind, len(rank))) if final.retry_elsewhere else final
    error = best.error
    if len(trace.attempts) > 1:
        error.message += "; tried " + ", ".join(f"{a.candidate}: {a.result}" for a in trace.attempts)
    trace.result, trace.status, trace.error = "failed", error.http_status, error.code
    return error


class HedgeRace(Generic[T]):
    """One lead, and a rival if it is slow. `rival()` begins the other attempt, or returns None where there is none;
    `lost(attempt, failed)` is told of one that failed while the other goes on, `stopped(attempt)` of the loser."""

    def __init__(
        self,
        perform: Callable[[Attempt], Awaitable[T]],
        *,
        rival: Callable[[], Attempt | None],
        lost: Callable[[Attempt, CallFailed], None],
        stopped: Callable[[Attempt], None],
    ) -> None:
        self._perform = perform
        self._rival = rival
        self._lost = lost
        self._stopped = stopped
        self._running: dict[asyncio.Future[T], Attempt] = {}

    async def run(self, lead: Attempt, after_s: float) -> tuple[T | CallFailed, Attempt]:
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

    async def _first(self) -> tuple[T | CallFailed, Attempt]:
        while True:
            done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            # Of two that are there at once the lead wins: it is the better one.
            task = next(one for one in self._running if one in done)
            attempt = self._running.pop(task)
            try:
                return task.result(), attempt
            except CallFailed as failed:
                if not self._running:
                    return failed, attempt
                self._lost(attempt, failed)


def _discard(task: asyncio.Future[T]) -> None:
    """Stop a call, or the stream that it has just opened."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        result = task.result()
        if isinstance(result, StreamReply):
            result.reply.close()
