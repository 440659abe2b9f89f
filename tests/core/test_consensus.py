"""When answers are the same, and what can be counted in a vote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.review.consensus import consensus_form, extract_answer, majority, normal_form
from autorouter.core.types import ToolCall

ALIKE = {
    "42": [
        "42",
        " 42. ",
        "The answer is 42",
        "So it is.\n#### 42",
        "the final answer is \\boxed{42}",
        "**Answer:** 42.0",
        "$42",
    ],
    "1042": ["1,042", "The answer is 1042.", "answer: **1,042.0**"],
    "c": [
        "C",
        "(c)",
        "The answer is (C).",
        "**Answer: C**",
        "answer is C because the rest is wrong",
        "Answer: C: a tree",
    ],
    "yes": ["Yes.", "yes", "The answer is yes, for it holds.", "Answer: **Yes**"],
    "json": ['{"a": 1, "b": [2]}', '```json\n{"b":[2],"a":1}\n```', '```\n{ "b": [2], "a": 1 }\n```'],
}
NOTHING = [
    "",
    "Use a lock around the cache.",
    "The answer is a loop.",
    "Answer: A function that returns early",
    "The answer is I don't know",
    "The answer is no longer what it was",
    "The answer is true north",
    "The answer is 42ms",
    "The answer is 3.11.2",
    "The answer is 2026-11-21",
    "The answer is 10:30",
    "Answer:\n\n1. Do this\n2. Do that",
    "Answers: see below",
    "```py\nprint(42)\n```",
    "The answer is 42\n```py\nprint(42)\n```",
    "{not json}",
    "Two words.",
]


@pytest.mark.parametrize("case", ALIKE)
def test_one_answer_has_many_forms(case: str) -> None:
    found = {extract_answer(text) for text in ALIKE[case]}
    assert len(found) == 1, {text: extract_answer(text) for text in ALIKE[case]}
    assert found != {None}
    assert len({normal_form(text, ()) for text in ALIKE[case]}) == 1


def test_different_answers_stay_different() -> None:
    assert len({extract_answer(texts[0]) for texts in ALIKE.values()}) == len(ALIKE)
    assert extract_answer("-42") != extract_answer("42")
    assert extract_answer("The answer is 4.2") != extract_answer("42")


@pytest.mark.parametrize("text", NOTHING)
def test_prose_and_code_give_no_answer_to_count(text: str) -> None:
    assert extract_answer(text) is None


def test_the_last_answer_told_is_the_one() -> None:
    assert extract_answer("The answer is 41. No: the answer is 42.") == extract_answer("42")


def test_proses_are_the_same_only_word_for_word() -> None:
    assert normal_form("Use  a\nLock.", ()) == normal_form("use a lock.", ())
    assert normal_form("The answer is a lock.", ()) != normal_form("The answer is a queue.", ())


def call(name: str, arguments: str) -> ToolCall:
    return ToolCall(name, arguments)


def test_calls_are_the_same_by_name_and_value() -> None:
    one = normal_form("I look.", [call("ls", '{"a": 1, "b": 2}')])
    assert one == normal_form("", [call("ls", '{"b":2,"a":1}')])
    assert one != normal_form("", [call("rm", '{"b":2,"a":1}')])
    assert one != normal_form("", [call("ls", '{"b":2,"a":"1"}')])
    assert one != normal_form("", [call("ls", '{"b":2,"a":1}')] * 2)
    assert normal_form("", [call("ls", "")]) == normal_form("", [call("ls", "{}")])
    assert normal_form("", [call("ls", "{'a'}")]) != normal_form("", [call("ls", "{'b'}")])
    assert normal_form("", [call("ls", "[" * 100_000)])


@given(st.lists(st.sampled_from("abc"), max_size=7), st.integers(1, 8), st.integers(1, 4))
def test_who_agrees_is_more_than_half_and_at_least_the_quorum(forms: list[str], seats: int, quorum: int) -> None:
    found = consensus_form(forms, max(seats, len(forms)), quorum)
    if found is None:
        assert all(
            forms.count(form) < max(2, quorum) or 2 * forms.count(form) <= max(seats, len(forms)) for form in forms
        )
    else:
        assert forms.count(found) >= max(2, quorum)
        assert 2 * forms.count(found) > max(seats, len(forms))


@given(st.lists(st.none() | st.sampled_from("abc"), max_size=7))
def test_a_majority_is_not_shared(answers: list[str | None]) -> None:
    winner = majority(answers)
    told = [answer for answer in answers if answer is not None]
    counts = sorted((told.count(answer) for answer in set(told)), reverse=True)
    shared = len(counts) > 1 and counts[0] == counts[1]
    assert (winner is None) == (not told or shared)
    if winner is not None:
        assert told.count(answers[winner] or "") == counts[0]
        assert answers.index(answers[winner]) == winner


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    normal_form(text, ())
    normal_form("", [call("x", text)])
    extract_answer(json.dumps(text))
