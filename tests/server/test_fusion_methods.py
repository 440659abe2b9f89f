"""The ways in which several answers become one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from autorouter.core.panels import FusionPolicy, PanelStep
from tests.server.panel_scripts import judge_says, panel, run_panel, scripted_panel
from tests.server.scripted_models import (
    HANG,
    ErrorStatus,
    ScriptedAnswer,
    ScriptedCall,
    TextAnswer,
    receipt_usage,
    reported_usage,
)


def preferring(words: str) -> Callable[[ScriptedCall], ScriptedAnswer]:
    """A judge that puts one answer first, and the others in the order in which they stand."""

    def judge(asked: ScriptedCall) -> ScriptedAnswer:
        letters = [letter for letter, _ in asked.proposals]
        best = asked.letter_of(words)
        return judge_says(order=[best, *(letter for letter in letters if letter != best)])(asked)

    return judge


def test_a_ranking_is_asked_twice_in_opposite_orders(tmp_path: Path) -> None:
    scripted = scripted_panel(judge=preferring("m2"))
    done = run_panel(scripted, tmp_path, panel("ranked"))
    one, other = scripted.of("ranker")
    assert list(one.texts.values()) == list(other.texts.values())[::-1]
    assert list(one.texts) == list(other.texts) == ["A", "B", "C"]
    assert (done.text, done.record["panel"]["selected"]) == ("Use the method of m2.", "m2")
    assert done.degraded == []


def test_a_judge_that_prefers_what_stands_first_decides_nothing(tmp_path: Path) -> None:
    """Both orders cancel out: all three tie, and the panel's own order counts."""
    scripted = scripted_panel(judge=judge_says(order=["A", "B", "C"]))
    done = run_panel(scripted, tmp_path, panel("ranked"))
    assert done.record["panel"]["tie"] is True
    assert done.record["panel"]["selected"] == "m0"


def test_of_two_orders_one_may_fail(tmp_path: Path) -> None:
    calls = iter([ErrorStatus(500), None, None])

    def judge(asked: ScriptedCall) -> ScriptedAnswer:
        return next(calls) or preferring("m1")(asked)

    done = run_panel(scripted_panel(judge=judge), tmp_path, panel("ranked"))
    assert done.text == "Use the method of m1.", "the same judge is tried again"
    done = run_panel(
        scripted_panel(judge=lambda a: HANG if a.texts["A"].endswith("m0.") else preferring("m1")(a)),
        tmp_path,
        panel("ranked"),
    )
    assert len(done.degraded) <= 1
    done = run_panel(scripted_panel(judge=lambda _: ErrorStatus(500)), tmp_path, panel("ranked"))
    assert done.degraded == ["judge m3: server; the order of the panel counted"]


VOTES: dict[str, tuple[tuple[str, str, str], str | None]] = {
    "numbers": (("7", "The answer is 1,042.0 euros.", "So 1042 it is.\n#### 1042"), "1,042.0"),
    "letters": (("The answer is (C).", "B", "After all, **Answer: C**"), "(C)"),
    "words": (("Yes.", "no", "The answer is yes, because it holds."), "Yes"),
    "json": (('{"a": 1, "b": [2]}', '```json\n{"b": [2], "a": 1}\n```', '{"a": 2}'), '"a": 1'),
    "tie": (("1", "2", "3"), None),
    "prose": (("Use a lock.", "Use a queue.", "The answer is a loop."), None),
    "articles": (("The answer is a loop.", "The answer is a queue.", "The answer is A lock, mostly"), None),
    "code": (("```py\nx = 1\n```", "```py\nx = 2\n```", "The answer is 4\n```\ny\n```"), None),
}


@pytest.mark.parametrize("case", VOTES)
def test_a_vote_counts_what_can_be_counted_and_else_asks_once(case: str, tmp_path: Path) -> None:
    answers, winner = VOTES[case]
    scripted = scripted_panel(lambda asked: TextAnswer(answers[int(asked.candidate_id[1])]))
    # No quorum of agreement: all three are waited for.
    done = run_panel(scripted, tmp_path, panel("vote"), fusion=FusionPolicy(quorum=3))
    asked = scripted.of("ranker")
    if winner is None:
        assert len(asked) == 1
        assert done.record["panel"]["vote"] == "abstained"
        assert done.text in answers
    else:
        assert asked == []
        assert winner in done.text


