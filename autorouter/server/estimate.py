"""`POST /v1/estimate`: what a request would cost. The same decision as `/debug/route`, with its plan in dollars.

    usd.low     the calls that are certain, at the lower end of the token estimate
    usd.likely  the decision's own estimate: uncertain calls weighted by their probability (`plan.step_usd`)
    usd.high    all calls at the upper end, which is what is reserved in the budget (`plan.reserve_usd`)

Fallbacks aren't included: failed calls are hardly ever billed. Nothing is called, spent, reserved or recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from autorouter.core.decision.decide import Decision
from autorouter.core.decision.plans import Plan, PlannedCall, review_probability
from autorouter.core.decision.record import USD_DIGITS, allowance_record, refusal_record
from autorouter.core.signals.features import Features
from autorouter.core.types import Strategy
from autorouter.engine.deps import Deps
from autorouter.engine.router import RoutedRequest
from autorouter.receipts.explain import explain_decision
from autorouter.receipts.messages import refusal_message
from autorouter.server.asgi import Receive, Scope, Send, send_json
from autorouter.server.decision import RequestDecider
from autorouter.server.endpoints import CurrentDeps, decide_only

CostRange = dict[str, float]


class EstimateEndpoint:
    """Takes a request of any wire, detected as for `/debug/route`."""

    def __init__(self, deps: CurrentDeps, decider: RequestDecider) -> None:
        self._deps = deps
        self._decider = decider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, estimate(*await decide_only(scope, receive, self._deps(), self._decider)))


def estimate(routed: RoutedRequest, deps: Deps) -> dict[str, Any]:
    """The response. Without a plan, `refusal` says why and the figures are null."""
    decision, features = routed.decision, routed.features
    plan = decision.plan
    calls = () if plan is None else planned_calls(plan, routed)
    document: dict[str, Any] = {
        "object": "autorouter.estimate",
        "label": decision.label,
        "dry_run": deps.dry_run,
        "why": explain_decision(decision, features),
        "strategy": None if plan is None else plan.strategy.value,
        "calls": len(calls),
        "tokens": None,
        "usd": None,
        "phases": [],
        "unpriced": sorted({call.candidate for call in calls if deps.by_id[call.candidate].price is None}),
        "allowance": allowance_record(decision.allowance),
        "refusal": _refusal(decision),
    }
    if plan is not None:
        document |= _figures(plan, calls, features)
    return document


def _refusal(decision: Decision) -> dict[str, Any] | None:
    record = refusal_record(decision.refusal)
    return record and {**record, "message": refusal_message(record, decision.rejections)}


def planned_calls(plan: Plan, routed: RoutedRequest) -> tuple[PlannedCall, ...]:
    """The most calls that the plan makes; for a single plan, the call of its primary."""
    if plan.calls:
        return plan.calls
    score = next(score for score in routed.decision.scores if score.candidate == plan.primary)
    answer = ("answer", plan.primary, score.input_tokens, score.output_tokens, score.step_usd, score.seconds)
    return (PlannedCall(0, *answer),)


def certain_calls(plan: Plan, calls: Sequence[PlannedCall], features: Features) -> int:
    """How many of the calls, counted from the first, are certain. A verified draft may not need a second answer; a draft that may
    need neither verifier nor panel is certain alone."""
    if plan.strategy is Strategy.FUSION:
        return 1 if plan.panel_trigger == "draft" else len(calls)
    if plan.strategy is Strategy.VERIFY:
        return 1 if review_probability(features) < 1.0 else 2
    return len(calls)


def _figures(plan: Plan, calls: Sequence[PlannedCall], features: Features) -> dict[str, Any]:
    certain, error = certain_calls(plan, calls, features), features.input_error
    least_usd = min(plan.step_usd, sum(call.usd for call in calls[:certain])) * (1.0 - error)
    numbered = [(index < certain, call) for index, call in enumerate(calls)]
    phases = groupby(numbered, key=lambda pair: (pair[1].group, pair[1].phase))
    return {
        "tokens": {
            "input": _cost_range(sum(call.input_tokens for call in calls), error),
            "output": _cost_range(sum(call.output_tokens for call in calls), error),
        },
        "usd": {
            "low": round(least_usd, USD_DIGITS),
            "likely": round(plan.step_usd, USD_DIGITS),
            "high": round(plan.reserve_usd, USD_DIGITS),
        },
        "phases": [_phase(group, phase, list(pairs), error) for (group, phase), pairs in phases],
    }


def _phase(group: int, phase: str, pairs: Sequence[tuple[bool, PlannedCall]], error: float) -> dict[str, Any]:
    """One phase, if it is reached. Calls of a group run concurrently."""
    return {
        "group": group,
        "phase": phase,
        "certain": all(sure for sure, _ in pairs),
        "usd": _cost_range(sum(call.usd for _, call in pairs), error),
        "calls": [
            {
                "candidate": call.candidate,
                "certain": sure,
                "input_tokens": _cost_range(call.input_tokens, error),
                "output_tokens": _cost_range(call.output_tokens, error),
                "usd": _cost_range(call.usd, error),
                "wait_s": round(call.seconds, 3),
            }
            for sure, call in pairs
        ],
    }


def _cost_range(value: float, error: float) -> CostRange:
    """Low, likely and high: the estimate with its error in decisions."""
    return {
        "low": round(value * (1.0 - error), USD_DIGITS),
        "likely": round(value, USD_DIGITS),
        "high": round(value * (1.0 + error), USD_DIGITS),
    }
