"""The members that a request of any wire has: the document itself, the model's name and its place, and the headers kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from autorouter.errors import RequestError
from autorouter.wire import splice

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


ByteSpan = tuple[int, int] | None
"""Where the model's name stands in a body; None where the body must be written anew."""


def place_of(body: bytes, document: dict[str, Any]) -> ByteSpan:
    """Where to exchange the model's name; None where our own member is in the body, or the place can't be proved."""
    return None if EXTENSION in document else splice.model_place(body, document)


def with_model(body: bytes, place: ByteSpan, model: str) -> bytes:
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
