import pytest

from autorouter.core.health import COOLDOWN_MAX_S, UNKNOWN, Outcome, availability, observe
from autorouter.core.policy import Tuning
from autorouter.core.values import Candidate

NOW_S = 1_000.0
GOOD = Outcome(ok=True, ttft_s=0.5, output_tokens=100, stream_s=2.0, input_tokens=120, estimated_input_tokens=100.0)
BAD = Outcome(ok=False, reason="server")


def after(*outcomes, health=UNKNOWN, now_s=NOW_S):
    for outcome in outcomes:
        health = observe(health, outcome, now_s)
    return health


def test_each_failure_in_a_row_doubles_the_cooldown_up_to_a_limit():
    waits = [after(*[BAD] * count).cooldown_until_s - NOW_S for count in (1, 2, 3, 30)]
    assert waits == [2.0, 4.0, 8.0, COOLDOWN_MAX_S]


def test_a_success_ends_the_cooldown_and_the_row():
    health = after(BAD, BAD, GOOD)
    assert (health.cooldown_until_s, health.failures_in_row) == (0.0, 0)


def test_the_provider_sets_the_cooldown_when_it_names_a_time():
    health = after(Outcome(ok=False, reason="rate_limited", retry_after_s=30.0))
    assert health.cooldown_until_s == NOW_S + 30.0
    assert health.asked


def test_no_cooldown_lasts_longer_than_an_hour_whatever_a_provider_asks_for():
    assert after(Outcome(ok=False, retry_after_s=500_000.0)).cooldown_until_s == NOW_S + 3_600.0


def test_old_failures_fade():
    sick = after(*[BAD] * 20)
    later = observe(sick, GOOD, NOW_S + 20 * 3_600)
    assert later.bad < 0.001


def test_what_was_measured_moves_the_prior_by_its_weight():
    candidate = Candidate(id="a", upstream="u", model="m", availability=0.9)
    tuning = Tuning(prior_weight=10)
    assert availability(candidate, UNKNOWN, tuning) == pytest.approx(0.9)
    assert availability(candidate, after(*[BAD] * 10), tuning) == pytest.approx(0.45)


def test_times_and_the_token_ratio_are_learned_from_answers():
    health = after(GOOD)
    assert (health.ttft_s, health.throughput_tokens_per_s, health.input_ratio) == (0.5, 50.0, 1.2)
