import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorouter.core.policy import Tuning
from autorouter.core.state.health import (
    COOLDOWN_BY_REASON,
    COOLDOWN_LIMIT_S,
    DEFAULT_COOLDOWN,
    FAILURE_STREAK_TTL_S,
    PROBE_TIMEOUT_S,
    UNKNOWN_HEALTH,
    USUAL_COOLDOWN_MAX_S,
    AttemptOutcome,
    availability,
    begin_probe,
    close_circuit,
    cooldown_left_s,
    end_probe,
    observe,
    open_circuit,
    probe_left_s,
    ttft_quantile_s,
)
from autorouter.core.types import Candidate

NOW_S = 1_000.0
GOOD = AttemptOutcome(
    ok=True, ttft_s=0.5, output_tokens=100, stream_s=2.0, input_tokens=120, estimated_input_tokens=100.0
)
BAD = AttemptOutcome(ok=False, reason="server")


def after(*outcomes, health=UNKNOWN_HEALTH, now_s=NOW_S):
    for outcome in outcomes:
        health = observe(health, outcome, now_s)
    return health


def failing(count, reason="server", health=UNKNOWN_HEALTH, now_s=NOW_S):
    """The cooldowns, seconds, of failures that come each when the cooldown before has just ended."""
    waits = []
    for _ in range(count):
        health = observe(health, AttemptOutcome(ok=False, reason=reason), now_s)
        waits.append(health.cooldown_until_s - now_s)
        now_s = health.cooldown_until_s
    return waits


def test_each_failure_in_a_row_doubles_the_cooldown_up_to_a_limit():
    waits = failing(30)
    assert (*waits[:3], waits[-1]) == pytest.approx((2.0, 4.0, 8.0, USUAL_COOLDOWN_MAX_S))


@pytest.mark.parametrize("reason", [*COOLDOWN_BY_REASON, "server", "timeout", "cut"])
def test_every_kind_of_failure_has_a_first_and_a_longest_cooldown(reason):
    pause = COOLDOWN_BY_REASON.get(reason, DEFAULT_COOLDOWN)
    waits = failing(30, reason)
    assert (waits[0], max(waits)) == pytest.approx((pause.first_s, pause.most_s))


def test_an_overload_passes_sooner_than_a_limit_and_both_sooner_than_an_empty_account():
    assert failing(1, "overloaded") < failing(1, "rate_limited") < failing(1, "auth") < failing(1, "quota")


def test_failures_that_were_on_their_way_double_nothing():
    """Twenty calls of a swarm that all get their 429 at once are one sign, not twenty."""
    health = after(*[AttemptOutcome(ok=False, reason="rate_limited")] * 20)
    assert health.cooldown_until_s - NOW_S == COOLDOWN_BY_REASON["rate_limited"].first_s
    assert health.failures_in_row == 1
    assert health.bad == 20


def test_an_answer_that_was_on_its_way_does_not_end_what_the_provider_asked_for():
    limited = after(AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=30.0))
    assert cooldown_left_s(after(GOOD, health=limited, now_s=NOW_S + 1), NOW_S + 1) == 29.0
    assert cooldown_left_s(after(GOOD, health=limited, now_s=NOW_S + 31), NOW_S + 31) == 0.0
    own = after(BAD)
    assert cooldown_left_s(after(GOOD, health=own), NOW_S) == 0.0, "ours ends: it shows that the candidate is there"


def test_who_says_now_again_and_again_is_given_a_moment():
    told = AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=0.0)
    assert [after(*[told] * count).cooldown_until_s - NOW_S for count in (1, 2, 9)] == [0.0, 2.0, 2.0]


def test_a_row_of_failures_is_forgotten_in_time():
    tried = after(BAD)
    again = observe(tried, BAD, NOW_S + FAILURE_STREAK_TTL_S + 10)
    assert again.failures_in_row == 1


def test_one_request_probes_and_the_others_wait_for_it_but_not_for_long():
    back = NOW_S + 3.0
    probed = begin_probe(after(BAD), back)
    assert probe_left_s(probed, back) == PROBE_TIMEOUT_S
    assert probe_left_s(probed, back + PROBE_TIMEOUT_S) == 0.0
    assert probe_left_s(end_probe(probed), back) == 0.0
    assert probe_left_s(observe(probed, GOOD, back), back) == 0.0
    failed = observe(probed, BAD, back)
    assert (probe_left_s(failed, back), cooldown_left_s(failed, back)) == (0.0, 4.0)


def test_a_clock_that_is_set_back_ends_what_it_can_no_longer_tell():
    health = after(AttemptOutcome(ok=False, reason="quota"))
    assert cooldown_left_s(health, NOW_S - 1.0) > 0, "a second is nothing"
    assert cooldown_left_s(health, NOW_S - 100_000.0) == 0.0
    assert probe_left_s(begin_probe(health, NOW_S), NOW_S - 100_000.0) == 0.0


