"""Graders that need no model: what counts as an answer, and what doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.errors import RequestError
from autorouter.evals import cases, jsonl
from autorouter.evals.extract import code_blocks, extract_choice, extract_number
from autorouter.evals.graders import (
    ChoiceGrader,
    CodeGrader,
    ContainsGrader,
    Criterion,
    ExactGrader,
    NumericGrader,
    RubricGrader,
    parse_grader,
)

SOLUTIONS = {
    "clamp": "def clamp(x, low, high):\n    if low > high:\n        raise ValueError\n    return max(low, min(x, high))",
    "fix-average": (
        "def averages(xs):\n    out, t = [], 0\n    for n, x in enumerate(xs, 1):\n        t += x\n        out.append(t / n)\n"
        "    return out"
    ),
    "intervals": (
        "def merge(given):\n    out = []\n    for a, b in sorted(given):\n        if out and a <= out[-1][1]:\n"
        "            out[-1] = (out[-1][0], max(b, out[-1][1]))\n        else:\n            out.append((a, b))\n    return out"
    ),
}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 42.", 42),
        ("first 7, then\n#### 1,300", 1300),
        ("#### -3.5", -3.5),
        ("the answer is **8** (of 12)", 8),
        ("Answer: $1,234.50, rounded from 1,234.499", 1234.5),
        ("\\boxed{17} follows from 34 / 2", 17),
        ("6e3", 6000),
        ("between 2.5 and .75", 0.75),
        ("none", None),
        ("", None),
    ],
)
def test_a_number_is_found(text: str, number: float | None) -> None:
    assert extract_number(text) == number


@given(st.integers(-(10**9), 10**9))
def test_any_whole_number_is_found_however_it_is_written(number: int) -> None:
    assert extract_number(f"so it is {number:,}.") == number
    assert extract_number(f"12 apples\n#### {number}") == number
    assert NumericGrader(number).grade(f"Answer: {number}").score == 1.0
    assert NumericGrader(number).grade(f"Answer: {number + 1 + abs(number)}").score == 0.0


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("The answer is (C).", "C"),
        ("B", "B"),
        ("**D**", "D"),
        ("A is wrong.\nAnswer: D", "D"),
        ("C) because it is", "C"),
        ("\\boxed{\\text{B}}", "B"),
        ("answer: A\nOn second thought, answer: B", "B"),
        ("the answer is a tuple", None),
        ("I don't know", None),
    ],
)
def test_a_letter_is_found(text: str, letter: str | None) -> None:
    assert extract_choice(text) == letter


@pytest.mark.parametrize("filler", [" ", "\n", "answer ", "*", "#", "1,", "(", "```"])
def test_a_hostile_answer_is_read_in_no_time(filler: str) -> None:
    """Patterns that go back and forth over it would take hours."""
    text = "answer is" + filler * 300_000 + "\nB"
    assert extract_choice(text) is not None or filler in "*#1,(```"
    extract_number(text)
    ExactGrader("x").grade(text)
    CodeGrader("", entry="f").program(text)


def test_texts_are_compared_without_their_dress() -> None:
    assert ExactGrader("git reset --soft HEAD~1").grade("`git reset  --soft HEAD~1`.\n").score == 1.0
    assert ExactGrader("git reset --soft HEAD~1").grade("use git reset --soft HEAD~1").score == 0.0
    grader = ContainsGrader(("where", "id"), ("drop",))
    assert grader.grade("SELECT 1 WHERE id = 2").score == 1.0
    assert grader.grade("SELECT 1 WHERE x = 2").score == 0.0
    assert "drop" in grader.grade("WHERE id; DROP").why


def test_a_rubric_weighs_and_takes_away() -> None:
    rubric = RubricGrader(
        (Criterion("a", 3, "alpha"), Criterion("b", 1, "beta"), Criterion("c", -2, "gamma"), Criterion("d", 5))
    )
    assert rubric.reader_criteria == {3}
    assert rubric.grade("ALPHA beta").score == 1.0
    assert rubric.grade("alpha").score == 0.75
    assert rubric.grade("alpha beta gamma").score == 0.5
    assert rubric.grade("gamma").score == 0.0
    assert rubric.scored({0, 3}, frozenset(range(4))).score == pytest.approx(8 / 9)
    assert RubricGrader((Criterion("x", 1),)).grade("anything").score == 0.0


def test_a_program_is_found_in_its_fence() -> None:
    code = CodeGrader("assert f() == 1", entry="f")
    text = "First:\n```python\ndef g(): return 0\n```\nthen\n```python\ndef f():\n    return 1\n```\nand run\n```sh\nrm x\n```"
    assert code.program(text) == "def f():\n    return 1\n"
    assert code.grade(text).score == 1.0
    assert code.grade("def f():\n    return 2").score == 0.0


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("```python\nx\n```", [("python", "x\n")]),
        ("  ```Py title=a\n  x\n  ```\n```\ny\n```", [("py", "  x\n"), ("", "y\n")]),
        ("```\ncut off", [("", "cut off\n")]),
        ("no fence", []),
    ],
)
def test_fences_are_read_line_by_line(text: str, blocks: list[tuple[str, str]]) -> None:
    assert code_blocks(text) == blocks


def test_a_completion_is_put_behind_its_beginning() -> None:
    before = "def h(n):\n    return n * 2\n\n\ndef f(n):\n    '''Twice.'''\n"
    code = CodeGrader("assert f(2) == 4", before, "f")
    assert code.grade("    return h(n)\n").score == 1.0
    assert code.grade("```python\ndef f(n):\n    return h(n)\n```").score == 1.0
    assert code.grade("```python\n    return h(n) + 1\n```").score == 0.0


def test_every_built_in_case_has_a_grader_that_refuses_nonsense() -> None:
    found = cases.load_cases(jsonl.packaged_data("compare.jsonl"), "compare.jsonl")
    assert len(found) >= 12
    for case in found:
        assert case.grader is not None
        assert case.grader.grade("I can't say.").score < 1.0, case.id


@pytest.mark.parametrize("name", sorted(SOLUTIONS))
def test_a_right_solution_passes_its_built_in_case(name: str) -> None:
    case = next(c for c in cases.load_cases(jsonl.packaged_data("compare.jsonl"), "x") if c.id == name)
    assert case.grader is not None
    assert case.grader.grade(f"Here it is.\n```python\n{SOLUTIONS[name]}\n```").score == 1.0


@pytest.mark.parametrize(
    "grader",
    [
        {"type": "nope"},
        {"type": "numeric", "answer": "7"},
        {"type": "numeric", "answer": True},
        {"type": "numeric", "answer": 7, "tolerance": "small"},
        {"type": "choice", "answer": "BB"},
        {"type": "exact"},
        {"type": "code"},
        {"type": "contains", "all": "x"},
        {"type": "rubric", "criteria": [{"text": "x"}]},
        {"type": "rubric", "criteria": [{"text": "x", "weight": 1, "pattern": "("}]},
    ],
)
def test_a_grader_that_is_none_is_refused_with_its_place(grader: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="cases:7"):
        parse_grader(grader, "cases:7")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id":"a"}', "prompt"),
        ("[]", "object"),
        ("{", "JSON"),
        ('{"id":"a","prompt":"b","garder":{}}', "unknown member `garder`"),
        ('{"id":"a","prompt":"b","grader":"exact"}', "grader"),
        ('{"id":"a","prompt":"b"}\n{"id":"a","prompt":"c"}', "same id"),
        ("# nothing\n", "no cases"),
    ],
)
def test_a_case_that_is_none_is_refused(line: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        cases.load_cases(line.encode(), "mine.jsonl")


def test_a_sample_is_repeatable_and_keeps_the_order() -> None:
    every = [cases.Case(id=str(n), prompt="p") for n in range(50)]
    one = cases.sample_cases(every, 10, 3)
    assert one == cases.sample_cases(every, 10, 3)
    assert one != cases.sample_cases(every, 10, 4)
    assert [int(c.id) for c in one] == sorted(int(c.id) for c in one)
    assert cases.sample_cases(every, None, 0) == cases.sample_cases(every, 99, 0) == tuple(every)


def test_letters_are_upper_case() -> None:
    assert ChoiceGrader("B").grade("answer: B").score == 1.0
    assert ChoiceGrader("B").grade("answer: C").why == "C"
