"""A decision as a record: what a receipt keeps and `/debug/route` shows. Every number has its unit and its source.

    {"label": "openfusion/auto", "dial": 5.0, "plan": {...}, "scores": [{"candidate": "cheap", "total": 96.4,
     "terms": {"task_fit": {"value": 0.93, "unit": "probability", "source": "configured percentile 48 (coding)",
                            "points": -1.2}, ...}}], "rejections": [...], "switch": {...}, "notes": [...]}

Computed numbers are rounded to `DIGITS` decimals, for math.exp may differ by a last bit between platforms; inputs are
kept exactly, elsewhere on the receipt.
"""

from __future__ import annotations

from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decide import Decision
from autorouter.core.eligibility import Rejection
from autorouter.core.scoring import Score
from autorouter.core.strategy import Plan

DIGITS, USD_DIGITS = 6, 9
"""Dollars of a single step are small: their last digits count."""


def decision_record(decision: Decision) -> dict[str, Any]:
    """The whole decision as a JSON value."""
    plans = {id(plan): plan_record(plan) for plan in (*decision.plans, decision.plan, decision.preferred)}
    return {
        "label": decision.label,
        "dial": decision.dial,
        "usd_weight_points_per_usd": round(decision.usd_weight, DIGITS),
        "plan": plans[id(decision.plan)],
        "preferred": plans[id(decision.preferred)] if decision.preferred != decision.plan else None,
        "fallbacks": list(decision.fallbacks),
        "switch": rounded(to_plain(decision.switch)),
        "scores": [score_record(score) for score in decision.scores],
        "rejections": [_rejection(r) for r in decision.rejections],
        "plans": [plans[id(plan)] for plan in decision.plans],
        "allowance": rounded(to_plain(decision.allowance)),
        "notes": list(decision.notes),
        "refusal": rounded(to_plain(decision.refusal)),
    }


def plan_record(plan: Plan | None) -> dict[str, Any] | None:
    """A plan with its chance of success, its cost and its points."""
    if plan is None:
        return None
    found: dict[str, Any] = rounded(to_plain(plan))
    return found


def score_record(score: Score) -> dict[str, Any]:
    """One row of the table: the six terms, each with value, unit, source and points; they add up to `total`."""
    points = score.points
    price = "assumed price, the real one is unknown" if score.price_assumed else "configured price"
    seen = f"configured and measured, n={score.samples}" if score.samples else "configured"
    fit = f"configured percentile {_show(score.percentile)} ({score.skill})"
    general = f"configured percentile {_show(score.general_percentile)} (general)"
    return {
        "candidate": score.candidate,
        "total": round(score.total, DIGITS),
        "success": round(score.success, DIGITS),
        "input_tokens": round(score.input_tokens, DIGITS),
        "output_tokens": round(score.output_tokens, DIGITS),
        "step_usd": round(score.step_usd, USD_DIGITS),
        "expected_usd": round(score.expected_usd, USD_DIGITS),
        "terms": {
            "task_fit": _term(round(score.success, DIGITS), "probability", fit, points.task_fit),
            "benchmark": _term(score.general_percentile, "percentile", general, points.benchmark),
            "price": _term(round(score.turn_usd, USD_DIGITS), "usd", price, points.price),
            "latency": _term(round(score.seconds, DIGITS), "s", seen, points.latency),
            "availability": _term(round(score.availability, DIGITS), "probability", seen, points.availability),
            "stickiness": _term(round(score.warmup_usd, USD_DIGITS), "usd", price, points.stickiness),
        },
    }


def _term(value: float | None, unit: str, source: str, points: float) -> dict[str, Any]:
    return {"value": value, "unit": unit, "source": source, "points": round(points, DIGITS)}


def _rejection(rejection: Rejection) -> dict[str, Any]:
    return {"candidate": rejection.candidate, "reasons": [{"code": r.code, "text": r.text} for r in rejection.reasons]}


def _show(percentile: float | None) -> str:
    return "unknown" if percentile is None else f"{percentile:g}"


def rounded(value: Any) -> Any:
    """A JSON value with every float in it rounded."""
    if isinstance(value, float):
        return round(value, USD_DIGITS)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value
