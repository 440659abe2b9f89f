"""The members that a request of any wire has: the document itself, the model's name and its place, and the headers kept.

Changing a JSON body without writing it anew: the model's name is exchanged in the client's own bytes.

Only the value of the *top-level* key may change, and `"model"` may well stand in a message before it. So a place is
tried and proved: with the value exchanged, the parsed body must differ in `model` and in nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from autorouter.core.types import Task
from autorouter.errors import RequestError

MAX_LABEL_CHARS = 300
"""No model's name is longer, and near names are looked for."""
MAX_DEPTH = 240
"""orjson writes 254 levels, and what is written anew may be some deeper than what came."""
EXTENSION = "openfusion"
"""Our own member in a body: never sent on."""
POLICY_HEADERS = ("user-agent", "originator", "anthropic-version", "anthropic-beta")
"""Headers that rules may look at, beside any `x-` header; never those that carry keys."""
SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization")


def parse_document(body: bytes) -> dict[str, Any]:
    """The request's object. Raises RequestError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RequestError(f"The body is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(document, dict):
        raise RequestError("The body must be a JSON object", code="invalid_json")
    return document


def nesting_error(body: bytes) -> RequestError | None:
    """The error for a body of more than `MAX_DEPTH` levels, else None. Only for a body with which something has failed: what
    goes through untouched may be deeper, and counting costs as much as everything else that is done with a body."""
    level, depth = [orjson.loads(body)], 0
    while level and depth <= MAX_DEPTH:
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level, depth = [value for values in inner for value in values], depth + 1
    if not level:
        return None
    return RequestError(
        f"The body is nested more than {MAX_DEPTH} levels deep", hint="nothing that is meant is so deep"
    )


def label_of(document: Mapping[str, Any]) -> str:
    """What the client asks for in `model`. Raises RequestError."""
    label = document.get("model")
    if not isinstance(label, str) or not label:
        raise RequestError("`model` is missing", hint="use `openfusion/auto`", param="model")
    if len(label) > MAX_LABEL_CHARS:
        raise RequestError(f"`model` has more than {MAX_LABEL_CHARS} characters", param="model")
    return label


def stream_of(document: Mapping[str, Any]) -> bool:
    """Whether the answer is to be streamed. Raises RequestError."""
    stream = document.get("stream") or False
    if not isinstance(stream, bool):
        raise RequestError("`stream` must be true or false", param="stream")
    return stream


def max_output_of(document: Mapping[str, Any], name: str) -> int | None:
    """The longest answer that the client wants, in tokens. Raises RequestError."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestError(f"`{name}` must be a whole number of at least 1", param=name)
    return value


def messages_of(document: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The `messages` of a Chat or Messages request. Raises RequestError that names the message."""
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("`messages` must be a non-empty list", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(f"`messages[{index}]` must be an object with a `role`", param=f"messages[{index}]")
    return messages


ByteSpan = tuple[int, int]
"""Start and end of a value in the bytes of a body."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A parsed request of any API: the task for the core, and the position of the model's name in its body. `model_span` is
    None if the body must be serialized again: our own member is in it, or the position can't be proved.

    The parsed document isn't kept: it weighs several times its bytes, and an answer may take minutes."""

    task: Task
    model_span: ByteSpan | None


def find_model_span(body: bytes, document: dict[str, Any]) -> ByteSpan | None:
    """Where to exchange the model's name; None where our own member is in the body, or the place can't be proved."""
    return None if EXTENSION in document else locate_model(body, document)


def with_model(body: bytes, span: ByteSpan | None, model: str) -> bytes:
    """The client's bytes with the model's name exchanged; written anew, without our own member, where there is no place."""
    if place is not None:
        return body[: place[0]] + orjson.dumps(model) + body[place[1] :]
    document = {key: value for key, value in orjson.loads(body).items() if key != EXTENSION}
    return orjson.dumps(document | {"model": model})


def policy_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers that rules may look at; never those that carry keys."""
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in POLICY_HEADERS
        or (name.startswith("x-") and name not in SECRET_HEADERS and not name.startswith("x-stainless"))
    )


_FIRST_KEY = re.compile(rb'\s*\{\s*"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_ANY_KEY = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_COLON = re.compile(rb"\s*:")
_MAX_TRIES = 8
"""A try costs a parse; where so many have failed, walking over every string is cheaper."""
_PROBE = b'"\\u0000autorouter probe"'
_PROBE_TEXT = "\0autorouter probe"


def locate_model(body: bytes, document: dict[str, Any]) -> tuple[int, int] | None:
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


def replace_model(body: bytes, place: tuple[int, int], model: str, added: tuple[str, Any] | None = None) -> bytes:
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
