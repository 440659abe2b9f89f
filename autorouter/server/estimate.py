"""`POST /v1/estimate`: what a request would cost, before it is asked. The same decision as `/debug/route`, its plan in dollars.

    usd.low     the calls that are made whatever comes, at the lower end of the token estimate
    usd.likely  what the decision reckons with: calls that may be spared count with their chance (`plan.step_usd`)
    usd.high    all calls at the upper end: what is held back of the budget (`plan.reserve_usd`)

Fallbacks aren't in it: a failed call is hardly ever billed. Nothing is called, spent, held back or recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decision.explain import explain_decision
from autorouter.core.decision.plans import Plan, PlannedCall, review_probability
from autorouter.core.decision.record import USD_DIGITS, round_floats
from autorouter.core.signals.features import Features
from autorouter.core.types import Strategy
from autorouter.engine.deps import Deps
from autorouter.engine.router import RoutedRequest
from autorouter.server.admission import Admission
from autorouter.server.asgi import Receive, Scope, Send, send_json
from autorouter.server.endpoints import CurrentDeps, decide_only

CostRange = dict[str, float]


class EstimateEndpoint:
    """Takes the body of a request of any wire, told apart as for `/debug/route`."""

    def __init__(self, deps: CurrentDeps, admission: Admission) -> None:
        self._deps = deps
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, estimate(*await decide_only(scope, receive, self._deps(), self._admission)))


def estimate(routed: RoutedRequest, deps: Deps) -> dict[str, Any]:
    """The answer. Without a plan `refusal` says why, and the figures are null."""
    decision, features = routed.decision, routed.features
    plan = decision.plan
    calls = () if plan is None else planned_calls(plan, routed)
    found: dict[str, Any] = {
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
        "allowance": round_floats(to_plain(decision.allowance)),
        "refusal": round_floats(to_plain(decision.refusal)),
    }
    if plan is not None:
        found |= _figures(plan, calls, features)
    return found


def planned_calls(plan: Plan, routed: RoutedRequest) -> tuple[PlannedCall, ...]:
    """The plan's calls at the most; of a single plan the one of its primary."""
    if plan.calls:
        return plan.calls
    score = next(score for score in routed.decision.scores if score.candidate == plan.primary)
    answer = ("answer", plan.primary, score.input_tokens, score.output_tokens, score.step_usd, score.seconds)
    return (PlannedCall(0, *answer),)


def certain_calls(plan: Plan, calls: Sequence[PlannedCall], features: Features) -> int:
    """How many of the calls, from the first, are made in any case: of a verified draft not the second answer; where a draft
    may turn out to need neither verifier nor panel, the draft alone."""
    if plan.strategy is Strategy.FUSION:
        return 1 if plan.panel_trigger == "draft" else len(calls)
    if plan.strategy is Strategy.VERIFY:
        return 1 if review_probability(features) < 1.0 else 2
    return len(calls)


def _figures(plan: Plan, calls: Sequence[PlannedCall], features: Features) -> dict[str, Any]:
    sure, error = certain_calls(plan, calls, features), features.input_error
    least_usd = min(plan.step_usd, sum(call.usd for call in calls[:sure])) * (1.0 - error)
    numbered = [(index < sure, call) for index, call in enumerate(calls)]
    phases = groupby(numbered, key=lambda pair: (pair[1].group, pair[1].phase))
    return {
        "tokens": {
            "input": _band(sum(call.input_tokens for call in calls), error),
            "output": _band(sum(call.output_tokens for call in calls), error),
        },
        "usd": {
            "low": round(least_usd, USD_DIGITS),
            "likely": round(plan.step_usd, USD_DIGITS),
            "high": round(plan.reserve_usd, USD_DIGITS),
        },
        "phases": [_phase(group, phase, list(pairs), error) for (group, phase), pairs in phases],
    }


def _phase(group: int, phase: str, pairs: Sequence[tuple[bool, PlannedCall]], error: float) -> dict[str, Any]:
    """One phase as it is if it comes to it. Calls of a group run at the same time."""
    return {
        "group": group,
        "phase": phase,
        "certain": all(sure for sure, _ in pairs),
        "usd": _band(sum(call.usd for _, call in pairs), error),
        "calls": [
            {
                "candidate": call.candidate,
                "certain": sure,
                "input_tokens": _band(call.input_tokens, error),
                "output_tokens": _band(call.output_tokens, error),
                "usd": _band(call.usd, error),
                "wait_s": round(call.seconds, 3),
            }
            for sure, call in pairs
        ],
    }


def _band(value: float, error: float) -> CostRange:
    """Low, likely and high: the estimate with the band that it has in decisions."""
    return {
        "low": round(value * (1.0 - error), USD_DIGITS),
        "likely": round(value, USD_DIGITS),
        "high": round(value * (1.0 + error), USD_DIGITS),
    }
