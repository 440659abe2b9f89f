import pytest

from autorouter.core.decision.cost import StepTokens, break_even, step_usd, usage_usd, warmup_usd
from autorouter.core.types import Price

A = Price(input=5, cache_read=0.5, cache_write=6.25, output=25)
B = Price(input=1, cache_read=0.1, cache_write=1.25, output=5)
LOAD = StepTokens(prefix=100_000, new=2_000, output=800)


def arithmetic(warm_a: float, warm_b: float):
    return break_even(
        ("a", step_usd(A, LOAD), warmup_usd(A, LOAD, warm_a)),
        ("b", step_usd(B, LOAD), warmup_usd(B, LOAD, warm_b)),
        3.0,
    )


def test_leaving_a_warm_dear_model_for_a_cold_cheap_one():
    found = arithmetic(warm_a=100_000, warm_b=0)
    assert found.once_usd == pytest.approx(0.115)
    assert found.gain_usd_per_step == pytest.approx(0.066)
    assert found.steps == pytest.approx(1.74, abs=0.01)


def test_the_way_back_up_never_pays_by_price():
    found = break_even(("b", step_usd(B, LOAD), 0.0), ("a", step_usd(A, LOAD), warmup_usd(A, LOAD, 0)), 50.0)
    assert found.once_usd == pytest.approx(0.575)
    assert found.gain_usd_per_step == pytest.approx(-0.066)
    assert found.steps is None


def test_a_cold_incumbent_has_a_warm_up_of_its_own():
    assert arithmetic(warm_a=0, warm_b=0).once_usd == pytest.approx(0.115 - 0.575)


def test_a_candidate_that_is_still_warm_pays_for_the_rest_only():
    assert arithmetic(warm_a=100_000, warm_b=60_000).once_usd == pytest.approx(0.115 * 0.4)


def test_a_switch_that_costs_nothing_pays_back_at_once():
    assert arithmetic(warm_a=100_000, warm_b=100_000).steps == 0.0


def test_usage_is_priced_by_what_was_cached_written_and_new():
    cost = usage_usd(A, input_tokens=10_000, cached=6_000, written=3_000, output=1_000)
    assert cost == pytest.approx((1_000 * 5 + 6_000 * 0.5 + 3_000 * 6.25 + 1_000 * 25) / 1e6)
