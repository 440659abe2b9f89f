"""How our own values are written in YAML, so that readers of YAML 1.1 and 1.2 see the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from autorouter.errors import AdapterError

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
