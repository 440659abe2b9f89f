"""The walk through a conversation that all three APIs share: back from its end to the human's last words.

Each API says how to read one of its messages (`MessageReader`); the walk calls it only for the messages that it needs, because
a long conversation has hundreds of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from autorouter.core.types import TOOL_HISTORY_EVENTS, ToolEvent
from autorouter.wire.common import human_text

M = TypeVar("M")
_OPENING_TAG = re.compile(rf"\s*<({'|'.join(human_text.WRAPPERS)})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReader(Generic[M]):
    """How to read a message of one API. `role` is None for messages that count as neither a new turn nor a tool step, such as
    those of the system. `tool_events`: calls and results, latest first. `image_urls`: one text for each image, which may be
    empty."""

    role: Callable[[M], Literal["user", "assistant", "tool"] | None]
    texts: Callable[[M], Iterable[str]]
    tool_events: Callable[[M], Iterable[ToolEvent]]
    image_urls: Callable[[M], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReading:
    """What a decision needs to know about a conversation; the fields are those of `Task`."""

    prompt: str
    is_new_turn: bool
    tool_history: tuple[ToolEvent, ...]
    first_prompt: str
    images: int
    image_bytes: int


def read_prompt(messages: Sequence[M], reader: MessageReader[M]) -> PromptReading:
    """Walk back to the human's last words and collect the tool steps since; then look for the first words and images."""
    prompt, is_new_turn, events = "", True, list[ToolEvent]()
    for message in reversed(messages):
        role = reader.role(message)
        if role == "user":
            words = human_words(reader.texts(message))
            # A summary takes the human's place after a compaction. It is the prompt only if no human's words come before it.
            if words and not words.startswith(human_text.COMPACTION_SUMMARIES):
                prompt = words
                break
            prompt = prompt or words
        elif role is not None:
            is_new_turn = False
            if len(events) < TOOL_HISTORY_EVENTS:
                events.extend(reader.tool_events(message))
    urls = [url for message in messages for url in reader.image_urls(message)]
    return PromptReading(
        prompt=prompt,
        is_new_turn=is_new_turn,
        tool_history=tuple(reversed(events[:TOOL_HISTORY_EVENTS])),
        first_prompt=_first_prompt(messages, reader),
        images=len(urls),
        image_bytes=sum(len(url) for url in urls if url.startswith("data:")),
    )


def human_words(texts: Iterable[str]) -> str:
    """What the human wrote in the texts of a user's message; empty if all of it is the client's."""
    return human_text.human_text([{"text": text} for text in texts if not _is_cut_wrapper(text)])


def _is_cut_wrapper(text: str) -> bool:
    """Whether a text is a block of the client's that was cut before its closing tag."""
    match = _OPENING_TAG.match(text)
    return match is not None and f"</{match[1].split(' ')[0]}" not in text


def _first_prompt(messages: Iterable[M], reader: MessageReader[M]) -> str:
    for message in messages:
        if reader.role(message) == "user":
            words = human_words(reader.texts(message))
            if words and not human_text.is_client_text(words):
                return words
    return ""
