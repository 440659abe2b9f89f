"""The constants of P = sigmoid(c + a * percentile / 100 + b * difficulty), fitted on recorded outcomes.

Every set counts the same, however many rows it has, and has a level of its own while the slopes are fitted: ranks within a set
say nothing of how able its models are beside those of another, and without that a set of weak models on easy prompts would
turn the slope on difficulty around. The level is the mean of the sets' levels.

Rows of the same percentile and difficulty are counted together: ten thousand prompts have a few hundred different
difficulties once these are rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from autorouter.evals import logistic
from autorouter.evals.bench_metrics import brier, ece
from autorouter.evals.statistics import mean


class OutcomeCell(NamedTuple):
    """A prompt of this difficulty, asked of a model of this percentile: how good the answer was, 0..1."""

    percentile: float
    difficulty: float
    quality: float


class SuccessConstants(NamedTuple):
    """c, a and b."""

    level: float
    percentile_slope: float
    difficulty_slope: float

    def chance(self, cell: OutcomeCell) -> float:
        return logistic.sigmoid(
            self.level + self.percentile_slope * cell.percentile / 100 + self.difficulty_slope * cell.difficulty
        )


class CalibrationFigures(NamedTuple):
    """How well claimed chances come true."""

    cells: int
    claimed: float
    observed: float
    brier: float
    ece: float


def fit_constants(sets: Sequence[Sequence[OutcomeCell]], levels: Collection[int] | None = None) -> SuccessConstants:
    """The constants that fit all sets, each with the same weight and a level of its own. `levels`: the sets (by their place)
    whose levels count; all unless given."""
    rows, outcomes, weights = [], [], []
    for place, cells in enumerate(sets):
        own = [1.0 if place == other else 0.0 for other in range(1, len(sets))]
        groups: dict[tuple[float, float], list[float]] = defaultdict(list)
        for cell in cells:
            groups[round(cell.percentile, 2), round(cell.difficulty, 2)].append(cell.quality)
        for (percentile, difficulty), qualities in groups.items():
            rows.append((1.0, percentile / 100, difficulty, *own))
            outcomes.append(sum(qualities) / len(qualities))
            weights.append(len(qualities) / len(cells))
    first, ability, difficulty_slope, *others = logistic.fit(rows, outcomes, weights=weights)
    of_sets = [first, *(first + other for other in others)]
    return SuccessConstants(mean([of_sets[place] for place in levels or range(len(sets))]), ability, difficulty_slope)


def figures(claimed: Sequence[float], cells: Sequence[OutcomeCell]) -> CalibrationFigures:
    """Claims against the cells' outcomes."""
    observed = [cell.quality for cell in cells]
    return CalibrationFigures(
        len(cells),
        sum(claimed) / len(claimed),
        sum(observed) / len(observed),
        brier(claimed, observed),
        ece(claimed, observed),
    )


def leave_one_out(sets: Mapping[str, Sequence[OutcomeCell]]) -> dict[str, tuple[SuccessConstants, CalibrationFigures]]:
    """For each set the constants that the others give, and how well these predict it."""
    result = {}
    for name, cells in sets.items():
        others = [other for key, other in sets.items() if key != name]
        if others:
            constants = fit_constants(others)
            result[name] = (constants, figures([constants.chance(cell) for cell in cells], cells))
    return result
