"""Taps on Responses and Messages streams: like `sse.ChatObserver`, they look at the bytes that pass and change none.

    Responses   response.created: the served model; response.completed, .incomplete: usage and the end; .failed, error
    Messages    message_start: the served model and the input's usage; message_delta: usage; message_stop: the end; error

Events are told apart by a search for their names; only those that matter are parsed. `complete` is for the end of the
stream: without the terminal event it is broken. `error` is the upstream's error object, wherever it came.
"""

from __future__ import annotations

from typing import Any

from autorouter.core.types import Usage
from autorouter.wire.common import lenient_json
from autorouter.wire.common.sse import EventSplitter, SseEvent
from autorouter.wire.common.usage import parse_messages_usage, parse_responses_usage


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


class ResponsesObserver(EventObserver):
    """On a Responses stream."""

    marks = (b"response.completed", b"response.incomplete", b"response.failed", b"response.done", b'"error"')

    def _read(self, kind: str, document: dict[str, Any]) -> None:
        response = lenient_json.as_object(document.get("response"))
        if kind in ("response.failed", "error") or (document.get("error") and not kind):
            found = response.get("error") or document.get("error") or document
            self.error = found if isinstance(found, dict) else {"message": str(found)}
        self._begin(response.get("model"))
        if isinstance(response.get("usage"), dict):
            self.usage = parse_responses_usage(response["usage"])
        if kind in ("response.completed", "response.incomplete", "response.done"):
            self.complete = True


class MessagesObserver(EventObserver):
    """On a Messages stream."""

    marks = (b"message_start", b"message_delta", b"message_stop", b'"error"')

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, Any] = {}

    def _read(self, kind: str, document: dict[str, Any]) -> None:
        message = lenient_json.as_object(document.get("message"))
        if kind == "error" or (document.get("error") and not kind):
            found = document.get("error")
            self.error = found if isinstance(found, dict) else {"message": str(found)}
        if kind != "ping":
            self._begin(message.get("model"))
        usage = lenient_json.as_object(message.get("usage")) or lenient_json.as_object(document.get("usage"))
        if usage:
            self._found |= {name: value for name, value in usage.items() if value or name not in self._found}
            self.usage = parse_messages_usage(self._found)
        if kind == "message_stop":
            self.complete = True
