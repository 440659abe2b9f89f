"""Attempts: how a strategy gets an answer. Candidates are tried one after the other until one succeeds.

    StepContext.get_reply   the client's own answer: complete, or a stream that has started and is passed on as it arrives
    StepContext.get_draft   an answer in the client's wire, buffered until it is complete, to be reviewed before it goes out
    StepContext.get_text    the text of an inner call that the client never sees: a verdict, a judgement

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
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.state.health import UNKNOWN_HEALTH, begin_probe, cooldown_left_s, probe_left_s
from autorouter.core.types import Strategy, Usage, VerifyScope
from autorouter.engine import outcomes, retry
from autorouter.engine.call import Caller, CallFailed, ClientReply, StreamReply
from autorouter.engine.deps import Deps
from autorouter.engine.progress import Progress
from autorouter.engine.request_context import RequestContext
from autorouter.engine.router import RoutedRequest
from autorouter.engine.trace import Attempt, Trace
from autorouter.errors import UpstreamError
from autorouter.upstream.errors import FailureVerdict
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.exchange import CompleteResponse

if TYPE_CHECKING:
    from autorouter.engine.strategies.drafts import DraftReply

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

    @property
    def reason(self) -> Reason:
        """The last failure, for the receipt."""
        return Reason.of(ReasonCode.CALL_FAILED, failure=self.verdicts[-1].kind)


UNSTREAMED_PHASES = ("verdict", "judgement", "ranking")
"""Phases whose calls are never streamed, even if the client streams."""


class StepContext:
    """What a strategy works with."""

    def __init__(self, context: RequestContext, routed: RoutedRequest, deps: Deps, trace: Trace) -> None:
        self.request = context.request
        self.receipt_id = context.receipt_id
        self.routed = routed
        self.deps = deps
        self.trace = trace
        self._request_context = context

    @cached_property
    def progress(self) -> Progress:
        """The progress of a panel or a verifier."""
        return Progress()

    @property
    def stream(self) -> bool:
        """Whether the client wants its answer as a stream."""
        return self.request.task.stream

    @property
    def verify_scope(self) -> VerifyScope:
        """Which drafts are reviewed: as the request overrides it, else by the policy."""
        override = self.routed.features.wishes.verify
        return override or self.deps.policy.fusion.care

    async def get_reply(self, queue: Sequence[str], *, phase: str, request: ClientRequest | None = None) -> ClientReply:
        """The answer for the client. A complete one is accounted for here, a stream when it ends. Raises AllCandidatesFailed."""
        attempts = self._attempts(queue, phase, request)
        if self.stream:
            stream_reply = await self._open_stream(attempts)
            self.trace.answer = stream_reply.attempt
            return stream_reply
        response, attempt = await self._complete(attempts)
        self.record_answer(attempt, response.usage, response.tokens)
        self.trace.answer = attempt
        return response

    async def get_draft(
        self,
        queue: Sequence[str],
        *,
        phase: str,
        request: ClientRequest | None = None,
        verify_scope: VerifyScope | None = None,
        limit_s: float | None = None,
    ) -> DraftReply:
        """An answer in the client's wire, buffered until it is complete and accounted for; or released while it streams, if
        `verify_scope` needs no review of it. Raises AllCandidatesFailed, or TimeoutError after `limit_s`."""
        attempts = self._attempts(queue, phase, request)
        try:
            async with asyncio.timeout(limit_s):
                draft = await self._draft(attempts, verify_scope)
        except TimeoutError:
            self.record_stopped_attempts("member_timeout", attempts.started)
            raise
        if not draft.live:
            reply = draft.final
            if isinstance(reply, CompleteResponse):
                self.record_answer(draft.attempt, reply.usage, reply.tokens)
            else:
                self.record_answer(draft.attempt, reply.observer.usage, reply.observer.events)
        return draft

    async def get_text(self, candidate: str, *, phase: str, request: ClientRequest, limit_s: float) -> str:
        """The text of an inner call, which is never streamed. Raises AllCandidatesFailed, or TimeoutError after `limit_s`."""
        from autorouter.wire.inner_request import answer_text, read_answer

        attempts = self._attempts([candidate], phase, request)
        try:
            async with asyncio.timeout(limit_s):
                response, attempt = await self._complete(attempts)
        except TimeoutError:
            self.record_stopped_attempts("member_timeout", attempts.started)
            raise
        self.record_answer(attempt, response.usage, response.tokens)
        return answer_text(read_answer(response.body, self.request.task.wire, stream=False))

    # ---- the three ways through the candidates

    async def _complete(self, attempts: Attempts) -> tuple[CompleteResponse, Attempt]:
        async for attempt in attempts:
            try:
                return await attempts.caller.complete(attempt), attempt
            except CallFailed as failed:
                attempts.failed(attempt, failed)
        raise AllCandidatesFailed(attempts.verdicts)

    async def _open_stream(self, attempts: Attempts) -> StreamReply:
        async for attempt in attempts:
            hedge_delay_s = attempts.hedge_delay_s(attempt)
            if hedge_delay_s is not None:
                stream_reply = await attempts.open_hedged_stream(attempt, hedge_delay_s)
                if stream_reply is not None:
                    return stream_reply
                continue
            try:
                return await attempts.caller.open_stream(attempt)
            except CallFailed as failed:
                attempts.failed(attempt, failed)
        raise AllCandidatesFailed(attempts.verdicts)

    async def _draft(self, attempts: Attempts, verify_scope: VerifyScope | None) -> DraftReply:
        # Imported late: a single answer passes through unread, so most processes never need the decoders.
        from autorouter.engine.strategies import drafts

        async for attempt in attempts:
            try:
                if self.stream:
                    return await drafts.buffer_draft(attempts.caller, attempt, verify_scope)
                return await drafts.complete_draft(attempts.caller, attempt)
            except CallFailed as failed:
                attempts.failed(attempt, failed)
        raise AllCandidatesFailed(attempts.verdicts)

    def _attempts(self, queue: Sequence[str], phase: str, request: ClientRequest | None) -> Attempts:
        own, added_tokens = self.request, 0.0
        if request is not None:
            added_tokens = (len(request.task.body) - len(own.task.body)) / self.deps.policy.tuning.bytes_per_token
        caller = Caller(
            self.deps,
            self._request_context,
            own if request is None else request,
            int(self.routed.snapshot.now_s),
            added_tokens=added_tokens,
        )
        return Attempts(queue, caller, phase=phase, routed=self.routed, trace=self.trace)

    # ---- what strategies ask and do besides

    def record_answer(self, attempt: Attempt, usage: Usage | None, tokens: int) -> None:
        """Record the health and the usage of a complete answer."""
        outcomes.record_answer(attempt, usage, tokens, self.routed, self.deps)

    def release(self, draft: DraftReply) -> ClientReply:
        """Send a draft to the client unchanged."""
        self.trace.answer = draft.attempt
        return draft.final

    def available_for(self, candidate: str, substitute: str) -> str:
        """`candidate`, or `substitute` if it has only failed in this step."""
        results = [a.result for a in self.trace.attempts if a.candidate == candidate]
        if not results or "answered" in results or results[-1] in ("open", "quorum_reached"):
            return candidate
        return substitute

    def within_budget(self, usd: float) -> bool:
        """Whether the tightest cap allows `usd` more after what this step has spent, at the upper end of the estimate (as the
        reservation counts it)."""
        cap = self.routed.decision.allowance
        most_usd = usd * (1.0 + self.routed.features.input_error)
        return cap is None or (self.trace.cost_usd or 0.0) + most_usd <= cap.left_usd

    def record_stopped_attempts(self, result: str, stopped_attempts: Sequence[Attempt]) -> None:
        """Account for calls that we cancelled, as far as they got."""
        for attempt in stopped_attempts:
            if attempt.result != "open":
                continue
            if result == "member_timeout":
                outcomes.record_member_timeout(
                    attempt, self.stream and attempt.phase not in UNSTREAMED_PHASES, self.routed, self.deps
                )
            else:
                outcomes.record_stopped(attempt, attempt.events, self.routed, self.deps, result=result)


class Attempts:
    """The attempts of one phase, in order. How they are used:

    async for attempt in attempts:
        try:
            return await attempts.caller.complete(attempt)
        except CallFailed as failed:
            attempts.failed(attempt, failed)       decides who is next, and after which wait
    raise AllCandidatesFailed(attempts.verdicts)
    """

    def __init__(
        self, queue: Sequence[str], caller: Caller, *, phase: str, routed: RoutedRequest, trace: Trace
    ) -> None:
        self.caller = caller
        self.started: list[Attempt] = []
        self.verdicts: list[FailureVerdict] = []
        self._queue = list(queue)
        self._phase, self._routed, self._trace = phase, routed, trace
        self._retry_state: retry.RetryState | None = None
        self._wait_s: float | None = None

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempt:
        """Start the next candidate's attempt, after the wait before it."""
        if not self._queue:
            raise StopAsyncIteration
        if self._wait_s is not None:
            await asyncio.sleep(self._wait_s)
        return self._start()

    def failed(self, attempt: Attempt, failed: CallFailed) -> None:
        """Account for a failure and decide what is next."""
        verdict = failed.verdict
        self._record(attempt, failed)
        if self._retry_state is None:
            self._retry_state = retry.RetryState()
        decision = retry.decide_retry(
            attempt.candidate, verdict, self._queue, self._retry_state, self._failure_context()
        )
        attempt.next, self._queue = decision.reason, list(decision.queue)
        if decision.retry_in_s is not None:
            self._queue.insert(0, attempt.candidate)
            self._wait_s = decision.retry_in_s
            if verdict.kind == "reasoning":
                self.caller = replace(self.caller, strip_reasoning=True)

    def _start(self, *, hedge: bool = False) -> Attempt:
        """Start the next candidate's attempt. If it failed last, this attempt is its probe."""
        caller, trace = self.caller, self._trace
        deps, now_s = caller.deps, caller.deps.timer()
        candidate = deps.by_id[self._queue.pop(0)]
        if not trace.attempts:
            trace.overhead_s = now_s - caller.context.began_s
        attempt = Attempt(
            candidate=candidate.id,
            upstream=candidate.upstream,
            model=candidate.model,
            phase=self._phase,
            began_s=now_s,
            number=len(trace.attempts) + 1,
            added_tokens=caller.added_tokens,
            hedge=hedge,
            retried_after_s=self._wait_s,
        )
        self._wait_s = None
        trace.attempts.append(attempt)
        self.started.append(attempt)
        state = deps.state
        current = state.health.get(attempt.candidate, UNKNOWN_HEALTH)
        if current.failures_in_row:
            state.health = {**state.health, attempt.candidate: begin_probe(current, deps.clock())}
        return attempt

    def _record(self, attempt: Attempt, failed: CallFailed) -> None:
        self.verdicts.append(failed.verdict)
        outcomes.record_failure(attempt, failed.verdict, failed.events, self._routed, self.caller.deps)

    def _failure_context(self) -> retry.FailureContext:
        deps, routed, context = self.caller.deps, self._routed, self.caller.context
        return retry.FailureContext(
            by_id=deps.by_id,
            scores={score.candidate: score.total for score in routed.decision.scores},
            health=deps.state.health,
            now_s=deps.clock(),
            input_tokens=routed.features.input_tokens + self.caller.added_tokens,
            remaining_s=context.deadline_s - deps.timer(),
            max_wait_s=deps.retry.max_wait_s if self._phase == ANSWER_PHASE else retry.SHORT_WAIT_S,
            jitter=retry.jitter_fraction(f"{context.receipt_id}/{len(self._trace.attempts)}"),
            retry=deps.retry,
        )

    # ---- hedging

    def hedge_delay_s(self, attempt: Attempt) -> float | None:
        """How long to wait before hedging this attempt; None if it may not be hedged."""
        deps, routed = self.caller.deps, self._routed
        if deps.hedging is None or self._phase != ANSWER_PHASE or not routed.task.stream:
            return None
        plan = routed.decision.plan
        if plan is None or plan.strategy is not Strategy.SINGLE or not self._queue:
            return None
        deps.hedging.deposit()
        return deps.hedging.delay_s(deps.state.health.get(attempt.candidate, UNKNOWN_HEALTH))

    async def open_hedged_stream(self, first: Attempt, delay_s: float) -> StreamReply | None:
        """The stream that starts first: this attempt's or, if it is slow, that of a hedge beside it. None if both failed."""
        running = {asyncio.create_task(self.caller.open_stream(first)): first}
        try:
            done, _ = await asyncio.wait(running, timeout=delay_s)
            hedge = None if done else self._start_hedge(first, delay_s)
            if hedge is not None:
                running[asyncio.create_task(self.caller.open_stream(hedge))] = hedge
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                # If both are ready, the first attempt wins: it ranked higher.
                task = next(one for one in running if one in done)
                attempt = running.pop(task)
                try:
                    stream_reply = task.result()
                except CallFailed as failed:
                    if running:
                        self._record(attempt, failed)
                        attempt.next = Reason.of(ReasonCode.OTHER_ATTEMPT_CONTINUES)
                    else:
                        self.failed(attempt, failed)
                    continue
                for slower in running.values():
                    outcomes.record_hedge_lost(slower, self._routed, self.caller.deps)
                return stream_reply
            return None
        finally:
            for task in running:
                _discard(task)

    def _start_hedge(self, first: Attempt, delay_s: float) -> Attempt | None:
        """Start the attempt beside the first one; None if no candidate, no budget or no hedge is left."""
        hedging = self.caller.deps.hedging
        assert hedging is not None
        name = self._next_healthy()
        if name is None or not _both_within_budget(name, first, self._routed) or not hedging.try_withdraw():
            return None
        self._queue = [name, *(other for other in self._queue if other != name)]
        first.next = Reason.of(ReasonCode.HEDGED, candidate=name, wait_s=delay_s)
        return self._start(hedge=True)

    def _next_healthy(self) -> str | None:
        """The next candidate that isn't cooling down or being probed by another request since the decision."""
        now_s, health = self.caller.deps.clock(), self.caller.deps.state.health
        current = ((name, health.get(name, UNKNOWN_HEALTH)) for name in self._queue)
        return next(
            (name for name, one in current if not cooldown_left_s(one, now_s) and not probe_left_s(one, now_s)), None
        )


def _both_within_budget(hedge_id: str, lead: Attempt, routed: RoutedRequest) -> bool:
    """Whether both attempts together fit what is left of the tightest cap."""
    cap = routed.decision.allowance
    if cap is None:
        return True
    usd = {score.candidate: score.step_usd for score in routed.decision.scores}
    return (usd[hedge_id] + usd[lead.candidate]) * (1.0 + routed.features.input_error) <= cap.left_usd


def _discard(task: asyncio.Task[StreamReply]) -> None:
    """Stop a call, or close the stream that it has just opened."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        task.result().reply.close()


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
