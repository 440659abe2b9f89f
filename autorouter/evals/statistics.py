"""Paired statistics of small samples, without a library.

wilson(7, 10)                  (0.397, 0.892)    interval of a share
bootstrap([1, 0, 1, …])        (low, high)       interval of the mean of paired differences, seeded
mcnemar(8, 1)                  0.039             exact two-sided p: only discordant pairs speak
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, log2, sqrt

Z95 = 1.959963984540054
"""The normal quantile of a two-sided interval of 95 %."""
RESAMPLES = 2_000
"""Percentiles of 2.5 % then rest on 50 resamples; the interval's own noise is below a tenth of its width."""
EPSILON = 1e-9
"""Scores closer than this are a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedStatistics:
    """`ours` against `theirs` on the same cases; a difference above 0 speaks for ours."""

    cases: int
    mean_difference: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def wilson(successes: float, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return (0.0, 1.0)
    share = successes / trials
    spread = z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return (max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(differences: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Percentile interval (95 %) of the mean, by drawing cases with replacement. The same seed gives the same interval."""
    if not differences:
        return (0.0, 0.0)
    draw = random.Random(seed)  # noqa: S311  (statistics, no secret)
    size = len(differences)
    means = sorted(sum(draw.choices(differences, k=size)) / size for _ in range(resamples))
    return (means[round(0.025 * (resamples - 1))], means[round(0.975 * (resamples - 1))])


def compare_paired(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> PairedStatistics:
    """Compare two rows of scores, case by case. ValueError for rows of different lengths."""
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    low, high = bootstrap(differences, seed=seed)
    wins = sum(d > EPSILON for d in differences)
    losses = sum(d < -EPSILON for d in differences)
    return PairedStatistics(
        cases=len(differences),
        mean_difference=mean(differences),
        low=low,
        high=high,
        wins=wins,
        ties=len(differences) - wins - losses,
        losses=losses,
    )


def mcnemar(only_ours: int, only_theirs: int) -> float:
    """Exact McNemar test: the chance of so lopsided a split of the discordant pairs were both equally good; two-sided."""
    discordant = only_ours + only_theirs
    if discordant == 0:
        return 1.0
    lopsided = sum(comb(discordant, k) for k in range(min(only_ours, only_theirs) + 1))
    return min(1.0, 2 * lopsided / (1 << discordant))


def entropy(counts: Sequence[int]) -> float:
    """Bits of a choice: 0 where one is always chosen, log2(n) where n are chosen equally often."""
    total = sum(counts)
    return 0.0 - sum(n / total * log2(n / total) for n in counts if n)


def ordered_share(low: Sequence[float], high: Sequence[float]) -> float:
    """How often a member of `high` is above one of `low`, ties half (the area under the ROC curve); 0.5 is chance."""
    if not low or not high:
        return 0.5
    return sum(1.0 if b > a else 0.5 if b == a else 0.0 for a in low for b in high) / (len(low) * len(high))
