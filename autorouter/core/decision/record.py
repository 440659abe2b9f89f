"""A decision as a record: what a receipt keeps and `/debug/route` shows. Every number has its unit and its source.

    {"label": "openfusion/auto", "dial": 5.0, "plan": {...}, "scores": [{"candidate": "cheap", "total": 96.4, "points":
     {"task_fit": -1.2, "benchmark": 99.1, ...}, "success": 0.93, "percentile": 48.0, "turn_usd": 0.0012, "wait_s": 2.1,
     "price_source": "configured", "health_source": "measured", "health_samples": 12, ...}], "rejections": [...], ...}

Each record's type is its only definition: the functions that build it return that type, and the JSON Schema is generated from
it. Units end a name. Computed numbers are rounded to `DIGITS` decimals, for math.exp may differ by a last bit between
platforms; inputs are kept exactly, elsewhere on the receipt.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from autorouter.core.codec import to_plain
from autorouter.core.decision.cost import Allowance
from autorouter.core.decision.decide import Decision, RoutingRefusal
from autorouter.core.decision.eligibility import Rejection
from autorouter.core.decision.plans import PanelTrigger, Plan, PlannedCall
from autorouter.core.decision.scoring import Score
from autorouter.core.decision.stickiness import Switch, SwitchVerdict
from autorouter.core.panels import PanelMethod
from autorouter.core.reasons import ReasonCode, ReasonRecord, reason_record
from autorouter.core.types import Strategy

DIGITS, USD_DIGITS = 6, 9
"""Dollars of a single step are small: their last digits count."""


class PointsRecord(TypedDict):
    """The six terms of a score, in percentage points of the chance that the step succeeds; they add up to its total."""

    task_fit: float
    benchmark: float
    price: float
    latency: float
    availability: float
    stickiness: float


class ScoreRecord(TypedDict):
    """A candidate that may serve. `success` and `availability` are probabilities 0..1; percentiles 0..100 are configured;
    `turn_usd` is the turn's expected steps with a warm cache, `warmup_usd` what a cold one costs once, `step_usd` this
    step with its warm-up, `wait_s` this step's seconds. `price_source`: `assumed` where the price is unknown.
    `health_source`: of `wait_s` and `availability`; `measured` are `health_samples` answers, beside what is configured."""

    candidate: str
    total: float
    points: PointsRecord
    success: float
    skill: str
    percentile: float | None
    general_percentile: float | None
    input_tokens: float
    output_tokens: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    wait_s: float
    availability: float
    price_source: Literal["configured", "assumed"]
    health_source: Literal["configured", "measured"]
    health_samples: int


class RejectionRecord(TypedDict):
    """A candidate that can't serve, with every reason."""

    candidate: str
    reasons: list[ReasonRecord]


class PlanPointsRecord(TypedDict):
    """A plan's utility in points."""

    success: float
    price: float
    latency: float
    stickiness: float


class CallRecord(TypedDict):
    """A call of a plan, counted beforehand; calls of one `group` run at the same time."""

    group: int
    phase: str
    candidate: str
    input_tokens: float
    output_tokens: float
    usd: float
    seconds: float


class PlanRecord(TypedDict):
    """A strategy with its models. `reserve_usd`: what is held back of the budget until usage is known. `panel_trigger`: a
    panel works at once, or joins after the lead's draft. `calls`: those of verify and fusion, at the most."""

    strategy: Strategy
    primary: str
    verifier: str | None
    members: list[str]
    judge: str | None
    synthesizer: str | None
    escalation: str | None
    panel_name: str | None
    method: PanelMethod | None
    panel_trigger: PanelTrigger
    calls: list[CallRecord]
    success: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    reserve_usd: float
    wait_s: float
    points: PlanPointsRecord
    total: float


class BreakEvenRecord(TypedDict):
    """The arithmetic of leaving `incumbent` for `candidate`. `steps` null: it never pays back."""

    incumbent: str
    candidate: str
    once_usd: float
    gain_usd_per_step: float
    steps: float | None
    expected_steps: float


class SwitchRecord(TypedDict):
    """Whether the session leaves its incumbent, and why."""

    verdict: SwitchVerdict
    reason: ReasonRecord
    candidate: str
    incumbent: str | None
    break_even: BreakEvenRecord | None


class AllowanceRecord(TypedDict):
    """The tightest cap."""

    cap: str
    left_usd: float


class RefusalRecord(TypedDict):
    """Why nothing can serve the request; a reason of its own, and when a candidate will be back, if one is cooling down."""

    code: ReasonCode
    params: dict[str, Any]
    retry_after_s: float | None


