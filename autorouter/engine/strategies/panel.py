"""A panel answers, and its answers become one.

    members ──► nobody ──────────► a fallback alone, else one verdict
       │ some
       ├──► they agree ───────────► that answer, as it is
       ├──► the client has tools ─► a judge orders the proposals, the first goes out as it is: nothing is merged
       ├──► ranked, vote ─────────► one answer, as it is
       └──► judge ──► synthesizer ► a new answer, streamed as it is written
                │ no judgement         │ fails
                ▼                      ▼
           from the raw answers   the best member's answer            all of it listed under `degraded`

Where the lead drafts first (`moment` "draft"), the panel joins only if its draft deserves a second look.
"""

from __future__ import annotations

from collections.abc import Sequence

from autorouter.core.decision.plans import Plan
from autorouter.core.review.draft_risk import needs_review
from autorouter.engine.call import ClientReply
from autorouter.engine.context import StepContext
from autorouter.engine.strategies import multi_round
from autorouter.engine.strategies.aggregate import concluded
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.members import MemberSettings, gather, seats_of
from autorouter.wire.inner_request import has_output_options

AS_THEY_ARE = ("ranked", "vote")
"""Ways after which a member's own words go out, so that the client's wishes about the form act on the members."""


async def perform(run: StepContext, plan: Plan) -> ClientReply:
    """The panel's answer. Raises NobodyAnswered."""
    recipe = plan.panel
    assert recipe is not None
    run.trace.panel = {"way": recipe.way, "name": recipe.name, "moment": plan.panel_trigger}
    seats, known = seats_of(plan), list[DraftReply]()
    if plan.panel_trigger == "draft":
        draft = await run.draft([plan.primary, *run.routed.decision.fallbacks], phase="draft", care=run.care)
        if draft.live or not needs_review(draft.weight, run.care):
            run.trace.panel["seen"] = False
            return run.give(draft)
        known = [draft]
        seats = _without(seats, draft.attempt.candidate)
    tools = bool(run.request.task.tools)
    if not tools and recipe.way in multi_round.WAYS:
        return await multi_round.WAYS[recipe.way](run, plan)
    options = tools or recipe.way in AS_THEY_ARE
    gathered = await gather(run, seats, known=known, options=options)
    return await concluded(run, plan, gathered, as_it_is=options or not has_output_options(run.request))


def _without(seats: Sequence[MemberSettings], candidate: str) -> list[MemberSettings]:
    """The other places: who drafted sits there already."""
    own = next((index for index, seat in enumerate(seats) if seat.candidate == candidate), None)
    return [seat for index, seat in enumerate(seats) if index != own]
