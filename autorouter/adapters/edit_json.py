"""JSON and JSONC, edited in place: a value is replaced where it is, a new member is added after the last one.

Everything else keeps its bytes: comments, trailing commas, order and indentation.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from autorouter.adapters.changes import ListItem, Path, format_path
from autorouter.errors import AdapterError

EMPTY = "{}\n"
_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.S)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD = re.compile(r"[-+.\w]+")
_MAX_DEPTH = 200


@dataclass(slots=True)
class _Node:
    """A value with the span of its text. `members`: of an object; `commas`: where those between members stand."""

    start: int
    end: int
    value: Any
    members: dict[str, tuple[int, _Node]] = field(default_factory=dict)
    commas: list[int] = field(default_factory=list)


def parse(text: str) -> Any:
    """The data; AdapterError with the line where it isn't JSON."""
    return _root(text).value


def put(text: str, path: Path, value: Any) -> str:
    """The text with `value` at `path`, whose parent is there."""
    parent, key = _parent(text, path)
    if key in parent.members:
        old = parent.members[key][1]
        return text[: old.start] + _dumped(value, text, _indent_at(text, old.start)) + text[old.end :]
    last = max((node.end for _, node in parent.members.values()), default=None)
    if last is None:
        outer = _indent_at(text, parent.start)
        inner = outer + _unit(text)
        new = f"{json.dumps(key)}: {_dumped(value, text, inner)}"
        rest = text[parent.start + 1 :].lstrip(" \t\r\n")
        gap = _newline(text) + (outer if rest.startswith("}") else inner)
        return f"{text[: parent.start + 1]}{_newline(text)}{inner}{new}{gap}{rest}"
    first = min(start for start, _ in parent.members.values())
    spread = "\n" in text[parent.start : first]
    indent = _indent_at(text, first)
    gap = _newline(text) + indent if spread else " "
    new = f"{json.dumps(key)}: {_dumped(value, text, indent, spread=spread)}"
    return f"{text[:last]},{gap}{new}{text[last:]}"


def drop(text: str, path: Path) -> str:
    """The text without the member at `path`."""
    parent, key = _parent(text, path)
    start, node = parent.members[key]
    after = next((n for n in parent.commas if n >= node.end), None)
    before = max((n for n in parent.commas if n < start), default=None)
    begin = len(text[:start].rstrip(" \t"))
    if text[begin - 1 : begin] == "\n":
        begin -= 2 if text[begin - 2 : begin] == "\r\n" else 1
    else:
        begin = start
    if before is not None:
        return text[:before] + text[before + 1 : begin] + text[node.end :]
    return text[:begin] + (text[node.end :] if after is None else text[node.end : after] + text[after + 1 :])


def _parent(text: str, path: Path) -> tuple[_Node, str]:
    node = _root(text)
    *above, key = path
    for part in above:
        assert isinstance(part, str)
        node = node.members[part][1]
    if isinstance(key, ListItem) or not isinstance(node.value, dict):
        raise AdapterError(f"`{format_path(path)}` can't be set in JSON", hint="set it by hand, as the guide shows")
    return node, key


def _dumped(value: Any, text: str, indent: str, *, spread: bool = True) -> str:
    if not spread:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"{_newline(text)}{indent}".join(lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_at(text: str, index: int) -> str:
    line = text[text.rfind("\n", 0, index) + 1 : index]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """One step of indentation: that of the first indented line."""
    match = re.search(r"^([ \t]+)\"", text, re.M)
    return match[1] if match else "  "


def _root(text: str) -> _Node:
    at = _gap(text, 0)
    node = _value(text, at, 0)
    end = _gap(text, node.end)
    if end < len(text):
        raise _broken(text, end, "something follows the value")
    return node


def _gap(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    assert match is not None
    return match.end()


def _value(text: str, at: int, depth: int) -> _Node:
    if depth > _MAX_DEPTH:
        raise _broken(text, at, "it is nested too deeply")
    match text[at : at + 1]:
        case "{":
            return _object(text, at, depth)
        case "[":
            return _array(text, at, depth)
    match = (_STRING if text[at : at + 1] == '"' else _WORD).match(text, at)
    if match is None:
        raise _broken(text, at, "a value is missing")
    try:
        return _Node(at, match.end(), json.loads(match[0]))
    except ValueError as exc:
        raise _broken(text, at, f"`{match[0][:40]}` is no value") from exc


def _object(text: str, start: int, depth: int) -> _Node:
    node = _Node(start, start, {})
    at = _gap(text, start + 1)
    while text[at : at + 1] != "}":
        match = _STRING.match(text, at)
        if match is None:
            raise _broken(text, at, "a name in double quotes is missing")
        key = _value(text, at, depth).value
        colon = _gap(text, match.end())
        if text[colon : colon + 1] != ":":
            raise _broken(text, colon, "a colon is missing")
        if key in node.members:
            raise _broken(text, at, f'"{key}" is there twice')
        inner = _value(text, _gap(text, colon + 1), depth + 1)
        node.members[key] = (at, inner)
        node.value[key] = inner.value
        at = _next(text, _gap(text, inner.end), "}", node)
    node.end = at + 1
    return node


def _array(text: str, start: int, depth: int) -> _Node:
    node = _Node(start, start, [])
    at = _gap(text, start + 1)
    while text[at : at + 1] != "]":
        inner = _value(text, at, depth + 1)
        node.value.append(inner.value)
        at = _next(text, _gap(text, inner.end), "]", node)
    node.end = at + 1
    return node


def _next(text: str, at: int, closing: str, node: _Node) -> int:
    """Past a comma, or at the closing bracket."""
    if text[at : at + 1] == ",":
        node.commas.append(at)
        return _gap(text, at + 1)
    if text[at : at + 1] != closing:
        raise _broken(text, at, f"a comma or `{closing}` is missing")
    return at


def _broken(text: str, at: int, what: str) -> AdapterError:
    return AdapterError(f"line {text.count(chr(10), 0, at) + 1}: {what}", hint="it is not JSON; nothing was changed")
