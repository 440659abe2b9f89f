"""A request's JSON body: the members that all three APIs have, and changes to it that leave the client's bytes as they are.

The model's name is replaced in place. Only the value of the *top-level* key may change, and `"model"` may also occur in a
message before it. So a position is tried and proved: with a probe in its place, the parsed body must have the probe as `model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from autorouter.clients.registry import NAME_HEADERS, merged
from autorouter.core.types import Task
from autorouter.errors import RequestError
from autorouter.wire.common import lenient_json

if TYPE_CHECKING:
    # Imported by those who translate: it takes 11 ms, and most processes never do.
    from autorouter.wire.common.ir import RequestIR

MAX_LABEL_CHARS = 300
"""Longer than any model's name; bounds the search for similar names."""
EXTENSION = "openfusion"
"""Our own member in a body: never sent on."""
POLICY_HEADERS = ("user-agent", *NAME_HEADERS, "anthropic-version", "anthropic-beta")
"""Headers that policy rules may match, besides all `x-` headers; never those that carry keys."""
SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization")
IGNORED_HEADERS = merged(lambda profile: profile.ignored_header_prefixes)
"""Beginnings of names."""


def parse_document(body: bytes) -> dict[str, Any]:
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


class ParsedBody:
    """A body and what was read from it: its document and its intermediate form, each read when it is first needed and then kept
    for fallbacks, members of a panel and inner calls.

    They weigh several times the bytes, and an answer may take minutes, so `release` drops them when the answer has begun."""

    __slots__ = ("_body", "_document", "_ir", "_to_ir")

    def __init__(
        self,
        body: bytes,
        to_ir: Callable[[Mapping[str, Any]], RequestIR],
        *,
        document: dict[str, Any] | None = None,
        ir: RequestIR | None = None,
    ) -> None:
        self._body, self._to_ir = body, to_ir
        self._document, self._ir = document, ir

    @property
    def document(self) -> Mapping[str, Any]:
        """The body's members. Shared: whoever changes something copies what it changes."""
        if self._document is None:
            self._document = orjson.loads(self._body)
        return self._document

    @property
    def ir(self) -> RequestIR:
        """The intermediate form. Raises TooDeepError."""
        if self._ir is None:
            self._ir = self._to_ir(self.document)
        return self._ir

    def release(self) -> None:
        """Drop what was read; it is read again if it is needed once more."""
        self._document = self._ir = None

    def with_document(self, body: bytes, document: dict[str, Any]) -> ParsedBody:
        """The same for a body that was made from this document."""
        return ParsedBody(body, self._to_ir, document=document)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A parsed request of any API: the task for the core, and the position of the model's name in its body. `model_span` is
    None if the body must be serialized again: our own member is in it, or the position can't be proved."""

    task: Task
    model_span: ByteSpan | None
    parsed: ParsedBody = field(compare=False, repr=False)


def find_model_span(body: bytes, document: dict[str, Any]) -> ByteSpan | None:
    """Where to replace the model's name; None if our own member is in the body, or the position can't be proved."""
    return None if EXTENSION in document else locate_model(body, document)


def with_model(request: ClientRequest, model: str) -> bytes:
    """The client's bytes with another model. Without a span the body is serialized again, without our own member."""
    if request.model_span is not None:
        return replace_model(request.task.body, request.model_span, model)
    return lenient_json.dumps_bytes(own_members(request.parsed.document) | {"model": model})


def own_members(document: Mapping[str, Any]) -> dict[str, Any]:
    """The client's members, without our own."""
    return {key: value for key, value in document.items() if key != EXTENSION}


def policy_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers that policy rules may match; never those that carry keys."""
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in POLICY_HEADERS
        or (name.startswith("x-") and name not in SECRET_HEADERS and not name.startswith(IGNORED_HEADERS))
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


def replace_model(body: bytes, span: tuple[int, int], model: str, added: tuple[str, Any] | None = None) -> bytes:
    """`body` with another model at `span`, and optionally one more member at the end. Copied once: bodies are long."""
    view = memoryview(body)
    if added is None:
        return b"".join((view[: span[0]], orjson.dumps(model), view[span[1] :]))
    end, comma = _end(body)
    member = orjson.dumps({added[0]: added[1]})[1:]
    return b"".join((view[: span[0]], orjson.dumps(model), view[span[1] : end], comma, member))


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