def test_an_accounts_failure_shuts_its_neighbours_for_as_long_and_no_longer():
    failed = after(AttemptOutcome(ok=False, reason="quota"))
    neighbour = open_circuit(after(GOOD), failed, NOW_S)
    assert (neighbour.cooldown_until_s, neighbour.cooldown_reason) == (failed.cooldown_until_s, "quota")
    assert (neighbour.good, neighbour.bad, neighbour.samples) == (1.0, 0.0, 1), "it didn't fail itself"
    longer = after(AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=3_000.0))
    assert open_circuit(longer, failed, NOW_S) is longer
    assert cooldown_left_s(close_circuit(neighbour), NOW_S) == 0.0


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1e9)
events = st.tuples(
    st.sampled_from(["good", "bad", "told", "shut", "probe", "release"]),
    st.sampled_from([*COOLDOWN_BY_REASON, "server", "cut", ""]),
    numbers,
    st.sampled_from([0.0, 0.1, 1.0, 40.0, 700.0, 5_000.0, 1e8, -0.5, -30.0, -5_000.0, -1e8]),
)


@given(st.lists(events, max_size=40))
@example([("told", "quota", 1e9, 0.0), ("good", "", 0.0, -0.5)])
def test_whatever_happens_nobody_is_kept_out_longer_than_the_bound(happened):
    """Any order of events, a clock that jumps both ways, and whatever a header may hold."""
    health, now_s = UNKNOWN_HEALTH, NOW_S * 1e6
    for what, reason, number, step_s in happened:
        now_s += step_s
        if what == "good":
            ttft_s = number if number == number else None
            health = observe(health, AttemptOutcome(ok=True, ttft_s=ttft_s), now_s)
        elif what in ("bad", "told"):
            told_s = number if what == "told" else None
            health = observe(health, AttemptOutcome(ok=False, reason=reason, retry_after_s=told_s), now_s)
        elif what == "shut":
            other = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason=reason, retry_after_s=number), now_s)
            health = open_circuit(health, other, now_s)
        else:
            health = begin_probe(health, now_s) if what == "probe" else end_probe(health)
        left_s = max(cooldown_left_s(health, now_s), probe_left_s(health, now_s))
        assert 0.0 <= left_s <= COOLDOWN_LIMIT_S
        assert health.cooldown_until_s - health.at_s <= COOLDOWN_LIMIT_S, "and it holds from `at_s` on only"
        assert health.probe_until_s - now_s <= PROBE_TIMEOUT_S or probe_left_s(health, now_s) == 0.0
        over_s = max(now_s, health.cooldown_until_s, health.probe_until_s)
        assert cooldown_left_s(health, over_s) == probe_left_s(health, over_s) == 0.0, "time alone closes it"
        assert min(health.good, health.bad, health.failures_in_row) >= 0
    closed = observe(health, GOOD, health.cooldown_until_s + COOLDOWN_LIMIT_S)
    assert (closed.failures_in_row, cooldown_left_s(closed, closed.at_s)) == (0, 0.0)


def test_the_slow_end_of_first_tokens_is_estimated_and_follows():
    health = UNKNOWN_HEALTH
    assert ttft_quantile_s(health, 0.95) is None
    rng = random.Random(7)
    for number in range(400):
        health = observe(health, AttemptOutcome(ok=True, ttft_s=0.3 + rng.expovariate(1 / 0.2)), NOW_S + number)
    true_s = 0.3 + 0.2 * 2.996
    assert ttft_quantile_s(health, 0.95) == pytest.approx(true_s, rel=0.5)
    for number in range(100):
        health = observe(health, AttemptOutcome(ok=True, ttft_s=5.0), NOW_S + 400 + number)
    assert ttft_quantile_s(health, 0.95) == pytest.approx(5.0, rel=0.05), "it forgets what was"


def test_a_success_ends_the_cooldown_and_the_row():
    health = after(BAD, BAD, GOOD)
    assert (health.cooldown_until_s, health.failures_in_row) == (0.0, 0)


def test_the_provider_sets_the_cooldown_when_it_names_a_time():
    health = after(AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=30.0))
    assert health.cooldown_until_s == NOW_S + 30.0
    assert health.asked


def test_no_cooldown_lasts_longer_than_an_hour_whatever_a_provider_asks_for():
    assert after(AttemptOutcome(ok=False, retry_after_s=500_000.0)).cooldown_until_s == NOW_S + 3_600.0


def test_old_failures_fade():
    sick = after(*[BAD] * 20)
    later = observe(sick, GOOD, NOW_S + 20 * 3_600)
    assert later.bad < 0.001


def test_what_was_measured_moves_the_prior_by_its_weight():
    candidate = Candidate(id="a", upstream="u", model="m", availability=0.9)
    tuning = Tuning(prior_weight=10)
    assert availability(candidate, UNKNOWN_HEALTH, tuning) == pytest.approx(0.9)
    assert availability(candidate, after(*[BAD] * 10), tuning) == pytest.approx(0.45)


def test_times_and_the_token_ratio_are_learned_from_answers():
    health = after(GOOD)
    assert (health.ttft_s, health.throughput_tokens_per_s, health.input_ratio) == (0.5, 50.0, 1.2)
