"""What reading a Responses and a Messages request have in common: the walk back from the conversation's end to the human's
last words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from autorouter.clients import human_text
from autorouter.core.types import TOOL_HISTORY_EVENTS, ToolCall, ToolEvent, ToolResult
from autorouter.wire.common.ir import ImagePart, Message, RequestIR, TextPart, ToolCallPart, ToolResultPart

_TAG = re.compile(rf"\s*<({'|'.join(human_text.WRAPPERS)})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReading:
    """What a decision needs to know of a conversation; the fields are those of `Task`."""

    prompt: str
    is_new_turn: bool
    tool_history: tuple[ToolEvent, ...]
    first_prompt: str
    images: int
    image_bytes: int


def read_prompt(conversation: RequestIR) -> PromptReading:
    """Walk back to the human's last words and collect what tools did since; then look for the first words and images."""
    ask, fresh, steps = "", True, list[ToolEvent]()
    for message in reversed(conversation.messages):
        if message.role == "user":
            words = human_words(message)
            if words and not words.startswith(human_text.COMPACTION_SUMMARIES):
                ask = words
                break
            ask = ask or words
        elif message.role != "system":
            fresh = False
            if len(steps) < TOOL_HISTORY_EVENTS:
                steps.extend(_steps(message))
    found = [image for message in conversation.messages for image in _images(message)]
    return PromptReading(
        prompt=ask,
        is_new_turn=fresh,
        tool_history=tuple(reversed(steps[:TOOL_HISTORY_EVENTS])),
        first_prompt=_opening(conversation.messages),
        images=len(found),
        image_bytes=sum(len(image.url) for image in found if image.url.startswith("data:")),
    )


def human_words(message: Message) -> str:
    """What the human wrote in a user's message; empty where it is all the client's."""
    texts = [part.text for part in message.parts if isinstance(part, TextPart)]
    return human_text.human_text([{"text": text} for text in texts if not _is_wrapper(text)])


def _is_wrapper(text: str) -> bool:
    """The block is one of the client's that was cut before its closing tag."""
    match = _TAG.match(text)
    return match is not None and f"</{match[1].split(' ')[0]}" not in text


def _steps(message: Message) -> Iterable[ToolEvent]:
    """The message's calls and results, latest first."""
    for part in reversed(message.parts):
        if isinstance(part, ToolCallPart):
            yield ToolCall(part.name, human_text.excerpt(part.arguments))
        elif isinstance(part, ToolResultPart):
            text = "\n".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
            yield ToolResult(human_text.excerpt(text), part.is_error)


def _images(message: Message) -> Iterable[ImagePart]:
    for part in message.parts:
        for inner in part.parts if isinstance(part, ToolResultPart) else (part,):
            if isinstance(inner, ImagePart):
                yield inner


def _opening(messages: Iterable[Message]) -> str:
    for message in messages:
        if message.role == "user":
            text = human_words(message)
            if text and not human_text.is_client_text(text):
                return text
    return ""
