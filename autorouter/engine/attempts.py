"""Attempts: candidates are tried one after the other until one succeeds, and slow ones may be hedged.

    try primary ──► success                       the phase has its answer
        │ failed: `retry.decide_retry` says what is next
        ▼
    the same once more, or another ──► none left, or out of time: AllCandidatesFailed   one error for the client

Before the first byte nothing has been sent to the client, so any failure can be absorbed. A candidate that failed last is
probed by one request at a time.

Hedging: if the first event takes longer than a percentile of the candidate's own times, a second attempt starts. The first
of the two to start answering wins, the other is stopped and paid for as far as it got.

    first attempt ──────── no first event in time ────────► starts first: wins, the hedge is stopped
      └───────────────────────► hedge starts here ────────► starts first: wins, the first attempt is stopped

Only streams of single answers are hedged: panels and verifiers have their own quorum and timeouts.
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
"""One attempt: the caller, the attempt to fill in, and its number within the step from 1."""
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
"""When all attempts failed, the client gets the most useful error: first those that a wait may cure."""
ANSWER_PHASE = "answer"
"""The phase of a single answer."""


class AllCandidatesFailed(Exception):
    """All candidates of a phase failed. `verdicts` in order, at least one."""

    def __init__(self, verdicts: Sequence[FailureVerdict]) -> None:
        super().__init__(", ".join(verdict.kind for verdict in verdicts))
        self.verdicts = tuple(verdicts)


async def first_success(
    queue: Sequence[str],
    caller: Caller,
    call_candidate: AttemptCall[T],
    *,
    phase: str,
    routed: RoutedRequest,
    trace: Trace,
    began_s: float,
) -> T:
    """The result of the first candidate that succeeds. Raises AllCandidatesFailed."""
    loop = _AttemptLoop(list(queue), caller, call_candidate, phase=phase, routed=routed, trace=trace, began_s=began_s)
    while loop.queue:
        attempt = loop.start()
        hedge_delay_s = loop.hedge_delay_s(attempt)
        try:
            if hedge_delay_s is None:
                return await call_candidate(loop.caller, attempt, len(trace.attempts))
            outcome, attempt = await loop.race_hedge(attempt, hedge_delay_s)
            if not isinstance(outcome, CallFailed):
                return outcome
            failed = outcome
        except CallFailed as exc:
            failed = exc
        decision = loop.handle_failure(attempt, failed)
        if decision.retry_in_s is not None:
            loop.requeue(attempt, decision.retry_in_s, failed.verdict)
            await asyncio.sleep(decision.retry_in_s)
    raise AllCandidatesFailed(loop.verdicts)


class _AttemptLoop(Generic[T]):
    """The attempts of one phase: the candidates still to try, and the failures so far."""

    def __init__(
        self,
        queue: list[str],
        caller: Caller,
        call_candidate: AttemptCall[T],
        *,
        phase: str,
        routed: RoutedRequest,
        trace: Trace,
        began_s: float,
    ) -> None:
        self.queue = queue
        self.caller = caller
        self.verdicts: list[FailureVerdict] = []
        self._call = call_candidate
        self._phase, self._routed, self._trace, self._began_s = phase, routed, trace, began_s
        self._retry_state: retry.RetryState | None = None
        self._wait_s: float | None = None

    def start(self, *, hedge: bool = False) -> Attempt:
        """Start the next candidate's attempt. If it failed last, this attempt is its probe."""
        attempt = _new_attempt(self.queue.pop(0), self._phase, self.caller, self._trace, self._began_s)
        attempt.hedge, attempt.retried_after_s, self._wait_s = hedge, self._wait_s, None
        state = self.caller.deps.state
        current = state.health.get(attempt.candidate, UNKNOWN_HEALTH)
        if current.failures_in_row:
            state.health = {**state.health, attempt.candidate: begin_probe(current, self.caller.deps.clock())}
        return attempt

    def handle_failure(self, attempt: Attempt, failed: CallFailed) -> retry.RetryDecision:
        """Account for a failure and decide what is next."""
        verdict, deps = failed.verdict, self.caller.deps
        self.verdicts.append(verdict)
        accounting.record_failure(attempt, verdict, failed.events, self._routed, deps)
        if self._retry_state is None:
            self._retry_state = retry.RetryState()
        decision = retry.decide_retry(
            attempt.candidate, verdict, self.queue, self._retry_state, self._failure_context()
        )
        attempt.then, self.queue = decision.description, list(decision.queue)
        return decision

    def requeue(self, attempt: Attempt, wait_s: float, verdict: FailureVerdict) -> None:
        """Put the failed candidate first again, after a wait."""
        self.queue.insert(0, attempt.candidate)
        self._wait_s = wait_s
        if verdict.kind == "reasoning":
            self.caller = replace(self.caller, strip_reasoning=True)

    def _failure_context(self) -> retry.FailureContext:
        deps, routed = self.caller.deps, self._routed
        return retry.FailureContext(
            by_id=deps.by_id,
            scores={score.candidate: score.total for score in routed.decision.scores},
            health=deps.state.health,
            now_s=deps.clock(),
            input_tokens=routed.features.input_tokens + self.caller.added_tokens,
            remaining_s=deps.retry.deadline_s - (deps.timer() - self._began_s),
            max_wait_s=deps.retry.max_wait_s if self._phase == ANSWER_PHASE else retry.SHORT_WAIT_S,
            jitter=retry.jitter_fraction(f"{self.caller.request_id}/{len(self._trace.attempts)}"),
            retry=deps.retry,
        )

    def hedge_delay_s(self, attempt: Attempt) -> float | None:
        """How long to wait before hedging this attempt; None if it may not be hedged."""
        deps, routed = self.caller.deps, self._routed
        if deps.hedging is None or self._phase != ANSWER_PHASE or not routed.task.stream:
            return None
        plan = routed.decision.plan
        if plan is None or plan.strategy is not Strategy.SINGLE or not self.queue:
            return None
        deps.hedging.deposit()
        return deps.hedging.delay_s(deps.state.health.get(attempt.candidate, UNKNOWN_HEALTH))

    def _next_healthy(self) -> str | None:
        """The next candidate that isn't cooling down or being probed by another request since the decision."""
        now_s, health = self.caller.deps.clock(), self.caller.deps.state.health
        current = ((name, health.get(name, UNKNOWN_HEALTH)) for name in self.queue)
        return next(
            (name for name, one in current if not cooldown_left_s(one, now_s) and not probe_left_s(one, now_s)), None
        )

    async def race_hedge(self, lead: Attempt, hedge_delay_s: float) -> tuple[T | CallFailed, Attempt]:
        """The attempt, with a hedge beside it if it is slow."""
        deps, number = self.caller.deps, len(self._trace.attempts)

        def start_hedge() -> Attempt | None:
            assert deps.hedging is not None
            name = self._next_healthy()
            if name is None or not _both_within_budget(name, lead, self._routed) or not deps.hedging.try_withdraw():
                return None
            self.queue = [name, *(other for other in self.queue if other != name)]
            lead.then = f"slow after {hedge_delay_s:.2f} s: {name} beside it"
            return self.start(hedge=True)

        def on_failure(attempt: Attempt, failed: CallFailed) -> None:
            self.verdicts.append(failed.verdict)
            accounting.record_failure(attempt, failed.verdict, failed.events, self._routed, deps)
            attempt.then = "the other one goes on"

        return await HedgeRace[T](
            lambda attempt: self._call(self.caller, attempt, number + attempt.hedge),
            start_hedge=start_hedge,
            on_failure=on_failure,
            on_loser=lambda attempt: accounting.record_hedge_lost(attempt, self._routed, deps),
        ).run(lead, hedge_delay_s)


