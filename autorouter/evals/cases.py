"""Cases for `compare`: a prompt and how its answer is graded.

{"id":"clamp","prompt":"Write a Python function clamp(x, low, high) …","grader":{"type":"code","tests":"assert …"}}

Labelled requests: what a request means, said by people before any router read it.

    {"id":"debug-004","ask":"npm ERR! missing script: strat","kind":"debug","difficulty":"easy","risky":false,
     "strategies":["single"],"language":"en","wrap":"cline"}

difficulty   easy: any small model does it; middle: takes a competent one; hard: strong ones often fail
risky        what goes wrong is hard to take back, or hurts others
strategies   what a careful person would accept: one model for what is easy, a check for what is risky
wrap, trail  what an agent puts around the ask, and what its tools have shown since (see `wrapping`)
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
    """The cases of a JSON Lines file. RequestError for one that isn't a case, or an id that is there twice."""
    cases = []
    for place, found in jsonl.read_objects(data, name):
        jsonl.reject_unknown(found, ("id", "prompt", "grader"), place)
        grader = found.get("grader")
        if grader is not None and not isinstance(grader, dict):
            raise RequestError(f"{place}: `grader` must be an object")
        cases.append(
            Case(
                id=jsonl.text_member(found, "id", place),
                prompt=jsonl.text_member(found, "prompt", place),
                grader=parse_grader(grader, place) if grader else None,
            )
        )
    return check_cases(cases, name)


def check_cases(cases: Sequence[Case], name: str) -> tuple[Case, ...]:
    """The cases, of which there must be some, each with an id of its own."""
    if not cases:
        raise RequestError(f"{name} holds no cases")
    if len({case.id for case in cases}) < len(cases):
        raise RequestError(f"{name}: two cases have the same id")
    return tuple(cases)


def sample_cases(cases: Sequence[Case], limit: int | None, seed: int) -> tuple[Case, ...]:
    """So many cases drawn by a seed, in the order of the file; all of them without a limit."""
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
    """The cases of a file. RequestError for a case that isn't one, or an id that is there twice."""
    cases: list[LabelledRequest] = []
    seen: set[str] = set()
    for place, found in jsonl.read_objects(data, name):
        case = _case(found, place)
        if case.id in seen:
            raise RequestError(f"{place}: the id `{case.id}` is there twice")
        seen.add(case.id)
        cases.append(case)
    if not cases:
        raise RequestError(f"{name} holds no cases")
    return tuple(cases)


def _case(found: Mapping[str, Any], place: str) -> LabelledRequest:
    jsonl.reject_unknown(found, KEYS, place)
    risky, strategies = found.get("risky", False), found.get("strategies")
    if not isinstance(risky, bool):
        raise RequestError(f"{place}: `risky` must be true or false")
    if not isinstance(strategies, list) or not strategies or not set(strategies) <= set(Strategy):
        raise RequestError(f"{place}: `strategies` must list some of {', '.join(Strategy)}")
    return LabelledRequest(
        id=jsonl.text_member(found, "id", place),
        ask=jsonl.text_member(found, "ask", place),
        kind=TaskKind(jsonl.choice_member(found, "kind", tuple(TaskKind), place)),
        difficulty=cast(DifficultyBand, jsonl.choice_member(found, "difficulty", BANDS, place)),
        risky=risky,
        strategies=tuple(Strategy(name) for name in strategies),
        language=jsonl.text_member(found, "language", place, "en"),
        wrap=cast(ClientName, jsonl.choice_member(found, "wrap", get_args(ClientName), place, "plain")),
        trail=cast(TrailName, jsonl.choice_member(found, "trail", get_args(TrailName), place, "none")),
    )
