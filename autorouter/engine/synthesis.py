"""The last phase of a panel: one model writes the answer from all of them, and it streams as it is written.

Its usage is that of the whole panel: the client's `usage` is the sum of what was really used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autorouter.core.decision.plans import Plan
from autorouter.core.review.verdicts import Judgement
from autorouter.engine import asks
from autorouter.engine.attempts import NobodyAnswered
from autorouter.engine.calling import Final, Opened
from autorouter.engine.drafts import Draft
from autorouter.engine.material import LETTERS, proposal
from autorouter.engine.picking import picked
from autorouter.engine.run import Run
from autorouter.engine.trace import total
from autorouter.wire.compose import Shape
from autorouter.wire.exchange import Whole
from autorouter.wire.summed import SummedTap, summed


async def synthesized(
    run: Run,
    plan: Plan,
    usable: Sequence[Draft],
    judgement: Judgement | None = None,
    best: int = 0,
    order: Sequence[int] | None = None,
) -> Final:
    """The written answer; the best member's, by its index, where the synthesizer fails. `order`: which answer stood behind
    each of the judge's letters, so that the synthesizer knows them by the same."""
    planned = plan.synthesizer or plan.primary
    writer = run.able(planned, usable[best].attempt.candidate)
    if writer != planned:
        run.trace.degraded.append(f"synthesizer {planned} has failed before: {writer} writes")
    places = enumerate(order if order is not None else range(len(usable)))
    blocks = [proposal(LETTERS[place], usable[index].answer) for place, index in places]
    if judgement is not None:
        blocks.append(asks.judgement_block(judgement))
    run.progress.say("synthesis", candidate=writer)
    if not run.affords(plan.usd_of("synthesis")):
        return _instead(run, usable[best], f"synthesizer {writer} left out: the budget holds no more")
    shape = Shape(stream=run.stream, tools="none")
    request = asks.said(run, "synthesizer", *blocks, shape=shape)
    try:
        return with_sum(run, await run.final([writer], phase="synthesis", request=request))
    except NobodyAnswered as exc:
        return _instead(run, usable[best], f"synthesizer {writer}: {exc.verdicts[-1].kind}")


def _instead(run: Run, draft: Draft, why: str) -> Final:
    run.trace.degraded.append(f"{why}; the answer of {draft.attempt.candidate} went out")
    return picked(run, draft)


def with_sum(run: Run, final: Final) -> Final:
    """The same answer, telling what all phases used together."""
    wire = run.request.task.wire
    last = run.trace.answer
    before = total([a.usage for a in run.trace.attempts if a is not last and a.usage is not None])
    if isinstance(final, Whole):
        return replace(final, body=summed(final.body, wire, before))
    tap = SummedTap(final.tap, wire, before)
    return Opened(tap.convert(final.first), final.reply, final.source, tap, final.attempt)
