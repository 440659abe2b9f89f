"""The members of a panel: all are asked at the same time, each with its own timeout, until there are enough answers.

    every member answered ──────────────────────────► continue
    more than half agree, and at least the quorum ──► continue, stop the rest
    quorum reached, and `grace_s` has passed ───────► continue, stop the rest and list them as degraded
    `member_s` has passed ──────────────────────────► continue with the answers so far

An answer is usable if it isn't empty, isn't a refusal, and its calls name declared tools with fitting arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from autorouter.core.decision.plans import Plan
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review import consensus
from autorouter.engine.attempts import AllCandidatesFailed, StepContext
from autorouter.engine.strategies import inner_calls, web_search
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import json_block
from autorouter.engine.strategies.tool_check import DeclaredTools
from autorouter.upstream.errors import FailureVerdict
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import InnerRequestOptions


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """One member of a panel: its candidate, and its own instruction and temperature."""

    candidate: str
    instruction: str = ""
    temperature: float | None = None


def member_settings(plan: Plan) -> list[MemberSettings]:
    """The members of a plan's panel with their settings."""
    panel = plan.panel
    assert panel is not None
    return [
        MemberSettings(
            candidate,
            panel.instructions[index] if index < len(panel.instructions) else "",
            panel.temperatures[index % len(panel.temperatures)] if panel.temperatures else None,
        )
        for index, candidate in enumerate(plan.members)
    ]


MemberOutcome = DraftReply | FailureVerdict | Reason
"""A member's answer, its failure, or why there is none."""


@dataclass(slots=True)
class PanelResult:
    """The answers of a panel. `by_member`: the usable ones, by index. `verdicts`: of the members that failed. `agreed`: an
    answer that more than half gave, so that no judge is needed."""

    drafts: list[DraftReply] = field(default_factory=list)
    by_member: dict[int, DraftReply] = field(default_factory=dict)
    unusable: list[DraftReply] = field(default_factory=list)
    verdicts: list[FailureVerdict] = field(default_factory=list)
    agreed: DraftReply | None = None

    @property
    def usable(self) -> list[DraftReply]:
        """Earlier drafts, then the answers in the order of the members."""
        return [*self.drafts, *(self.by_member[member] for member in sorted(self.by_member))]


