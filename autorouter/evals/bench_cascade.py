"""Cheap first, then the strong model: what escalating by the cheap run's own course is worth, and what a verdict adds.

The signals are those that a router has for nothing when the cheap run ends: its API calls, its cost, its growth (the cost
of a call). A logistic curve on them, fitted on dev, gives the chance that the run has failed; on dev itself it is
cross-validated. A verdict is simulated: it accepts right answers with chance TPR and rejects wrong ones with chance TNR,
independently of the task, so that its figures are expected values. Both together are Bayes' rule.

Escalated first is where the expected gain is highest: failed(x) * fixes - (1 - failed(x)) * spoils, where `fixes` and
`spoils` are how often the strong model is right where the cheap one is wrong, and the other way round (dev).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from autorouter.evals import logistic
from autorouter.evals.bench_metrics import Point, curve_value, upper_hull
from autorouter.evals.bench_sets import OutcomeRow, OutcomeSet
from autorouter.evals.statistics import mean, ordered_share

COSTS = (0.50, 0.55, 0.60, 0.65, 0.80)
"""Shares of the best single model's cost at which the curve is read."""
FOLDS = 10
RIDGE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRow:
    """A task: what both models made of it, and the chance that the cheap run has failed as its course tells it."""

    cheap_quality: float
    cheap_usd: float
    strong_quality: float
    strong_usd: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A chain of two models on a set's scored rows."""

    cheap: str
    strong: str
    rows: tuple[CascadeRow, ...]
    fixes: float
    spoils: float
    best_quality: float
    best_usd: float

    @property
    def auc(self) -> float:
        """How well the run's course tells a failed cheap run from a solved one."""
        return ordered_share(
            [row.failed for row in self.rows if row.cheap_quality >= 0.5],
            [row.failed for row in self.rows if row.cheap_quality < 0.5],
        )


def run_signals(row: OutcomeRow, model: int) -> tuple[float, ...]:
    """A constant, run length, cost and growth of a run."""
    calls, usd = max(1.0, row.calls[model]), max(1e-6, row.usd[model])
    return (1.0, log(calls), log(usd), calls / 50.0)


def build_cascade(outcomes: OutcomeSet) -> Cascade | None:
    """The set's cascade; None where it has no calls or no chain is known for it."""
    if outcomes.cascade is None or not outcomes.dev[0].calls:
        return None
    cheap, strong = outcomes.cascade
    best = max(outcomes.pool, key=outcomes.dev_quality)
    wrong = [row for row in outcomes.dev if row.quality[cheap] < 0.5]
    right = [row for row in outcomes.dev if row.quality[cheap] >= 0.5]
    return Cascade(
        cheap=outcomes.models[cheap],
        strong=outcomes.models[strong],
        rows=tuple(
            CascadeRow(
                cheap_quality=row.quality[cheap],
                cheap_usd=row.usd[cheap],
                strong_quality=row.quality[strong],
                strong_usd=row.usd[strong],
                failed=failed,
            )
            for row, failed in zip(outcomes.scored, _failure_chances(outcomes, cheap), strict=True)
        ),
        fixes=mean([row.quality[strong] for row in wrong]),
        spoils=mean([1.0 - row.quality[strong] for row in right]),
        best_quality=mean([row.quality[best] for row in outcomes.scored]),
        best_usd=mean([row.usd[best] for row in outcomes.scored]),
    )


def _failure_chances(outcomes: OutcomeSet, cheap: int) -> list[float]:
    if outcomes.scored is not outcomes.dev:
        weights = _failure_weights(outcomes.dev, cheap)
        return [logistic.sigmoid(logistic.dot(run_signals(row, cheap), weights)) for row in outcomes.scored]
    chances = [0.0] * len(outcomes.dev)
    for fold in range(FOLDS):
        weights = _failure_weights([r for n, r in enumerate(outcomes.dev) if n % FOLDS != fold], cheap)
        for n in range(fold, len(outcomes.dev), FOLDS):
            chances[n] = logistic.sigmoid(logistic.dot(run_signals(outcomes.dev[n], cheap), weights))
    return chances


def _failure_weights(rows: Sequence[OutcomeRow], cheap: int) -> list[float]:
    inputs = [run_signals(row, cheap) for row in rows]
    return logistic.fit(inputs, [1.0 - row.quality[cheap] for row in rows], ridge=RIDGE)


def escalation_curve(
    cascade: Cascade, *, run_length: bool = True, verifier: tuple[float, float] | None = None
) -> list[Point]:
    """(mean USD, mean quality) as ever more runs are escalated, those with the highest expected gain first.

    With a verifier each task stands twice, as rejected and as accepted, each with its chance: an exact expectation.
    """
    base = mean([1.0 - row.cheap_quality for row in cascade.rows])
    items: list[tuple[float, float, CascadeRow]] = []
    for row in cascade.rows:
        failed = row.failed if run_length else base
        for share, chance in _verdicts(row, failed, verifier):
            gain = chance * cascade.fixes - (1.0 - chance) * cascade.spoils
            items.append((gain, share, row))
    items.sort(key=lambda item: -item[0])
    usd = sum(row.cheap_usd for row in cascade.rows)
    quality = sum(row.cheap_quality for row in cascade.rows)
    number, points = len(cascade.rows), []
    for place, (gain, share, row) in enumerate(items):
        if place == 0 or items[place - 1][0] != gain:
            points.append((usd / number, quality / number))
        usd += share * row.strong_usd
        quality += share * (row.strong_quality - row.cheap_quality)
    return [*points, (usd / number, quality / number)]


def _verdicts(row: CascadeRow, failed: float, verifier: tuple[float, float] | None) -> list[tuple[float, float]]:
    """(chance of this verdict given the real outcome, chance of failure given the verdict)."""
    if verifier is None:
        return [(1.0, failed)]
    tpr, tnr = verifier
    rejects = (1.0 - row.cheap_quality) * tnr + row.cheap_quality * (1.0 - tpr)
    rejected = failed * tnr / max(1e-9, failed * tnr + (1.0 - failed) * (1.0 - tpr))
    accepted = failed * (1.0 - tnr) / max(1e-9, failed * (1.0 - tnr) + (1.0 - failed) * tpr)
    return [(rejects, rejected), (1.0 - rejects, accepted)]


def quality_at(points: Sequence[Point], usd: float) -> float:
    """The quality of the curve at a cost: points may be mixed at random."""
    return curve_value(upper_hull(points), usd)


def curve_at(points: Sequence[Point], usd: float) -> float:
    """The quality of the curve at a cost, between the two points beside it; no hull is taken."""
    for (c0, q0), (c1, q1) in itertools.pairwise(points):
        if c0 <= usd <= c1:
            return q0 + (q1 - q0) * (usd - c0) / (c1 - c0) if c1 > c0 else q1
    return points[-1][1] if usd > points[-1][0] else points[0][1]
