"""What a panel gave, made one answer: agreed, picked, voted, ranked, or judged and written anew. See `fusion`.

Picking one proposal of several: a judge orders them, and the first goes out as it is.

Judges prefer what stands first. Asked twice, with the order swapped, that preference cancels out.

The last phase of a panel: one model writes the answer from all of them, and it streams as it is written.

Its usage is that of the whole panel: the client's `usage` is the sum of what was really used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from autorouter.core.decision.plans import Plan
from autorouter.core.review import consensus
from autorouter.core.review.verdicts import LISTS, PanelJudgement
from autorouter.engine.attempts import AllCandidatesFailed
from autorouter.engine.call import ClientReply, StreamReply
from autorouter.engine.context import StepContext
from autorouter.engine.strategies import inner_calls
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import LETTERS, proposal
from autorouter.engine.strategies.members import PanelResult
from autorouter.engine.trace import sum_usage
from autorouter.upstream import errors
from autorouter.upstream.transport import TransportError
from autorouter.wire.exchange import CompleteResponse
from autorouter.wire.inner_request import InnerRequestOptions
from autorouter.wire.usage_sum import UsageSumObserver, add_usage


async def concluded(run: StepContext, plan: Plan, gathered: PanelResult, *, as_it_is: bool) -> ClientReply:
    """One answer of what a panel gave. `as_it_is`: a member's answer may go out."""
    usable = gathered.usable
    assert run.trace.panel is not None
    run.trace.panel |= {"usable": len(usable), "agreed": gathered.agreed is not None}
    if not usable:
        return await _nobody(run, plan, gathered)
    quorum = min(run.deps.policy.fusion.quorum, len(plan.members))
    if len(usable) < quorum:
        run.trace.degraded.append(f"quorum of {quorum} not reached: {len(usable)} usable")
    if gathered.agreed is not None and as_it_is:
        return picked(run, gathered.agreed)
    if len(usable) == 1 and as_it_is:
        return picked(run, usable[0])
    assert plan.panel is not None
    if run.request.task.tools:
        return picked(run, usable[await once(run, plan, usable)])
    match plan.panel.way:
        case "ranked":
            return picked(run, usable[await twice(run, plan, usable)])
        case "vote":
            winner = consensus.majority([consensus.extract_answer(draft.text) for draft in usable])
            run.trace.panel["vote"] = "abstained" if winner is None else "decided"
            return picked(run, usable[await once(run, plan, usable) if winner is None else winner])
        case _:
            return await _judged(run, plan, usable)


async def _judged(run: StepContext, plan: Plan, usable: Sequence[DraftReply]) -> ClientReply:
    """The judge compares, the synthesizer writes."""
    assert run.trace.panel is not None
    judge = judge_of(run, plan, usable)
    order: Sequence[int] | None = None
    found: PanelJudgement | str = "left out: the budget holds no more"
    best = 0
    if run.affords(plan.usd_of("judgement")):
        found, order = await inner_calls.judged(run, judge, [draft.answer for draft in usable])
        if isinstance(found, PanelJudgement) and found.best is not None:
            best = order[LETTERS.index(found.best)]
    if isinstance(found, str):
        run.trace.degraded.append(f"judge {judge}: {found}; the answers were synthesized without it")
    else:
        counts: dict[str, object] = {name: len(getattr(found, name)) for name in LISTS}
        run.trace.panel["judgement"] = counts | {"best": usable[best].attempt.candidate if found.best else None}
    return await synthesized(run, plan, usable, found if isinstance(found, PanelJudgement) else None, best, order)


async def _nobody(run: StepContext, plan: Plan, gathered: PanelResult) -> ClientReply:
    """No usable answer: somebody outside the panel answers alone; else what was said goes out, even if it is a refusal, but
    no call that doesn't fit its tool."""
    verdicts = list(gathered.verdicts)
    queue = _outside(run, plan)
    if queue:
        run.trace.degraded.append("no member's answer can be used: a fallback answers alone")
        try:
            return await run.final(queue, phase="answer")
        except AllCandidatesFailed as exc:
            verdicts += exc.verdicts
    words = [draft for draft in gathered.poor if not draft.calls]
    if words:
        draft = words[0]
        run.trace.degraded.append(f"no member's answer can be used: {draft.attempt.candidate}'s went out as it is")
        return picked(run, draft)
    if not verdicts:
        verdicts = [errors.classify_transport_error(_why_nobody(run, gathered))]
    raise AllCandidatesFailed(verdicts)


def _why_nobody(run: StepContext, gathered: PanelResult) -> TransportError:
    if gathered.poor:
        return TransportError("protocol", "every member of the panel made a tool call that doesn't fit its tool")
    limit_s = run.deps.policy.fusion.member_s
    return TransportError("timeout", f"no member of the panel answered within {limit_s:g} s")


