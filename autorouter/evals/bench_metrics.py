"""The figures of routing research, from recorded outcomes; nothing here knows of the router.

A *point* is (mean cost, mean quality). A *curve* is what a router reaches when its points may be mixed at random: the
upper hull through (0, 0), for asking nobody costs nothing and answers nothing, and flat beyond its best point.

    aiq(points, low, high)       mean of the curve over a range of costs                       RouterBench's AIQ
    mix_at(...)                  the random mix of single models at a cost: what a router must beat
    apgr(...), strong_share_at   how well a score orders prompts by the gain of the strong model     RouteLLM's figures
    brier, ece                   whether a claimed chance comes true
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autorouter.evals.statistics import RESAMPLES, bootstrap, mean

Point = tuple[float, float]
BINS = 10
GROUPS = 500
"""Rows of a large set are dealt into so many groups before they are drawn: the interval stays the same within 3 %."""


def upper_hull(points: Sequence[Point]) -> list[Point]:
    """The corners of the concave, non-decreasing envelope, cheapest first. Dominated points aren't on it."""
    hull: list[Point] = []
    for point in sorted(set(points), key=lambda p: (p[0], -p[1])):
        if hull and point[1] <= hull[-1][1]:
            continue
        while len(hull) >= 2 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def _slope(a: Point, b: Point) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


def curve_value(hull: Sequence[Point], cost: float) -> float:
    """The curve at a cost: between two corners their mix, the last one's quality beyond it."""
    place = bisect_left([corner[0] for corner in hull], cost)
    if place == len(hull):
        return hull[-1][1]
    if place == 0:
        return hull[0][1] if hull[0][0] <= cost else 0.0
    return hull[place - 1][1] + _slope(hull[place - 1], hull[place]) * (cost - hull[place - 1][0])


