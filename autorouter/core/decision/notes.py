"""Notes for the receipt and the client: one sentence for each thing that was requested, or would be best, and isn't done.

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
from autorouter.core.types import Strategy

JUDGING = frozenset({"judgement", "ranking"})


def over_budget_note(plans: Sequence[Plan], affordable: Sequence[Plan], cap: Allowance) -> tuple[str, ...]:
    """Says that the best plan exceeds the cap, if it does."""
    best = plans[0]
    if best == affordable[0]:
        return ()
    return (
        f"{best.strategy} with {best.primary} would reserve ${best.reserve_usd:.4f}, "
        f"{cap.cap} has ${max(0.0, cap.left_usd):.4f} left: a cheaper plan is used",
    )


def missing_strategy_note(
    requested: Strategy, plans: Sequence[Plan], cap: Allowance | None, panel: PanelPlan | None, policy: Policy
) -> str:
    """Why there is no plan of the requested strategy. `plans` ignore the cap, `panel` ignores `FusionPolicy.max_calls`."""
    if requested is Strategy.VERIFY and policy.fusion.care == "off":
        return 'verify was asked for, and fusion.verify is "off"'
    too_expensive = next((plan for plan in plans if plan.strategy is requested), None)
    if too_expensive is not None and cap is not None:
        left = f"{cap.cap} has ${max(0.0, cap.left_usd):.4f} left"
        return f"{requested} was asked for and would reserve ${too_expensive.reserve_usd:.4f}, {left}"
    most = policy.fusion.max_calls
    if requested is Strategy.FUSION and panel is not None and (calls := len(panel.calls())) > most:
        return (
            f"fusion was asked for, and panel {panel.panel.name} may need {calls} calls: a request makes at most {most}"
        )
    return f"{requested} was asked for and doesn't fit the pool"


def role_substitutions(plan: Plan, requested_judge: str | None, rejections: Sequence[Rejection]) -> tuple[str, ...]:
    """The candidates that were named for a role of this plan and don't fill it, with the reason if it is known."""
    why = {rejection.candidate: rejection.reasons[0].text for rejection in rejections}
    if plan.strategy is Strategy.VERIFY:
        return _substitution(requested_judge, plan.verifier, "verifies", why)
    panel = plan.panel
    if plan.strategy is not Strategy.FUSION or panel is None:
        return ()
    phases = {call.phase for call in plan.calls}
    missing = [name for name in dict.fromkeys(_named(panel)) if name not in plan.members]
    notes = tuple(f"{name} is left out of panel {panel.name}{_because(name, why)}" for name in missing if name in why)
    if JUDGING & phases:
        notes += _substitution(panel.judge, plan.judge, "judges", why)
    if "synthesis" in phases:
        notes += _substitution(panel.synthesizer, plan.synthesizer, "writes", why)
    return notes


def _named(panel: Panel) -> Collection[str]:
    if panel.way == "pipeline":
        return [step.candidate for step in panel.steps if step.candidate is not None]
    return panel.models


def _substitution(requested: str | None, actual: str | None, does: str, why: Mapping[str, str]) -> tuple[str, ...]:
    if requested is None or actual is None or requested == actual:
        return ()
    return (f"{actual} {does} in place of {requested}{_because(requested, why)}",)


def _because(name: str, why: Mapping[str, str]) -> str:
    return f": {why[name]}" if name in why else ": its window is too small for what it would be shown"
