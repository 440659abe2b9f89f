"""What a replay of an outcome set comes to: a row for each dial, the references beside it, and the gate."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from autorouter.evals import bench_cascade, bench_metrics
from autorouter.evals.bench_metrics import Point, aiq, compare_with_mix, mix_corners, paired_interval
from autorouter.evals.bench_replay import Knowledge, ReplayedRow
from autorouter.evals.bench_sets import OutcomeRow, OutcomeSet
from autorouter.evals.statistics import mean
from autorouter.evals.success_fit import CalibrationFigures, OutcomeCell, SuccessConstants

MIN_POOL = 4
"""A dial has something to move on from so many models up."""
MIN_FALLS = 8
"""Of the ten steps of the dial so many must lower the recorded cost."""
LIST_PRICE_DIALS = 7
"""With list prices alone the gate holds up to this dial: beyond it a price per token says too little about a task."""
SAME_COST = 1e-9
MATERIAL = 0.0005
"""A twentieth of a point, the precision of the page: a verdict on one prompt of a hundred is no failure of the gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOutcome:
    """What one dial came to, by row: quality, recorded USD of the primary, and with the calls beyond it."""

    dial: float
    quality: tuple[float, ...]
    primary_usd: tuple[float, ...]
    all_in_usd: tuple[float, ...]
    claimed: float
    picks: Mapping[str, int]
    strategies: Mapping[str, int]

    @property
    def point(self) -> Point:
        return mean(self.all_in_usd), mean(self.quality)

    @property
    def primary_point(self) -> Point:
        return mean(self.primary_usd), mean(self.quality)


def dial_outcomes(outcomes: OutcomeSet, replayed: Sequence[ReplayedRow], dials: Sequence[float]) -> list[DialOutcome]:
    """The recorded outcomes of what was chosen. Calls beyond the primary's cost as much more as the plan expects, and add
    no quality: one answer a model is all that is recorded."""
    result = []
    for place, dial in enumerate(dials):
        choices = [row.choices[place] for row in replayed]
        models = [outcomes.pool[choice.model] for choice in choices]
        primary = tuple(row.usd[m] for row, m in zip(outcomes.scored, models, strict=True))
        result.append(
            DialOutcome(
                dial=dial,
                quality=tuple(row.quality[m] for row, m in zip(outcomes.scored, models, strict=True)),
                primary_usd=primary,
                all_in_usd=tuple(usd * (1.0 + c.extra) for usd, c in zip(primary, choices, strict=True)),
                claimed=mean([choice.claimed for choice in choices]),
                picks=dict(Counter(outcomes.models[m] for m in models).most_common()),
                strategies=dict(Counter(choice.strategy for choice in choices)),
            )
        )
    return result


def references(outcomes: OutcomeSet) -> dict[str, dict[str, Any]]:
    """Best single and cheapest (by dev), the random pick, and the oracle: the best answer, and of these the cheapest."""
    best = best_model(outcomes)
    cheapest = min(outcomes.pool, key=outcomes.dev_usd)
    oracle = [
        outcomes.pool[
            bench_metrics.cheapest_right([row.quality[m] for m in outcomes.pool], [row.usd[m] for m in outcomes.pool])
        ]
        for row in outcomes.scored
    ]
    base = _single(outcomes, best)
    rows: dict[str, tuple[str | None, Point]] = {
        "best single": (outcomes.models[best], base),
        "cheapest": (outcomes.models[cheapest], _single(outcomes, cheapest)),
        "random": (
            None,
            (
                mean([_single(outcomes, m)[0] for m in outcomes.pool]),
                mean([_single(outcomes, m)[1] for m in outcomes.pool]),
            ),
        ),
        "oracle": (
            None,
            (
                mean([row.usd[m] for row, m in zip(outcomes.scored, oracle, strict=True)]),
                mean([row.quality[m] for row, m in zip(outcomes.scored, oracle, strict=True)]),
            ),
        ),
    }
    return {
        name: {
            "model": model,
            "quality": q,
            "usd": usd,
            "share_of_best": _of(q, base[1]),
            "cost_of_best": _of(usd, base[0]),
        }
        for name, (model, (usd, q)) in rows.items()
    }


def best_model(outcomes: OutcomeSet) -> int:
    return max(outcomes.pool, key=outcomes.dev_quality)


def _single(outcomes: OutcomeSet, model: int) -> Point:
    return mean([row.usd[model] for row in outcomes.scored]), mean([row.quality[model] for row in outcomes.scored])


