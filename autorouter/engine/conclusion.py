"""What a panel gave, made one answer: agreed, picked, voted, ranked, or judged and written anew. See `fusion`."""

from __future__ import annotations

from collections.abc import Sequence

from autorouter.core.decision.plans import Plan
from autorouter.core.review import consensus
from autorouter.core.review.verdicts import LISTS, Judgement
from autorouter.engine import asks, picking
from autorouter.engine.attempts import NobodyAnswered
from autorouter.engine.calling import Final
from autorouter.engine.drafts import Draft
from autorouter.engine.material import LETTERS
from autorouter.engine.panel import Gathered
from autorouter.engine.run import Run
from autorouter.engine.synthesis import synthesized
from autorouter.upstream import failures
from autorouter.upstream.transport import Failure


async def concluded(run: Run, plan: Plan, gathered: Gathered, *, as_it_is: bool) -> Final:
    """One answer of what a panel gave. `as_it_is`: a member's answer may go out."""
    usable = gathered.usable
    assert run.trace.panel is not None
    run.trace.panel |= {"usable": len(usable), "agreed": gathered.agreed is not None}
    if not usable:
        return await _nobody(run, plan, gathered)
    quorum = min(run.deps.policy.fusion.quorum, len(plan.panel))
    if len(usable) < quorum:
        run.trace.degraded.append(f"quorum of {quorum} not reached: {len(usable)} usable")
    if gathered.agreed is not None and as_it_is:
        return picking.picked(run, gathered.agreed)
    if len(usable) == 1 and as_it_is:
        return picking.picked(run, usable[0])
    assert plan.recipe is not None
    if run.request.task.tools:
        return picking.picked(run, usable[await picking.once(run, plan, usable)])
    match plan.recipe.way:
        case "ranked":
            return picking.picked(run, usable[await picking.twice(run, plan, usable)])
        case "vote":
            winner = consensus.majority([consensus.answer_in(draft.text) for draft in usable])
            run.trace.panel["vote"] = "abstained" if winner is None else "decided"
            return picking.picked(run, usable[await picking.once(run, plan, usable) if winner is None else winner])
        case _:
            return await _judged(run, plan, usable)


async def _judged(run: Run, plan: Plan, usable: Sequence[Draft]) -> Final:
    """The judge compares, the synthesizer writes."""
    assert run.trace.panel is not None
    judge = picking.judge_of(run, plan, usable)
    order: Sequence[int] | None = None
    found: Judgement | str = "left out: the budget holds no more"
    best = 0
    if run.affords(plan.usd_of("judgement")):
        found, order = await asks.judged(run, judge, [draft.answer for draft in usable])
        if isinstance(found, Judgement) and found.best is not None:
            best = order[LETTERS.index(found.best)]
    if isinstance(found, str):
        run.trace.degraded.append(f"judge {judge}: {found}; the answers were synthesized without it")
    else:
        counts: dict[str, object] = {name: len(getattr(found, name)) for name in LISTS}
        run.trace.panel["judgement"] = counts | {"best": usable[best].attempt.candidate if found.best else None}
    return await synthesized(run, plan, usable, found if isinstance(found, Judgement) else None, best, order)


async def _nobody(run: Run, plan: Plan, gathered: Gathered) -> Final:
    """No usable answer: somebody outside the panel answers alone; else what was said goes out, even if it is a refusal, but
    no call that doesn't fit its tool."""
    verdicts = list(gathered.verdicts)
    queue = _outside(run, plan)
    if queue:
        run.trace.degraded.append("no member's answer can be used: a fallback answers alone")
        try:
            return await run.final(queue, phase="answer")
        except NobodyAnswered as exc:
            verdicts += exc.verdicts
    words = [draft for draft in gathered.poor if not draft.calls]
    if words:
        draft = words[0]
        run.trace.degraded.append(f"no member's answer can be used: {draft.attempt.candidate}'s went out as it is")
        return picking.picked(run, draft)
    if not verdicts:
        verdicts = [failures.of_failure(_why_nobody(run, gathered))]
    raise NobodyAnswered(verdicts)


def _why_nobody(run: Run, gathered: Gathered) -> Failure:
    if gathered.poor:
        return Failure("protocol", "every member of the panel made a tool call that doesn't fit its tool")
    limit_s = run.deps.policy.fusion.member_s
    return Failure("timeout", f"no member of the panel answered within {limit_s:g} s")


def _outside(run: Run, plan: Plan) -> list[str]:
    """Who isn't in the panel, best first, and fits the budget after what the panel has spent. Of the scores, for the
    decision's few fallbacks may all sit in the panel."""
    others = [score for score in run.routed.decision.scores if score.candidate not in plan.panel]
    most = run.deps.policy.max_fallbacks
    return [score.candidate for score in others if run.affords(score.step_usd)][:most]
