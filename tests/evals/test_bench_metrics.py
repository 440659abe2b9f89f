"""The figures of `autorouter bench` on rows that can be checked by hand."""

from __future__ import annotations

import pytest

from autorouter.evals import bench_metrics as metrics


def test_a_dominated_point_is_not_on_the_hull() -> None:
    points = [(1.0, 0.2), (2.0, 0.1), (3.0, 0.6), (2.5, 0.35), (4.0, 0.6)]
    assert metrics.upper_hull(points) == [(1.0, 0.2), (3.0, 0.6)]
    assert metrics.curve_value([(1.0, 0.2), (3.0, 0.6)], 2.0) == pytest.approx(0.4)
    assert metrics.curve_value([(1.0, 0.2), (3.0, 0.6)], 9.0) == 0.6


def test_aiq_is_the_mean_of_the_curve() -> None:
    # From .2 at a cost of 1 straight to .6 at a cost of 3.
    assert metrics.aiq([(1.0, 0.2), (3.0, 0.6)], 1.0, 3.0) == pytest.approx(0.4)
    # One point only: below it a mix with asking nobody, above it flat.
    assert metrics.aiq([(2.0, 0.8)], 1.0, 3.0) == pytest.approx((0.6 + 0.8) / 2)
    assert metrics.aiq([(2.0, 0.8)], 2.0, 2.0) is None


STRONG, WEAK = [1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]


def test_apgr_of_a_perfect_a_constant_and_a_wrong_order() -> None:
    # The two rows that gain go first: .25, .5, .75, .75, .75, an area of .625; the gap is .5.
    assert metrics.apgr([0, 3, 2, 1], STRONG, WEAK) == pytest.approx(0.75)
    assert metrics.apgr([1, 1, 1, 1], STRONG, WEAK) == pytest.approx(0.5)
    assert metrics.apgr([3, 0, 1, 2], STRONG, WEAK) == pytest.approx(0.25)
    assert metrics.apgr([0, 3, 2, 1], STRONG, STRONG) is None


def test_share_of_strong_calls() -> None:
    points = metrics.gain_curve([0, 3, 2, 1], STRONG, WEAK)
    assert points == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.75), (1.0, 0.75)]
    assert metrics.strong_share_at(points, 0.5) == pytest.approx(0.25)
    assert metrics.strong_share_at(points, 0.95 * 0.75) == pytest.approx(0.4625)
    assert metrics.strong_share_at(points, 0.9) is None
    assert metrics.call_share_for_gap([0, 3, 2, 1], STRONG, WEAK, 0.5) == pytest.approx(0.25)


def test_a_router_that_equals_a_single_model_is_on_the_mix() -> None:
    singles = [([0.0, 0.0, 1.0, 1.0], [1.0] * 4), ([1.0, 1.0, 1.0, 0.0], [3.0] * 4)]
    on_it = metrics.compare_with_mix(*singles[1], singles, [0, 1])
    assert (on_it.delta, on_it.low, on_it.high) == (0.0, 0.0, 0.0)
    # The oracle of these rows: three rows right at a mean cost of 2, where the mix has .625.
    better = metrics.compare_with_mix([1.0] * 4, [3.0, 3.0, 1.0, 1.0], singles, [0, 1])
    assert better.delta == pytest.approx(1.0 - 0.625)
    dearer = metrics.compare_with_mix([1.0, 1.0, 1.0, 0.0], [9.0] * 4, singles, [0, 1])
    assert dearer.delta == 0.0


def test_brier_and_ece() -> None:
    assert metrics.brier([1.0, 0.5], [1.0, 0.0]) == pytest.approx(0.125)
    assert metrics.ece([0.95, 0.95, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.5 * 0.45 + 0.5 * 0.25)
    assert metrics.ece([1.0], [1.0]) == 0.0


def test_the_oracle_takes_the_cheapest_of_the_right() -> None:
    assert metrics.cheapest_right([1.0, 1.0, 0.0], [3.0, 2.0, 1.0]) == 1
    assert metrics.cheapest_right([0.0, 0.0], [3.0, 2.0]) == 1
