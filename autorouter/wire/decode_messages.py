"""A Messages upstream's answer, streamed or whole -> events.

    event: message_start          {"message":{"id":"msg_1","model":"m","usage":{"input_tokens":9,...}}}
    event: content_block_start    {"index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}
    event: content_block_delta    {"index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"command\\""}}
    event: content_block_stop     {"index":0}
    event: message_delta          {"delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":20}}
    event: message_stop

Blocks without an index belong to the one that is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autorouter.core.types import Usage
from autorouter.wire import loose
from autorouter.wire.decoding import Calls, Decoder, failure
from autorouter.wire.events import (
    Event,
    Failed,
    Finished,
    Reason,
    ReasoningDelta,
    ReasoningSealed,
    Started,
    TextDelta,
    UsageEvent,
)

REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
"""Stop reasons; any other word is a stop."""


def usage_of(found: dict[str, Any]) -> Usage:
    """A Messages usage object as `Usage`: there cached tokens are not part of the input, here they are."""
    read = loose.count(found.get("cache_read_input_tokens"))
    written = loose.count(found.get("cache_creation_input_tokens"))
    details = loose.an_object(found.get("output_tokens_details"))
    return Usage(
        input_tokens=loose.count(found.get("input_tokens")) + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        output_tokens=loose.count(found.get("output_tokens")),
        reasoning_tokens=loose.count(details.get("thinking_tokens")),
    )


class MessagesDecoder(Decoder):
    """Feed it the stream of a Messages upstream."""

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        self._calls = Calls()
        self._usage: dict[str, Any] = {}
        self._reason: Reason | None = None
        self._stop_sequence: str | None = None
        self._open: Any = None
        self._thinking: str | None = None
        """The signature so far of the thinking block that is open."""

    def _document(self, name: str, document: dict[str, Any]) -> Iterator[Event]:
        kind = loose.text(document.get("type")) or name
        match kind:
            case "message_start":
                message = loose.an_object(document.get("message"))
                if not self._began:
                    self._began = True
                    yield Started(loose.text(message.get("id")), loose.text(message.get("model")))
                self._usage |= loose.an_object(message.get("usage"))
            case "content_block_start":
                yield from self._close()
                self._open = self._key(document)
                yield from self._start(loose.an_object(document.get("content_block")))
            case "content_block_delta":
                yield from self._delta(self._key(document), loose.an_object(document.get("delta")))
            case "content_block_stop":
                yield from self._close()
            case "message_delta":
                self._message_delta(document)
            case "message_stop":
                yield from self._finish()
            case "error":
                yield failure(document.get("error"))

    def _key(self, document: dict[str, Any]) -> Any:
        index = document.get("index")
        return index if isinstance(index, int) else self._open if self._open is not None else -1

    def _start(self, block: dict[str, Any]) -> Iterator[Event]:
        kind = block.get("type")
        if kind == "tool_use":
            yield self._calls.begin(self._open, loose.text(block.get("id")), loose.text(block.get("name")))
            given = loose.as_json(block.get("input"))
            if given not in ("", "{}"):
                yield from self._calls.feed(self._open, given)
        elif kind == "thinking":
            self._thinking = loose.text(block.get("signature"))
            if thought := loose.text(block.get("thinking")):
                yield ReasoningDelta(thought)
        elif kind == "redacted_thinking":
            yield ReasoningSealed(loose.text(block.get("data")), "redacted")
        elif words := loose.text(block.get("text")):
            yield TextDelta(words)

    def _delta(self, key: Any, delta: dict[str, Any]) -> Iterator[Event]:
        match delta.get("type"):
            case "text_delta":
                if words := loose.text(delta.get("text")):
                    yield TextDelta(words)
            case "input_json_delta" if key in self._calls:
                yield from self._calls.feed(key, loose.text(delta.get("partial_json")))
            case "thinking_delta":
                self._thinking = self._thinking or ""
                if thought := loose.text(delta.get("thinking")):
                    yield ReasoningDelta(thought)
            case "signature_delta":
                self._thinking = (self._thinking or "") + loose.text(delta.get("signature"))

    def _close(self) -> Iterator[Event]:
        if self._open in self._calls:
            yield from self._calls.end_if_whole(self._open)
        if self._thinking is not None:
            yield ReasoningSealed(self._thinking, "messages")
        self._open = self._thinking = None

    def _message_delta(self, document: dict[str, Any]) -> None:
        delta = loose.an_object(document.get("delta"))
        found = delta.get("stop_reason")
        if isinstance(found, str) and found:
            self._reason = REASONS.get(found, "stop")
        self._stop_sequence = loose.text(delta.get("stop_sequence")) or self._stop_sequence
        usage = loose.an_object(document.get("usage"))
        # Some servers repeat the input's counts here, others say 0.
        self._usage |= {name: value for name, value in usage.items() if value or name not in self._usage}

    def _finish(self) -> Iterator[Event]:
        yield from self._close()
        reason: Reason = self._reason or "stop"
        if reason in ("stop", "tool_calls"):
            reason = "tool_calls" if self._calls.count else "stop"
        yield from self._calls.end_all(cut=reason == "length")
        if self._usage:
            yield UsageEvent(usage_of(self._usage))
        yield Finished(reason, self._stop_sequence)


def whole(document: dict[str, Any]) -> list[Event]:
    """The events of an answer that came whole. What is no message is `Failed`."""
    if document.get("type") == "error" or document.get("error"):
        return [failure(document.get("error"))]
    if not isinstance(document.get("content"), list):
        return [Failed("the upstream's answer has no content", "malformed")]
    decoder = MessagesDecoder()
    frames: list[dict[str, Any]] = [{"type": "message_start", "message": document}]
    for index, block in enumerate(loose.objects(document["content"])):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames.append({"type": "content_block_stop", "index": index})
    frames.append({"type": "message_delta", "delta": document, "usage": document.get("usage")})
    frames.append({"type": "message_stop"})
    return decoder.feed(b"".join(b"data: " + loose.dumps(frame).encode() + b"\n\n" for frame in frames))
