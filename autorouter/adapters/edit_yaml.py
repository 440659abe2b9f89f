"""YAML, edited in place: ruamel.yaml locates every node, and only the router's own lines are written.

Root keys go to the end of the file, a new item comes first in its list (clients take the first as the default). Existing
text keeps its bytes: comments, quotes, order, indentation. A file of several documents, or one whose root is in flow style
(braces), is refused. Values are written so that readers of YAML 1.1 and 1.2 agree on them.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from autorouter.adapters.changes import ListItem, Path, format_path
from autorouter.errors import AdapterError

EMPTY = ""


def parse(text: str) -> Any:
    """The data, None for an empty file; AdapterError with the line where it isn't YAML."""
    return _read(text, "load")


def put(text: str, path: Path, value: Any) -> str:
    """The text with `value` at `path`: a root key, an item of a root key's list, or an item of the root list."""
    root = _root(text)
    match path:
        case (str() as key,):
            return _put_key(text, root, key, value)
        case (ListItem() as item,):
            return _put_item(text, root, item, value)
        case (str() as key, ListItem() as item):
            entry = _entry(root, key)
            if entry is None:
                return _put_key(text, root, key, [value])
            if isinstance(entry[1], ScalarNode):
                return _after_colon(text, entry[0], entry[1], [value])
            return _put_item(text, entry[1], item, value)
    raise _unsupported_path(path)


def drop(text: str, path: Path) -> str:
    """The text without what is at `path`; a list that is empty then goes too."""
    root = _root(text)
    match path:
        case (str() as key,):
            entry = _entry(root, key)
            assert entry is not None
            return _cut(text, *_lines(text, entry[0].start_mark.index, _leaf_end(entry[1], entry[0])))
        case (ListItem() as item,):
            assert isinstance(root, SequenceNode)
            return _drop_item(text, root, item)
        case (str() as key, ListItem() as item):
            entry = _entry(root, key)
            assert entry is not None
            assert isinstance(entry[1], SequenceNode)
            return drop(text, (key,)) if len(entry[1].value) == 1 else _drop_item(text, entry[1], item)
    raise _unsupported_path(path)


