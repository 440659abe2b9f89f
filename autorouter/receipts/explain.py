"""A decision in one sentence, for people."""

from __future__ import annotations

from autorouter.core.decision.decide import Decision
from autorouter.core.decision.plans import Plan
from autorouter.core.decision.scoring import Score, ScorePoints
from autorouter.core.signals.features import Features
from autorouter.core.types import Strategy
from autorouter.receipts.messages import refusal_message, sentence, sentences

TERMS = ScorePoints._fields


def describe_task(features: Features) -> str:
    """What was read: kind, phase, difficulty, risk, trouble."""
    said = [f"{features.kind} ({features.phase} step, difficulty {features.difficulty:+.2f})"]
    if features.risk.words:
        said.append(f"risk {features.risk.value:.2f} from {', '.join(features.risk.words)}")
    if features.evidence.signals:
        said.append("tools show: " + ", ".join(sentences(features.evidence.signals)))
    return "; ".join(said)


def explain_decision(decision: Decision, features: Features) -> str:
    """Why this candidate answers, in at most 400 characters."""
    return f"{describe_task(features)}. {_choice(decision)}"[:400]


def _choice(decision: Decision) -> str:
    plan = decision.plan
    if plan is None:
        return _refusal(decision)
    scores = decision.scores
    chosen = next(s for s in scores if s.candidate == plan.primary)
    switch = decision.switch
    if switch is not None and switch.verdict == "stay":
        return f"{plan.primary} stays: {switch.candidate} {sentence(switch.reason)}."
    other = next((s for s in scores if s is not chosen), None)
    if other is None:
        return f"{plan.primary} is the only candidate left."
    if plan.strategy is not Strategy.SINGLE:
        return f"{_together(plan)}{_against(plan, decision)}"
    words = "leads" if chosen.total >= other.total else "was asked for and trails"
    gap = abs(chosen.total - other.total)
    return f"{plan.primary} {words} {other.candidate} by {gap:.1f} points ({score_differences(chosen, other)})."


def _refusal(decision: Decision) -> str:
    if decision.refusal is None:
        return "Nothing can be done."
    return refusal_message(decision.refusal.reason, decision.rejections)


def _together(plan: Plan) -> str:
    """Who works with whom."""
    if plan.strategy is Strategy.VERIFY:
        then = f"{plan.escalation} answers" if plan.escalation else "it is told why"
        return f"{plan.primary} drafts, {plan.verifier} checks; where it rejects, {then}"
    recipe = plan.panel
    named = f"panel {recipe.name} ({recipe.way})" if recipe else "a panel"
    when = (
        ""
        if plan.panel_trigger == "now"
        else f"; {plan.primary} drafts, and it joins at a final answer or a risky call"
    )
    return f"{named} of {', '.join(plan.members)}, judged by {plan.judge}{when}"


def _against(plan: Plan, decision: Decision) -> str:
    """What it gains over the best single model, in points."""
    alone = next((other for other in decision.plans if other.strategy is Strategy.SINGLE), None)
    if alone is None:
        return "."
    return f": {plan.total - alone.total:+.1f} points against {alone.primary} alone, ${plan.expected_usd:.4f}."


def score_differences(chosen: Score, other: Score) -> str:
    """The terms that part two scores, largest first: `price +3.1, task_fit -0.4`."""
    gaps = [(name, getattr(chosen.points, name) - getattr(other.points, name)) for name in TERMS]
    gaps.sort(key=lambda gap: -abs(gap[1]))
    return ", ".join(f"{name} {gap:+.1f}" for name, gap in gaps[:3] if abs(gap) >= 0.05) or "all terms alike"
