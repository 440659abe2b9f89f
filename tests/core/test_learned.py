import pytest
from pydantic import TypeAdapter

from autorouter.core.codec import to_plain
from autorouter.core.state.learned import (
    NOTHING_LEARNED,
    LearnedState,
    for_request,
    record_outcome,
    record_output,
    record_turn,
    record_turn_step,
)


def test_turns_are_means_by_client_and_kind():
    learned = NOTHING_LEARNED
    for steps in (10.0, 30.0):
        learned = record_turn(learned, client="codex", kind="edit", steps=steps)
    learned = record_turn(learned, client="aider", kind="edit", steps=1.0)
    stats = learned.turn_stats("codex", "edit")
    assert (stats.turns, stats.steps, stats.squared_steps) == (2.0, 20.0, 500.0)
    assert learned.turn_stats("aider", "edit").steps == 1.0
    assert learned.turn_stats("aider", "plan").turns == 0.0


def test_sizes_of_steps_are_means_and_leave_turns_alone():
    learned = record_turn(NOTHING_LEARNED, client="codex", kind="edit", steps=4.0)
    for new, output in ((1_000.0, 100.0), (3_000.0, 300.0)):
        learned = record_turn_step(learned, client="codex", kind="edit", new_tokens=new, output_tokens=output)
    stats = learned.turn_stats("codex", "edit")
    assert (stats.turns, stats.samples, stats.new_tokens, stats.output_tokens) == (1.0, 2.0, 2_000.0, 200.0)


def test_outcomes_are_counted_by_their_weight():
    learned = record_outcome(NOTHING_LEARNED, candidate="v/m", kind="debug", success=True)
    learned = record_outcome(learned, candidate="v/m", kind="debug", success=False, weight=0.5)
    learned = record_output(learned, candidate="v/m", kind="debug", factor=2.0)
    stats = learned.model_stats("v/m", "debug")
    assert (stats.successes, stats.failures, stats.output_factor) == (1.0, 0.5, 2.0)


def test_a_decision_reads_its_own_client_and_kind_only():
    learned = record_turn(NOTHING_LEARNED, client="codex", kind="edit", steps=4.0)
    learned = record_turn(learned, client="codex", kind="plan", steps=4.0)
    learned = record_outcome(learned, candidate="v/m", kind="edit", success=True)
    learned = record_outcome(learned, candidate="v/m", kind="plan", success=True)
    part = for_request(learned, "codex", "edit")
    assert (list(part.turns), list(part.models)) == (["codex/edit"], ["v/m/edit"])


def test_what_was_learned_reads_back_from_json():
    learned = record_turn(NOTHING_LEARNED, client="codex", kind="edit", steps=4.0)
    assert TypeAdapter(LearnedState).validate_python(to_plain(learned)) == learned
    assert learned.turn_stats("codex", "edit").steps == pytest.approx(4.0)
