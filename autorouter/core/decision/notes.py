"""What was asked for, or would be best, and can't be: a sentence each, for the receipt and for whoever asked.

A panel goes on without a member that can't serve this request, and another one judges; nobody should have to find that out
from the names that did answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from autorouter.core.decision.cost import Allowance
from autorouter.core.decision.eligibility import Rejection
from autorouter.core.decision.plans import Plan
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.types import Strategy

JUDGING = frozenset({"judgement", "ranking"})


def over_budget_note(plans: Sequence[Plan], fitting: Sequence[Plan], cap: Allowance) -> list[str]:
    """That the best plan is beyond the cap."""
    best = plans[0]
    if best == fitting[0]:
        return []
    return [
        f"{best.strategy} with {best.primary} would reserve ${best.reserve_usd:.4f}, "
        f"{cap.cap} has ${max(0.0, cap.left_usd):.4f} left: a cheaper plan is used"
    ]


def missing_strategy_note(
    asked: Strategy, plans: Sequence[Plan], cap: Allowance | None, unbounded: Plan | None, policy: Policy
) -> str:
    """Why there is no plan of the strategy that was asked for. `plans`: those without a cap; `unbounded`: the panel's plan
    with as many calls as it may need."""
    if asked is Strategy.VERIFY and policy.fusion.care == "off":
        return 'verify was asked for, and fusion.verify is "off"'
    dear = next((plan for plan in plans if plan.strategy is asked), None)
    if dear is not None and cap is not None:
        left = f"{cap.cap} has ${max(0.0, cap.left_usd):.4f} left"
        return f"{asked} was asked for and would reserve ${dear.reserve_usd:.4f}, {left}"
    most = policy.fusion.max_calls
    if asked is Strategy.FUSION and unbounded is not None and unbounded.panel and len(unbounded.calls) > most:
        name, calls = unbounded.panel.name, len(unbounded.calls)
        return f"fusion was asked for, and panel {name} may need {calls} calls: fusion.max_calls is {most}"
    return f"{asked} was asked for and doesn't fit the pool"


def role_substitutions(plan: Plan, wished_judge: str | None, rejections: Sequence[Rejection]) -> list[str]:
    """Who was named for a place of this plan and doesn't sit there, with the reason that is known."""
    why = {found.candidate: found.reasons[0].text for found in rejections}
    if plan.strategy is Strategy.VERIFY:
        return _other(wished_judge, plan.verifier, "verifies", why)
    panel = plan.panel
    if plan.strategy is not Strategy.FUSION or panel is None:
        return []
    phases = {call.phase for call in plan.calls}
    missing = [name for name in dict.fromkeys(_named(panel)) if name not in plan.members]
    notes = [f"{name} is left out of panel {panel.name}{_because(name, why)}" for name in missing if name in why]
    if JUDGING & phases:
        notes += _other(panel.judge, plan.judge, "judges", why)
    if "synthesis" in phases:
        notes += _other(panel.synthesizer, plan.synthesizer, "writes", why)
    return notes


def _named(panel: Panel) -> Collection[str]:
    if panel.way == "pipeline":
        return [step.candidate for step in panel.steps if step.candidate is not None]
    return panel.models


def _other(asked: str | None, taken: str | None, does: str, why: Mapping[str, str]) -> list[str]:
    if asked is None or taken is None or asked == taken:
        return []
    return [f"{taken} {does} in place of {asked}{_because(asked, why)}"]


def _because(name: str, why: Mapping[str, str]) -> str:
    return f": {why[name]}" if name in why else ": its window is too small for what it would be shown"
