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
_MAX_TRIES = 8
_PROBE = b'"\\u0000autorouter probe"'
_PROBE_TEXT = "\0autorouter probe"


def with_model(body: bytes, document: dict[str, Any], model: str) -> bytes:
    """`body` with its top-level `model` set; `document` is the same body parsed. All other bytes stay as they are."""
    place = model_place(body, document)
    if place is None:
        return orjson.dumps({**document, "model": model})
    return body[: place[0]] + orjson.dumps(model) + body[place[1] :]


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
    return None


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """`body`, an object that has no such key, with one more member at its end. Trailing white space is dropped."""
    head = body.rstrip()
    if not head.endswith(b"}"):
        raise ValueError("not a JSON object")
    inner = head[:-1].rstrip()
    comma = b"" if inner.endswith(b"{") else b","
    return inner + comma + orjson.dumps(name) + b":" + orjson.dumps(value) + b"}"
