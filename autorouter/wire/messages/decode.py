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

from autorouter.wire.common import lenient_json
from autorouter.wire.common.decoder import StreamDecoder, ToolCallTracker, failed_event
from autorouter.wire.common.ir import (
    FinishReason,
    ReasoningDelta,
    ReasoningEnded,
    StreamEvent,
    StreamFailed,
    StreamFinished,
    StreamStarted,
    TextDelta,
    UsageEvent,
)
from autorouter.wire.common.usage import parse_messages_usage

REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
"""Stop reasons; any other word is a stop."""


class MessagesDecoder(StreamDecoder):
    """Feed it the stream of a Messages upstream."""

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        self._calls = ToolCallTracker()
        self._usage: dict[str, Any] = {}
        self._reason: FinishReason | None = None
        self._stop_sequence: str | None = None
        self._open: Any = None
        self._thinking: str | None = None
        """The signature so far of the thinking block that is open."""

    def _document(self, name: str, document: dict[str, Any]) -> Iterator[StreamEvent]:
        kind = lenient_json.as_text(document.get("type")) or name
        match kind:
            case "message_start":
                message = lenient_json.as_object(document.get("message"))
                if not self._began:
                    self._began = True
                    yield StreamStarted(
                        lenient_json.as_text(message.get("id")), lenient_json.as_text(message.get("model"))
                    )
                self._usage |= lenient_json.as_object(message.get("usage"))
            case "content_block_start":
                yield from self._close()
                self._open = self._key(document)
                yield from self._start(lenient_json.as_object(document.get("content_block")))
            case "content_block_delta":
                yield from self._delta(self._key(document), lenient_json.as_object(document.get("delta")))
            case "content_block_stop":
                yield from self._close()
            case "message_delta":
                self._message_delta(document)
            case "message_stop":
                yield from self._finish()
            case "error":
                yield failed_event(document.get("error"))

    def _key(self, document: dict[str, Any]) -> Any:
        index = document.get("index")
        return index if isinstance(index, int) else self._open if self._open is not None else -1

    def _start(self, block: dict[str, Any]) -> Iterator[StreamEvent]:
        kind = block.get("type")
        if kind == "tool_use":
            yield self._calls.begin(
                self._open, lenient_json.as_text(block.get("id")), lenient_json.as_text(block.get("name"))
            )
            given = lenient_json.as_json_text(block.get("input"))
            if given not in ("", "{}"):
                yield from self._calls.feed(self._open, given)
        elif kind == "thinking":
            self._thinking = lenient_json.as_text(block.get("signature"))
            if thought := lenient_json.as_text(block.get("thinking")):
                yield ReasoningDelta(thought)
        elif kind == "redacted_thinking":
            yield ReasoningEnded(lenient_json.as_text(block.get("data")), "redacted")
        elif words := lenient_json.as_text(block.get("text")):
            yield TextDelta(words)

    def _delta(self, key: Any, delta: dict[str, Any]) -> Iterator[StreamEvent]:
        match delta.get("type"):
            case "text_delta":
                if words := lenient_json.as_text(delta.get("text")):
                    yield TextDelta(words)
            case "input_json_delta" if key in self._calls:
                yield from self._calls.feed(key, lenient_json.as_text(delta.get("partial_json")))
            case "thinking_delta":
                self._thinking = self._thinking or ""
                if thought := lenient_json.as_text(delta.get("thinking")):
                    yield ReasoningDelta(thought)
            case "signature_delta":
                self._thinking = (self._thinking or "") + lenient_json.as_text(delta.get("signature"))

    def _close(self) -> Iterator[StreamEvent]:
        if self._open in self._calls:
            yield from self._calls.end_if_whole(self._open)
        if self._thinking is not None:
            yield ReasoningEnded(self._thinking, "messages")
        self._open = self._thinking = None

    def _message_delta(self, document: dict[str, Any]) -> None:
        delta = lenient_json.as_object(document.get("delta"))
        found = delta.get("stop_reason")
        if isinstance(found, str) and found:
            self._reason = REASONS.get(found, "stop")
        self._stop_sequence = lenient_json.as_text(delta.get("stop_sequence")) or self._stop_sequence
        usage = lenient_json.as_object(document.get("usage"))
        # Some servers repeat the input's counts here, others say 0.
        self._usage |= {name: value for name, value in usage.items() if value or name not in self._usage}

    def _finish(self) -> Iterator[StreamEvent]:
        yield from self._close()
        reason: FinishReason = self._reason or "stop"
        if reason in ("stop", "tool_calls"):
            reason = "tool_calls" if self._calls.count else "stop"
        yield from self._calls.end_all(cut=reason == "length")
        if self._usage:
            yield UsageEvent(parse_messages_usage(self._usage))
        yield StreamFinished(reason, self._stop_sequence)


def whole(document: dict[str, Any]) -> list[StreamEvent]:
    """The events of an answer that came whole. What is no message is `StreamFailed`."""
    if document.get("type") == "error" or document.get("error"):
        return [failed_event(document.get("error"))]
    if not isinstance(document.get("content"), list):
        return [StreamFailed("the upstream's answer has no content", "malformed")]
    decoder = MessagesDecoder()
    frames: list[dict[str, Any]] = [{"type": "message_start", "message": document}]
    for index, block in enumerate(lenient_json.as_objects(document["content"])):
        frames.append({"type": "content_block_start", "index": index, "content_block": block})
        frames.append({"type": "content_block_stop", "index": index})
    frames.append({"type": "message_delta", "delta": document, "usage": document.get("usage")})
    frames.append({"type": "message_stop"})
    return decoder.feed(b"".join(b"data: " + lenient_json.dumps(frame).encode() + b"\n\n" for frame in frames))
