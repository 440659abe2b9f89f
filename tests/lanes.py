"""Which cases of a matrix run in the fast lane.

    CASES = one_each(pytest.param(name, wire, id=...) for name in NAMES for wire in WIRES)

The fast lane runs every first parameter once, each with another combination of the rest, so that all combinations occur. The slow
lane runs the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

slow = pytest.mark.slow


def one_each(cases: Iterable[Any]) -> list[Any]:
    """The same cases, marked `slow` but for one of each first parameter."""
    groups: dict[Any, list[Any]] = {}
    for case in cases:
        groups.setdefault(case.values[0], []).append(case)
    return [
        case if place == number % len(group) else marked_slow(case)
        for number, group in enumerate(groups.values())
        for place, case in enumerate(group)
    ]


def marked_slow(case: Any) -> Any:
    return pytest.param(*case.values, id=case.id, marks=[*case.marks, slow])


def every_nth(cases: Sequence[Any], step: int) -> list[Any]:
    """The same cases, marked `slow` but for every `step`-th."""
    params = [case if hasattr(case, "values") else pytest.param(case) for case in cases]
    return [case if number % step == 0 else marked_slow(case) for number, case in enumerate(params)]
