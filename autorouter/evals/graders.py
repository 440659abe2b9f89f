"""Graders that need no model: an answer's text -> a score 0..1 with the reason.

    {"type":"code","tests":"assert add(2, 2) == 4"}        unit tests in a sandbox
    {"type":"numeric","answer":72}                         the last number, or the one behind "####" or "answer:"
    {"type":"choice","answer":"B"}                         the letter that is given as the answer
    {"type":"exact","answer":"O(n log n)"}                 the text, white space, case and a final full stop aside
    {"type":"contains","all":["WHERE"],"none":["DROP"]}
    {"type":"rubric","criteria":[{"text":"names the race","pattern":"race","weight":3},
                                 {"text":"blames the compiler","pattern":"compiler bug","weight":-2}]}

A rubric's score is the weight of what is met over the sum of the positive weights, within 0..1. A criterion without a pattern
is left to the model graders (see `judge_models`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autorouter.errors import RequestError
from autorouter.evals import jsonl, sandbox
from autorouter.evals.extract import extract_choice, extract_code, extract_number

FULL_SCORE = 1.0 - 1e-9
"""Scores from here on count as a success."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A score 0..1, and why it isn't 1."""

    score: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class NumericGrader:
    """A number within `tolerance`, relative to it where it is larger than 1."""

    answer: float
    tolerance: float = 1e-6

    def grade(self, text: str) -> Grade:
        value = extract_number(text)
        if value is None:
            return Grade(0.0, "no number")
        correct = abs(value - self.answer) <= self.tolerance * max(1.0, abs(self.answer))
        return Grade(1.0) if correct else Grade(0.0, f"{value:g}")


@dataclass(frozen=True, slots=True)
class ChoiceGrader:
    """A letter."""

    answer: str

    def grade(self, text: str) -> Grade:
        letter = extract_choice(text)
        return Grade(1.0) if letter == self.answer else Grade(0.0, letter or "no letter")


@dataclass(frozen=True, slots=True)
class ExactGrader:
    """A text, but for white space, case, quotes, and a full stop at its end."""

    answer: str

    def grade(self, text: str) -> Grade:
        return Grade(1.0) if _bare(text) == _bare(self.answer) else Grade(0.0, "another text")


@dataclass(frozen=True, slots=True)
class ContainsGrader:
    """All of some texts and none of others; case aside."""

    every: tuple[str, ...]
    none: tuple[str, ...] = ()

    def grade(self, text: str) -> Grade:
        low = text.lower()
        missing = [t for t in self.every if t.lower() not in low]
        present = [t for t in self.none if t.lower() in low]
        if not missing and not present:
            return Grade(1.0)
        return Grade(0.0, f"missing {missing[0]!r}" if missing else f"contains {present[0]!r}")


@dataclass(frozen=True, slots=True)
class CodeGrader:
    """A Python program that passes tests. `before` precedes it (imports, helpers). An answer that doesn't define `entry` is
    taken as the completion of `before`."""

    tests: str
    before: str = ""
    entry: str = ""
    limits: sandbox.SandboxLimits = field(default_factory=sandbox.SandboxLimits)

    def grade(self, text: str) -> Grade:
        verdict = sandbox.run_tests(self.program(text), self.tests, self.limits)
        return Grade(1.0) if verdict.passed else Grade(0.0, verdict.why)

    def program(self, text: str) -> str:
        """What is run."""
        code = extract_code(text, self.entry)
        if not self.before:
            return code
        if self.entry and not re.search(rf"^\s*(?:async\s+)?def\s+{re.escape(self.entry)}\b", code, re.MULTILINE):
            return self.before + code
        return f"{self.before}\n    pass\n\n{code}"


@dataclass(frozen=True, slots=True)
class Criterion:
    """What an answer should have, or with a negative weight should not have. `pattern`: a regular expression, case aside."""

    text: str
    weight: float
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class RubricGrader:
    """Weighted criteria."""

    criteria: tuple[Criterion, ...]

    def grade(self, text: str) -> Grade:
        """By the criteria that have patterns."""
        return self.scored(self.met(text), self.with_pattern)

    def met(self, text: str) -> set[int]:
        """Indexes of the criteria whose pattern matches."""
        return {n for n, c in enumerate(self.criteria) if c.pattern and _matches(c.pattern, text)}

    @property
    def with_pattern(self) -> frozenset[int]:
        return frozenset(n for n, c in enumerate(self.criteria) if c.pattern)

    @property
    def reader_criteria(self) -> frozenset[int]:
        """Indexes of the criteria without a pattern, which only a model can judge."""
        return frozenset(range(len(self.criteria))) - self.with_pattern

    def scored(self, met: set[int], among: frozenset[int]) -> Grade:
        """The score from the criteria that are met, among those that were judged."""
        possible = sum(self.criteria[n].weight for n in among if self.criteria[n].weight > 0)
        if possible <= 0:
            return Grade(0.0, "no criterion was judged")
        reached = sum(self.criteria[n].weight for n in met & among)
        unmet = [self.criteria[n].text for n in sorted(among) if (n in met) != (self.criteria[n].weight > 0)]
        return Grade(min(1.0, max(0.0, reached / possible)), "; ".join(unmet)[:300])


Grader = NumericGrader | ChoiceGrader | ExactGrader | ContainsGrader | CodeGrader | RubricGrader


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(" `\"'*.").lower()


def parse_grader(record: Mapping[str, Any], location: str) -> Grader:
    """Parse a grader of a case file. RequestError if it isn't one."""
    kind = jsonl.choice_member(record, "type", ("code", "numeric", "choice", "exact", "contains", "rubric"), location)
    answer = record.get("answer")
    match kind:
        case "numeric" if isinstance(answer, int | float) and not isinstance(answer, bool):
            return NumericGrader(float(answer), _number_of(record, "tolerance", location, 1e-6))
        case "choice" if isinstance(answer, str) and re.fullmatch("[A-H]", answer):
            return ChoiceGrader(answer)
        case "exact":
            return ExactGrader(jsonl.text_member(record, "answer", location))
        case "contains":
            return ContainsGrader(_texts(record, "all", location), _texts(record, "none", location))
        case "code":
            tests = jsonl.text_member(record, "tests", location)
            return CodeGrader(tests, str(record.get("before", "")), str(record.get("entry", "")))
        case "rubric":
            return RubricGrader(tuple(_criterion(c, location) for c in record.get("criteria") or ()))
    raise RequestError(f"{location}: `answer` doesn't fit a grader of type {kind}")


def _texts(record: Mapping[str, Any], key: str, location: str) -> tuple[str, ...]:
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"{location}: `{key}` must be a list of texts")
    return tuple(value)


def _number_of(record: Mapping[str, Any], key: str, location: str, default: float) -> float:
    value = record.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise RequestError(f"{location}: `{key}` must be a number, 0 or more")
    return float(value)


def _criterion(record: Any, location: str) -> Criterion:
    if not isinstance(record, dict) or not isinstance(record.get("weight"), int | float):
        raise RequestError(f"{location}: a criterion wants `text` and `weight`")
    pattern = record.get("pattern")
    try:
        re.compile(pattern or "")
    except (re.error, TypeError) as exc:
        raise RequestError(f"{location}: `pattern` is no regular expression: {exc}") from exc
    return Criterion(jsonl.text_member(record, "text", location), float(record["weight"]), pattern)