def aiq(points: Sequence[Point], low: float, high: float) -> float | None:
    """The mean of the curve from `low` to `high`; None where the range is empty."""
    if high <= low:
        return None
    hull = upper_hull([(0.0, 0.0), *points])
    costs = [low, *(c for c, _ in hull if low < c < high), high]
    values = [curve_value(hull, cost) for cost in costs]
    area = sum((values[n] + values[n + 1]) / 2 * (costs[n + 1] - costs[n]) for n in range(len(costs) - 1))
    return area / (high - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixComparison:
    """A router's quality minus that of the random mix of single models at the same mean cost, with its interval."""

    delta: float
    low: float
    high: float


def mix_corners(dev_points: Sequence[Point]) -> list[int]:
    """The single models on the hull of dev, cheapest first, as indices: between neighbours is mixed."""
    return [dev_points.index(corner) for corner in upper_hull(dev_points)]


def compare_with_mix(
    quality: Sequence[float],
    cost: Sequence[float],
    singles: Sequence[tuple[Sequence[float], Sequence[float]]],
    corners: Sequence[int],
    *,
    seed: int = 1,
) -> MixComparison:
    """`singles`: (quality, cost) by row of every model. Paired: each row counts the router against the mix on that row.

    The mix is held at the router's mean cost by its slope there, so that a row that costs more than usual is charged for it.
    """
    at = mean(cost)
    means = [mean(singles[corner][1]) for corner in corners]
    upper = next((n for n, usd in enumerate(means) if usd >= at), None)
    if upper is None or upper == 0:
        base_quality = singles[corners[0 if upper == 0 else -1]][0]
        # Outside of the models' range there is nothing to mix: the nearest one stands for it.
        differences = [q - b for q, b in zip(quality, base_quality, strict=True)]
    else:
        (weak_q, weak_c), (strong_q, strong_c) = singles[corners[upper - 1]], singles[corners[upper]]
        slope = (mean(strong_q) - mean(weak_q)) / (mean(strong_c) - mean(weak_c))
        share = (at - mean(weak_c)) / (mean(strong_c) - mean(weak_c))
        differences = [
            q - (1 - share) * wq - share * sq - slope * (c - (1 - share) * wc - share * sc)
            for q, c, wq, wc, sq, sc in zip(quality, cost, weak_q, weak_c, strong_q, strong_c, strict=True)
        ]
    low, high = paired_interval(differences, seed=seed)
    return MixComparison(delta=mean(differences), low=low, high=high)


def paired_interval(differences: Sequence[float], *, seed: int) -> tuple[float, float]:
    """The bootstrap interval of the mean; rows of a large set are drawn by groups."""
    if len(differences) <= 2 * GROUPS:
        return bootstrap(differences, seed=seed)
    order = list(differences)
    random.Random(seed).shuffle(order)  # noqa: S311  (statistics, no secret)
    return bootstrap([mean(order[n::GROUPS]) for n in range(GROUPS)], seed=seed, resamples=RESAMPLES)


def gain_curve(scores: Sequence[float], strong: Sequence[float], weak: Sequence[float]) -> list[Point]:
    """(share of prompts that go to the strong model, mean quality), the highest score first. Equal scores go together, so
    that their order can't matter: between two points the curve is straight."""
    order = sorted(range(len(scores)), key=lambda n: -scores[n])
    total, points = sum(weak), [(0.0, mean(weak))]
    for place, n in enumerate(order):
        total += strong[n] - weak[n]
        if place + 1 == len(order) or scores[order[place + 1]] != scores[n]:
            points.append(((place + 1) / len(order), total / len(order)))
    return points


def apgr(scores: Sequence[float], strong: Sequence[float], weak: Sequence[float]) -> float | None:
    """Average share of the gap recovered; .5 is chance. None where the two models are equally good."""
    gap = mean(strong) - mean(weak)
    if abs(gap) < 1e-12:
        return None
    points = gain_curve(scores, strong, weak)
    area = sum(
        (points[n][1] + points[n + 1][1]) / 2 * (points[n + 1][0] - points[n][0]) for n in range(len(points) - 1)
    )
    return (area - mean(weak)) / gap


def strong_share_at(points: Sequence[Point], quality: float) -> float | None:
    """The smallest share of strong calls that reaches a quality; None where none does."""
    if points[0][1] >= quality:
        return 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if y1 >= quality:
            return x0 + (x1 - x0) * (quality - y0) / (y1 - y0)
    return None


def call_share_for_gap(
    scores: Sequence[float], strong: Sequence[float], weak: Sequence[float], gap: float
) -> float | None:
    """CPT: the share of strong calls that recovers this share of the gap."""
    difference = mean(strong) - mean(weak)
    if abs(difference) < 1e-12:
        return None
    return strong_share_at(gain_curve(scores, strong, weak), mean(weak) + gap * difference)


def resampled(
    figure: Callable[[Sequence[int]], float | None], size: int, *, seed: int, times: int = 200
) -> Point | None:
    """The 95 % interval of a figure of rows, by drawing rows with replacement; None where it is undefined."""
    draw = random.Random(seed)  # noqa: S311  (statistics, no secret)
    values = sorted(v for _ in range(times) if (v := figure(draw.choices(range(size), k=size))) is not None)
    if not values:
        return None
    return values[round(0.025 * (len(values) - 1))], values[round(0.975 * (len(values) - 1))]


def brier(claimed: Sequence[float], observed: Sequence[float]) -> float:
    """Mean squared error of a claimed chance."""
    return mean([(p - y) ** 2 for p, y in zip(claimed, observed, strict=True)])


def ece(claimed: Sequence[float], observed: Sequence[float]) -> float:
    """Expected calibration error: ten bins of equal width, the distance of claim and outcome weighted by their cells."""
    bins: list[tuple[float, float, int]] = [(0.0, 0.0, 0)] * BINS
    for p, y in zip(claimed, observed, strict=True):
        place = min(BINS - 1, max(0, int(p * BINS)))
        claims, outcomes, number = bins[place]
        bins[place] = (claims + p, outcomes + y, number + 1)
    return sum(abs(claims - outcomes) for claims, outcomes, _ in bins) / max(1, len(claimed))


def cheapest_right(quality: Sequence[float], cost: Sequence[float]) -> int:
    """The oracle's choice: the best answer of a row, and of these the cheapest."""
    return min(range(len(quality)), key=lambda m: (-quality[m], cost[m]))
