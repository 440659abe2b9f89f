"""The panel strategy: several models answer, and their answers become one.

    members ──► no answer ───────► a candidate outside the panel answers alone, else one error
       │ some
       ├──► they agree ───────────► that answer, unchanged
       ├──► the client has tools ─► a judge ranks the proposals, the first goes out unchanged: nothing is merged
       ├──► ranked, vote ─────────► one answer, unchanged
       └──► judge ──► synthesizer ► a new answer, streamed as it is written
                │ no judgement         │ fails
                ▼                      ▼
           from the raw answers   the best member's answer            each such step is listed under `degraded`

If the panel's trigger is "draft", the lead drafts first, and the members join only if the draft needs a review.
"""

from __future__ import annotations

from collections.abc import Sequence

from autorouter.core.decision.plans import Plan
from autorouter.core.review.draft_risk import needs_review
from autorouter.engine.attempts import StepContext
from autorouter.engine.call import ClientReply
from autorouter.engine.strategies import multi_round
from autorouter.engine.strategies.aggregate import aggregate
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.members import MemberSettings, ask_members, member_settings
from autorouter.wire.inner_request import has_output_options

RELEASING_METHODS = ("ranked", "vote")
"""Methods that release a member's own answer, so the client's output options apply to the members."""


async def perform(context: StepContext, plan: Plan) -> ClientReply:
    """The panel's answer. Raises AllCandidatesFailed."""
    panel = plan.panel
    assert panel is not None
    context.trace.panel = {"method": panel.way, "name": panel.name, "trigger": plan.panel_trigger}
    members, drafts = member_settings(plan), list[DraftReply]()
    if plan.panel_trigger == "draft":
        draft = await context.get_draft(
            [plan.primary, *context.routed.decision.fallbacks], phase="draft", verify_scope=context.verify_scope
        )
        if draft.live or not needs_review(draft.weight, context.verify_scope):
            context.trace.panel["reviewed"] = False
            return context.release(draft)
        drafts = [draft]
        members = _other_members(members, draft.attempt.candidate)
    tools = bool(context.request.task.tools)
    if not tools and panel.way in multi_round.METHODS:
        return await multi_round.METHODS[panel.way](context, plan)
    options = tools or panel.way in RELEASING_METHODS
    result = await ask_members(context, members, drafts=drafts, options=options)
    return await aggregate(context, plan, result, allow_release=options or not has_output_options(context.request))


def _other_members(members: Sequence[MemberSettings], candidate: str) -> list[MemberSettings]:
    """The members without the one that wrote the draft: its answer counts already."""
    own = next((index for index, member in enumerate(members) if member.candidate == candidate), None)
    return [member for index, member in enumerate(members) if index != own]
