"""The context of a step that strategies work with: the request, its decision, and three ways to call candidates.

    get_reply   the client's own answer: complete, or a stream that has started and is passed on as it arrives
    get_draft   an answer in the client's wire, buffered until it is complete, so that it can be reviewed before it goes out
    get_text    the text of an inner call that the client never sees: a verdict, a judgement

Each tries candidates in order and fills the trace. Usage is accounted for as soon as it is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from autorouter.core.types import Usage, VerifyScope
from autorouter.engine import accounting, attempts
from autorouter.engine.call import Caller, ClientReply, StreamReply
from autorouter.engine.deps import Deps
from autorouter.engine.progress import Progress
from autorouter.engine.router import RoutedRequest
from autorouter.engine.trace import Attempt, Trace
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.exchange import CompleteResponse

if TYPE_CHECKING:
    from autorouter.engine.strategies.drafts import DraftReply

T = TypeVar("T")
UNSTREAMED_PHASES = ("verdict", "judgement", "ranking")
"""Phases whose calls are never streamed, even if the client streams."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a strategy works with. `began_s`: when the request arrived, by `deps.timer`."""

    request: ClientRequest
    routed: RoutedRequest
    deps: Deps
    trace: Trace
    caller: Caller
    began_s: float
    progress: Progress = field(default_factory=Progress)

    @staticmethod
    def create(
        request: ClientRequest,
        routed: RoutedRequest,
        deps: Deps,
        trace: Trace,
        *,
        receipt_id: str,
        began_s: float,
        fault: str | None,
    ) -> StepContext:
        """The context of a step that starts now. `receipt_id` seeds generated ids."""
        caller = Caller(deps, request, receipt_id, fault, int(routed.snapshot.now_s))
        return StepContext(request, routed, deps, trace, caller, began_s)

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
        if self.stream:
            stream_reply: StreamReply = await self._first_success(queue, phase, request, Caller.open_stream)
            self.trace.answer = stream_reply.attempt
            return stream_reply

        async def whole(caller: Caller, attempt: Attempt, number: int) -> tuple[CompleteResponse, Attempt]:
            return await caller.complete(attempt, number), attempt

        response, attempt = await self._first_success(queue, phase, request, whole)
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

        # Imported late: a single answer passes through unread, so most processes never need the decoders.
        from autorouter.engine.strategies import drafts

        attempts_made: list[Attempt] = []

        async def call_candidate(caller: Caller, attempt: Attempt, number: int) -> DraftReply:
            attempts_made.append(attempt)
            if self.stream:
                return await drafts.buffer_draft(caller, attempt, number, verify_scope)
            return await drafts.complete_draft(caller, attempt, number)

        draft = await self._with_timeout(
            limit_s, attempts_made, self._first_success(queue, phase, request, call_candidate)
        )
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

        attempts_made: list[Attempt] = []

        async def call_candidate(caller: Caller, attempt: Attempt, number: int) -> tuple[CompleteResponse, Attempt]:
            attempts_made.append(attempt)
            return await caller.complete(attempt, number), attempt

        response, attempt = await self._with_timeout(
            limit_s, attempts_made, self._first_success([candidate], phase, request, call_candidate)
        )
        self.record_answer(attempt, response.usage, response.tokens)
        return answer_text(read_answer(response.body, self.request.task.wire, stream=False))

    def record_answer(self, attempt: Attempt, usage: Usage | None, tokens: int) -> None:
        """Record the health and the usage of a complete answer."""
        accounting.record_answer(attempt, usage, tokens, self.routed, self.deps)

    def release(self, draft: DraftReply) -> ClientReply:
        """Send a draft to the client unchanged."""
        self.trace.answer = draft.attempt
        return draft.final

    def available_for(self, candidate: str, substitute: str) -> str:
        """`candidate`, or `substitute` if it has only failed in this step."""
        results = [a.result for a in self.trace.attempts if a.candidate == candidate]
        if not results or "answered" in results or results[-1] in ("open", "not_needed"):
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
            if result == "late":
                accounting.record_late(
                    attempt, self.stream and attempt.phase not in UNSTREAMED_PHASES, self.routed, self.deps
                )
            else:
                accounting.record_stopped(attempt, attempt.events, self.routed, self.deps, result=result)

    async def _with_timeout(
        self, limit_s: float | None, attempts_made: Sequence[Attempt], work: Coroutine[Any, Any, T]
    ) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            self.record_stopped_attempts("late", attempts_made)
            raise

    async def _first_success(
        self, queue: Sequence[str], phase: str, request: ClientRequest | None, call_candidate: attempts.AttemptCall[T]
    ) -> T:
        return await attempts.first_success(
            queue,
            self._caller_for(request),
            call_candidate,
            phase=phase,
            routed=self.routed,
            trace=self.trace,
            began_s=self.began_s,
        )

    def _caller_for(self, request: ClientRequest | None) -> Caller:
        if request is None:
            return self.caller
        added = len(request.task.body) - len(self.request.task.body)
        per_token = self.deps.policy.tuning.bytes_per_token
        return replace(self.caller, request=request, added_tokens=added / per_token)
