"""The constants of P = sigmoid(c + a * percentile / 100 + b * difficulty), fitted on recorded outcomes.

Every set counts the same, however many rows it has. Rows of the same percentile and difficulty are counted together:
ten thousand prompts have a few hundred different difficulties once these are rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autorouter.evals import logistic
from autorouter.evals.bench_metrics import brier, ece


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


def fit_constants(sets: Sequence[Sequence[OutcomeCell]]) -> SuccessConstants:
    """The constants that fit all sets, each with the same weight."""
    rows, outcomes, weights = [], [], []
    for cells in sets:
        groups: dict[tuple[float, float], list[float]] = defaultdict(list)
        for cell in cells:
            groups[round(cell.percentile, 2), round(cell.difficulty, 2)].append(cell.quality)
        for (percentile, difficulty), qualities in groups.items():
            rows.append((1.0, percentile / 100, difficulty))
            outcomes.append(sum(qualities) / len(qualities))
            weights.append(len(qualities) / len(cells))
    return SuccessConstants(*logistic.fit(rows, outcomes, weights=weights))


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
