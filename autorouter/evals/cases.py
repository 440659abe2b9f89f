"""Cases for `compare`: a prompt and how its answer is graded.

{"id":"clamp","prompt":"Write a Python function clamp(x, low, high) …","grader":{"type":"code","tests":"assert …"}}
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from autorouter.errors import RequestError
from autorouter.evals import lines
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
    for place, found in lines.read_objects(data, name):
        lines.reject_unknown(found, ("id", "prompt", "grader"), place)
        grader = found.get("grader")
        if grader is not None and not isinstance(grader, dict):
            raise RequestError(f"{place}: `grader` must be an object")
        cases.append(
            Case(
                id=lines.text_member(found, "id", place),
                prompt=lines.text_member(found, "prompt", place),
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
