"""Cheap first, then the strong model: forty tasks of which the cheap one fails those on which it runs long."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from autorouter.evals import bench_cascade, bench_figures
from autorouter.evals.bench_sets import OutcomeRow, OutcomeSet

FAILED = 16
"""The cheap model fails the first sixteen tasks of forty, and the strong one the first four of these."""


def row(number: int, calls: float) -> OutcomeRow:
    return OutcomeRow(
        id=str(number),
        category="",
        text=f"task {number}",
        quality=(float(number >= FAILED), float(number >= 4)),
        usd=(0.01 * calls / 20, 1.0),
        calls=(calls, 30.0),
    )


def outcomes(rows: list[OutcomeRow]) -> OutcomeSet:
    dev = tuple(rows)
    return OutcomeSet(
        name="toy",
        models=("cheap", "strong"),
        dev=dev,
        scored=dev,
        refused=0,
        agent=True,
        nominal=False,
        smoke=False,
        pool=(0, 1),
        pair=(1, 0),
        cascade=(0, 1),
        list_prices={},
        board={},
        slice=None,
    )


LONG = [row(n, 60.0 + n if n < FAILED else 10.0 + n / 10) for n in range(40)]


def test_a_run_that_is_too_long_is_escalated_first() -> None:
    cascade = bench_cascade.build_cascade(outcomes(LONG))
    assert cascade is not None
    assert cascade.auc == 1.0
    assert (cascade.fixes, cascade.spoils) == (12 / 16, 0.0)
    curve = bench_cascade.escalation_curve(cascade)
    assert curve[0][1] == pytest.approx(24 / 40)
    # Sixteen escalations mend twelve: from then on nothing is gained.
    after = next(quality for usd, quality in curve if usd >= curve[0][0] + 16 / 40 - 1e-9)
    assert after == pytest.approx(36 / 40)
    assert curve[-1][0] == pytest.approx(curve[0][0] + 1.0)


def test_random_escalation_is_a_straight_line() -> None:
    cascade = bench_cascade.build_cascade(outcomes(LONG))
    assert cascade is not None
    first, last = bench_cascade.escalation_curve(cascade, run_length=False)
    assert bench_cascade.curve_at([first, last], (first[0] + last[0]) / 2) == pytest.approx((first[1] + last[1]) / 2)


def test_a_perfect_verifier_escalates_what_failed_and_nothing_else() -> None:
    cascade = bench_cascade.build_cascade(outcomes(LONG))
    assert cascade is not None
    curve = bench_cascade.escalation_curve(cascade, run_length=False, verifier=(1.0, 1.0))
    assert bench_cascade.curve_at(curve, curve[0][0] + 16 / 40) == pytest.approx(36 / 40)
    # A verifier that knows nothing is chance.
    blind = bench_cascade.escalation_curve(cascade, run_length=False, verifier=(0.5, 0.5))
    middle = (blind[0][0] + blind[-1][0]) / 2
    assert bench_cascade.curve_at(blind, middle) == pytest.approx((blind[0][1] + blind[-1][1]) / 2)


def test_a_withheld_part_gets_the_weights_of_dev() -> None:
    toy = outcomes(LONG)
    shuffled = list(LONG)
    random.Random(1).shuffle(shuffled)
    cascade = bench_cascade.build_cascade(replace(toy, scored=tuple(shuffled)))
    assert cascade is not None
    assert cascade.auc == 1.0


def test_the_record_marks_what_is_simulated() -> None:
    toy = outcomes(LONG)
    record = bench_figures.cascade_record(toy, (0.9, 0.8))
    assert record is not None
    assert [name for name in record["curves"] if "simulated" in name] == [
        "verdict (simulated)",
        "run length and verdict (simulated)",
    ]
    low, high = record["curves"]["run length"]["0.50"]["interval"]
    assert low <= record["curves"]["run length"]["0.50"]["share_of_best"] <= high
    assert bench_figures.cascade_record(replace(toy, cascade=None), None) is None
