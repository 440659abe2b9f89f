"""What a strategy works with: the request, its decision, and the three ways to ask a candidate.

    final   the client's own answer: a whole one, or a stream whose first bytes are here and that is passed on as it comes
    draft   an answer in the client's own wire that is held until it is whole, to be judged before it goes out or not
    text    the words of an inner call that no client sees: a verdict, a judgement

Each takes candidates in their order and fills the trace; what was used is accounted for when it is known.
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
from autorouter.wire.exchange import ClientRequest, CompleteResponse

if TYPE_CHECKING:
    from autorouter.engine.strategies.drafts import DraftReply

T = TypeVar("T")
TEXTS = ("verdict", "judgement", "ranking")
"""Phases whose calls aren't streamed, whatever the client wants."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """One step's means. `receipt_id` seeds ids; `began_s` is when the request came, by the deps' timer."""

    request: ClientRequest
    routed: RoutedRequest
    deps: Deps
    trace: Trace
    caller: Caller
    began_s: float
    progress: Progress = field(default_factory=Progress)

    @staticmethod
    def of(
        request: ClientRequest,
        routed: RoutedRequest,
        deps: Deps,
        trace: Trace,
        *,
        receipt_id: str,
        began_s: float,
        fault: str | None,
    ) -> StepContext:
        """The means of a step that begins."""
        caller = Caller(deps, request, receipt_id, fault, int(routed.snapshot.now_s))
        return StepContext(request, routed, deps, trace, caller, began_s)

    @property
    def stream(self) -> bool:
        """Whether the client wants its answer as a stream."""
        return self.request.task.stream

    @property
    def care(self) -> VerifyScope:
        """Which drafts are looked at: by the request's wish, else by the policy."""
        wished = self.routed.features.wishes.verify
        return wished or self.deps.policy.fusion.care

    async def final(self, queue: Sequence[str], *, phase: str, request: ClientRequest | None = None) -> ClientReply:
        """The answer for the client. A whole one is accounted for; a stream is when it has ended. Raises NobodyAnswered."""
        if self.stream:
            opened: StreamReply = await self._first(queue, phase, request, Caller.begin)
            self.trace.answer = opened.attempt
            return opened

        async def whole(caller: Caller, attempt: Attempt, number: int) -> tuple[CompleteResponse, Attempt]:
            return await caller.whole(attempt, number), attempt

        found, attempt = await self._first(queue, phase, request, whole)
        self.answered(attempt, found.usage, found.tokens)
        self.trace.answer = attempt
        return found

    async def draft(
        self,
        queue: Sequence[str],
        *,
        phase: str,
        request: ClientRequest | None = None,
        care: VerifyScope | None = None,
        limit_s: float | None = None,
    ) -> DraftReply:
        """An answer in the client's wire, held until it is whole and accounted for; or given free while it streams, where
        `care` needs no second look at it. Raises NobodyAnswered, or TimeoutError beyond `limit_s`."""

        # Imported when first needed, as all that reads answers: a single answer is passed on unread.
        from autorouter.engine.strategies import drafts

        mine: list[Attempt] = []

        async def perform(caller: Caller, attempt: Attempt, number: int) -> DraftReply:
            mine.append(attempt)
            if self.stream:
                return await drafts.held(caller, attempt, number, care)
            return await drafts.whole(caller, attempt, number)

        draft = await self._within(limit_s, mine, self._first(queue, phase, request, perform))
        if not draft.live:
            final = draft.final
            if isinstance(final, CompleteResponse):
                self.answered(draft.attempt, final.usage, final.tokens)
            else:
                self.answered(draft.attempt, final.tap.usage, final.tap.events)
        return draft

    async def text(self, candidate: str, *, phase: str, request: ClientRequest, limit_s: float) -> str:
        """The words of an inner call, which isn't streamed. Raises NobodyAnswered, or TimeoutError beyond `limit_s`."""

        from autorouter.wire.inner_request import answer_text, read_answer

        mine: list[Attempt] = []

        async def perform(caller: Caller, attempt: Attempt, number: int) -> tuple[CompleteResponse, Attempt]:
            mine.append(attempt)
            return await caller.whole(attempt, number), attempt

        found, attempt = await self._within(limit_s, mine, self._first([candidate], phase, request, perform))
        self.answered(attempt, found.usage, found.tokens)
        return answer_text(read_answer(found.body, self.request.task.wire, stream=False))

    def answered(self, attempt: Attempt, usage: Usage | None, tokens: int) -> None:
        """An inner or whole answer has come: health, and what it used."""
        accounting.record_answer(attempt, usage, tokens, self.routed, self.deps)

    def give(self, draft: DraftReply) -> ClientReply:
        """Let a draft go out as it is."""
        self.trace.answer = draft.attempt
        return draft.final

    def able(self, candidate: str, instead: str) -> str:
        """`candidate`, unless it has failed in this step already and answered nothing: then somebody who did answer."""
        own = [a.result for a in self.trace.attempts if a.candidate == candidate]
        if not own or "answered" in own or own[-1] in ("open", "not_needed"):
            return candidate
        return instead

    def affords(self, usd: float) -> bool:
        """Whether the tightest cap still holds `usd` more at the upper end of the estimate, as the reservation counted it,
        after what this step has spent."""
        cap = self.routed.decision.allowance
        most_usd = usd * (1.0 + self.routed.features.input_error)
        return cap is None or (self.trace.cost_usd or 0.0) + most_usd <= cap.left_usd

    def stop(self, result: str, among: Sequence[Attempt]) -> None:
        """Calls that we ended ourselves count as far as they came."""
        for attempt in among:
            if attempt.result != "open":
                continue
            if result == "late":
                accounting.record_late(attempt, self.stream and attempt.phase not in TEXTS, self.routed, self.deps)
            else:
                accounting.record_stopped(attempt, attempt.events, self.routed, self.deps, result=result)

    async def _within(self, limit_s: float | None, mine: Sequence[Attempt], work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            self.stop("late", mine)
            raise

    async def _first(
        self, queue: Sequence[str], phase: str, request: ClientRequest | None, perform: attempts.AttemptCall[T]
    ) -> T:
        return await attempts.first_success(
            queue,
            self._caller(request),
            perform,
            phase=phase,
            routed=self.routed,
            trace=self.trace,
            began_s=self.began_s,
        )

    def _caller(self, request: ClientRequest | None) -> Caller:
        if request is None:
            return self.caller
        added = len(request.task.body) - len(self.request.task.body)
        per_token = self.deps.policy.tuning.bytes_per_token
        return replace(self.caller, request=request, added_tokens=added / per_token)
