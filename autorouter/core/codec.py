"""Core values to plain JSON values: what receipts, contexts and the state file keep.

    to_plain(Price(input=1.0, ...)) -> {"input": 1.0, ...}

Floats are kept exactly (their shortest form reads back as the same float); sets are sorted; fields that hold their default are
kept too, so that a later default can't change what an old receipt meant. `receipts/replay` reads them back.
"""

from __future__ import annotations

from typing import Any

import orjson


def to_plain(value: Any) -> Any:
    """A JSON value for a core value. Through bytes and back: orjson knows dataclasses, enums and tuples, and walks them
    four times faster than Python does. Raises TypeError for anything else."""
    return orjson.loads(orjson.dumps(value, default=_sorted_set))


def _sorted_set(value: Any) -> list[Any]:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no core value")
