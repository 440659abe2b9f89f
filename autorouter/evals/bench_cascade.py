"""Cheap first, then the strong model: what escalating by the cheap run's own course is worth, and what a verdict adds.

The signals are those that a router has for nothing when the cheap run ends: its API calls, its cost, its growth, and how long
the task's text is. On dev two lines are fitted on them, what the strong model gains and whether the cheap run has failed;
dev itself is cross-validated. Escalated first is where the expected gain is highest.

A verdict is simulated: it accepts right answers with chance TPR and rejects wrong ones with chance TNR, independently of the
task, so that its figures are expected values. Both together are Bayes' rule on the chance that the run has failed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from statistics import pstdev

from autorouter.evals import logistic
from autorouter.evals.bench_metrics import Point, curve_value, upper_hull
from autorouter.evals.bench_sets import OutcomeRow, OutcomeSet
from autorouter.evals.statistics import mean, ordered_share

COSTS = (0.50, 0.55, 0.60, 0.65, 0.80)
"""Shares of the best single model's cost at which the curve is read."""
FOLDS, REPEATS = 5, 10
RIDGE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRow:
    """A task: what both models made of it, and what the cheap run's course tells: the strong model's expected gain, and the
    chance that the cheap run has failed."""

    cheap_quality: float
    cheap_usd: float
    strong_quality: float
    strong_usd: float
    best_quality: float
    best_usd: float
    gain: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A chain of two models on a set's scored rows."""

    cheap: str
    strong: str
    rows: tuple[CascadeRow, ...]
    fixes: float
    spoils: float

    @property
    def best_quality(self) -> float:
        return mean([row.best_quality for row in self.rows])

    @property
    def best_usd(self) -> float:
        return mean([row.best_usd for row in self.rows])

    @property
    def auc(self) -> float:
        """How well the run's course tells a failed cheap run from a solved one."""
        return ordered_share(
            [row.failed for row in self.rows if row.cheap_quality >= 0.5],
            [row.failed for row in self.rows if row.cheap_quality < 0.5],
        )


def run_signals(row: OutcomeRow, model: int) -> tuple[float, ...]:
    """Run length, cost and growth of a run, and the length of the task's text."""
    calls, usd = max(1.0, row.calls[model]), max(1e-6, row.usd[model])
    return (log(calls), log(usd), calls, log(max(1, len(row.text))))


def build_cascade(outcomes: OutcomeSet) -> Cascade | None:
    """The set's cascade; None where it has no calls or no chain is known for it."""
    if outcomes.cascade is None or not outcomes.dev[0].calls:
        return None
    cheap, strong = outcomes.cascade
    best = max(outcomes.pool, key=outcomes.dev_quality)
    wrong = [row for row in outcomes.dev if row.quality[cheap] < 0.5]
    right = [row for row in outcomes.dev if row.quality[cheap] >= 0.5]
    gains = _predictions(outcomes, cheap, [row.quality[strong] - row.quality[cheap] for row in outcomes.dev])
    failures = _predictions(outcomes, cheap, [1.0 - row.quality[cheap] for row in outcomes.dev])
    return Cascade(
        cheap=outcomes.models[cheap],
        strong=outcomes.models[strong],
        rows=tuple(
            CascadeRow(
                cheap_quality=row.quality[cheap],
                cheap_usd=row.usd[cheap],
                strong_quality=row.quality[strong],
                strong_usd=row.usd[strong],
                best_quality=row.quality[best],
                best_usd=row.usd[best],
                gain=gain,
                failed=min(0.99, max(0.01, failed)),
            )
            for row, gain, failed in zip(outcomes.scored, gains, failures, strict=True)
        ),
        fixes=mean([row.quality[strong] for row in wrong]),
        spoils=mean([1.0 - row.quality[strong] for row in right]),
    )


def _predictions(outcomes: OutcomeSet, cheap: int, targets: Sequence[float]) -> list[float]:
    """A ridge line on the run's signals for every scored row, fitted on dev; for dev the mean of many cross-validations."""
    inputs = [run_signals(row, cheap) for row in outcomes.dev]
    if outcomes.scored is not outcomes.dev:
        predict = _ridge(inputs, targets)
        return [predict(run_signals(row, cheap)) for row in outcomes.scored]
    totals, order = [0.0] * len(inputs), list(range(len(inputs)))
    draw = random.Random(1)  # noqa: S311  (statistics, no secret)
    for _ in range(REPEATS):
        draw.shuffle(order)
        for fold in range(FOLDS):
            held_out = set(order[fold::FOLDS])
            kept = [n for n in order if n not in held_out]
            predict = _ridge([inputs[n] for n in kept], [targets[n] for n in kept])
            for n in held_out:
                totals[n] += predict(inputs[n]) / REPEATS
    return totals


def _ridge(inputs: Sequence[Sequence[float]], targets: Sequence[float]) -> Callable[[Sequence[float]], float]:
    """Ridge regression on standardised inputs."""
    columns = list(zip(*inputs, strict=True))
    means, deviations = [mean(c) for c in columns], [pstdev(c) or 1.0 for c in columns]

    def standardised(row: Sequence[float]) -> list[float]:
        return [1.0, *((x - m) / d for x, m, d in zip(row, means, deviations, strict=True))]

    rows = [standardised(row) for row in inputs]
    size = len(rows[0])
    matrix = [
        [sum(x[i] * x[j] for x in rows) + (RIDGE if i == j and i else 0.0) for j in range(size)] for i in range(size)
    ]
    right = [sum(x[i] * y for x, y in zip(rows, targets, strict=True)) for i in range(size)]
    weights = logistic.solve(matrix, right)
    return lambda row: logistic.dot(standardised(row), weights)


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
        gain = row.gain if run_length else base * cascade.fixes - (1.0 - base) * cascade.spoils
        # How often the strong model mends such a run, so that a verdict moves the gain as it moves the chance of failure.
        fixes = min(1.0, max(0.0, (gain + (1.0 - failed) * cascade.spoils) / failed))
        items += [
            (chance * fixes - (1.0 - chance) * cascade.spoils if verifier else gain, share, row)
            for share, chance in _verdicts(row, failed, verifier)
        ]
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
