"""The public sets' formats, on samples of our own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from autorouter.errors import RequestError
from autorouter.evals import datasets
from autorouter.evals.graders import ChoiceGrader, CodeGrader, NumericGrader
from tests.evals.conftest import SAMPLES


def test_gsm8k_is_graded_by_the_number_behind_the_marks() -> None:
    cases = datasets.load_dataset("gsm8k", SAMPLES / "gsm8k.jsonl", 0)
    assert [c.grader for c in cases] == [NumericGrader(672.0), NumericGrader(1300.0), NumericGrader(9.0)]
    assert "<<" not in cases[0].prompt
    assert "672" not in cases[0].prompt


def test_humaneval_runs_the_set_s_own_tests() -> None:
    first, second = datasets.load_dataset("humaneval", SAMPLES / "humaneval.jsonl", 0)
    assert isinstance(first.grader, CodeGrader)
    assert isinstance(second.grader, CodeGrader)
    assert first.grader.grade("    return min(words, key=len, default='')\n").score == 1.0
    whole = "```python\nfrom typing import List\ndef shortest(words: List[str]) -> str:\n    return words[0]\n```"
    assert first.grader.grade(whole).score == 0.0
    assert second.grader.grade("```python\ndef twice_plus(n, m):\n    return helper(n) + m\n```").score == 1.0


def test_humaneval_may_be_gzipped(tmp_path: Path) -> None:
    packed = tmp_path / "HumanEval.jsonl.gz"
    packed.write_bytes(gzip.compress((SAMPLES / "humaneval.jsonl").read_bytes()))
    assert len(datasets.load_dataset("humaneval", packed, 0)) == 2
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(RequestError, match="unpacked"):
        datasets.load_dataset("humaneval", packed, 0)


def test_mmlu_is_a_csv_without_a_header() -> None:
    first, second = datasets.load_dataset("mmlu", SAMPLES / "mmlu.csv", 0)
    assert (first.grader, second.grader) == (ChoiceGrader("B"), ChoiceGrader("C"))
    assert "B. a binary heap, smallest first" in first.prompt
    assert '"idempotent"' in second.prompt


def test_gpqa_hides_the_right_choice_and_finds_it_again() -> None:
    places = set()
    for seed in range(12):
        for case in datasets.load_dataset("gpqa", SAMPLES / "gpqa.csv", seed):
            assert isinstance(case.grader, ChoiceGrader)
            right = "the mean length of a probe" if "hash table" in case.prompt else "a vector clock"
            assert f"{case.grader.answer}. {right}" in case.prompt
            places.add(case.grader.answer)
    assert places == set("ABCD")
    assert datasets.load_dataset("gpqa", SAMPLES / "gpqa.csv", 5) == datasets.load_dataset(
        "gpqa", SAMPLES / "gpqa.csv", 5
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gsm8k", '{"question": "q", "answer": "no marks 7"}', "gsm8k.txt:1"),
        ("gsm8k", '{"question": "q"}', "answer"),
        ("humaneval", '{"task_id": "x", "prompt": "def f(): pass"}', "entry_point"),
        ("mmlu", "q,a,b,c,d,E\n", "mmlu.txt:1"),
        ("mmlu", "q,a,b\n", "mmlu.txt:1"),
        ("gpqa", "Question,Correct Answer\nq,a\n", "Incorrect Answer 1"),
        ("mmlu", "", "no cases"),
        ("mmlu", b"\xff\xfe", "UTF-8"),
    ],
)
def test_another_format_is_refused_with_its_line(tmp_path: Path, name: str, text: str | bytes, says: str) -> None:
    path = tmp_path / f"{name}.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RequestError, match=says):
        datasets.load_dataset(name, path, 0)


def test_an_unknown_set_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="known: gsm8k"):
        datasets.load_dataset("bigbench", tmp_path / "x", 0)
    with pytest.raises(RequestError, match="can't be read"):
        datasets.load_dataset("mmlu", tmp_path / "x", 0)
