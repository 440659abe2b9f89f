"""What a judge says counts only if it is exactly one object with the key of this call."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.review.verdicts import (
    FINDING_CHARS,
    LISTS,
    MAX_FINDINGS,
    PanelJudgement,
    ReviewVerdict,
    parse_judgement,
    parse_ranking,
    parse_verdict,
)

KEY = "k0123456789abcde"
ACCEPT = {"key": KEY, "verdict": "accept", "findings": []}


def said(**more: Any) -> str:
    return json.dumps({"key": KEY} | more)


def test_a_verdict_is_read_bare_and_fenced() -> None:
    for text in (json.dumps(ACCEPT), f"\n {json.dumps(ACCEPT, indent=2)}\n", f"```json\n{json.dumps(ACCEPT)}\n```"):
        assert parse_verdict(text, KEY) == ReviewVerdict(word="accept")
    assert parse_verdict(said(verdict="revise", findings=["x"]), KEY) == ReviewVerdict(word="revise", findings=("x",))


NONE = {
    "empty": "",
    "prose": "accept",
    "prose-around": f"Here is my verdict: {json.dumps(ACCEPT)}",
    "two": f"{json.dumps(ACCEPT)}\n{json.dumps(ACCEPT)}",
    "two-fences": f"```json\n{json.dumps(ACCEPT)}\n```\n```json\n{json.dumps(ACCEPT)}\n```",
    "no-key": json.dumps({"verdict": "accept", "findings": []}),
    "another-key": json.dumps(ACCEPT | {"key": "k0000000000000000"}),
    "part-of-the-key": json.dumps(ACCEPT | {"key": KEY[:-1]}),
    "key-in-a-list": json.dumps(ACCEPT | {"key": [KEY]}),
    "in-a-list": json.dumps([ACCEPT]),
    "in-an-object": json.dumps({"answer": ACCEPT}),
    "cut": json.dumps(ACCEPT)[:-1],
    "unknown-word": said(verdict="accepted"),
    "two-words": said(verdict=["accept"]),
    "reject-without-a-reason": said(verdict="revise", findings=[]),
    "findings-are-text": said(verdict="revise", findings="all of it"),
    "findings-are-objects": said(verdict="revise", findings=[{"what": "x"}]),
    "findings-are-none": said(verdict="accept", findings=None),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("case", NONE)
def test_everything_else_is_none(case: str) -> None:
    assert parse_verdict(NONE[case], KEY) is None
    assert parse_judgement(NONE[case], KEY, "AB") is None or case in SOUND_FOR_A_JUDGE
    assert parse_ranking(NONE[case], KEY, "AB") is None


SOUND_FOR_A_JUDGE = (
    *("unknown-word", "two-words", "reject-without-a-reason", "findings-are-text"),
    *("findings-are-objects", "findings-are-none"),
)
"""Findings are no part of a judgement: what is unknown there is passed over."""


def test_findings_are_bounded() -> None:
    found = parse_verdict(said(verdict="revise", findings=["x" * 10_000] * 50), KEY)
    assert found is not None
    assert len(found.findings) == MAX_FINDINGS
    assert {len(text) for text in found.findings} == {FINDING_CHARS}


def test_a_judgement_has_its_lists_and_a_letter() -> None:
    text = said(best="B", consensus=["both"], blind_spots=["none"])
    assert parse_judgement(text, KEY, "AB") == PanelJudgement(best="B", consensus=("both",), blind_spots=("none",))
    assert parse_judgement(said(), KEY, "AB") == PanelJudgement()
    assert [name for name in LISTS if parse_judgement(said(**{name: "text"}), KEY, "AB") is not None] == []


@pytest.mark.parametrize("best", ["C", "AB", "", "a", 1, True, ["A"], {"A": 1}, 1.5])
@pytest.mark.parametrize("letters", ["AB", ("A", "B"), frozenset("AB")])
def test_a_best_that_is_no_letter_of_theirs_is_no_judgement(best: Any, letters: Any) -> None:
    assert parse_judgement(said(best=best), KEY, letters) is None


@pytest.mark.parametrize(
    "order", [["A"], ["A", "A"], ["A", "B", "C"], "AB", ["A", 1], {"A": 1, "B": 2}, [["A"], ["B"]], None]
)
def test_an_order_has_each_letter_once(order: Any) -> None:
    assert parse_ranking(said(order=["B", "A"]), KEY, "AB") == ("B", "A")
    assert parse_ranking(said(order=order), KEY, "AB") is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["key", "best", "order", *LISTS]), inner)
    ),
    max_leaves=12,
)


@given(values, st.sampled_from(["A", "AB", "ABCDEFGH"]))
def test_no_json_at_all_makes_a_reader_raise_or_name_a_stranger(value: Any, letters: str) -> None:
    for text in (
        json.dumps(value),
        json.dumps({"key": KEY, "verdict": value, "best": value, "order": value, "findings": value}),
    ):
        parse_verdict(text, KEY)
        found = parse_judgement(text, KEY, letters)
        assert found is None or found.best is None or (found.best in letters and len(found.best) == 1)
        order = parse_ranking(text, KEY, letters)
        assert order is None or sorted(order) == list(letters)


@given(st.text(max_size=60))
def test_no_text_makes_a_reader_raise(text: str) -> None:
    assert parse_verdict(text, KEY) is None
