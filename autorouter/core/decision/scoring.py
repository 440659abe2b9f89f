"""Kept candidates -> scores in points, in a total order. Six terms, and they add up:

    task fit      100 * stakes * (P(kind) - P(general))        what knowing the kind of work adds or takes
    benchmark     100 * stakes * P(general)                    the prior: general percentile against the difficulty
    price         -lambda * USD of the expected steps of this turn, with a warm cache
    latency       -mu * seconds of this step
    availability  -100 * stakes * P(kind) * (1 - availability)
    stickiness    -lambda * USD to warm a cache that is cold   0 for a warm incumbent

    P(x) = (1 - slip) * sigmoid(discrimination * (percentile[x] / 100 - difficulty))

A score depends on its own candidate only, so that adding or removing others never reorders the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp
from typing import NamedTuple

from autorouter.core.decision import cost
from autorouter.core.decision.cost import StepTokens
from autorouter.core.policy import Policy, Tuning
from autorouter.core.signals.features import Features
from autorouter.core.state import health
from autorouter.core.state.session import warm_tokens
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import SKILL_BY_KIND, Candidate, Price


class ScorePoints(NamedTuple):
    """The six terms of one score; their sum is the score. (Made for every candidate of every request, a named tuple costs
    a quarter of a frozen dataclass.)"""

    task_fit: float
    benchmark: float
    price: float
    latency: float
    availability: float
    stickiness: float

    def total(self) -> float:
        return self.task_fit + self.benchmark + self.price + self.latency + self.availability + self.stickiness


class Score(NamedTuple):
    """A candidate's score with the raw values behind its points.

    `success` is P(kind), `percentile` the benchmark column of the kind (`unknown` where nobody measured it), `turn_usd`
    the expected steps with a warm cache, `warmup_usd` what a cold cache costs once, `step_usd` this step alone with the
    warm-up, `seconds` this step's. `price_assumed`: the price is unknown and was assumed, not zero.
    """

    candidate: str
    points: ScorePoints
    total: float
    success: float
    skill: str
    percentile: float | None
    general_percentile: float | None
    input_tokens: float
    output_tokens: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    seconds: float
    availability: float
    samples: int
    price_assumed: bool

    @property
    def expected_usd(self) -> float:
        """All-in: the turn's steps and the warm-up."""
        return self.turn_usd + self.warmup_usd


def success_probability(percentile: float | None, difficulty: float, tuning: Tuning) -> float:
    """Chance 0..1 that a model of this percentile succeeds."""
    known = tuning.unknown_percentile if percentile is None else percentile
    return (1.0 - tuning.slip) / (1.0 + exp(-tuning.discrimination * (known / 100.0 - difficulty)))


def step_tokens(features: Features, ratio: float, tuning: Tuning, output_limit: int) -> StepTokens:
    """The step's tokens as this candidate counts them: `ratio` is what it billed over what was estimated."""
    tokens = features.input_tokens * ratio
    prefix = 0.0 if features.phase == "housekeeping" else tokens * tuning.cacheable_share
    return StepTokens(prefix=prefix, new=tokens - prefix, output=min(features.output_tokens, float(output_limit)))


def score_candidate(
    candidate: Candidate, features: Features, snapshot: Snapshot, policy: Policy, usd_weight: float
) -> Score:
    """Score one candidate; `usd_weight` is the policy's, worked out once for all of them."""
    tuning = policy.tuning
    seen = snapshot.health_of(candidate.id)
    skill = SKILL_BY_KIND[features.kind]
    percentile: float | None = getattr(candidate.benchmarks, skill)
    general = candidate.benchmarks.general
    if percentile is None:
        percentile = general
    p_kind = success_probability(percentile, features.difficulty, tuning)
    p_general = success_probability(general, features.difficulty, tuning)

    price: Price = cost.price_of(candidate, tuning)
    load = step_tokens(features, seen.input_ratio or 1.0, tuning, candidate.output_tokens)
    step_usd = cost.step_usd(price, load)
    turn_usd = step_usd * features.expected_steps
    warmup_usd = cost.warmup_usd(price, load, warm_tokens(snapshot.session, candidate, snapshot.now_s))

    seconds = health.ttft_s(candidate, seen) + load.output / health.throughput(candidate, seen)
    up = health.availability(candidate, seen, tuning)
    worth = 100.0 * features.stakes
    points = ScorePoints(
        worth * (p_kind - p_general),
        worth * p_general,
        0.0 - usd_weight * turn_usd,
        0.0 - tuning.points_per_s * seconds,
        0.0 - worth * p_kind * (1.0 - up),
        0.0 - usd_weight * warmup_usd,  # 0.0 - x: no minus zero in a table
    )
    return Score(
        candidate.id,
        points,
        points.total(),
        p_kind,
        skill,
        percentile,
        general,
        load.prefix + load.new,
        load.output,
        step_usd + warmup_usd,
        turn_usd,
        warmup_usd,
        seconds,
        up,
        seen.samples,
        candidate.price is None,
    )


def rank(candidates: Iterable[Candidate], features: Features, snapshot: Snapshot, policy: Policy) -> tuple[Score, ...]:
    """Best first. Equal scores: the cheaper, then the id, so that the order is total."""
    usd_weight = policy.usd_weight()
    scores = [score_candidate(candidate, features, snapshot, policy, usd_weight) for candidate in candidates]
    scores.sort(key=lambda s: (-s.total, s.expected_usd, s.candidate))
    return tuple(scores)
