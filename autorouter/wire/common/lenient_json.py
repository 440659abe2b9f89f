"""Reading what others wrote: values of a wrong type count as absent, so that no document can raise; but for one that is nested
beyond all sense, which can be read and not be written again."""

from __future__ import annotations

from typing import Any

import orjson

from autorouter.errors import RequestError


def as_object(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """`value` if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def as_texts(value: Any) -> tuple[str, ...]:
    """A text alone, or the texts of a list."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


MAX_COUNT = 10**12
"""Nobody uses more tokens for one answer; and sums of what is larger have no place in 64 bits."""


def as_count(value: Any) -> int:
    """`value` if it is a whole number above 0 and at most `MAX_COUNT`, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_COUNT else 0


def as_number(value: Any) -> float | None:
    """`value` if it is a number, else None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_bool(value: Any) -> bool | None:
    """`value` if it is true or false, else None."""
    return value if isinstance(value, bool) else None


def parse_object(data: bytes | str) -> dict[str, Any] | None:
    """The object that JSON text stands for; None where it is none."""
    try:
        found = orjson.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


MAX_DEPTH = 240
"""orjson reads 1,024 levels and writes 254, and a translated body may be a few levels deeper than the client's."""


class TooDeepError(RequestError):
    """A value that could be read and can't be written. What passes through untouched may be deeper: only a body that has to be
    rewritten is refused, where it is written."""


def dumps_bytes(value: Any) -> bytes:
    """JSON of a value that came out of JSON. Raises TooDeepError."""
    try:
        return orjson.dumps(value)
    except TypeError as exc:
        raise TooDeepError(
            f"The body is nested more than {MAX_DEPTH} levels deep", hint="nothing that is meant is so deep"
        ) from exc


def dumps(value: Any) -> str:
    """The same as text."""
    return dumps_bytes(value).decode()


def as_json_text(value: Any) -> str:
    """ArgumentAccumulator as JSON text: some servers send an object where a text belongs, and nothing where it has no members."""
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value)
