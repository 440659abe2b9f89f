"""Members of a panel at work: all at the same time, each with its limit, until there is enough to go on with.

    every member answered ──────────────────────────► go on
    more than half agree, and as many as the quorum ► go on, the rest is stopped
    the quorum is there, and `grace_s` has passed ──► go on, who is late is stopped, and listed as degraded
    `member_s` has passed ──────────────────────────► go on with whoever is there

An answer is usable if it says something: not empty, not a refusal, its calls of declared tools with fitting arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from autorouter.core.decision.plans import Plan
from autorouter.core.review import consensus
from autorouter.engine.attempts import AllCandidatesFailed
from autorouter.engine.context import StepContext
from autorouter.engine.strategies import inner_calls, web_search
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import material
from autorouter.engine.strategies.tool_check import DeclaredTools
from autorouter.upstream.errors import FailureVerdict
from autorouter.wire.exchange import ClientRequest
from autorouter.wire.inner_request import InnerRequestOptions


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """A place in a panel: who sits there, and what it is told besides the request."""

    candidate: str
    instruction: str = ""
    temperature: float | None = None


def seats_of(plan: Plan) -> list[MemberSettings]:
    """The panel's places, with what each member is told and how boldly it samples."""
    recipe = plan.panel
    assert recipe is not None
    return [
        MemberSettings(
            candidate,
            recipe.instructions[index] if index < len(recipe.instructions) else "",
            recipe.temperatures[index % len(recipe.temperatures)] if recipe.temperatures else None,
        )
        for index, candidate in enumerate(plan.members)
    ]


@dataclass(slots=True)
class PanelResult:
    """What came of a panel. `by_seat`: the usable answers; `poor` said something that can't be used; `verdicts` of those
    that failed. `agreed`: more than half gave the same, so that nobody has to judge."""

    known: list[DraftReply] = field(default_factory=list)
    by_seat: dict[int, DraftReply] = field(default_factory=dict)
    poor: list[DraftReply] = field(default_factory=list)
    verdicts: list[FailureVerdict] = field(default_factory=list)
    agreed: DraftReply | None = None

    @property
    def usable(self) -> list[DraftReply]:
        """What was there before, then the answers in the order of the seats."""
        return [*self.known, *(self.by_seat[seat] for seat in sorted(self.by_seat))]


async def gather(
    run: StepContext,
    seats: Sequence[MemberSettings],
    *,
    phase: str = "member",
    request: ClientRequest | None = None,
    known: Sequence[DraftReply] = (),
    options: bool = True,
) -> PanelResult:
    """Let all seats answer. `request`: what they are asked instead of the usual; `known`: drafts that are there already;
    `options`: whether the client's wishes about the answer's form act on them."""
    found = await web_search.found_for(run) if request is None else []
    evidence = [material("search", found)] if found else []
    work = _Work(run, phase, seats, DeclaredTools.of(run.request))
    work.know(known)
    tasks = {
        asyncio.create_task(work.seat(seat, request or _request(run, seat, options, evidence))): index
        for index, seat in enumerate(seats)
    }
    run.progress.say("panel", phase=phase, members=len(seats), candidates=[seat.candidate for seat in seats])
    try:
        await work.until_enough(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    work.close(tasks)
    return work.found


def _request(run: StepContext, seat: MemberSettings, options: bool, evidence: Sequence[str]) -> ClientRequest:
    shape = InnerRequestOptions(stream=run.stream, keep_output_options=options, temperature=seat.temperature)
    return inner_calls.said(run, "member", *evidence, shape=shape, instruction=seat.instruction)


class _Work:
    """One panel at work."""

    def __init__(self, run: StepContext, phase: str, seats: Sequence[MemberSettings], tools: DeclaredTools) -> None:
        self.found = PanelResult()
        self._run, self._phase, self._seats, self._tools = run, phase, seats, tools
        self._done = 0
        self._fusion = run.deps.policy.fusion

    def know(self, drafts: Sequence[DraftReply]) -> None:
        """Drafts that are there already count as members' answers, if they can be used."""
        for draft in drafts:
            fault = self._tools.fault(draft.answer)
            (self.found.known if fault is None else self.found.poor).append(draft)
            if fault is not None:
                self._run.trace.degraded.append(f"{draft.attempt.phase} {draft.attempt.candidate}: {fault}")

    async def seat(self, seat: MemberSettings, request: ClientRequest) -> DraftReply | FailureVerdict | str:
        """One member's answer, or why there is none: failures are values, or one would take the panel down."""
        try:
            return await self._run.draft(
                [seat.candidate], phase=self._phase, request=request, limit_s=self._fusion.member_s
            )
        except AllCandidatesFailed as exc:
            return exc.verdicts[-1]
        except TimeoutError:
            return f"late, {self._fusion.member_s:g} s"

    async def until_enough(self, tasks: dict[asyncio.Task[DraftReply | FailureVerdict | str], int]) -> None:
        """Take answers as they come, until there is enough to go on with."""
        seats = len(tasks) + len(self.found.known) + len(self.found.poor)
        pending = set(tasks)
        loop = asyncio.get_running_loop()
        enough_at_s: float | None = None
        while pending:
            wait_s = None if enough_at_s is None else max(0.0, enough_at_s - loop.time())
            done, pending = await asyncio.wait(pending, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for task in done:
                self._take(task, tasks[task])
            usable = self.found.usable
            self.found.agreed = _agreed(usable, seats, self._fusion.quorum)
            if self.found.agreed is not None:
                return
            if enough_at_s is None and len(usable) >= min(self._fusion.quorum, seats):
                enough_at_s = loop.time() + self._fusion.grace_s

    def _take(self, task: asyncio.Task[DraftReply | FailureVerdict | str], index: int) -> None:
        self._done += 1
        found = task.result()
        fault = found if isinstance(found, str) else None
        if isinstance(found, DraftReply):
            fault = self._tools.fault(found.answer)
            if fault is None:
                self.found.by_seat[index] = found
            else:
                self.found.poor.append(found)
        elif isinstance(found, FailureVerdict):
            fault = found.kind
            self.found.verdicts.append(found)
        self._say(index, fault or "answered")

    def _say(self, index: int, result: str) -> None:
        of, candidate = len(self._seats), self._seats[index].candidate
        self._run.progress.say("member", candidate=candidate, result=result, done=self._done, of=of, seat=index)

    def close(self, tasks: dict[asyncio.Task[DraftReply | FailureVerdict | str], int]) -> None:
        """List what is missing; what was stopped counts as far as it came."""
        run, found = self._run, self.found
        mine = [attempt for attempt in run.trace.attempts if attempt.phase == self._phase]
        stopped = "not_needed" if found.agreed is not None else "late"
        run.stop(stopped, mine)
        for task, index in tasks.items():
            if task.cancelled():
                self._say(index, stopped)
            fault = self._fault(task)
            if fault is not None:
                run.trace.degraded.append(f"{self._phase} {self._seats[index].candidate}: {fault}")

    def _fault(self, task: asyncio.Task[DraftReply | FailureVerdict | str]) -> str | None:
        if task.cancelled():
            return None if self.found.agreed is not None else "late"
        result = task.result()
        if isinstance(result, DraftReply):
            return self._tools.fault(result.answer)
        return result.kind if isinstance(result, FailureVerdict) else result


def _agreed(usable: Sequence[DraftReply], seats: int, quorum: int) -> DraftReply | None:
    forms = [consensus.normal_form(draft.text, draft.calls) for draft in usable]
    form = consensus.consensus_form(forms, seats, quorum)
    return None if form is None else usable[forms.index(form)]
