"""The changes that an install makes to a client's configuration, on plain data: no format, no file.

    path      ("model_providers", "autorouter", "base_url"), or with an item of a list: ("models", Item("name", "x"))
    Change    path, the value that is set, and what was there before (MISSING: nothing)

Tables are merged, never replaced: a missing table is added whole, an existing one is changed key by key. `undo_changes`
takes back only values that are still as they were set; a value that was changed since is left alone and reported. A list
whose last item is removed is removed too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

from autorouter.errors import AdapterError


class _Missing(Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING


@dataclass(frozen=True, slots=True)
class ListItem:
    """The item of a list whose `key` is `value`."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"[{self.key}={self.value}]"


Path: TypeAlias = tuple["str | ListItem", ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that is set; `value` MISSING removes it."""

    path: Path
    value: Any
    before: Any = MISSING


def format_path(path: Path) -> str:
    """`models[name=x].apiBase`."""
    text = ""
    for part in path:
        text += str(part) if isinstance(part, ListItem) or not text else f".{part}"
    return text


def value_at(data: Any, path: Path) -> Any:
    """The value at a path, MISSING when there is none."""
    for part in path:
        data = _item(data, part) if isinstance(part, ListItem) else _value(data, part)
        if data is MISSING:
            return MISSING
    return data


def _value(data: Any, key: str) -> Any:
    return data.get(key, MISSING) if isinstance(data, Mapping) else MISSING


def _item(data: Any, item: ListItem) -> Any:
    items = data if isinstance(data, Sequence) and not isinstance(data, str) else ()
    return next((x for x in items if isinstance(x, Mapping) and x.get(item.key) == item.value), MISSING)


def apply_change(data: Any, change: Change) -> Any:
    """The data with a change applied; the argument is not modified. A new item comes first in its list."""
    if not change.path:
        return change.value
    head, rest = change.path[0], Change(change.path[1:], change.value)
    if isinstance(head, ListItem):
        return _apply_in_list(list(data or ()), head, rest)
    table = dict(data or {})
    value = apply_change(table.get(head), rest)
    if value is MISSING or (value == [] and rest.path and change.value is MISSING):
        table.pop(head, None)
    else:
        table[head] = value
    return table


def _apply_in_list(items: list[Any], item: ListItem, rest: Change) -> list[Any]:
    old = _item(items, item)
    index = next((n for n, x in enumerate(items) if x is old), 0)
    new = apply_change(None if old is MISSING else old, rest)
    return [*items[:index], *(() if new is MISSING else (new,)), *items[index if old is MISSING else index + 1 :]]


def changes_for(data: Any, path: Path, value: Any, *, only_if_missing: bool = False) -> Iterator[Change]:
    """The changes after which `path` holds `value`. AdapterError where a value on the way is neither a table nor a list."""
    for depth in range(1, len(path)):
        container = value_at(data, path[:depth])
        if container is MISSING or (container is None and not isinstance(path[depth], ListItem)):
            if isinstance(path[depth], ListItem):
                break
            before = MISSING if container is MISSING else None
            yield Change(path[:depth], _nested(path[depth:], value), before)
            return
        required = list if isinstance(path[depth], ListItem) else Mapping
        if container is not None and not isinstance(container, required):
            kind = "list" if required is list else "table"
            raise AdapterError(f"`{format_path(path[:depth])}` is no {kind}", hint="set it by hand, as the guide shows")
    current = value_at(data, path)
    if current is MISSING:
        yield Change(path, value)
    elif only_if_missing or same(current, value):
        return
    elif isinstance(current, Mapping) and isinstance(value, Mapping) and not isinstance(path[-1], ListItem):
        for key, inner in value.items():
            yield from changes_for(data, (*path, key), inner)
    else:
        yield Change(path, value, current)


def _nested(path: Path, value: Any) -> Any:
    for part in reversed(path):
        assert isinstance(part, str)
        value = {part: value}
    return value


def undo_changes(data: Any, changes: Iterable[Change]) -> tuple[list[Change], list[str]]:
    """The changes that take `changes` back, last first, and the paths that are left alone because they were changed since."""
    steps: list[Change] = []
    kept: list[str] = []
    for change in reversed(list(changes)):
        for step in _undo_steps(data, change, kept):
            steps.append(step)
            data = apply_change(data, step)
    return steps, kept


def _undo_steps(data: Any, change: Change, kept: list[str]) -> list[Change]:
    current = value_at(data, change.path)
    if current is MISSING:
        return []
    if same(current, change.value):
        return [Change(change.path, change.before, current)]
    if not (isinstance(current, Mapping) and isinstance(change.value, Mapping) and change.before is MISSING):
        kept.append(format_path(change.path))
        return []
    steps = []
    for key, value in change.value.items():
        steps += _undo_steps(data, Change((*change.path, key), value), kept)
    rest = current
    for step in steps:
        rest = value_at(apply_change(data, step), change.path)
        data = apply_change(data, step)
    return [Change(change.path, MISSING, current)] if rest == {} else steps


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type: 1 is not true, and not 1.0; NaN is NaN."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and bool(a == b)
