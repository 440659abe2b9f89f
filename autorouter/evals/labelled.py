"""Labelled requests: what a request means, said by people before any router read it.

    {"id":"debug-004","ask":"npm ERR! missing script: strat","kind":"debug","difficulty":"easy","risky":false,
     "strategies":["single"],"language":"en","wrap":"cline"}

difficulty   easy: any small model does it; middle: takes a competent one; hard: strong ones often fail
risky        what goes wrong is hard to take back, or hurts others
strategies   what a careful person would accept: one model for what is easy, a check for what is risky
wrap, trail  what an agent puts around the ask, and what its tools have shown since (see `wrapping`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from autorouter.core.types import Kind, Strategy
from autorouter.errors import RequestError
from autorouter.evals import lines

Band = Literal["easy", "middle", "hard"]
BANDS: tuple[Band, ...] = get_args(Band)
Wrap = Literal["plain", "claude", "codex", "aider", "cline", "opencode", "title", "commit"]
Trail = Literal["none", "looking", "green", "red", "failing-edits"]
KEYS = ("id", "ask", "kind", "difficulty", "risky", "strategies", "language", "wrap", "trail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One request with its labels."""

    id: str
    ask: str
    kind: Kind
    difficulty: Band
    risky: bool
    strategies: tuple[Strategy, ...]
    language: str = "en"
    wrap: Wrap = "plain"
    trail: Trail = "none"


def load(data: bytes, name: str) -> tuple[Labelled, ...]:
    """The cases of a file. RequestError for a case that isn't one, or an id that is there twice."""
    cases: list[Labelled] = []
    seen: set[str] = set()
    for place, found in lines.objects(data, name):
        case = _case(found, place)
        if case.id in seen:
            raise RequestError(f"{place}: the id `{case.id}` is there twice")
        seen.add(case.id)
        cases.append(case)
    if not cases:
        raise RequestError(f"{name} holds no cases")
    return tuple(cases)


def _case(found: Mapping[str, Any], place: str) -> Labelled:
    lines.known(found, KEYS, place)
    risky, strategies = found.get("risky", False), found.get("strategies")
    if not isinstance(risky, bool):
        raise RequestError(f"{place}: `risky` must be true or false")
    if not isinstance(strategies, list) or not strategies or not set(strategies) <= set(Strategy):
        raise RequestError(f"{place}: `strategies` must list some of {', '.join(Strategy)}")
    return Labelled(
        id=lines.text(found, "id", place),
        ask=lines.text(found, "ask", place),
        kind=Kind(lines.one_of(found, "kind", tuple(Kind), place)),
        difficulty=cast(Band, lines.one_of(found, "difficulty", BANDS, place)),
        risky=risky,
        strategies=tuple(Strategy(name) for name in strategies),
        language=lines.text(found, "language", place, "en"),
        wrap=cast(Wrap, lines.one_of(found, "wrap", get_args(Wrap), place, "plain")),
        trail=cast(Trail, lines.one_of(found, "trail", get_args(Trail), place, "none")),
    )