def _of(value: float, base: float) -> float:
    return value / base if base else 0.0


def curve_figures(outcomes: OutcomeSet, dials: Sequence[DialOutcome]) -> dict[str, float | None]:
    """AIQ over the whole range of costs, and up to the best single model (AIQ_b), all-in and of the primary alone."""
    singles = [_single(outcomes, m) for m in outcomes.pool]
    low, high = min(usd for usd, _ in singles), max(usd for usd, _ in singles)
    best_usd = _single(outcomes, best_model(outcomes))[0]
    points, primary = [d.point for d in dials], [d.primary_point for d in dials]
    return {
        "aiq": aiq(points, low, high),
        "aiq_b": aiq(points, low, best_usd),
        "aiq_primary": aiq(primary, low, high),
        "aiq_b_primary": aiq(primary, low, best_usd),
        "aiq_singles": aiq(singles, low, high),
        "aiq_b_singles": aiq(singles, low, best_usd),
    }


def dial_rows(outcomes: OutcomeSet, dials: Sequence[DialOutcome]) -> list[dict[str, Any]]:
    """The table of a replay: each dial against the best single model and the random mix."""
    base_usd, base_quality = _single(outcomes, best_model(outcomes))
    corners = mix_corners([(outcomes.dev_usd(m), outcomes.dev_quality(m)) for m in outcomes.pool])
    singles = [
        ([row.quality[m] for row in outcomes.scored], [row.usd[m] for row in outcomes.scored]) for m in outcomes.pool
    ]
    rows = []
    for dial in dials:
        mix = compare_with_mix(dial.quality, dial.all_in_usd, singles, corners)
        at_primary = compare_with_mix(dial.quality, dial.primary_usd, singles, corners)
        usd, quality = dial.point
        rows.append(
            {
                "dial": dial.dial,
                "quality": quality,
                "share_of_best": _of(quality, base_quality),
                "primary_usd": dial.primary_point[0],
                "all_in_usd": usd,
                "primary_of_best": _of(dial.primary_point[0], base_usd),
                "all_in_of_best": _of(usd, base_usd),
                "to_mix": {"delta": mix.delta, "low": mix.low, "high": mix.high},
                "to_mix_at_primary": {"delta": at_primary.delta, "low": at_primary.low, "high": at_primary.high},
                "claimed": dial.claimed,
                "strategies": dial.strategies,
                "picks": dial.picks,
            }
        )
    return rows


def dial_steps(dials: Sequence[DialOutcome]) -> list[dict[str, Any]]:
    """What each step of the dial does to the recorded cost. `rises` means beyond noise: the interval lies above zero."""
    steps = []
    for before, after in itertools.pairwise(dials):
        differences = [b - a for a, b in zip(before.all_in_usd, after.all_in_usd, strict=True)]
        change, scale = mean(differences), max(SAME_COST, mean(before.all_in_usd))
        low, high = paired_interval(differences, seed=1)
        steps.append(
            {
                "from": before.dial,
                "to": after.dial,
                "change": change / scale,
                "falls": change < -SAME_COST * scale,
                "rises": low > SAME_COST * scale,
                "low": low / scale,
                "high": high / scale,
            }
        )
    return steps


def gate_failures(
    name: str,
    knowledge: Knowledge,
    outcomes: OutcomeSet,
    rows: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, Any]],
) -> list[str]:
    """The sentences of a gate that fails. A smoke set has too few rows to be gated on."""
    if outcomes.smoke:
        return []
    most = LIST_PRICE_DIALS if knowledge == "rank+list" else 10
    failed = [
        f"{name}, {knowledge}, dial {row['dial']:g}: {100 * row['to_mix']['delta']:+.1f} points to the random mix "
        f"[{100 * row['to_mix']['low']:+.1f}, {100 * row['to_mix']['high']:+.1f}]"
        for row in rows
        if row["dial"] <= most and row["to_mix"]["high"] < -MATERIAL
    ]
    failed += [
        f"{name}, {knowledge}: the recorded cost rises from dial {step['from']:g} to {step['to']:g}"
        for step in steps
        if step["rises"] and step["to"] <= most
    ]
    falls = sum(step["falls"] for step in steps)
    if len(outcomes.pool) >= MIN_POOL and len(steps) == 10 and falls < MIN_FALLS:
        failed.append(f"{name}, {knowledge}: only {falls} of 10 steps of the dial lower the recorded cost")
    return failed


