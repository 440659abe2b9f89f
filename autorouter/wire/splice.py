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


def with_model(body: bytes, document: dict[str, Any], model: str) -> bytes:
    """`body` with its top-level `model` set; `document` is the same body parsed. All other bytes stay as they are."""
    place = model_place(body, document)
    return orjson.dumps({**document, "model": model}) if place is None else spliced(body, place, model)


def spliced(body: bytes, place: tuple[int, int], model: str, added: tuple[str, Any] | None = None) -> bytes:
    """`body` with another model at `place`, and one more member at its end. One copy: bodies are long."""
    view = memoryview(body)
    if added is None:
        return b"".join((view[: place[0]], orjson.dumps(model), view[place[1] :]))
    end, comma = _end(body)
    member = orjson.dumps({added[0]: added[1]})[1:]
    return b"".join((view[: place[0]], orjson.dumps(model), view[place[1] : end], comma, member))


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """`body`, an object that has no such key, with one more member at its end. Trailing white space is dropped."""
    end, comma = _end(body)
    return b"".join((memoryview(body)[:end], comma, orjson.dumps({name: value})[1:]))


def _end(body: bytes) -> tuple[int, bytes]:
    """Where an object's members end, and the comma that one more member needs."""
    head = body.rstrip()
    if not head.endswith(b"}"):
        raise ValueError("not a JSON object")
    end = len(head) - 1
    while body[end - 1] in b" \t\r\n":
        end -= 1
    return end, b"" if body[end - 1] == ord("{") else b","