def _both_within_budget(hedge_id: str, lead: Attempt, routed: RoutedRequest) -> bool:
    """Whether both attempts together fit what is left of the tightest cap."""
    cap = routed.decision.allowance
    if cap is None:
        return True
    usd = {score.candidate: score.step_usd for score in routed.decision.scores}
    return (usd[hedge_id] + usd[lead.candidate]) * (1.0 + routed.features.input_error) <= cap.left_usd


def _new_attempt(candidate_id: str, phase: str, caller: Caller, trace: Trace, began_s: float) -> Attempt:
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


def client_error(verdicts: Sequence[FailureVerdict], trace: Trace) -> UpstreamError:
    """The error that the client gets when all attempts failed. Sets the trace's outcome."""
    priority = {kind: position for position, kind in enumerate(ERROR_PRIORITY)}
    final = verdicts[-1]
    best = min(verdicts, key=lambda v: priority.get(v.kind, len(priority))) if final.retry_elsewhere else final
    error = best.error
    if len(trace.attempts) > 1:
        error.message += "; tried " + ", ".join(f"{a.candidate}: {a.result}" for a in trace.attempts)
    trace.result, trace.status, trace.error = "failed", error.http_status, error.code
    return error


class HedgeRace(Generic[T]):
    """A first attempt, and a hedge if it is slow. `start_hedge()` starts the other attempt, or returns None if there is none.
    `on_failure(attempt, failed)`: one failed while the other goes on. `on_loser(attempt)`: the slower one was stopped."""

    def __init__(
        self,
        call_candidate: Callable[[Attempt], Awaitable[T]],
        *,
        start_hedge: Callable[[], Attempt | None],
        on_failure: Callable[[Attempt, CallFailed], None],
        on_loser: Callable[[Attempt], None],
    ) -> None:
        self._call = call_candidate
        self._start_hedge = start_hedge
        self._on_failure = on_failure
        self._on_loser = on_loser
        self._running: dict[asyncio.Future[T], Attempt] = {}

    async def run(self, lead: Attempt, after_s: float) -> tuple[T | CallFailed, Attempt]:
        """The first to start answering; if both fail, the last failure."""
        try:
            self._begin(lead)
            done, _ = await asyncio.wait(self._running, timeout=after_s)
            other = None if done else self._start_hedge()
            if other is not None:
                self._begin(other)
            outcome = await self._first()
            for attempt in self._running.values():
                self._on_loser(attempt)
            return outcome
        finally:
            for task in self._running:
                _discard(task)

    def _begin(self, attempt: Attempt) -> None:
        self._running[asyncio.ensure_future(self._call(attempt))] = attempt

    async def _first(self) -> tuple[T | CallFailed, Attempt]:
        while True:
            done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            # If both are ready, the first attempt wins: it ranked higher.
            task = next(one for one in self._running if one in done)
            attempt = self._running.pop(task)
            try:
                return task.result(), attempt
            except CallFailed as failed:
                if not self._running:
                    return failed, attempt
                self._on_failure(attempt, failed)


def _discard(task: asyncio.Future[T]) -> None:
    """Stop a call, or close the stream that it has just opened."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        result = task.result()
        if isinstance(result, StreamReply):
            result.reply.close()