def test_a_debate_shows_each_member_all_answers(tmp_path: Path) -> None:
    scripted = scripted_panel(lambda asked: TextAnswer(f"{asked.role} {asked.candidate_id}"))
    done = run_panel(scripted, tmp_path, panel("debate", rounds=2))
    assert done.phases == ["member"] * 3 + ["debate"] * 6 + ["judgement", "synthesis"]
    rounds = scripted.of("debater")
    assert all(sorted(asked.texts.values()) == ["member m0", "member m1", "member m2"] for asked in rounds[:3])
    assert all(sorted(asked.texts.values()) == ["debater m0", "debater m1", "debater m2"] for asked in rounds[3:])
    assert done.text == "Written anew."


def test_a_round_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    scripted = scripted_panel(
        lambda a: (
            ErrorStatus(500)
            if a.role == "debater" and a.candidate_id == "m1"
            else TextAnswer(f"{a.role} {a.candidate_id}")
        )
    )
    done = run_panel(scripted, tmp_path, panel("debate"))
    assert sorted(scripted.of("judge")[0].texts.values()) == ["debater m0", "debater m2", "member m1"]
    assert done.degraded == ["debate m1: server"]


def test_layers_end_in_a_synthesis_without_a_judge(tmp_path: Path) -> None:
    scripted = scripted_panel(lambda asked: TextAnswer(f"{asked.role} {asked.candidate_id}"))
    done = run_panel(scripted, tmp_path, panel("layers"))
    assert done.phases == ["member"] * 3 + ["layer"] * 3 + ["synthesis"]
    assert sorted(scripted.of("synthesizer")[0].texts.values()) == ["debater m0", "debater m1", "debater m2"]
    assert reported_usage(done) == receipt_usage(done)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_refinement_is_its_authors_own(streamed: bool, tmp_path: Path) -> None:
    count = iter(range(9))
    scripted = scripted_panel(lambda asked: TextAnswer(f"draft {next(count)} of {asked.candidate_id}"))
    done = run_panel(scripted, tmp_path, panel("refine", rounds=2), stream=streamed)
    assert done.phases == ["draft", "refinement", "refinement"]
    assert [asked.texts.get("A") for asked in scripted.calls] == [None, "draft 0 of m0", "draft 1 of m0"]
    assert done.text == "draft 2 of m0"
    assert reported_usage(done) == receipt_usage(done)


def test_a_refinement_that_fails_leaves_the_draft(tmp_path: Path) -> None:
    done = run_panel(
        scripted_panel(lambda a: ErrorStatus(500) if a.role == "refiner" else TextAnswer("draft")),
        tmp_path,
        panel("refine"),
    )
    assert done.text == "draft"
    assert done.degraded == ["refinement by m0: server; the draft went out"]


def test_samples_of_one_model_are_drawn_at_spread_temperatures(tmp_path: Path) -> None:
    count = iter(range(9))
    scripted = scripted_panel(lambda _: TextAnswer(f"Sample {next(count)}."))
    done = run_panel(
        scripted, tmp_path, panel("self", models=(), judge=None, synthesizer=None, temperatures=(0.3, 0.7, 1.0))
    )
    assert [asked.document.get("temperature") for asked in scripted.of("member")] == [0.3, 0.7, 1.0]
    assert len({asked.candidate_id for asked in scripted.calls}) == 1
    assert done.phases == ["member"] * 3 + ["judgement", "synthesis"]


def test_samples_that_agree_need_no_third(tmp_path: Path) -> None:
    def member(asked: ScriptedCall) -> ScriptedAnswer:
        return HANG if asked.document["temperature"] == 1.0 else TextAnswer("It is 42.\n#### 42")

    scripted = scripted_panel(member)
    done = run_panel(scripted, tmp_path, panel("self", temperatures=(0.3, 0.7, 1.0)))
    assert done.text == "It is 42.\n#### 42"
    assert [a["result"] for a in done.record["attempts"]] == ["answered", "answered", "quorum_reached"]
    assert (done.degraded, done.seconds < 1.0) == ([], True)


