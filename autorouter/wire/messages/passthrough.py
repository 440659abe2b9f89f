"""Messages on both sides: the request body with another model and its reasoning filtered, and an observer of the stream.

message_start      the served model and the usage of the input
message_delta      usage
message_stop       the end
error              an error
"""

from __future__ import annotations

from typing import Any

from autorouter.wire.common import lenient_json, request_body
from autorouter.wire.common.history import keeps_reasoning, needs_filter, read_stamped, reasoning_as_text
from autorouter.wire.common.ir import ReasoningFormat, TextPart, TranslationLoss
from autorouter.wire.common.observer import EventObserver
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.common.usage import parse_messages_usage


def upstream_body(
    request: ClientRequest, model: str, *, origin: str, strip: bool
) -> tuple[bytes, tuple[TranslationLoss, ...]]:
    """The body for the target `origin` (`upstream/model`), and what was lost. `strip`: without any reasoning."""
    body = request_body.with_model(request, model)
    return filter_reasoning(body, origin=origin, strip=strip)


def filter_reasoning(body: bytes, *, origin: str, strip: bool = False) -> tuple[bytes, tuple[TranslationLoss, ...]]:
    """The body without reasoning that another model made, and what was lost; the same bytes if there is none."""
    document = lenient_json.parse_object(body) if needs_filter(body, strip=strip) else None
    if document is None or not isinstance(document.get("messages"), list):
        return body, ()
    losses: list[TranslationLoss] = []
    messages = [new for message in document["messages"] for new in _message(message, origin, strip, losses)]
    if messages == document["messages"]:
        return body, ()
    return lenient_json.dumps_bytes(document | {"messages": messages}), tuple(losses)


def _message(message: Any, origin: str, strip: bool, losses: list[TranslationLoss]) -> list[Any]:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or message.get("role") != "assistant":
        return [message]
    blocks = [new for block in content for new in _block(block, origin, strip, losses)]
    return [message | {"content": blocks}] if blocks else []


def _block(block: Any, origin: str, strip: bool, losses: list[TranslationLoss]) -> list[Any]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in ("thinking", "redacted_thinking"):
        return [block]
    member, shape = ("signature", "messages") if kind == "thinking" else ("data", "redacted")
    thoughts = lenient_json.as_text(block.get("thinking"))
    known: ReasoningFormat = "messages" if shape == "messages" else "redacted"
    reasoning = read_stamped(lenient_json.as_text(block.get(member)), (thoughts,) if thoughts else (), shape=known)
    if keeps_reasoning(reasoning, ("messages", "redacted"), origin=origin, strip=strip):
        return [block if reasoning.origin is None else block | {member: reasoning.payload}]
    return [
        {"type": "text", "text": part.text}
        for part in reasoning_as_text(reasoning, losses)
        if isinstance(part, TextPart)
    ]


class MessagesObserver(EventObserver):
    """Watches a Messages stream."""

    marks = (b"message_start", b"message_delta", b"message_stop", b'"error"')

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}

    def _read(self, kind: str, document: dict[str, Any]) -> None:
        message = lenient_json.as_object(document.get("message"))
        if kind == "error" or (document.get("error") and not kind):
            error = document.get("error")
            self.error = error if isinstance(error, dict) else {"message": str(error)}
        if kind != "ping":
            self._begin(message.get("model"))
        usage = lenient_json.as_object(message.get("usage")) or lenient_json.as_object(document.get("usage"))
        if usage:
            self._usage |= {name: value for name, value in usage.items() if value or name not in self._usage}
            self.usage = parse_messages_usage(self._usage)
        if kind == "message_stop":
            self.complete = True
