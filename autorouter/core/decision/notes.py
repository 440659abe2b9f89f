"""Notes for the receipt and the client: a reason for each thing that was requested, or would be best, and isn't done.

A panel goes on without a member that can't serve this request, and another candidate judges if the named judge can't. The
notes say so, because the names that did answer don't.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from autorouter.core.decision.cost import Allowance
from autorouter.core.decision.eligibility import Rejection
from autorouter.core.decision.panel_plan import PanelPlan
from autorouter.core.decision.plans import Plan
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.types import Strategy

JUDGING = frozenset({"judgement", "ranking"})


def over_budget_note(plans: Sequence[Plan], affordable: Sequence[Plan], cap: Allowance) -> tuple[Reason, ...]:
    """Says that the best plan exceeds the cap, if it does."""
    best = plans[0]
    if best == affordable[0]:
        return ()
    note = Reason.of(
        ReasonCode.PLAN_OVER_BUDGET,
        strategy=best.strategy,
        candidate=best.primary,
        reserve_usd=best.reserve_usd,
        cap=cap.cap,
        left_usd=max(0.0, cap.left_usd),
    )
    return (note,)


def missing_strategy_note(
    requested: Strategy, plans: Sequence[Plan], cap: Allowance | None, panel: PanelPlan | None, policy: Policy
) -> Reason:
    """Why there is no plan of the requested strategy. `plans` ignore the cap, `panel` ignores `FusionPolicy.max_calls`."""
    if requested is Strategy.VERIFY and policy.fusion.care == "off":
        return Reason.of(ReasonCode.VERIFY_OFF)
    too_expensive = next((plan for plan in plans if plan.strategy is requested), None)
    if too_expensive is not None and cap is not None:
        return Reason.of(
            ReasonCode.STRATEGY_OVER_BUDGET,
            strategy=requested,
            reserve_usd=too_expensive.reserve_usd,
            cap=cap.cap,
            left_usd=max(0.0, cap.left_usd),
        )
    most = policy.fusion.max_calls
    if requested is Strategy.FUSION and panel is not None and (calls := len(panel.calls())) > most:
        return Reason.of(ReasonCode.PANEL_OVER_MAX_CALLS, panel=panel.panel.name, calls=calls, max_calls=most)
    return Reason.of(ReasonCode.STRATEGY_IMPOSSIBLE, strategy=requested)


def role_substitutions(plan: Plan, requested_judge: str | None, rejections: Sequence[Rejection]) -> tuple[Reason, ...]:
    """The candidates that were named for a role of this plan and don't fill it, with the reason if it is known."""
    why = {rejection.candidate: rejection.reasons[0] for rejection in rejections}
    if plan.strategy is Strategy.VERIFY:
        return _substitution(requested_judge, plan.verifier, "verifier", why)
    panel = plan.panel
    if plan.strategy is not Strategy.FUSION or panel is None:
        return ()
    phases = {call.phase for call in plan.calls}
    missing = [name for name in dict.fromkeys(_named(panel)) if name not in plan.members]
    notes = tuple(
        Reason.of(ReasonCode.MEMBER_LEFT_OUT, candidate=name, panel=panel.name, why=why[name])
        for name in missing
        if name in why
    )
    if JUDGING & phases:
        notes += _substitution(panel.judge, plan.judge, "judge", why)
    if "synthesis" in phases:
        notes += _substitution(panel.synthesizer, plan.synthesizer, "synthesizer", why)
    return notes


def _named(panel: Panel) -> Collection[str]:
    if panel.way == "pipeline":
        return [step.candidate for step in panel.steps if step.candidate is not None]
    return panel.models


def _substitution(
    requested: str | None, actual: str | None, role: str, why: Mapping[str, Reason]
) -> tuple[Reason, ...]:
    if requested is None or actual is None or requested == actual:
        return ()
    # One that could serve the request alone can lack the room for the others' texts.
    because = why.get(requested) or Reason.of(ReasonCode.ROLE_WINDOW)
    return (Reason.of(ReasonCode.ROLE_SUBSTITUTED, role=role, candidate=actual, requested=requested, why=because),)
