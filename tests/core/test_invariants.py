"""The invariants of the decision, as properties."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from autorouter.core.codec import to_plain
from autorouter.core.decision.decide import decide
from autorouter.core.decision.plans import plan_sort_key
from autorouter.core.decision.record import decision_record
from autorouter.core.decision.scoring import rank
from autorouter.core.policy import Budget, Policy
from autorouter.core.reasons import ReasonCode
from autorouter.core.signals.features import Features, extract_features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Benchmarks, Capability
from autorouter.receipts.messages import sentence
from tests.strategies import auto, policies, pools, snapshots, tasks

TERMS = ("task_fit", "benchmark", "price", "latency", "availability", "stickiness")
many = settings(max_examples=200, deadline=None)


READERS = {kind: TypeAdapter(kind) for kind in (Features, Snapshot, Policy)}
"""As `receipt verify` reads them."""


def bytes_of(decision):
    return orjson.dumps(decision_record(decision), option=orjson.OPT_SORT_KEYS)


@many
@given(tasks, snapshots(), policies)
def test_same_inputs_give_the_same_bytes_also_after_a_round_trip_through_json(task, snapshot, policy):
    read = extract_features(task, policy)
    first = bytes_of(decide(read, snapshot, policy))
    again = READERS[Features].validate_python(orjson.loads(orjson.dumps(to_plain(read))))
    world = READERS[Snapshot].validate_python(orjson.loads(orjson.dumps(to_plain(snapshot))))
    rules = READERS[Policy].validate_python(orjson.loads(orjson.dumps(to_plain(policy))))
    assert (again, world, rules) == (read, snapshot, policy)
    assert bytes_of(decide(again, world, rules)) == first


@many
@given(tasks, snapshots(), policies, st.randoms())
def test_the_order_of_candidates_does_not_matter(task, snapshot, policy, random):
    read = extract_features(task, policy)
    shuffled = list(snapshot.candidates)
    random.shuffle(shuffled)
    one = decide(read, snapshot, policy)
    other = decide(read, replace(snapshot, candidates=tuple(shuffled)), policy)
    assert (one.plan, one.scores, one.fallbacks) == (other.plan, other.scores, other.fallbacks)


@many
@given(tasks, snapshots(), policies)
def test_every_candidate_is_scored_or_rejected_with_a_reason(task, snapshot, policy):
    decision = decide(extract_features(task, policy), snapshot, policy)
    scored = {s.candidate for s in decision.scores}
    rejected = {r.candidate for r in decision.rejections}
    assert scored | rejected == {c.id for c in snapshot.candidates}
    assert not scored & rejected
    assert all(r.reasons and all(sentence(reason) for reason in r.reasons) for r in decision.rejections)


@many
@given(tasks, snapshots(), policies)
def test_the_points_add_up(task, snapshot, policy):
    decision = decide(extract_features(task, policy), snapshot, policy)
    for s in decision.scores:
        assert sum(getattr(s.points, term) for term in TERMS) == pytest.approx(s.total, abs=1e-9)
    for plan in decision.plans:
        worth = plan.points
        assert worth.success + worth.price + worth.latency + worth.stickiness == pytest.approx(plan.total, abs=1e-9)


@many
@given(tasks, snapshots(), policies)
def test_the_plan_of_an_open_choice_has_the_highest_utility(task, snapshot, policy):
    policy = replace(policy, budget=Budget())
    decision = decide(extract_features(auto(task), policy), snapshot, policy)
    assume(decision.plan is not None)
    assert decision.plan == min(decision.plans, key=plan_sort_key)


@many
@given(tasks, snapshots(), policies, st.floats(0, 10), st.floats(0, 10))
def test_turning_the_dial_towards_cheap_never_raises_the_expected_cost(task, snapshot, policy, one, other):
    better, cheaper = sorted((one, other))
    chosen = []
    for dial in (better, cheaper):
        turned = replace(policy, dial=dial)
        plan = decide(extract_features(auto(task), turned), snapshot, turned).plan
        chosen.append(plan.expected_usd if plan else None)
    assert (chosen[0] is None) == (chosen[1] is None)
    if chosen[0] is not None:
        assert chosen[1] <= chosen[0] + 1e-12


@many
@given(tasks, snapshots(pools(least=2)), policies, st.data())
def test_removing_a_candidate_never_reorders_the_others(task, snapshot, policy, data):
    read = extract_features(auto(task), policy)
    gone = data.draw(st.sampled_from([c.id for c in snapshot.candidates]))
    fewer = replace(snapshot, candidates=tuple(c for c in snapshot.candidates if c.id != gone))
    before = [s.candidate for s in rank(snapshot.candidates, read, snapshot, policy) if s.candidate != gone]
    assert [s.candidate for s in rank(fewer.candidates, read, fewer, policy)] == before


@many
@given(tasks, snapshots(), policies, st.floats(1.01, 3))
def test_a_strictly_better_candidate_never_ranks_lower(task, snapshot, policy, factor):
    read = extract_features(auto(task), policy)
    worse = snapshot.candidates[0]
    assume(worse.price is not None)
    raised = Benchmarks(
        **{
            name: None if value is None else min(100.0, value + factor)
            for name, value in to_plain(worse.benchmarks).items()
        }
    )
    cheaper = replace(worse.price, **{name: value / factor for name, value in to_plain(worse.price).items()})
    better = replace(worse, id="better", benchmarks=raised, price=cheaper, ttft_s=worse.ttft_s / factor)
    world = replace(snapshot, candidates=(worse, better), health={}, session=replace(snapshot.session, warm=()))
    order = [s.candidate for s in rank((worse, better), read, world, policy)]
    assert order[0] == "better"


@many
@given(tasks, snapshots(), policies)
def test_a_pin_never_overrides_health_capability_or_window(task, snapshot, policy):
    decision = decide(extract_features(task, policy), snapshot, policy)
    plan = decision.plan
    if plan is None:
        assert decision.refusal is not None
        return
    chosen = next(c for c in snapshot.candidates if c.id == plan.primary)
    probed = ReasonCode.HALF_OPEN_PROBE in [note.code for note in decision.notes]
    assert snapshot.health_of(chosen.id).cooldown_until_s <= snapshot.now_s or probed
    if task.tools:
        assert Capability.TOOLS in chosen.capabilities
    if task.images:
        assert Capability.VISION in chosen.capabilities


@many
@given(tasks, snapshots(), policies, st.floats(0.001, 1.0))
def test_no_plan_or_fallback_is_above_the_budget(task, snapshot, policy, cap_usd):
    policy = replace(policy, budget=Budget(per_request_usd=cap_usd))
    decision = decide(extract_features(task, policy), snapshot, policy)
    assume(decision.plan is not None)
    assert decision.allowance is not None
    assert decision.plan.reserve_usd <= decision.allowance.left_usd
    costs = {s.candidate: s.step_usd for s in decision.scores}
    assert all(costs[name] <= decision.allowance.left_usd for name in decision.fallbacks)
