"""Plans: a strategy with its models filled in, its chance of success, its cost and its utility in points.

    U = 100 * stakes * P * availability  -  lambda * USD (turn and warm-up)  -  mu * seconds  -  nu * silent seconds

    single   P of the primary
    verify   see `verify_plan`        fusion   see `panel_plan`

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPoints:
    """The summands of a plan's utility, in points."""

    success: float
    price: float
    latency: float
    stickiness: float

    def total(self) -> float:
        return self.success + self.price + self.latency + self.stickiness


class PlannedCall(NamedTuple):
    """One upstream call of a plan. Input includes the texts of earlier calls that are passed on to it; calls of the same
    `group` run at the same time."""

    group: int
    phase: str
    candidate: str
    input_tokens: float
    output_tokens: float
    usd: float
    seconds: float


PanelTrigger = Literal["now", "draft"]
"""When a panel works: at once, or after the lead's draft has turned out to be a final answer or a risky call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A strategy with its models, figures and points.

    `step_usd` is this request alone (all its calls), `turn_usd` the expected rest of the turn with a warm cache,
    `reserve_usd` what this request may cost at the upper end of the token estimate. `calls`: those that verify and fusion
    make (empty for single: the primary's). `escalation`: the candidate that answers if the verifier rejects the draft; None:
    the primary itself, with the findings. `panel`: its definition when the plan was made; `members` are candidate ids.
    """

    strategy: Strategy
    primary: str
    success: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    reserve_usd: float
    seconds: float
    points: PlanPoints
    total: float
    verifier: str | None = None
    escalation: str | None = None
    panel: Panel | None = None
    members: tuple[str, ...] = ()
    judge: str | None = None
    synthesizer: str | None = None
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
    """The best single plan. Its utility is the score and `scores` are sorted, so the first allowed one is the best."""
    reserve = 1.0 + features.input_error
    for score in scores:
        if may(score.candidate, score.step_usd * reserve):
            return single_plan(score, features)
    return None


def single_plan(score: Score, features: Features) -> Plan:
    """The plan of one candidate answering alone."""
    terms = score.points
    return Plan(
        strategy=Strategy.SINGLE,
        primary=score.candidate,
        success=score.success,
        step_usd=score.step_usd,
        turn_usd=score.turn_usd,
        warmup_usd=score.warmup_usd,
        reserve_usd=score.step_usd * (1.0 + features.input_error),
        seconds=score.seconds,
        points=PlanPoints(
            success=terms.task_fit + terms.benchmark + terms.availability,
            price=terms.price,
            latency=terms.latency,
            stickiness=terms.stickiness,
        ),
        total=score.total,
    )


def review_probability(features: Features) -> float:
    """Chance 0..1 that a draft of this turn is reviewed at all. With tools most drafts are plain calls, which are released
    as soon as that is certain. Reviewed are the one that ends the turn, of as many steps as are expected, and risky ones."""
    if not features.tools or features.phase == "housekeeping":
        return 1.0
    return max(1.0 / max(1.0, features.expected_steps), features.risk.value)


class PlanEstimate(NamedTuple):
    """A plan's figures before it is known to be the best of its strategy. `rank` sorts best first; during `silent_s` of its
    `seconds` the client sees no text."""

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
    *,
    reserve_usd: float,
) -> PlanEstimate:
    """The figures of a plan led by `lead`: P `p`, `extra_usd` beyond its own step, the step's seconds, in all and silent."""
    expected_usd = lead.turn_usd + extra_usd + lead.warmup_usd
    worth = 100.0 * features.stakes * p * lead.availability
    total = worth - usd_weight * expected_usd - _latency_points(policy, seconds, silent_s)
    return PlanEstimate((-total, expected_usd, lead.candidate), p, extra_usd, seconds, reserve_usd, silent_s)


def _latency_points(policy: Policy, seconds: float, silent_s: float) -> float:
    """What waiting costs, in points."""
    return policy.tuning.points_per_s * seconds + policy.tuning.points_per_silent_s * silent_s


def build_plan(
    strategy: Strategy,
    lead: Score,
    estimate: PlanEstimate,
    features: Features,
    policy: Policy,
    *,
    calls: Sequence[PlannedCall],
    verifier: str | None = None,
    escalation: str | None = None,
    panel: Panel | None = None,
    members: tuple[str, ...] = (),
    judge: str | None = None,
    synthesizer: str | None = None,
    panel_trigger: PanelTrigger = "now",
) -> Plan:
    """The plan of the estimate that ranked best."""
    usd_weight = policy.usd_weight()
    turn_usd = lead.turn_usd + estimate.extra_usd
    points = PlanPoints(
        success=100.0 * features.stakes * estimate.success * lead.availability,
        price=0.0 - usd_weight * turn_usd,
        latency=0.0 - _latency_points(policy, estimate.seconds, estimate.silent_s),
        stickiness=0.0 - usd_weight * lead.warmup_usd,
    )
    return Plan(
        strategy=strategy,
        primary=lead.candidate,
        success=estimate.success,
        step_usd=lead.step_usd + estimate.extra_usd,
        turn_usd=turn_usd,
        warmup_usd=lead.warmup_usd,
        reserve_usd=estimate.reserve_usd,
        seconds=estimate.seconds,
        points=points,
        total=points.total(),
        verifier=verifier,
        escalation=escalation,
        panel=panel,
        members=members,
        judge=judge,
        synthesizer=synthesizer,
        panel_trigger=panel_trigger,
        calls=tuple(calls),
    )
