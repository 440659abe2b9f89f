"""Reasoning in a request that stays on its wire, for there the bytes go through and nothing is translated.

    stamped here, for the target         the stamp is taken off: its maker gets back what it made
    stamped here, for somebody else      left out; what can be read of it becomes text of the assistant
    not stamped                          sent as it is, unless `strip`: the target has refused it (`invalid_encrypted_content`,
                                         a bad signature), and it is asked once more without

A body without a stamp isn't touched, nor even parsed.
"""

from __future__ import annotations

from typing import Any

import orjson

from autorouter.core.types import Wire
from autorouter.wire.common import lenient_json
from autorouter.wire.common.history import STAMP, read_stamped, reasoning_as_text
from autorouter.wire.common.ir import ReasoningFormat, ReasoningPart, TextPart, TranslationLoss

_MARK = f'"{STAMP}'.encode()
_SHAPES: dict[Wire, tuple[ReasoningFormat, ...]] = {
    "chat": ("chat",),
    "responses": ("responses",),
    "messages": ("messages", "redacted"),
}


def filter_reasoning(
    body: bytes, wire: Wire, *, origin: str, strip: bool = False
) -> tuple[bytes, tuple[TranslationLoss, ...]]:
    """The body for the target `origin` (`upstream/model`) of the same wire, and what was lost. The same bytes where nothing
    is to be done; chat carries no reasoning that anyone would refuse."""
    if wire == "chat" or (not strip and _MARK not in body):
        return body, ()
    document = lenient_json.parse_object(body)
    if document is None:
        return body, ()
    losses: list[TranslationLoss] = []
    if wire == "responses":
        if not isinstance(document.get("input"), list):
            return body, ()
        changed = [new for item in document["input"] for new in _item(item, origin, strip, losses)]
        if changed == document["input"]:
            return body, ()
        return orjson.dumps(document | {"input": changed}), tuple(losses)
    messages = document.get("messages")
    if not isinstance(messages, list):
        return body, ()
    changed = [new for message in messages for new in _message(message, origin, strip, losses)]
    return (body, ()) if changed == messages else (orjson.dumps(document | {"messages": changed}), tuple(losses))


def _kept(found: ReasoningPart, wire: Wire, origin: str, strip: bool) -> bool:
    if strip:
        return False
    return found.origin is None or (found.origin == origin and found.shape in _SHAPES[wire] and bool(found.payload))


def _item(item: Any, origin: str, strip: bool, losses: list[TranslationLoss]) -> list[Any]:
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return [item]
    summary = tuple(lenient_json.as_text(part.get("text")) for part in lenient_json.as_objects(item.get("summary")))
    payload = lenient_json.as_text(item.get("encrypted_content"))
    found = read_stamped(payload, summary, shape="responses", ident=lenient_json.as_text(item.get("id")))
    if _kept(found, "responses", origin, strip):
        own = {"encrypted_content": found.payload} | ({"id": found.id} if found.id else {})
        return [item if found.origin is None else item | own]
    words = [
        {"type": "output_text", "text": part.text}
        for part in reasoning_as_text(found, losses)
        if isinstance(part, TextPart)
    ]
    return [{"type": "message", "role": "assistant", "content": words}] if words else []


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
    found = read_stamped(lenient_json.as_text(block.get(member)), (thoughts,) if thoughts else (), shape=known)
    if _kept(found, "messages", origin, strip):
        return [block if found.origin is None else block | {member: found.payload}]
    return [
        {"type": "text", "text": part.text} for part in reasoning_as_text(found, losses) if isinstance(part, TextPart)
    ]
