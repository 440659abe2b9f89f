"""TOML, edited by tomlkit where something is replaced, and by adding lines where something is new.

A new root key goes below the last root key, before the first table (whatever that is: `[[a]]` too); a new table goes to
the end. So nothing that is there moves, and comments stay with what they are about.
"""

from __future__ import annotations

import tomllib
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from autorouter.adapters.changes import MISSING, Change, ListItem, Path, apply_change, format_path, same
from autorouter.errors import AdapterError

EMPTY = ""


def parse(text: str) -> Any:
    """The data; AdapterError with the line where it isn't TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        raise AdapterError(f"{exc}", hint="it is not TOML; nothing was changed") from exc


def put(text: str, path: Path, value: Any) -> str:
    """The text with `value` at `path`."""
    data = parse(text)
    expected = apply_change(data, Change(path, value))
    keys = _keys(path)
    added = None
    if isinstance(value, dict):
        added = _at_end(text, _rendered(keys, value))
    elif len(keys) == 1 and keys[0] not in data:
        added = _at_root(text, _rendered(keys, value))
    if added is not None and _is(added, expected):
        return added
    return _with_tomlkit(text, keys, value)


def drop(text: str, path: Path) -> str:
    """The text without what is at `path`. What stands there as `put` wrote it is cut out; the rest is tomlkit's."""
    data = parse(text)
    keys = _keys(path)
    expected = apply_change(data, Change(path, MISSING))
    value: Any = data
    for key in keys:
        value = value[key]
    block = _as_in(text, _rendered(keys, value))
    gap = _newline(text)
    for cut in (gap + block if isinstance(value, dict) else block, block):
        if text.count(cut) == 1 and _is(text.replace(cut, ""), expected):
            return text.replace(cut, "")
    return _with_tomlkit(text, keys, MISSING)


def _keys(path: Path) -> list[str]:
    if any(isinstance(part, ListItem) for part in path):
        raise AdapterError(f"`{format_path(path)}` can't be set in TOML", hint="set it by hand, as the guide shows")
    return [str(part) for part in path]


def _is(text: str, expected: Any) -> bool:
    try:
        return same(tomllib.loads(text), expected)
    except ValueError:
        return False


def _with_tomlkit(text: str, keys: list[str], value: Any) -> str:
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for key in keys[:-1]:
            table = table[key]
        if value is MISSING:
            del table[keys[-1]]
        else:
            table[keys[-1]] = value
        return document.as_string()
    except (TOMLKitError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise AdapterError(f"`{'.'.join(keys)}` can't be changed safely", hint="change it by hand") from exc


def _rendered(keys: list[str], value: Any) -> str:
    for key in reversed(keys):
        value = {key: value}
    return tomlkit.dumps(value)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _as_in(text: str, block: str) -> str:
    return block.replace("\n", _newline(text))


def _at_end(text: str, block: str) -> str:
    gap = _newline(text)
    if text and not text.endswith("\n"):
        text += gap
    return text + (gap if text.strip() else "") + _as_in(text, block)


def _at_root(text: str, line: str) -> str:
    """Below the last root key; without one, above the first table and the comment that belongs to it."""
    lines = text.splitlines(keepends=True)
    gap = _newline(text)
    end = _first_table(lines)
    at = end
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    while at and not lines[at - 1].strip():
        at -= 1
    if end == len(lines):
        at = end
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += gap
    apart = gap if at < len(lines) and lines[at].strip() else ""
    return "".join((*lines[:at], line.replace("\n", gap), apart, *lines[at:]))


def _first_table(lines: list[str]) -> int:
    """The number of lines before the first table header."""
    quote, depth = "", 0
    for number, line in enumerate(lines):
        if not quote and depth == 0 and line.lstrip(" \t").startswith("["):
            return number
        quote, depth = _scanned(line, quote, depth)
    return len(lines)


def _scanned(line: str, quote: str, depth: int) -> tuple[str, int]:
    """Inside which quotes, and in how many brackets, a line ends."""
    at = 0
    while at < len(line):
        if quote:
            if line[at] == "\\" and quote[0] == '"':
                at += 1
            elif line.startswith(quote, at):
                at += len(quote) - 1
                while len(quote) == 3 and line.startswith(quote[0], at + 1):
                    at += 1
                quote = ""
        elif line[at] == "#":
            break
        elif line[at] in "\"'":
            quote = line[at] * 3 if line.startswith(line[at] * 3, at) else line[at]
            at += len(quote) - 1
        else:
            depth += (line[at] in "[{") - (line[at] in "]}")
        at += 1
    return (quote if len(quote) == 3 else ""), depth
