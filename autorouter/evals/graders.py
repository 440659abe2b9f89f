"""Graders that need no model: an answer's text -> a score 0..1 with the reason.

    {"type":"code","tests":"assert add(2, 2) == 4"}        unit tests in a sandbox
    {"type":"numeric","answer":72}                         the last number, or the one behind "####" or "answer:"
    {"type":"choice","answer":"B"}                         the letter that is given as the answer
    {"type":"exact","answer":"O(n log n)"}                 the text, white space, case and a final full stop aside
    {"type":"contains","all":["WHERE"],"none":["DROP"]}
    {"type":"rubric","criteria":[{"text":"names the race","pattern":"race","weight":3},
                                 {"text":"blames the compiler","pattern":"compiler bug","weight":-2}]}

A rubric's score is the weight of what is met over the sum of the positive weights, within 0..1. A criterion without a pattern
is left to the model graders (see `verdicts`).
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
"""From here on a score counts as a success."""


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
        found = extract_number(text)
        if found is None:
            return Grade(0.0, "no number")
        right = abs(found - self.answer) <= self.tolerance * max(1.0, abs(self.answer))
        return Grade(1.0) if right else Grade(0.0, f"{found:g}")


@dataclass(frozen=True, slots=True)
class ChoiceGrader:
    """A letter."""

    answer: str

    def grade(self, text: str) -> Grade:
        found = extract_choice(text)
        return Grade(1.0) if found == self.answer else Grade(0.0, found or "no letter")


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
    """A Python program that passes tests. `before` stands before it (imports, helpers); where the answer doesn't define
    `entry`, it is taken as what completes `before`."""

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
        """Places of the criteria whose pattern is found."""
        return {n for n, c in enumerate(self.criteria) if c.pattern and _found(c.pattern, text)}

    @property
    def with_pattern(self) -> frozenset[int]:
        return frozenset(n for n, c in enumerate(self.criteria) if c.pattern)

    @property
    def reader_criteria(self) -> frozenset[int]:
        """Places of the criteria that only a reader can judge."""
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


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _bare(text: str) -> str:
    return " ".join(text.split()).strip(" `\"'*.").lower()


def parse_grader(found: Mapping[str, Any], place: str) -> Grader:
    """A grader as it stands in a file of cases. RequestError where it is none."""
    kind = jsonl.choice_member(found, "type", ("code", "numeric", "choice", "exact", "contains", "rubric"), place)
    answer = found.get("answer")
    match kind:
        case "numeric" if isinstance(answer, int | float) and not isinstance(answer, bool):
            return NumericGrader(float(answer), _number_of(found, "tolerance", place, 1e-6))
        case "choice" if isinstance(answer, str) and re.fullmatch("[A-H]", answer):
            return ChoiceGrader(answer)
        case "exact":
            return ExactGrader(jsonl.text_member(found, "answer", place))
        case "contains":
            return ContainsGrader(_texts(found, "all", place), _texts(found, "none", place))
        case "code":
            tests = jsonl.text_member(found, "tests", place)
            return CodeGrader(tests, str(found.get("before", "")), str(found.get("entry", "")))
        case "rubric":
            return RubricGrader(tuple(_criterion(c, place) for c in found.get("criteria") or ()))
    raise RequestError(f"{place}: `answer` doesn't fit a grader of type {kind}")


def _texts(found: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"{place}: `{key}` must be a list of texts")
    return tuple(value)


def _number_of(found: Mapping[str, Any], key: str, place: str, default: float) -> float:
    value = found.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise RequestError(f"{place}: `{key}` must be a number, 0 or more")
    return float(value)


def _criterion(found: Any, place: str) -> Criterion:
    if not isinstance(found, dict) or not isinstance(found.get("weight"), int | float):
        raise RequestError(f"{place}: a criterion wants `text` and `weight`")
    pattern = found.get("pattern")
    try:
        re.compile(pattern or "")
    except (re.error, TypeError) as exc:
        raise RequestError(f"{place}: `pattern` is no regular expression: {exc}") from exc
    return Criterion(jsonl.text_member(found, "text", place), float(found["weight"]), pattern)
