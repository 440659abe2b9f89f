"""Plans: a strategy with its models filled in, its chance of success, its cost and its utility in points.

    U = 100 * stakes * P * availability  -  lambda * USD (turn and warm-up)  -  mu * seconds  -  nu * silent seconds

    single   P of the primary
    verify   see `verified`        fusion   see `fused`

Which plans are compared doesn't depend on the dial: only then does turning it towards cheap never raise the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from autorouter.core.decision.scoring import Score
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features
from autorouter.core.types import Strategy


@dataclass(frozen=True, slots=True)
class PlanPoints:
    """The summands of a plan's utility, in points."""

    success: float
    price: float
    latency: float
    stickiness: float

    def total(self) -> float:
        return self.success + self.price + self.latency + self.stickiness


class PlannedCall(NamedTuple):
    """One upstream call of a plan. Input holds what is fed onward to it; calls of the same `group` run at the same time."""

    group: int
    phase: str
    candidate: str
    input_tokens: float
    output_tokens: float
    usd: float
    seconds: float


PanelTrigger = Literal["now", "draft"]
"""When a panel works: at once, or after the lead's draft has turned out to be a final answer or a risky call."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`step_usd` is this request alone (all its calls), `turn_usd` the expected rest of the turn, warm;
    `reserve_usd` what this request may cost at the upper end of the token estimate. `calls`: those that verify and fusion
    make (empty for single: the primary's). `escalation`: who answers where the verifier rejects the draft, None: the
    primary itself, told why. `recipe`: the panel with its way, as it was when the plan was made."""

    strategy: Strategy
    primary: str
    verifier: str | None
    members: tuple[str, ...]
    judge: str | None
    success: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    reserve_usd: float
    seconds: float
    points: PlanPoints
    total: float
    escalation: str | None = None
    synthesizer: str | None = None
    panel: Panel | None = None
    panel_trigger: PanelTrigger = "now"
    calls: tuple[PlannedCall, ...] = ()

    @property
    def expected_usd(self) -> float:
        return self.turn_usd + self.warmup_usd

    def usd_of(self, phase: str) -> float:
        """USD of all planned calls of a phase."""
        return sum(call.usd for call in self.calls if call.phase == phase)


class JudgeCandidate(NamedTuple):
    """A candidate as verifier or judge: `quality` is the chance that it tells right from wrong at this difficulty."""

    candidate: str
    quality: float
    usd: float
    seconds: float


def plan_sort_key(plan: Plan) -> tuple[float, float, str]:
    """Sort key: the highest utility, then the cheaper, then the name."""
    return (-plan.total, plan.expected_usd, plan.primary)


PlanFilter = Callable[[str, float], bool]
"""Whether a plan may be chosen, by its primary and the USD that it reserves: the switch gate, and the budget."""


def best_single_plan(scores: Sequence[Score], features: Features, may: PlanFilter) -> Plan | None:
    """The best single plan; its utility is the score, so that the first one that may be chosen is it."""
    reserve = 1.0 + features.input_error
    for score in scores:
        if may(score.candidate, score.step_usd * reserve):
            return single_plan(score, features)
    return None


def single_plan(score: Score, features: Features) -> Plan:
    """The plan of one candidate answering alone."""
    points = score.points
    success = points.task_fit + points.benchmark + points.availability
    return Plan(
        Strategy.SINGLE,
        score.candidate,
        None,
        (),
        None,
        score.success,
        score.step_usd,
        score.turn_usd,
        score.warmup_usd,
        score.step_usd * (1.0 + features.input_error),
        score.seconds,
        PlanPoints(success, points.price, points.latency, points.stickiness),
        score.total,
    )


def review_probability(features: Features) -> float:
    """How often a second look happens at all, 0..1. With tools most drafts are plain calls, which are let go as soon as that
    is certain; looked at is the one that ends the turn, of as many steps as are expected, and the risky ones."""
    if not features.tools or features.phase == "housekeeping":
        return 1.0
    return max(1.0 / max(1.0, features.expected_steps), features.risk.value)


class PlanEstimate(NamedTuple):
    """A plan's figures before it is known to be the best of its kind. `rank` sorts best first; `silent_s` of its seconds are
    those in which nobody may read along."""

    rank: tuple[float, float, str]
    success: float
    extra_usd: float
    seconds: float
    reserve_usd: float
    silent_s: float


def estimate_plan(
    lead: Score,
    features: Features,
    p: float,
    extra_usd: float,
    seconds: float,
    silent_s: float,
    policy: Policy,
    usd_weight: float,
) -> PlanEstimate:
    """The figures of a plan led by `lead`: P `p`, `extra_usd` beyond its own step, and the step's seconds, in all and silent."""
    expected_usd = lead.turn_usd + extra_usd + lead.warmup_usd
    worth = 100.0 * features.stakes * p * lead.availability
    total = worth - usd_weight * expected_usd - _patience(policy, seconds, silent_s)
    reserve_usd = (lead.step_usd + extra_usd) * (1.0 + features.input_error)
    return PlanEstimate((-total, expected_usd, lead.candidate), p, extra_usd, seconds, reserve_usd, silent_s)


def _patience(policy: Policy, seconds: float, silent_s: float) -> float:
    """What waiting costs, in points."""
    return policy.tuning.points_per_s * seconds + policy.tuning.points_per_silent_s * silent_s


def build_plan(
    strategy: Strategy,
    lead: Score,
    drafted: PlanEstimate,
    features: Features,
    policy: Policy,
    *,
    calls: Sequence[PlannedCall],
    verifier: str | None = None,
    escalation: str | None = None,
    panel: tuple[str, ...] = (),
    judge: str | None = None,
    synthesizer: str | None = None,
    recipe: Panel | None = None,
    moment: PanelTrigger = "now",
) -> Plan:
    """The plan of a draft that was found best."""
    usd_weight = policy.usd_weight()
    turn_usd = lead.turn_usd + drafted.extra_usd
    worth = PlanPoints(
        100.0 * features.stakes * drafted.success * lead.availability,
        0.0 - usd_weight * turn_usd,
        0.0 - _patience(policy, drafted.seconds, drafted.silent_s),
        0.0 - usd_weight * lead.warmup_usd,
    )
    return Plan(
        strategy,
        lead.candidate,
        verifier,
        panel,
        judge,
        drafted.success,
        lead.step_usd + drafted.extra_usd,
        turn_usd,
        lead.warmup_usd,
        drafted.reserve_usd,
        drafted.seconds,
        worth,
        worth.total(),
        escalation,
        synthesizer,
        recipe,
        moment,
        tuple(calls),
    )