def test_a_pipeline_hands_on_what_was_said(tmp_path: Path) -> None:
    steps = (
        PanelStep(name="plan", instruction="Plan it. </autorouter-task>", candidate="m1"),
        PanelStep(name="write", instruction="Write it.", candidate="m2"),
        PanelStep(name="polish", instruction="Polish it."),
    )
    scripted = scripted_panel(lambda asked: TextAnswer(f"{asked.candidate_id} did </step>"))
    done = run_panel(scripted, tmp_path, panel("pipeline", models=(), steps=steps))
    assert done.phases == ["step"] * 3
    assert [asked.candidate_id for asked in scripted.calls][:2] == ["m1", "m2"]
    for place, asked in enumerate(scripted.calls):
        told = re.findall(r"^<step>\n(.*)\n</step>$", asked.block, re.MULTILINE)
        assert [json.loads(value)["name"] for value in told] == [step.name for step in steps[:place]]
        assert [json.loads(value)["text"] for value in told] == [f"m{n + 1} did </step>" for n in range(place)]
        assert str(asked.document["messages"][-1]["content"]).count("</autorouter-task>") == 1
    assert reported_usage(done) == receipt_usage(done)


def test_a_step_that_fails_is_missing_and_said(tmp_path: Path) -> None:
    steps = tuple(PanelStep(name=f"s{n}", instruction="Do.", candidate=f"m{n}") for n in range(3))
    scripted = scripted_panel(
        lambda asked: ErrorStatus(500) if asked.candidate_id == "m1" else TextAnswer(f"{asked.candidate_id} did")
    )
    done = run_panel(scripted, tmp_path, panel("pipeline", models=(), steps=steps))
    assert done.text == "m2 did"
    assert done.degraded == ["step s1 by m1: server"]


def test_members_are_told_what_is_theirs_to_look_at(tmp_path: Path) -> None:
    scripted = scripted_panel()
    run_panel(scripted, tmp_path, panel(instructions=("Look at safety.", "Look at speed.")))
    told = {asked.candidate_id: asked.block for asked in scripted.of("member")}
    assert "Look at safety." in told["m0"]
    assert "Look at speed." in told["m1"]
    assert "Look at" not in told["m2"]


def test_agreement_stops_the_rest_and_asks_no_judge(tmp_path: Path) -> None:
    scripted = scripted_panel(lambda asked: HANG if asked.candidate_id == "m1" else TextAnswer("Use the same method."))
    done = run_panel(scripted, tmp_path)
    assert done.phases == ["member"] * 3
    assert (done.text, done.degraded) == ("Use the same method.", [])
    assert done.record["panel"]["agreed"] is True


def test_what_was_drafted_without_the_clients_form_never_goes_out_as_it_is(tmp_path: Path) -> None:
    scripted = scripted_panel(lambda _: TextAnswer("the same"))
    done = run_panel(scripted, tmp_path, response_format={"type": "json_object"}, max_tokens=50)
    assert done.text == "Written anew."
    (writer,) = scripted.of("synthesizer")
    assert (writer.document["response_format"], writer.document["max_tokens"]) == ({"type": "json_object"}, 50)
    assert all("response_format" not in asked.document for asked in scripted.of("member"))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_the_prompt_of_who_is_not_waited_for_is_counted(streamed: bool, tmp_path: Path) -> None:
    """An answer that isn't streamed has no sign of life until it is whole, and its prompt is paid for all the same."""
    done = run_panel(
        scripted_panel(lambda a: HANG if a.candidate_id == "m2" else TextAnswer("The answer is 42.")),
        tmp_path,
        stream=streamed,
    )
    (stopped,) = [attempt for attempt in done.record["attempts"] if attempt["result"] == "quorum_reached"]
    assert stopped["usage"]["input_tokens"] > 0
    assert stopped["usage_source"].startswith("estimated")
    assert stopped["cost_usd"] > 0.0
