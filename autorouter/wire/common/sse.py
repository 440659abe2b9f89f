"""Server-sent events: bytes in any pieces -> whole events, and an event -> bytes.

    b'event: message_stop\\ndata: {"type":"message_stop"}\\n\\n'    SseEvent("message_stop", b'{"type":"message_stop"}')
    b': keep-alive\\n\\n'                                         nothing

Understands LF, CRLF and CR line ends, comments, several `data:` lines, and `data:` without a space.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

from autorouter.wire.chat.passthrough import MAX_EVENT_BYTES

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class SseEvent(NamedTuple):
    """An event's name (empty where it has none) and its data."""

    name: str
    data: bytes


class EventSplitter:
    """Cuts a stream into its events."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = bytearray()

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes. Raises ValueError for an event beyond `MAX_EVENT_BYTES`."""
        carry = self._carry
        searched = max(0, len(carry) - 3)
        carry += chunk
        frames: list[SseEvent] = []
        start = 0
        for match in _BLANK.finditer(carry, searched):
            frame = _frame(bytes(carry[start : match.end()]))
            start = match.end()
            if frame is not None:
                frames.append(frame)
        del carry[:start]
        if len(carry) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return frames

    def flush(self) -> list[SseEvent]:
        """The last event, where the stream ended without a blank line."""
        frame = _frame(bytes(self._carry))
        self._carry.clear()
        return [] if frame is None else [frame]


def _frame(block: bytes) -> SseEvent | None:
    name, data = b"", []
    for line in block.splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    return SseEvent(name.decode("utf-8", "replace"), b"\n".join(data)) if data else None


def format_data(document: dict[str, Any]) -> bytes:
    """An event as the chat wire has it."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def format_event(document: dict[str, Any]) -> bytes:
    """An event whose name is its `type`, as Responses and Messages have it."""
    return b"event: " + str(document["type"]).encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"
