"""What a strategy works with: the request, its decision, and the three ways to ask a candidate.

    final   the client's own answer: a whole one, or a stream whose first bytes are here and that is passed on as it comes
    draft   an answer in the client's own wire that is held until it is whole, to be judged before it goes out or not
    text    the words of an inner call that no client sees: a verdict, a judgement

Each takes candidates in their order and fills the trace; what was used is accounted for when it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from autorouter.core.values import Usage
from autorouter.engine import attempts, ledger
from autorouter.engine.calling import Caller, Final, Opened
from autorouter.engine.deps import Deps
from autorouter.engine.router import Routed
from autorouter.engine.trace import Attempt, Trace
from autorouter.wire.exchange import Request, Whole

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One step's means. `receipt_id` seeds ids; `began_s` is when the request came, by the deps' timer."""

    request: Request
    routed: Routed
    deps: Deps
    trace: Trace
    caller: Caller
    began_s: float

    @staticmethod
    def of(
        request: Request,
        routed: Routed,
        deps: Deps,
        trace: Trace,
        *,
        receipt_id: str,
        began_s: float,
        fault: str | None,
    ) -> Run:
        """The means of a step that begins."""
        caller = Caller(deps, request, receipt_id, fault, int(routed.snapshot.now_s))
        return Run(request, routed, deps, trace, caller, began_s)

    @property
    def stream(self) -> bool:
        """Whether the client wants its answer as a stream."""
        return self.request.task.stream

    async def final(self, queue: Sequence[str], *, phase: str, request: Request | None = None) -> Final:
        """The answer for the client. A whole one is accounted for; a stream is when it has ended. Raises NobodyAnswered."""
        if self.stream:
            opened: Opened = await self._first(queue, phase, request, Caller.begin)
            self.trace.answer = opened.attempt
            return opened

        async def whole(caller: Caller, attempt: Attempt, number: int) -> tuple[Whole, Attempt]:
            return await caller.whole(attempt, number), attempt

        found, attempt = await self._first(queue, phase, request, whole)
        self.answered(attempt, found.usage, found.tokens)
        self.trace.answer = attempt
        return found

    def answered(self, attempt: Attempt, usage: Usage | None, tokens: int) -> None:
        """An inner or whole answer has come: health, and what it used."""
        ledger.answered(attempt, usage, tokens, self.routed, self.deps)

    async def _first(
        self, queue: Sequence[str], phase: str, request: Request | None, perform: attempts.Perform[T]
    ) -> T:
        return await attempts.first(
            queue,
            self._caller(request),
            perform,
            phase=phase,
            routed=self.routed,
            trace=self.trace,
            began_s=self.began_s,
        )

    def _caller(self, request: Request | None) -> Caller:
        if request is None:
            return self.caller
        added = len(request.task.body) - len(self.request.task.body)
        per_token = self.deps.policy.tuning.bytes_per_token
        return replace(self.caller, request=request, added_tokens=added / per_token)
