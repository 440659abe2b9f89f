"""Server-sent events: bytes in pieces of any size -> whole events, and a document -> an event's bytes.

    b'event: message_stop\\ndata: {"type":"message_stop"}\\n\\n'    SseEvent("message_stop", b'{"type":"message_stop"}')
    b': keep-alive\\n\\n'                                         nothing

Understands LF, CRLF and CR line ends, comments, several `data:` lines, and `data:` without a space.

Three ways to read, by what a reader needs: `EventSplitter` gives events, `BlockSplitter` their bytes, and `last_event_end` with
`event_spans` find events in bytes that pass through without being copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Longer events are refused: memory stays bounded no matter what an upstream sends."""
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_UNIFORM_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class SseEvent(NamedTuple):
    """An event's name (empty if it has none) and its data."""

    name: str
    data: bytes


class BlockSplitter:
    """Cuts a stream into blocks: the bytes of an event or comment, with the blank line that ends it."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The blocks that this chunk completes. Raises ValueError for an event beyond `MAX_EVENT_BYTES`."""
        carry = self._carry
        # A blank line has at most four bytes, so up to three of them may have come before.
        search_from = max(0, len(carry) - 3)
        carry += chunk
        blocks: list[bytes] = []
        start = 0
        for match in _BLANK_LINE.finditer(carry, search_from):
            blocks.append(bytes(carry[start : match.end()]))
            start = match.end()
        del carry[:start]
        if len(carry) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return blocks

    def flush(self) -> bytes:
        """The bytes after the last blank line, at the end of the stream."""
        rest = bytes(self._carry)
        self._carry.clear()
        return rest


class EventSplitter:
    """Cuts a stream into its events."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks = BlockSplitter()

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes. Raises ValueError for an event beyond `MAX_EVENT_BYTES`."""
        return [event for block in self._blocks.feed(chunk) if (event := parse_event(block)) is not None]

    def flush(self) -> list[SseEvent]:
        """The last event, if the stream ended without a blank line."""
        event = parse_event(self._blocks.flush())
        return [] if event is None else [event]


def parse_event(block: bytes) -> SseEvent | None:
    """The event of a block; None if it has no data."""
    name, data = b"", []
    for line in block.splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    return SseEvent(name.decode("utf-8", "replace"), b"\n".join(data)) if data else None


# ---- without copying


def last_event_end(data: bytes) -> int:
    """Index after the last blank line, 0 if there is none."""
    if data.endswith(b"\n\n"):
        return len(data)
    lf, crlf, cr = data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n"), data.rfind(b"\r\r")
    return max(lf + 2 if lf >= 0 else 0, crlf + 4 if crlf >= 0 else 0, cr + 2 if cr >= 0 else 0)


def event_spans(data: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Start and end (after the blank line) of each event, in order."""
    for match in _UNIFORM_BLANK_LINE.finditer(data, start):
        yield start, match.end()
        start = match.end()
    if start < len(data):
        yield start, len(data)


def event_document(event: bytes) -> dict[str, Any] | None:
    """The event's data as an object; None for comments, `[DONE]` and data that doesn't parse."""
    lines = [line[5:].lstrip() for line in event.splitlines() if line.startswith(b"data:")]
    if not lines:
        return None
    try:
        document = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


# ---- writing


def format_data(document: dict[str, Any]) -> bytes:
    """An event without a name, as chat has it."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def format_event(document: dict[str, Any]) -> bytes:
    """An event whose name is its `type`, as Responses and Messages have it."""
    return b"event: " + str(document["type"]).encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"