async def ask_members(
    context: StepContext,
    members: Sequence[MemberSettings],
    *,
    phase: str = "member",
    request: ClientRequest | None = None,
    drafts: Sequence[DraftReply] = (),
    options: bool = True,
) -> PanelResult:
    """Ask all members. `request`: replaces the usual request; `known`: drafts that exist already; `options`: whether the
    client's output options apply to the members."""
    result = await web_search.search_results(context) if request is None else []
    evidence = [json_block("search", result)] if result else []
    work = _PanelRun(context, phase, members, DeclaredTools.of(context.request))
    work.add_drafts(drafts)
    tasks = {
        asyncio.create_task(work.ask_member(member, request or _request(context, member, options, evidence))): index
        for index, member in enumerate(members)
    }
    context.progress.report(
        "panel", phase=phase, members=len(members), candidates=[member.candidate for member in members]
    )
    try:
        await work.wait_for_quorum(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    work.close(tasks)
    return work.result


def _request(context: StepContext, member: MemberSettings, options: bool, evidence: Sequence[str]) -> ClientRequest:
    shape = InnerRequestOptions(stream=context.stream, keep_output_options=options, temperature=member.temperature)
    return inner_calls.build_request(context, "member", *evidence, shape=shape, instruction=member.instruction)


class _PanelRun:
    """One round of a panel."""

    def __init__(
        self, context: StepContext, phase: str, members: Sequence[MemberSettings], tools: DeclaredTools
    ) -> None:
        self.result = PanelResult()
        self._context, self._phase, self._members, self._tools = context, phase, members, tools
        self._done = 0
        self._fusion = context.deps.policy.fusion

    def add_drafts(self, drafts: Sequence[DraftReply]) -> None:
        """Count earlier drafts as members' answers, if they are usable."""
        for draft in drafts:
            problem = self._tools.problem(draft.answer)
            (self.result.drafts if problem is None else self.result.unusable).append(draft)
            if problem is not None:
                self._degrade(draft.attempt.phase, draft.attempt.candidate, problem)

    async def ask_member(self, member: MemberSettings, request: ClientRequest) -> MemberOutcome:
        """One member's answer, or why there is none."""
        # A failure is a value: an exception of one member would cancel the others.
        try:
            return await self._context.get_draft(
                [member.candidate], phase=self._phase, request=request, limit_s=self._fusion.member_s
            )
        except AllCandidatesFailed as exc:
            return exc.verdicts[-1]
        except TimeoutError:
            return Reason.of(ReasonCode.TIMED_OUT, limit_s=self._fusion.member_s)

    async def wait_for_quorum(self, tasks: dict[asyncio.Task[MemberOutcome], int]) -> None:
        """Take answers as they arrive, until there are enough."""
        members = len(tasks) + len(self.result.drafts) + len(self.result.unusable)
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
            usable = self.result.usable
            self.result.agreed = _agreed(usable, members, self._fusion.quorum)
            if self.result.agreed is not None:
                return
            if enough_at_s is None and len(usable) >= min(self._fusion.quorum, members):
                enough_at_s = loop.time() + self._fusion.grace_s

    def _take(self, task: asyncio.Task[MemberOutcome], index: int) -> None:
        self._done += 1
        result = task.result()
        problem = result if isinstance(result, Reason) else None
        if isinstance(result, DraftReply):
            problem = self._tools.problem(result.answer)
            if problem is None:
                self.result.by_member[index] = result
            else:
                self.result.unusable.append(result)
        elif isinstance(result, FailureVerdict):
            problem = _call_failed(result)
            self.result.verdicts.append(result)
        self._report(index, "answered" if problem is None else _progress_word(problem))

    def _report(self, index: int, result: str) -> None:
        of, candidate = len(self._members), self._members[index].candidate
        self._context.progress.report(
            "member", candidate=candidate, result=result, done=self._done, of=of, member=index
        )

    def close(self, tasks: dict[asyncio.Task[MemberOutcome], int]) -> None:
        """List missing answers as degraded, and account for stopped calls as far as they got."""
        context, result = self._context, self.result
        mine = [attempt for attempt in context.trace.attempts if attempt.phase == self._phase]
        stopped = "quorum_reached" if result.agreed is not None else "member_timeout"
        context.record_stopped_attempts(stopped, mine)
        for task, index in tasks.items():
            if task.cancelled():
                self._report(index, stopped)
            problem = self._problem(task)
            if problem is not None:
                self._degrade(self._phase, self._members[index].candidate, problem)

    def _degrade(self, phase: str, candidate: str, why: Reason) -> None:
        self._context.trace.degrade(ReasonCode.MEMBER_UNUSABLE, phase=phase, candidate=candidate, why=why)

    def _problem(self, task: asyncio.Task[MemberOutcome]) -> Reason | None:
        if task.cancelled():
            return None if self.result.agreed is not None else Reason.of(ReasonCode.TIMED_OUT, limit_s=None)
        result = task.result()
        if isinstance(result, DraftReply):
            return self._tools.problem(result.answer)
        return _call_failed(result) if isinstance(result, FailureVerdict) else result


def _call_failed(verdict: FailureVerdict) -> Reason:
    return Reason.of(ReasonCode.CALL_FAILED, failure=verdict.kind)


def _progress_word(problem: Reason) -> str:
    """A member's end in one word: the kind of its failure, as on its attempt, or the code."""
    return str(problem.params.get("failure", problem.code))


def _agreed(usable: Sequence[DraftReply], members: int, quorum: int) -> DraftReply | None:
    forms = [consensus.normal_form(draft.text, draft.calls) for draft in usable]
    form = consensus.consensus_form(forms, members, quorum)
    return None if form is None else usable[forms.index(form)]
