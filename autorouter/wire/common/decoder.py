"""What the three decoders share: frames in, events out, exactly one end, and never an exception.

decoder.feed(chunk) -> events     any number of times
decoder.end() -> events           once the upstream's stream has ended: `StreamFailed("early_end")` if that was too early
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from autorouter.wire.common import lenient_json
from autorouter.wire.common.ir import (
    StreamEvent,
    StreamFailed,
    StreamFinished,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallStarted,
)
from autorouter.wire.common.sse import EventSplitter, SseEvent
from autorouter.wire.common.stream_repair import ArgumentAccumulator


class ToolCallTracker:
    """The calls of one answer: numbered in the order of beginning, each with its growing arguments. `key` is whatever
    the wire tells calls apart by."""

    __slots__ = ("_open", "count")

    def __init__(self) -> None:
        self._open: dict[Any, tuple[int, ArgumentAccumulator]] = {}
        self.count = 0

    def __contains__(self, key: Any) -> bool:
        return key in self._open

    def begin(
        self, key: Any, ident: str, name: str, *, namespace: str | None = None, custom: bool = False
    ) -> ToolCallStarted:
        """A new call."""
        self._open[key] = (self.count, ArgumentAccumulator())
        self.count += 1
        return ToolCallStarted(self.count - 1, ident, name, namespace, custom)

    def feed(self, key: Any, piece: str) -> Iterator[StreamEvent]:
        """More of a call's arguments."""
        index, arguments = self._open[key]
        if passed := arguments.feed(piece):
            yield ToolCallDelta(index, passed)

    def whole(self, key: Any, full: str) -> Iterator[StreamEvent]:
        """All of a call's arguments: what is still missing of them."""
        index, arguments = self._open[key]
        if passed := arguments.whole(full):
            yield ToolCallDelta(index, passed)

    def end(self, key: Any) -> Iterator[StreamEvent]:
        """A call's end."""
        index, arguments = self._open.pop(key)
        if passed := arguments.end():
            yield ToolCallDelta(index, passed)
        yield ToolCallEnded(index)

    def end_if_whole(self, key: Any) -> Iterator[StreamEvent]:
        """A call's end, unless its arguments break off: then only the answer's end says whether they were cut."""
        _, arguments = self._open[key]
        if lenient_json.parse_object((arguments.text + arguments.held) or "{}") is not None:
            yield from self.end(key)

    def end_all(self, *, cut: bool = False) -> Iterator[StreamEvent]:
        """The end of all that are open, in order. `cut`: the answer was cut off, so that the last one may have no end."""
        for key in tuple(self._open):
            index, arguments = self._open[key]
            if cut and index == self.count - 1 and lenient_json.parse_object(arguments.text + arguments.held) is None:
                if passed := arguments.end():
                    yield ToolCallDelta(index, passed)
                return
            yield from self.end(key)


TOO_DEEP = StreamFailed("an event of the upstream is nested too deeply", "malformed")


class StreamDecoder(ABC):
    """An upstream's stream -> events."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self.ended = False
        """The last event was given; all that still comes is ignored."""

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events of a chunk."""
        if self.ended:
            return []
        try:
            frames = self._splitter.feed(chunk)
        except ValueError as exc:
            return self._until_end(iter((StreamFailed(str(exc), "too_large"),)))
        return self._until_end(self._frames(frames))

    def end(self) -> list[StreamEvent]:
        """The stream has ended."""
        if self.ended:
            return []
        events = self._until_end(self._frames(self._splitter.flush()))
        if not self.ended:
            events += self._until_end(self._at_end())
        return events

    def _until_end(self, events: Iterator[StreamEvent]) -> list[StreamEvent]:
        passed: list[StreamEvent] = []
        try:
            for event in events:
                passed.append(event)
                if isinstance(event, StreamFinished | StreamFailed):
                    self.ended = True
                    break
        except lenient_json.TooDeepError:
            self.ended = True
            passed.append(TOO_DEEP)
        return passed

    def _frames(self, frames: list[SseEvent]) -> Iterator[StreamEvent]:
        for frame in frames:
            if frame.data.strip() == b"[DONE]":
                yield from self._done()
                continue
            document = lenient_json.parse_object(frame.data)
            if document is None:
                yield StreamFailed("an event of the upstream is no JSON object", "malformed")
                return
            if document.get("error") and not document.get("type"):
                yield failed_event(document["error"])
                return
            yield from self._document(frame.name, document)

    @abstractmethod
    def _document(self, name: str, document: dict[str, Any]) -> Iterator[StreamEvent]:
        """The events of one frame."""

    def _done(self) -> Iterator[StreamEvent]:
        """`[DONE]` came: only chat knows it."""
        return iter(())

    def _at_end(self) -> Iterator[StreamEvent]:
        """The stream ended without its last event."""
        yield StreamFailed("the upstream's stream ended before the answer's end", "early_end")


def failed_event(found: Any, default: str = "the upstream reported an error") -> StreamFailed:
    """An error object of any wire."""
    if isinstance(found, str):
        return StreamFailed(found or default)
    inner = lenient_json.as_object(found)
    code = inner.get("code")
    kind = lenient_json.as_text(inner.get("type")) or "server_error"
    word = str(code) if isinstance(code, str | int) and not isinstance(code, bool) and code else kind
    return StreamFailed(lenient_json.as_text(inner.get("message")) or default, word, kind)
