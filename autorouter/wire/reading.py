"""What reading a Responses and a Messages request have in common: the document, its headers, and the walk back from the
conversation's end to the human's last words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from autorouter.core.values import TRAIL_STEPS, Step, ToolCall, ToolResult
from autorouter.errors import RequestError
from autorouter.wire import human, splice
from autorouter.wire.chat import EXTENSION, KEPT_HEADERS, MAX_LABEL_CHARS, SECRET_HEADERS
from autorouter.wire.neutral import Call, Conversation, Image, Message, Result, Text


def document_of(body: bytes) -> dict[str, Any]:
    """The request's object. Raises RequestError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RequestError(f"The body is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(document, dict):
        raise RequestError("The body must be a JSON object", code="invalid_json")
    return document


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


_TAG = re.compile(rf"\s*<({'|'.join(human.WRAPPERS)})\b")
Place = tuple[int, int] | None
"""Where the model's name stands in a body; None where the body must be written anew."""


def place_of(body: bytes, document: dict[str, Any]) -> Place:
    """Where to exchange the model's name; None where our own member is in the body, or the place can't be proved."""
    return None if EXTENSION in document else splice.model_place(body, document)


def with_model(body: bytes, place: Place, model: str) -> bytes:
    """The client's bytes with the model's name exchanged; written anew, without our own member, where there is no place."""
    if place is not None:
        return body[: place[0]] + orjson.dumps(model) + body[place[1] :]
    document = {key: value for key, value in orjson.loads(body).items() if key != EXTENSION}
    return orjson.dumps(document | {"model": model})


def kept_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers that rules may look at; never those that carry keys."""
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in KEPT_HEADERS
        or (name.startswith("x-") and name not in SECRET_HEADERS and not name.startswith("x-stainless"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a decision needs to know of a conversation; the fields are those of `Task`."""

    ask: str
    fresh: bool
    trail: tuple[Step, ...]
    opening: str
    images: int
    image_bytes: int


def read(conversation: Conversation) -> Reading:
    """Walk back to the human's last words and collect what tools did since; then look for the first words and images."""
    ask, fresh, steps = "", True, list[Step]()
    for message in reversed(conversation.messages):
        if message.role == "user":
            words = words_of(message)
            if words and not words.startswith(human.COMPACTED):
                ask = words
                break
            ask = ask or words
        elif message.role != "system":
            fresh = False
            if len(steps) < TRAIL_STEPS:
                steps.extend(_steps(message))
    found = [image for message in conversation.messages for image in _images(message)]
    return Reading(
        ask=ask,
        fresh=fresh,
        trail=tuple(reversed(steps[:TRAIL_STEPS])),
        opening=_opening(conversation.messages),
        images=len(found),
        image_bytes=sum(len(image.url) for image in found if image.url.startswith("data:")),
    )


def words_of(message: Message) -> str:
    """What the human wrote in a user's message; empty where it is all the client's."""
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    return human.human_text([{"text": text} for text in texts if not _is_wrapper(text)])


def _is_wrapper(text: str) -> bool:
    """The block is one of the client's that was cut before its closing tag."""
    match = _TAG.match(text)
    return match is not None and f"</{match[1].split(' ')[0]}" not in text


def _steps(message: Message) -> Iterable[Step]:
    """The message's calls and results, latest first."""
    for part in reversed(message.parts):
        if isinstance(part, Call):
            yield ToolCall(part.name, human.excerpt(part.arguments))
        elif isinstance(part, Result):
            text = "\n".join(inner.text for inner in part.parts if isinstance(inner, Text))
            yield ToolResult(human.excerpt(text), part.is_error)


def _images(message: Message) -> Iterable[Image]:
    for part in message.parts:
        for inner in part.parts if isinstance(part, Result) else (part,):
            if isinstance(inner, Image):
                yield inner


def _opening(messages: Iterable[Message]) -> str:
    for message in messages:
        if message.role == "user":
            text = words_of(message)
            if text and not human.is_example(text):
                return text
    return ""
