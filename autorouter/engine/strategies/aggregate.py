"""Aggregation: a panel's answers become one. Agreed, voted, ranked by a judge, or judged and written anew by a synthesizer.

A synthesized answer streams as it is written. Its `usage` is that of the whole panel, because that is what was spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from autorouter.core.decision.plans import Plan
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review import consensus
from autorouter.core.review.verdicts import PanelJudgement
from autorouter.engine.attempts import AllCandidatesFailed, StepContext
from autorouter.engine.call import ClientReply, StreamReply
from autorouter.engine.strategies import inner_calls
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import LETTERS, proposal_block
from autorouter.engine.strategies.members import PanelResult
from autorouter.engine.trace import sum_usage
from autorouter.upstream import errors
from autorouter.upstream.transport import TransportError
from autorouter.wire.exchange import CompleteResponse
from autorouter.wire.inner_request import InnerRequestOptions
from autorouter.wire.usage_sum import UsageSumObserver, add_usage


async def aggregate(context: StepContext, plan: Plan, result: PanelResult, *, allow_release: bool) -> ClientReply:
    """One answer from a panel's answers. `allow_release`: a member's own answer may go out. Raises AllCandidatesFailed."""
    usable = result.usable
    assert context.trace.panel is not None
    context.trace.panel |= {"usable": len(usable), "agreed": result.agreed is not None}
    if not usable:
        return await _no_usable_answer(context, plan, result)
    quorum = min(context.deps.policy.fusion.quorum, len(plan.members))
    if len(usable) < quorum:
        context.trace.degrade(ReasonCode.QUORUM_NOT_REACHED, quorum=quorum, usable=len(usable))
    if result.agreed is not None and allow_release:
        return release_member(context, result.agreed)
    if len(usable) == 1 and allow_release:
        return release_member(context, usable[0])
    assert plan.panel is not None
    if context.request.task.tools:
        return release_member(context, usable[await rank_once(context, plan, usable)])
    match plan.panel.way:
        case "ranked":
            return release_member(context, usable[await rank_both_orders(context, plan, usable)])
        case "vote":
            winner = consensus.majority([consensus.extract_answer(draft.text) for draft in usable])
            context.trace.panel["vote"] = "abstained" if winner is None else "decided"
            return release_member(context, usable[await rank_once(context, plan, usable) if winner is None else winner])
        case _:
            return await _judge_and_synthesize(context, plan, usable)


async def _judge_and_synthesize(context: StepContext, plan: Plan, usable: Sequence[DraftReply]) -> ClientReply:
    """A judge compares the answers, a synthesizer writes the final one."""
    assert context.trace.panel is not None
    judge = select_judge(context, plan, usable)
    order: Sequence[int] | None = None
    judgement: PanelJudgement | Reason | None = None
    best = 0
    if context.within_budget(plan.usd_of("judgement")):
        judgement, order = await inner_calls.ask_judge(context, judge, [draft.answer for draft in usable])
        if isinstance(judgement, PanelJudgement) and judgement.best is not None:
            best = order[LETTERS.index(judgement.best)]
    if judgement is None:
        context.trace.degrade(ReasonCode.JUDGEMENT_SKIPPED, candidate=judge)
    elif isinstance(judgement, Reason):
        context.trace.degrade(ReasonCode.JUDGEMENT_MISSING, candidate=judge, why=judgement)
    else:
        context.trace.panel["judgement"] = {
            "consensus": len(judgement.consensus),
            "contradictions": len(judgement.contradictions),
            "partial_coverage": len(judgement.partial_coverage),
            "unique_insights": len(judgement.unique_insights),
            "blind_spots": len(judgement.blind_spots),
            "best": usable[best].attempt.candidate if judgement.best else None,
        }
    return await synthesize(
        context, plan, usable, judgement if isinstance(judgement, PanelJudgement) else None, best, order
    )


async def _no_usable_answer(context: StepContext, plan: Plan, result: PanelResult) -> ClientReply:
    """No usable answer: a candidate outside the panel answers alone. Failing that, a member's words go out, even a refusal,
    but never a call that doesn't fit its tool."""
    verdicts = list(result.verdicts)
    queue = _candidates_outside_panel(context, plan)
    if queue:
        context.trace.degrade(ReasonCode.FALLBACK_ANSWERS_ALONE)
        try:
            return await context.get_reply(queue, phase="answer")
        except AllCandidatesFailed as exc:
            verdicts += exc.verdicts
    words = [draft for draft in result.unusable if not draft.calls]
    if words:
        draft = words[0]
        context.trace.degrade(ReasonCode.UNUSABLE_ANSWER_RELEASED, candidate=draft.attempt.candidate)
        return release_member(context, draft)
    if not verdicts:
        verdicts = [errors.classify_transport_error(_no_answer_error(context, result))]
    raise AllCandidatesFailed(verdicts)


def _no_answer_error(context: StepContext, result: PanelResult) -> TransportError:
    if result.unusable:
        return TransportError("protocol", "every member of the panel made a tool call that doesn't fit its tool")
    limit_s = context.deps.policy.fusion.member_s
    return TransportError("timeout", f"no member of the panel answered within {limit_s:g} s")


def _candidates_outside_panel(context: StepContext, plan: Plan) -> list[str]:
    """Candidates outside the panel, best first, that fit the budget after what the panel has spent."""
    # From the scores, because the decision's few fallbacks may all be members.
    others = [score for score in context.routed.decision.scores if score.candidate not in plan.members]
    most = context.deps.policy.max_fallbacks
    return [score.candidate for score in others if context.within_budget(score.step_usd)][:most]