def _outside(run: StepContext, plan: Plan) -> list[str]:
    """Who isn't in the panel, best first, and fits the budget after what the panel has spent. Of the scores, for the
    decision's few fallbacks may all sit in the panel."""
    others = [score for score in run.routed.decision.scores if score.candidate not in plan.members]
    most = run.deps.policy.max_fallbacks
    return [score.candidate for score in others if run.affords(score.step_usd)][:most]


def picked(run: StepContext, draft: DraftReply) -> ClientReply:
    """A member's answer goes out."""
    assert run.trace.panel is not None
    run.trace.panel["picked"] = draft.attempt.candidate
    return run.give(draft)


async def once(run: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> int:
    """The index of the proposal that the judge puts first; 0, the lead's or the first there is, where it gives no order."""
    assert run.trace.panel is not None
    (order,) = await _orders(run, plan, drafts, 1)
    run.trace.panel["ranking"] = _names(order, drafts)
    return order[0] if order else 0


async def twice(run: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> int:
    """As `once`, asked in both orders at the same time; places are added up, and of two that tie the one that comes first
    in the panel wins."""
    assert run.trace.panel is not None
    orders = await _orders(run, plan, drafts, 2)
    told = [order for order in orders if order]
    run.trace.panel["rankings"] = [_names(order, drafts) for order in orders]
    if not told:
        return 0
    places = [sum(order.index(index) for order in told) for index in range(len(drafts))]
    run.trace.panel["tied"] = places.count(min(places)) > 1
    return places.index(min(places))


def judge_of(run: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> str:
    """Who judges: as planned, or the first who answered where the planned one has failed in this step already."""
    assert plan.judge is not None
    judge = run.able(plan.judge, drafts[0].attempt.candidate)
    if judge != plan.judge:
        run.trace.degraded.append(f"judge {plan.judge} has failed before: {judge} judges")
    return judge


async def _orders(run: StepContext, plan: Plan, drafts: Sequence[DraftReply], times: int) -> list[tuple[int, ...]]:
    """So many orders, the second asked in the opposite one; an empty one is none. The judge is listed once."""
    judge = judge_of(run, plan, drafts)
    nothing: list[tuple[int, ...]] = [()] * times
    if not run.affords(plan.usd_of("ranking")):
        run.trace.degraded.append(f"judge {judge} left out: the budget holds no more")
        return nothing
    answers = [draft.answer for draft in drafts]
    found = await asyncio.gather(
        *(inner_calls.ranked(run, judge, answers, swapped=swapped) for swapped in (False, True)[:times])
    )
    why = [order for order in found if isinstance(order, str)]
    if why:
        counted = "the order of the panel counted" if len(why) == times else "only its other order counted"
        run.trace.degraded.append(f"judge {judge}: {why[0]}; {counted}")
    return [() if isinstance(order, str) else order for order in found]


def _names(order: Sequence[int], drafts: Sequence[DraftReply]) -> list[str]:
    return [drafts[index].attempt.candidate for index in order]


async def synthesized(
    run: StepContext,
    plan: Plan,
    usable: Sequence[DraftReply],
    judgement: PanelJudgement | None = None,
    best: int = 0,
    order: Sequence[int] | None = None,
) -> ClientReply:
    """The written answer; the best member's, by its index, where the synthesizer fails. `order`: which answer stood behind
    each of the judge's letters, so that the synthesizer knows them by the same."""
    planned = plan.synthesizer or plan.primary
    writer = run.able(planned, usable[best].attempt.candidate)
    if writer != planned:
        run.trace.degraded.append(f"synthesizer {planned} has failed before: {writer} writes")
    places = enumerate(order if order is not None else range(len(usable)))
    blocks = [proposal(LETTERS[place], usable[index].answer) for place, index in places]
    if judgement is not None:
        blocks.append(inner_calls.judgement_block(judgement))
    run.progress.say("synthesis", candidate=writer)
    if not run.affords(plan.usd_of("synthesis")):
        return _instead(run, usable[best], f"synthesizer {writer} left out: the budget holds no more")
    shape = InnerRequestOptions(stream=run.stream, tools="none")
    request = inner_calls.said(run, "synthesizer", *blocks, shape=shape)
    try:
        return with_sum(run, await run.final([writer], phase="synthesis", request=request))
    except AllCandidatesFailed as exc:
        return _instead(run, usable[best], f"synthesizer {writer}: {exc.verdicts[-1].kind}")


def _instead(run: StepContext, draft: DraftReply, why: str) -> ClientReply:
    run.trace.degraded.append(f"{why}; the answer of {draft.attempt.candidate} went out")
    return picked(run, draft)


def with_sum(run: StepContext, final: ClientReply) -> ClientReply:
    """The same answer, telling what all phases used together."""
    wire = run.request.task.wire
    last = run.trace.answer
    before = sum_usage([a.usage for a in run.trace.attempts if a is not last and a.usage is not None])
    if isinstance(final, CompleteResponse):
        return replace(final, body=add_usage(final.body, wire, before))
    tap = UsageSumObserver(final.tap, wire, before)
    return StreamReply(tap.convert(final.first), final.reply, final.source, tap, final.attempt)
