"""Changing a JSON body without writing it anew: the model's name is exchanged in the client's own bytes.

Only the value of the *top-level* key may change, and `"model"` may well stand in a message before it. So a place is
tried and proved: with the value exchanged, the parsed body must differ in `model` and in nothing else.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_FIRST_KEY = re.compile(rb'\s*\{\s*"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_ANY_KEY = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"\s*:")
_MAX_TRIES = 8
"""A try costs a parse; where so many have failed, walking over every string is cheaper."""
_PROBE = b'"\\u0000autorouter probe"'
_PROBE_TEXT = "\0autorouter probe"


def model_place(body: bytes, document: dict[str, Any]) -> tuple[int, int] | None:
    """Start and end of the top-level model's value; None where it isn't found or stands there twice."""
    match = _FIRST_KEY.match(body)
    if match and orjson.loads(match[1]) == document.get("model"):
        return match.span(1)
    for tried, match in enumerate(_ANY_KEY.finditer(body)):
        if tried == _MAX_TRIES:
            break
        start, end = match.span(1)
        probed = orjson.loads(body[:start] + _PROBE + body[end:])
        if probed.get("model") == _PROBE_TEXT:
            return start, end
    return _walk(body)


def _walk(body: bytes) -> tuple[int, int] | None:
    """The same by reading the text once, string by string and bracket by bracket."""
    places: list[tuple[int, int]] = []
    depth, wanted = 0, False
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and wanted:
            places.append(match.span())
            wanted = False
        elif depth == 1 and _COLON.match(body, match.end()):
            wanted = orjson.loads(token) == "model"
    return places[0] if len(places) == 1 else None


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """`body`, an object that has no such key, with one more member at its end. Trailing white space is dropped."""
    head = body.rstrip()
    if not head.endswith(b"}"):
        raise ValueError("not a JSON object")
    inner = head[:-1].rstrip()
    comma = b"" if inner.endswith(b"{") else b","
    return inner + comma + orjson.dumps(name) + b":" + orjson.dumps(value) + b"}"