class DecisionRecord(TypedDict):
    """What was decided. `notes`: what was requested, or would be best, and isn't done."""

    label: str
    dial: float
    usd_weight_points_per_usd: float
    plan: PlanRecord | None
    fallbacks: list[str]
    switch: SwitchRecord | None
    scores: list[ScoreRecord]
    rejections: list[RejectionRecord]
    plans: list[PlanRecord]
    allowance: AllowanceRecord | None
    notes: list[ReasonRecord]
    refusal: RefusalRecord | None


def decision_record(decision: Decision) -> DecisionRecord:
    """The whole decision as a JSON value."""
    plans = [plan_record(plan) for plan in decision.plans]
    chosen = next((index for index, plan in enumerate(decision.plans) if plan is decision.plan), None)
    return {
        "label": decision.label,
        "dial": decision.dial,
        "usd_weight_points_per_usd": round(decision.usd_weight, DIGITS),
        "plan": _chosen_plan(decision, plans, chosen),
        "fallbacks": list(decision.fallbacks),
        "switch": _switch(decision.switch),
        "scores": [score_record(score) for score in decision.scores],
        "rejections": [_rejection(r) for r in decision.rejections],
        "plans": plans,
        "allowance": allowance_record(decision.allowance),
        "notes": [reason_record(note) for note in decision.notes],
        "refusal": refusal_record(decision.refusal),
    }


def _chosen_plan(decision: Decision, plans: list[PlanRecord], chosen: int | None) -> PlanRecord | None:
    """The same record as among `plans` where it is one of them: building it twice would cost time for every request."""
    if chosen is not None:
        return plans[chosen]
    return None if decision.plan is None else plan_record(decision.plan)


def plan_record(plan: Plan) -> PlanRecord:
    """A plan with its chance of success, its cost and its points."""
    points, panel = plan.points, plan.panel
    return {
        "strategy": plan.strategy,
        "primary": plan.primary,
        "verifier": plan.verifier,
        "members": list(plan.members),
        "judge": plan.judge,
        "synthesizer": plan.synthesizer,
        "escalation": plan.escalation,
        "panel_name": panel.name if panel else None,
        "method": panel.way if panel else None,
        "panel_trigger": plan.panel_trigger,
        "calls": [call_record(call) for call in plan.calls],
        "success": round(plan.success, DIGITS),
        "step_usd": round(plan.step_usd, USD_DIGITS),
        "turn_usd": round(plan.turn_usd, USD_DIGITS),
        "warmup_usd": round(plan.warmup_usd, USD_DIGITS),
        "reserve_usd": round(plan.reserve_usd, USD_DIGITS),
        "wait_s": round(plan.seconds, DIGITS),
        "points": {
            "success": round(points.success, DIGITS),
            "price": round(points.price, DIGITS),
            "latency": round(points.latency, DIGITS),
            "stickiness": round(points.stickiness, DIGITS),
        },
        "total": round(plan.total, DIGITS),
    }


def call_record(call: PlannedCall) -> CallRecord:
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


def score_record(score: Score) -> ScoreRecord:
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
        "price_source": "assumed" if score.price_assumed else "configured",
        "health_source": "measured" if score.samples else "configured",
        "health_samples": score.samples,
    }


def _rejection(rejection: Rejection) -> RejectionRecord:
    return {"candidate": rejection.candidate, "reasons": [reason_record(reason) for reason in rejection.reasons]}


def _switch(switch: Switch | None) -> SwitchRecord | None:
    if switch is None:
        return None
    return {
        "verdict": switch.verdict,
        "reason": reason_record(switch.reason),
        "candidate": switch.candidate,
        "incumbent": switch.incumbent,
        "break_even": None if switch.break_even is None else round_floats(to_plain(switch.break_even)),
    }


def allowance_record(allowance: Allowance | None) -> AllowanceRecord | None:
    """The tightest cap; None where nothing is capped."""
    if allowance is None:
        return None
    return {"cap": allowance.cap, "left_usd": round(allowance.left_usd, USD_DIGITS)}


def refusal_record(refusal: RoutingRefusal | None) -> RefusalRecord | None:
    """A refusal with its figures."""
    if refusal is None:
        return None
    why, retry_after_s = reason_record(refusal.reason), refusal.retry_after_s
    return {
        "code": why["code"],
        "params": why["params"],
        "retry_after_s": None if retry_after_s is None else round(retry_after_s, USD_DIGITS),
    }


def round_floats(value: Any) -> Any:
    """A JSON value with every float in it rounded."""
    if isinstance(value, float):
        return round(value, USD_DIGITS)
    if isinstance(value, dict):
        return {key: round_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_floats(item) for item in value]
    return value