def _read(text: str, how: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(yaml, how)(StringIO(text))
    except MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise AdapterError(
            f"line {line}: {exc.problem or exc.context}", hint="it can't be read as YAML; nothing was changed"
        ) from exc
    except (YAMLError, ValueError, RecursionError, TypeError) as exc:
        raise AdapterError(f"it can't be read as YAML: {exc}", hint="nothing was changed") from exc


def _root(text: str) -> Node | None:
    node: Node | None = _read(text, "compose")
    if node is not None and _is_flow_style(node):
        raise AdapterError("it is written in braces", hint="set it by hand, as the guide shows")
    return node


def _is_flow_style(node: Node) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and bool(node.flow_style)


def _entry(root: Node | None, key: str) -> tuple[Node, Node] | None:
    pairs = root.value if isinstance(root, MappingNode) else []
    return next(((k, v) for k, v in pairs if isinstance(k, ScalarNode) and k.value == key), None)


def _put_key(text: str, root: Node | None, key: str, value: Any) -> str:
    entry = _entry(root, key)
    if entry is None:
        indent = " " * (root.start_mark.column if root is not None else 0)
        lines = [indent + line for line in block(key, value)]
        if root is not None and not text.endswith("\n") and _ends_in_block(root):
            start = text.rfind("\n", 0, root.start_mark.index) + 1
            return text[:start] + _joined(text, lines) + text[start:]
        return _appended(text, lines)
    name, node = entry
    if _is_empty(text, node):
        return _after_colon(text, name, node, value)
    if isinstance(node, ScalarNode) and node.style not in ("|", ">") and not isinstance(value, list | dict):
        return text[: node.start_mark.index] + scalar(value) + text[node.end_mark.index :]
    start, end = _lines(text, name.start_mark.index, _leaf_end(node, name))
    indent = " " * name.start_mark.column
    return text[:start] + _joined(text, [indent + line for line in block(key, value)]) + text[end:]


def _ends_in_block(node: Node) -> bool:
    """Whether the last text is a block scalar: a line break after it would become part of it."""
    while not isinstance(node, ScalarNode) and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return isinstance(node, ScalarNode) and node.style in ("|", ">")


def _put_item(text: str, root: Node | None, item: ListItem, value: Any) -> str:
    if root is None:
        return _appended(text, item_lines(value))
    if not isinstance(root, SequenceNode):
        raise AdapterError("it is no list", hint="set it by hand, as the guide shows")
    old = _find(root, item)
    if _is_flow_style(root) or not root.value:
        if old is not None:
            return text[: old.start_mark.index] + flow(value) + text[old.end_mark.index :]
        at = text.index("[", root.start_mark.index) + 1
        return text[:at] + flow(value) + (", " if root.value else "") + text[at:]
    indent = " " * root.start_mark.column
    lines = _joined(text, [indent + line for line in item_lines(value)])
    if old is not None:
        start, end = _lines(text, _dash(text, old), _leaf_end(old, old))
        return text[:start] + lines + text[end:]
    start = text.rfind("\n", 0, root.start_mark.index) + 1
    if text[start : root.start_mark.index].strip():
        raise AdapterError("a list begins beside something else", hint="set it by hand, as the guide shows")
    return text[:start] + lines + text[start:]


def _drop_item(text: str, root: SequenceNode, item: ListItem) -> str:
    old = _find(root, item)
    assert old is not None
    if not _is_flow_style(root):
        return _cut(text, *_lines(text, _dash(text, old), _leaf_end(old, old)))
    at = root.value.index(old)
    if at + 1 < len(root.value):
        return text[: old.start_mark.index] + text[root.value[at + 1].start_mark.index :]
    start = root.value[at - 1].end_mark.index if at else old.start_mark.index
    return text[:start] + text[old.end_mark.index :]


def _find(root: SequenceNode, item: ListItem) -> Node | None:
    for node in root.value:
        entry = _entry(node, item.key)
        if entry is not None and entry[1].value == item.value:
            return node  # type: ignore[no-any-return]
    return None


def _after_colon(text: str, name: Node, node: Node, value: Any) -> str:
    """`key:` gets a value, before the comment of its line; a list goes below it. `~` and `null` are replaced."""
    if not _is_empty(text, node):
        return text[: node.start_mark.index] + (flow(value)) + text[node.end_mark.index :]
    colon = text.index(":", name.end_mark.index) + 1
    if not isinstance(value, list):
        return f"{text[:colon]} {flow(value)}{text[colon:]}"
    end = text.find("\n", colon) + 1
    indent = " " * name.start_mark.column
    lines = [f"{indent}  {line}" for inner in value for line in item_lines(inner)]
    if not end:
        return text + _newline(text) + _joined(text, lines)
    return text[:end] + _joined(text, lines) + text[end:]


def _is_empty(text: str, node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index


def _dash(text: str, node: Node) -> int:
    return text.rindex("-", 0, node.start_mark.index)


def _leaf_end(node: Node, name: Node) -> int:
    """Where the last text of a node ends; a block's own end mark lies behind the comments that follow it."""
    if isinstance(node, ScalarNode) or _is_flow_style(node) or not node.value:
        return int(max(node.end_mark.index, name.end_mark.index)) if _has_text(node) else int(name.end_mark.index)
    last = node.value[-1]
    return _leaf_end(last[1], last[0]) if isinstance(last, tuple) else _leaf_end(last, last)


def _has_text(node: Node) -> bool:
    return bool(node.start_mark.index != node.end_mark.index)


def _lines(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of the whole lines that hold start..end. A block scalar's end lies behind its last line break."""
    begin = text.rfind("\n", 0, start) + 1
    kept = text[:end].rstrip()
    stop = text.find("\n", max(len(kept), start))
    return begin, len(text) if stop < 0 else stop + 1


def _cut(text: str, start: int, end: int) -> str:
    return text[:start] + text[end:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _joined(text: str, lines: list[str]) -> str:
    return "".join(line + _newline(text) for line in lines)


def _appended(text: str, lines: list[str]) -> str:
    if text and not text.endswith("\n"):
        text += _newline(text)
    return text + _joined(text, lines)


def _unsupported_path(path: Path) -> AdapterError:
    return AdapterError(f"`{format_path(path)}` can't be set in YAML", hint="set it by hand, as the guide shows")


_PLAIN = re.compile(r"[A-Za-z_](?:[\w./@+-]|:(?=[\w/]))*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def block(key: str, value: Any) -> Iterator[str]:
    """The lines of an entry; a list of tables is written with dashes, everything else on one line."""
    if isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        yield f"{scalar(key)}:"
        for inner in value:
            yield from (f"  {line}" for line in item_lines(inner))
    else:
        yield f"{scalar(key)}: {flow(value)}"


def item_lines(value: Any) -> list[str]:
    """The lines of an item, with its dash."""
    if not isinstance(value, dict) or not value:
        return [f"- {flow(value)}"]
    return [f"{'  ' if n else '- '}{scalar(key)}: {flow(inner)}" for n, (key, inner) in enumerate(value.items())]


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """Without quotes where every YAML reader sees a string; else as JSON, which YAML contains."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError as exc:
        raise AdapterError(f"`{value}` can't be written back", hint="set it by hand") from exc
