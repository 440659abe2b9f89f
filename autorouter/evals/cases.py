"""Case files, as JSON Lines: cases for `compare`, and labelled requests for `eval`.

A case is a prompt and how its answer is graded:

    {"id":"clamp","prompt":"Write a Python function clamp(x, low, high) …","grader":{"type":"code","tests":"assert …"}}

A labelled request says what it means, as people judged it before any router read it:

    {"id":"debug-004","ask":"npm ERR! missing script: strat","kind":"debug","difficulty":"easy","risky":false,
     "strategies":["single"],"language":"en","wrap":"cline"}

difficulty   easy: any small model does it; middle: takes a competent one; hard: strong models often fail
risky        a mistake is hard to take back, or hurts others
strategies   what a careful person would accept: one model for an easy request, a check for a risky one
wrap, trail  what an agent puts around the request, and what its tools have returned since (see `client_fixtures`)
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from autorouter.core.types import Strategy, TaskKind
from autorouter.errors import RequestError
from autorouter.evals import jsonl
from autorouter.evals.graders import Grader, parse_grader


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question. `grader` None: only other models can judge it."""

    id: str
    prompt: str
    grader: Grader | None = None


def load_cases(data: bytes, name: str) -> tuple[Case, ...]:
    """The cases of a JSON Lines file. RequestError for an invalid case or a duplicate id."""
    cases = []
    for location, record in jsonl.read_objects(data, name):
        jsonl.reject_unknown(record, ("id", "prompt", "grader"), location)
        grader = record.get("grader")
        if grader is not None and not isinstance(grader, dict):
            raise RequestError(f"{location}: `grader` must be an object")
        cases.append(
            Case(
                id=jsonl.text_member(record, "id", location),
                prompt=jsonl.text_member(record, "prompt", location),
                grader=parse_grader(grader, location) if grader else None,
            )
        )
    return check_cases(cases, name)


def check_cases(cases: Sequence[Case], name: str) -> tuple[Case, ...]:
    """The cases as a tuple. RequestError if there are none, or if two have the same id."""
    if not cases:
        raise RequestError(f"{name} holds no cases")
    if len({case.id for case in cases}) < len(cases):
        raise RequestError(f"{name}: two cases have the same id")
    return tuple(cases)


def sample_cases(cases: Sequence[Case], limit: int | None, seed: int) -> tuple[Case, ...]:
    """`limit` cases drawn at random with this seed, in the order of the file; all of them without a limit."""
    if limit is None or limit >= len(cases):
        return tuple(cases)
    draw = random.Random(seed)  # noqa: S311  (a sample, no secret)
    return tuple(cases[n] for n in sorted(draw.sample(range(len(cases)), limit)))


DifficultyBand = Literal["easy", "middle", "hard"]
BANDS: tuple[DifficultyBand, ...] = get_args(DifficultyBand)
ClientName = Literal["plain", "claude", "codex", "aider", "cline", "opencode", "title", "commit"]
TrailName = Literal["none", "looking", "green", "red", "failing-edits"]
KEYS = ("id", "ask", "kind", "difficulty", "risky", "strategies", "language", "wrap", "trail")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRequest:
    """One request with its labels."""

    id: str
    ask: str
    kind: TaskKind
    difficulty: DifficultyBand
    risky: bool
    strategies: tuple[Strategy, ...]
    language: str = "en"
    wrap: ClientName = "plain"
    trail: TrailName = "none"


def load_labelled(data: bytes, name: str) -> tuple[LabelledRequest, ...]:
    """The labelled requests of a file. RequestError for an invalid one or a duplicate id."""
    cases: list[LabelledRequest] = []
    ids: set[str] = set()
    for location, record in jsonl.read_objects(data, name):
        case = _labelled_request(record, location)
        if case.id in ids:
            raise RequestError(f"{location}: the id `{case.id}` is there twice")
        ids.add(case.id)
        cases.append(case)
    if not cases:
        raise RequestError(f"{name} holds no cases")
    return tuple(cases)


def _labelled_request(record: Mapping[str, Any], location: str) -> LabelledRequest:
    jsonl.reject_unknown(record, KEYS, location)
    risky, strategies = record.get("risky", False), record.get("strategies")
    if not isinstance(risky, bool):
        raise RequestError(f"{location}: `risky` must be true or false")
    if not isinstance(strategies, list) or not strategies or not set(strategies) <= set(Strategy):
        raise RequestError(f"{location}: `strategies` must list some of {', '.join(Strategy)}")
    return LabelledRequest(
        id=jsonl.text_member(record, "id", location),
        ask=jsonl.text_member(record, "ask", location),
        kind=TaskKind(jsonl.choice_member(record, "kind", tuple(TaskKind), location)),
        difficulty=cast(DifficultyBand, jsonl.choice_member(record, "difficulty", BANDS, location)),
        risky=risky,
        strategies=tuple(Strategy(name) for name in strategies),
        language=jsonl.text_member(record, "language", location, "en"),
        wrap=cast(ClientName, jsonl.choice_member(record, "wrap", get_args(ClientName), location, "plain")),
        trail=cast(TrailName, jsonl.choice_member(record, "trail", get_args(TrailName), location, "none")),
    )