def pair_figures(order: Sequence[float], outcomes: OutcomeSet, keep: Sequence[int] | None = None) -> dict[str, Any]:
    """APGR and its companions of the order in which the dial moves prompts. `keep`: a slice of the rows."""
    places = list(keep) if keep is not None else list(range(len(outcomes.scored)))
    strong = [outcomes.scored[n].quality[outcomes.pair[0]] for n in places]
    weak = [outcomes.scored[n].quality[outcomes.pair[1]] for n in places]
    scores = [order[n] for n in places]

    def drawn(rows: Sequence[int]) -> float | None:
        return bench_metrics.apgr([scores[n] for n in rows], [strong[n] for n in rows], [weak[n] for n in rows])

    points = bench_metrics.gain_curve(scores, strong, weak)
    return {
        "strong": outcomes.models[outcomes.pair[0]],
        "weak": outcomes.models[outcomes.pair[1]],
        "rows": len(places),
        "strong_quality": mean(strong),
        "weak_quality": mean(weak),
        "apgr": bench_metrics.apgr(scores, strong, weak),
        "apgr_interval": bench_metrics.resampled(drawn, len(places), seed=1),
        "cpt50": bench_metrics.call_share_for_gap(scores, strong, weak, 0.5),
        "cpt80": bench_metrics.call_share_for_gap(scores, strong, weak, 0.8),
        "share_95": bench_metrics.strong_share_at(points, 0.95 * mean(strong)),
    }


def calibration_record(
    shipped: CalibrationFigures, fitted: tuple[SuccessConstants, CalibrationFigures] | None
) -> dict[str, Any]:
    """Brier and ECE of the claimed chance, as shipped and with constants that the other sets give."""
    record: dict[str, Any] = {"shipped": shipped._asdict()}
    if fitted is not None:
        record["others"] = fitted[1]._asdict() | {"constants": fitted[0]._asdict()}
    return record


def cells_of(
    rows: Sequence[OutcomeRow], percentiles: Mapping[int, float], difficulties: Sequence[float]
) -> list[OutcomeCell]:
    """A cell for every prompt and model."""
    return [
        OutcomeCell(percentiles[m], difficulty, row.quality[m])
        for row, difficulty in zip(rows, difficulties, strict=True)
        for m in percentiles
    ]


def median_us(replayed: Sequence[ReplayedRow]) -> float:
    """The median CPU time of a plan in microseconds; the one figure that isn't the same each time."""
    return median(row.plan_us for row in replayed)


Escalation = tuple[bool, tuple[float, float] | None]
"""Whether the run's course counts, and the rates of a simulated verifier."""


def cascade_record(outcomes: OutcomeSet, verifier: tuple[float, float] | None) -> dict[str, Any] | None:
    """What escalation is worth on this set; None where it records no run."""
    cascade = bench_cascade.build_cascade(outcomes)
    if cascade is None:
        return None
    ways: dict[str, Escalation] = {"random": (False, None), "run length": (True, None)}
    if verifier is not None:
        ways |= {"verdict (simulated)": (False, verifier), "run length and verdict (simulated)": (True, verifier)}
    return {
        "cheap": cascade.cheap,
        "strong": cascade.strong,
        "verifier": verifier,
        "auc": cascade.auc,
        "curves": {
            name: {f"{share:.2f}": _cascade_point(cascade, way, share) for share in bench_cascade.COSTS}
            for name, way in ways.items()
        },
    }


def _cascade_point(cascade: bench_cascade.Cascade, way: Escalation, share: float) -> dict[str, Any]:
    run_length, verifier = way
    points = bench_cascade.escalation_curve(cascade, run_length=run_length, verifier=verifier)
    usd = share * cascade.best_usd

    def drawn(rows: Sequence[int]) -> float:
        sample = replace(cascade, rows=tuple(cascade.rows[n] for n in rows))
        curve = bench_cascade.escalation_curve(sample, run_length=run_length, verifier=verifier)
        return _of(bench_cascade.curve_at(curve, share * sample.best_usd), sample.best_quality)

    return {
        "share_of_best": _of(bench_cascade.curve_at(points, usd), cascade.best_quality),
        "share_of_best_hull": _of(bench_cascade.quality_at(points, usd), cascade.best_quality),
        "interval": bench_metrics.resampled(drawn, len(cascade.rows), seed=1, times=100),
    }
