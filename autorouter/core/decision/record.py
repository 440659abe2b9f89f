"""A decision as a record: what a receipt keeps and `/debug/route` shows. Every number has its unit and its source.

    {"label": "openfusion/auto", "dial": 5.0, "plan": {...}, "scores": [{"candidate": "cheap", "total": 96.4, "points":
     {"task_fit": -1.2, "benchmark": 99.1, ...}, "success": 0.93, "percentile": 48.0, "turn_usd": 0.0012, "wait_s": 2.1,
     "price_source": "configured", "health_source": "configured and measured, n=12", ...}], "rejections": [...], ...}

Units stand in the names; percentiles are configured, and where prices, times and availability come from stands beside them.
Computed numbers are rounded to `DIGITS` decimals, for math.exp may differ by a last bit between platforms; inputs are
kept exactly, elsewhere on the receipt.
"""

from __future__ import annotations

from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decision.decide import Decision
from autorouter.core.decision.eligibility import Rejection
from autorouter.core.decision.plans import Plan, PlannedCall
from autorouter.core.decision.scoring import Score

DIGITS, USD_DIGITS = 6, 9
"""Dollars of a single step are small: their last digits count."""


def decision_record(decision: Decision) -> dict[str, Any]:
    """The whole decision as a JSON value."""
    plans = {id(plan): plan_record(plan) for plan in (*decision.plans, decision.plan)}
    return {
        "label": decision.label,
        "dial": decision.dial,
        "usd_weight_points_per_usd": round(decision.usd_weight, DIGITS),
        "plan": plans[id(decision.plan)],
        "preferred": None,  # kept for readers of older receipts
        "fallbacks": list(decision.fallbacks),
        "switch": round_floats(to_plain(decision.switch)),
        "scores": [score_record(score) for score in decision.scores],
        "rejections": [_rejection(r) for r in decision.rejections],
        "plans": [plans[id(plan)] for plan in decision.plans],
        "allowance": round_floats(to_plain(decision.allowance)),
        "notes": list(decision.notes),
        "refusal": round_floats(to_plain(decision.refusal)),
    }


def plan_record(plan: Plan | None) -> dict[str, Any] | None:
    """A plan with its chance of success, its cost and its points."""
    if plan is None:
        return None
    worth = plan.points
    return {
        "strategy": plan.strategy.value,
        "primary": plan.primary,
        "verifier": plan.verifier,
        "panel": list(plan.members),
        "judge": plan.judge,
        "synthesizer": plan.synthesizer,
        "escalation": plan.escalation,
        "panel_name": plan.panel.name if plan.panel else None,
        "way": plan.panel.way if plan.panel else None,
        "moment": plan.panel_trigger,
        "calls": [call_record(call) for call in plan.calls],
        "success": round(plan.success, DIGITS),
        "step_usd": round(plan.step_usd, USD_DIGITS),
        "turn_usd": round(plan.turn_usd, USD_DIGITS),
        "warmup_usd": round(plan.warmup_usd, USD_DIGITS),
        "reserve_usd": round(plan.reserve_usd, USD_DIGITS),
        "wait_s": round(plan.seconds, DIGITS),
        "worth": {
            "success": round(worth.success, DIGITS),
            "price": round(worth.price, DIGITS),
            "latency": round(worth.latency, DIGITS),
            "stickiness": round(worth.stickiness, DIGITS),
        },
        "total": round(plan.total, DIGITS),
    }


def call_record(call: PlannedCall) -> dict[str, Any]:
    """One upstream call of a plan, as it was counted before the first of them."""
    return {
        "group": call.group,
        "phase": call.phase,
        "candidate": call.candidate,
        "input_tokens": round(call.input_tokens, DIGITS),
        "output_tokens": round(call.output_tokens, DIGITS),
        "usd": round(call.usd, USD_DIGITS),
        "seconds": round(call.seconds, DIGITS),
    }


def score_record(score: Score) -> dict[str, Any]:
    """One row of the table: the six terms in points, which add up to `total`, the values behind them, and their sources.
    Flat, and rounded by hand: there is one for every candidate of every request."""
    points = score.points
    return {
        "candidate": score.candidate,
        "total": round(score.total, DIGITS),
        "points": {
            "task_fit": round(points.task_fit, DIGITS),
            "benchmark": round(points.benchmark, DIGITS),
            "price": round(points.price, DIGITS),
            "latency": round(points.latency, DIGITS),
            "availability": round(points.availability, DIGITS),
            "stickiness": round(points.stickiness, DIGITS),
        },
        "success": round(score.success, DIGITS),
        "skill": score.skill,
        "percentile": score.percentile,
        "general_percentile": score.general_percentile,
        "input_tokens": round(score.input_tokens, DIGITS),
        "output_tokens": round(score.output_tokens, DIGITS),
        "step_usd": round(score.step_usd, USD_DIGITS),
        "turn_usd": round(score.turn_usd, USD_DIGITS),
        "warmup_usd": round(score.warmup_usd, USD_DIGITS),
        "wait_s": round(score.seconds, DIGITS),
        "availability": round(score.availability, DIGITS),
        "price_source": "assumed, the real one is unknown" if score.price_assumed else "configured",
        "health_source": f"configured and measured, n={score.samples}" if score.samples else "configured",
    }


def _rejection(rejection: Rejection) -> dict[str, Any]:
    return {"candidate": rejection.candidate, "reasons": [{"code": r.code, "text": r.text} for r in rejection.reasons]}


def round_floats(value: Any) -> Any:
    """A JSON value with every float in it rounded."""
    if isinstance(value, float):
        return round(value, USD_DIGITS)
    if isinstance(value, dict):
        return {key: round_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_floats(item) for item in value]
    return value
