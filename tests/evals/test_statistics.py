"""Statistics against values that others have published or that can be worked out by hand, and by property."""

from __future__ import annotations

from math import isclose, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.evals.statistics import bootstrap, compare_paired, entropy, mcnemar, mean, ordered_share, wilson

scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(7, 10, 0.3968, 0.8922), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 29, 0.0061, 0.1718), (0, 0, 0.0, 1.0)],
)
def test_wilson_gives_the_published_intervals(hits: int, of: int, low: float, high: float) -> None:
    found = wilson(hits, of)
    assert found == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_holds_the_share_and_stays_within_0_and_1(hits: int, of: int) -> None:
    hits = min(hits, of)
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of + 1e-12
    assert hits / of - 1e-12 <= high <= 1
    assert wilson(hits * 10, of * 10)[1] - wilson(hits * 10, of * 10)[0] < high - low


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [(0, 0, 1.0), (8, 1, 0.0390625), (5, 5, 1.0), (10, 0, 2 / 1024), (1, 0, 1.0), (12, 3, 0.03515625)],
)
def test_mcnemar_is_the_exact_two_sided_binomial(ours: int, theirs: int, p: float) -> None:
    assert isclose(mcnemar(ours, theirs), p)
    assert mcnemar(ours, theirs) == mcnemar(theirs, ours)


def test_mcnemar_takes_thousands_of_pairs() -> None:
    assert 0 <= mcnemar(2_000, 1_000) < 1e-6


@given(scores, st.integers(0, 9))
def test_a_bootstrap_is_repeatable_and_stays_among_its_values(values: list[float], seed: int) -> None:
    low, high = bootstrap(values, seed=seed, resamples=200)
    assert (low, high) == bootstrap(values, seed=seed, resamples=200)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_a_bootstrap_covers_a_normal_interval() -> None:
    values = [1.0] * 60 + [0.0] * 40
    low, high = bootstrap(values, seed=1)
    assert low == pytest.approx(0.504, abs=0.03)  # 0.6 -+ 1.96 * sqrt(0.6 * 0.4 / 100)
    assert high == pytest.approx(0.696, abs=0.03)
    assert bootstrap([0.0] * 10, seed=1) == (0.0, 0.0)
    assert bootstrap([], seed=1) == (0.0, 0.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30))
def test_pairs_are_antisymmetric(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    one, other = compare_paired(ours, theirs, seed=3), compare_paired(theirs, ours, seed=3)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.wins + one.ties + one.losses == len(pairs)
    assert one.mean_difference == pytest.approx(-other.mean_difference)


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare_paired([1.0], [1.0, 0.0], seed=0)


def test_entropy_counts_bits() -> None:
    assert entropy([5]) == 0.0
    assert entropy([1, 1, 1, 1]) == 2.0
    assert entropy([3, 1]) == pytest.approx(0.75 * log2(4 / 3) + 0.25 * 2)
    assert entropy([]) == 0.0


def test_ordered_share_is_the_area_under_the_curve() -> None:
    assert ordered_share([1, 2], [3, 4]) == 1.0
    assert ordered_share([3, 4], [1, 2]) == 0.0
    assert ordered_share([1, 2], [1, 2]) == 0.5
    assert ordered_share([], [1]) == 0.5
    assert mean([]) == 0.0
