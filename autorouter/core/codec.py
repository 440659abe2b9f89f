"""Core values to plain JSON values and back, by their own type hints: what a receipt keeps can be run again.

    to_plain(Price(input=1.0, ...)) -> {"input": 1.0, ...}        from_plain(Price, {...}) -> Price(...)

Floats are kept exactly (their shortest form reads back as the same float); sets are sorted; fields that hold their
default are kept too, so that a later default can't change what an old receipt meant.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A JSON value for a core value. Through bytes and back: orjson knows dataclasses, enums and tuples, and walks them
    four times faster than Python does. Raises TypeError for anything else."""
    return orjson.loads(orjson.dumps(value, default=_sorted_set))


def _sorted_set(value: Any) -> list[Any]:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no core value")


def from_plain(hint: type[T], data: Any) -> T:
    """The core value of type `hint`. Raises TypeError, ValueError or KeyError for data that don't fit."""
    return _build(hint, data)  # type: ignore[no-any-return]


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _build(hint: Any, data: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if data is None else _build(next(a for a in get_args(hint) if a is not type(None)), data)
    if origin is tuple:
        return _tuple(get_args(hint), data)
    if origin is frozenset:
        return frozenset(_build(get_args(hint)[0], item) for item in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _build(get_args(hint)[1], item) for key, item in data.items()}
    if origin is Literal:
        if data not in get_args(hint):
            raise ValueError(f"{data!r} is none of {get_args(hint)}")
        return data
    if is_dataclass(hint):
        make = cast(Any, hint)
        hints = _hints(make)
        return make(**{name: _build(hints[name], data[name]) for name in data})
    if hint is float:
        return float(data)
    if hint is Any:
        return data
    return hint(data)


def _tuple(args: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], item) for item in data)
    return tuple(_build(arg, item) for arg, item in zip(args, data, strict=True))