def release_member(context: StepContext, draft: DraftReply) -> ClientReply:
    """Send a member's answer to the client unchanged."""
    assert context.trace.panel is not None
    context.trace.panel["selected"] = draft.attempt.candidate
    return context.release(draft)


async def rank_once(context: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> int:
    """The index of the proposal that the judge ranks first; 0 (the lead's, or the first there is) if there is no ranking."""
    assert context.trace.panel is not None
    (order,) = await _rankings(context, plan, drafts, 1)
    context.trace.panel["ranking"] = _candidate_ids(order, drafts)
    return order[0] if order else 0


async def rank_both_orders(context: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> int:
    """As `rank_once`, with the judge asked in both orders at the same time. Ranks are added up; of two that tie the first
    in the panel wins."""
    # Judges prefer what is shown first. With the order swapped that bias cancels out.
    assert context.trace.panel is not None
    orders = await _rankings(context, plan, drafts, 2)
    texts = [order for order in orders if order]
    context.trace.panel["rankings"] = [_candidate_ids(order, drafts) for order in orders]
    if not texts:
        return 0
    rank_sums = [sum(order.index(index) for order in texts) for index in range(len(drafts))]
    context.trace.panel["tie"] = rank_sums.count(min(rank_sums)) > 1
    return rank_sums.index(min(rank_sums))


def select_judge(context: StepContext, plan: Plan, drafts: Sequence[DraftReply]) -> str:
    """The planned judge, or the first member that answered if the judge has failed in this step."""
    assert plan.judge is not None
    judge = context.available_for(plan.judge, drafts[0].attempt.candidate)
    if judge != plan.judge:
        context.trace.degrade(ReasonCode.ROLE_REPLACED, role="judge", planned=plan.judge, candidate=judge)
    return judge


async def _rankings(
    context: StepContext, plan: Plan, drafts: Sequence[DraftReply], times: int
) -> list[tuple[int, ...]]:
    """That many rankings, the second with the order reversed; empty where the judge gave none."""
    judge = select_judge(context, plan, drafts)
    nothing: list[tuple[int, ...]] = [()] * times
    if not context.within_budget(plan.usd_of("ranking")):
        context.trace.degrade(ReasonCode.RANKING_SKIPPED, candidate=judge)
        return nothing
    answers = [draft.answer for draft in drafts]
    judgement = await asyncio.gather(
        *(inner_calls.ask_ranker(context, judge, answers, swapped=swapped) for swapped in (False, True)[:times])
    )
    why = [order for order in judgement if isinstance(order, Reason)]
    if why:
        code = ReasonCode.RANKING_MISSING if len(why) == times else ReasonCode.RANKING_PARTIAL
        context.trace.degrade(code, candidate=judge, why=why[0])
    return [() if isinstance(order, Reason) else order for order in judgement]


def _candidate_ids(order: Sequence[int], drafts: Sequence[DraftReply]) -> list[str]:
    return [drafts[index].attempt.candidate for index in order]


async def synthesize(
    context: StepContext,
    plan: Plan,
    usable: Sequence[DraftReply],
    judgement: PanelJudgement | None = None,
    best: int = 0,
    order: Sequence[int] | None = None,
) -> ClientReply:
    """The synthesized answer; the member's with index `best` if the synthesizer fails. `order`: the answer behind each of the
    judge's letters, so that the synthesizer sees the same letters."""
    planned = plan.synthesizer or plan.primary
    writer = context.available_for(planned, usable[best].attempt.candidate)
    if writer != planned:
        context.trace.degrade(ReasonCode.ROLE_REPLACED, role="synthesizer", planned=planned, candidate=writer)
    rank_sums = enumerate(order if order is not None else range(len(usable)))
    blocks = [proposal_block(LETTERS[place], usable[index].answer) for place, index in rank_sums]
    if judgement is not None:
        blocks.append(inner_calls.judgement_block(judgement))
    context.progress.report("synthesis", candidate=writer)
    released = usable[best]
    if not context.within_budget(plan.usd_of("synthesis")):
        context.trace.degrade(ReasonCode.SYNTHESIS_SKIPPED, candidate=writer, released=released.attempt.candidate)
        return release_member(context, released)
    shape = InnerRequestOptions(stream=context.stream, tools="none")
    request = inner_calls.build_request(context, "synthesizer", *blocks, shape=shape)
    try:
        return with_total_usage(context, await context.get_reply([writer], phase="synthesis", request=request))
    except AllCandidatesFailed as exc:
        why, candidate = exc.reason, released.attempt.candidate
        context.trace.degrade(ReasonCode.SYNTHESIS_MISSING, candidate=writer, why=why, released=candidate)
        return release_member(context, released)


def with_total_usage(context: StepContext, final: ClientReply) -> ClientReply:
    """The same answer, with the usage of all phases together."""
    wire = context.request.task.wire
    last = context.trace.answer
    before = sum_usage([a.usage for a in context.trace.attempts if a is not last and a.usage is not None])
    if isinstance(final, CompleteResponse):
        return replace(final, body=add_usage(final.body, wire, before))
    observer = UsageSumObserver(final.observer, wire, before)
    return StreamReply(observer.convert(final.first), final.reply, final.source, observer, final.attempt)
