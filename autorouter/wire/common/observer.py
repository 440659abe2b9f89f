"""Observers of streams that pass through unchanged: what each one offers, and what those of Responses and Messages share.

Events are told apart by a search for their names; only those that matter are parsed. `complete` matters at the end of the
stream: without the terminal event it is broken. `error` is the upstream's error object, at whatever point it came.
"""

from __future__ import annotations

from typing import Any, Protocol

from autorouter.core.types import Usage
from autorouter.wire.common import lenient_json
from autorouter.wire.common.sse import EventSplitter, SseEvent


class StreamObserver(Protocol):
    """Watches an upstream's stream and returns the bytes for the client. `served_model` is None until the first event; `done`:
    nothing that matters can follow."""

    served_model: str | None
    usage: Usage | None
    error: dict[str, Any] | None
    events: int
    malformed: int

    @property
    def complete(self) -> bool: ...

    @property
    def done(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class EventObserver:
    """Splits the stream and hands over the events whose data holds one of `marks`."""

    marks: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self.events = 0
        self.malformed = 0
        """Events that don't end as an object does and are none; they are passed on."""
        self.complete = False
        self.served_model: str | None = None
        """None until the first event came; empty where it doesn't say."""
        self.usage: Usage | None = None
        self.error: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """The terminal event came."""
        return self.complete

    def feed(self, chunk: bytes) -> bytes:
        """Look at a chunk; returns it, or nothing once an error came: its words are the upstream's, and the line is cut.
        Raises ValueError for an event beyond all bounds."""
        self._look(self._splitter.feed(chunk))
        return chunk if self.error is None else b""

    def flush(self) -> bytes:
        """The stream has ended: look at what stands behind the last blank line. Nothing is ever held back."""
        self._look(self._splitter.flush())
        return b""

    def _look(self, frames: list[SseEvent]) -> None:
        for frame in frames:
            self.events += 1
            if not frame.data.endswith(b"}"):
                self.malformed += _is_malformed(frame.data)
            if self.served_model is None or any(mark in frame.data for mark in self.marks):
                document = lenient_json.parse_object(frame.data)
                if document is not None:
                    self._read(lenient_json.as_text(document.get("type")) or frame.name, document)

    def _read(self, kind: str, document: dict[str, Any]) -> None:
        raise NotImplementedError

    def _begin(self, model: Any) -> None:
        if self.served_model is None:
            self.served_model = lenient_json.as_text(model)


def _is_malformed(data: bytes) -> bool:
    data = data.strip()
    return bool(data) and data != b"[DONE]" and lenient_json.parse_object(data) is None
