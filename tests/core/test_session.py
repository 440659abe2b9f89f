from autorouter.core.state.session import NEW_SESSION, current_incumbent, record_step, warm_tokens
from autorouter.core.types import Candidate

A, B = (Candidate(id=name, upstream="u", model=name, cache_ttl_s=300) for name in "ab")


def stepped(session, name, now_s, tokens=1_000, **kinds):
    return record_step(
        session,
        candidate=name,
        input_tokens=tokens,
        cost_usd=0.1,
        now_s=now_s,
        **{"is_new_turn": False, "moves_pin": True} | kinds,
    )


def test_the_last_candidate_is_the_incumbent_until_the_session_expires():
    session = stepped(NEW_SESSION, "a", 100.0)
    assert current_incumbent(session, 200.0, ttl_s=3_600) == "a"
    assert current_incumbent(session, 100.0 + 3_601, ttl_s=3_600) is None


def test_a_cache_is_warm_for_its_own_time_which_is_not_the_pins():
    session = stepped(NEW_SESSION, "a", 100.0, tokens=5_000)
    assert warm_tokens(session, A, 350.0) == 5_000
    assert warm_tokens(session, A, 401.0) == 0
    assert current_incumbent(session, 401.0, ttl_s=3_600) == "a"


def test_a_candidate_left_behind_stays_warm_for_a_while():
    session = stepped(stepped(NEW_SESSION, "a", 100.0, tokens=5_000), "b", 110.0, tokens=6_000)
    assert (warm_tokens(session, A, 120.0), warm_tokens(session, B, 120.0)) == (5_000, 6_000)


def test_housekeeping_costs_money_and_moves_nothing_else():
    session = stepped(NEW_SESSION, "a", 100.0)
    after = stepped(session, "b", 110.0, moves_pin=False)
    assert (after.incumbent, after.warm, after.steps) == (session.incumbent, session.warm, session.steps)
    assert after.spent_usd > session.spent_usd


def test_a_human_message_begins_a_new_turn():
    session = stepped(stepped(NEW_SESSION, "a", 1.0, is_new_turn=True), "a", 2.0)
    assert session.turn_steps == 2
    assert stepped(session, "a", 3.0, is_new_turn=True).turn_steps == 1


def test_only_a_few_caches_are_remembered():
    session = NEW_SESSION
    for index in range(20):
        session = stepped(session, f"c{index}", float(index))
    assert len(session.warm) == 4


def test_a_turn_remembers_where_its_context_began_and_what_it_cost():
    session = stepped(NEW_SESSION, "a", 1.0, is_new_turn=True, context_tokens=2_000.0, output_tokens=50)
    session = stepped(session, "a", 2.0, context_tokens=3_500.0, output_tokens=70)
    assert (session.turn_start_tokens, session.context_tokens, session.output_tokens) == (2_000.0, 3_500.0, 120)
    assert session.turn_usd == 0.2
    session = stepped(session, "a", 3.0, is_new_turn=True, context_tokens=4_000.0)
    assert (session.turn_start_tokens, session.turn_usd) == (4_000.0, 0.1)


def test_a_compaction_in_mid_turn_lowers_where_the_turn_began():
    session = stepped(NEW_SESSION, "a", 1.0, is_new_turn=True, context_tokens=9_000.0)
    assert stepped(session, "a", 2.0, context_tokens=3_000.0).turn_start_tokens == 3_000.0


def test_candidates_that_were_left_are_remembered_the_latest_first():
    session = NEW_SESSION
    for now_s, name in enumerate("aabcb"):
        session = stepped(session, name, float(now_s))
    assert session.left == ("c", "b", "a")
