"""Events -> Messages: the ordered events of a stream, and the whole body.

    message_start
    content_block_start {"index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}}
    content_block_delta {"index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"command\\":\\"ls\\"}"}}
    content_block_stop {"index":0}
    message_delta {"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{...}}
    message_stop

One block is open at a time. Where an upstream mixes the pieces of several calls, those of the later ones wait until the
earlier has ended.
"""

from __future__ import annotations

from typing import Any

import orjson

from autorouter.wire.common import lenient_json, sse
from autorouter.wire.common.encoder import ResponseMetadata, StreamEncoder
from autorouter.wire.common.ir import (
    FinishReason,
    ReasoningDelta,
    ReasoningEnded,
    ReasoningPart,
    ResponseIR,
    StreamEvent,
    StreamFailed,
    StreamFinished,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallPart,
    ToolCallStarted,
)
from autorouter.wire.common.tool_names import wrap_custom_input
from autorouter.wire.common.usage import format_messages_usage

_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
ERROR_TYPES = {
    "invalid_request_error": "invalid_request_error",
    "authentication_error": "authentication_error",
    "permission_error": "permission_error",
    "not_found_error": "not_found_error",
    "rate_limit_error": "rate_limit_error",
    "overloaded_error": "overloaded_error",
    "insufficient_quota": "billing_error",
}
"""Types of errors that Anthropic's clients know; any other one is an `api_error`."""


class MessagesEncoder(StreamEncoder):
    """Feed it events; it gives the bytes of a Messages stream."""

    def __init__(self, heading: ResponseMetadata) -> None:
        super().__init__(heading)
        self._index = -1
        self._open: str | None = None
        """The kind of the block that is open: `text`, `thinking` or `tool_use`."""
        self._call: int | None = None
        """The call whose block is open."""
        self._waiting: list[StreamEvent] = []
        """Events that came while a call's block was open and belong behind it."""

    def _started(self) -> bytes:
        message = _message(self.metadata)
        message["usage"] = {"input_tokens": 0, "output_tokens": 0}
        return sse.format_event({"type": "message_start", "message": message})

    def _part(self, event: StreamEvent) -> bytes:
        if self._call is not None:
            match event:
                case ToolCallDelta(index, text) if index == self._call:
                    return self._delta({"type": "input_json_delta", "partial_json": text})
                case ToolCallEnded(index) if index == self._call:
                    return self._close() + self._release()
                case _:
                    self._waiting.append(event)
                    return b""
        match event:
            case TextDelta(text):
                return self._begin("text", {"type": "text", "text": ""}) + self._delta(
                    {"type": "text_delta", "text": text}
                )
            case ReasoningDelta(text):
                opened = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                return opened + self._delta({"type": "thinking_delta", "thinking": text})
            case ReasoningEnded():
                return self._sealed(event)
            case ToolCallStarted(index):
                out = self._close()
                self._call = index
                return out + self._begin("tool_use", _tool_use(event, self.metadata, self._index + 1, {}))
            case _:
                return b""

    def _release(self) -> bytes:
        """What waited behind a call, up to the next call that hasn't ended."""
        waiting, self._waiting = self._waiting, []
        return b"".join(self._part(event) for event in waiting)

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        if self._open == kind and kind != "tool_use":
            return b""
        out = self._close()
        self._open = kind
        self._index += 1
        return out + sse.format_event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return sse.format_event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = self._call = None
        return sse.format_event({"type": "content_block_stop", "index": self._index})

    def _sealed(self, event: ReasoningEnded) -> bytes:
        signature = self.metadata.stamped_payload(event)
        if event.shape == "redacted":
            return self._begin("redacted", {"type": "redacted_thinking", "data": signature}) + self._close()
        if self._open != "thinking" and not event.payload:
            return b""
        out = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return out + self._delta({"type": "signature_delta", "signature": signature}) + self._close()

    def _finished(self, event: StreamFinished) -> bytes:
        out = b""
        while self._open is not None or self._waiting:
            out += self._close() + self._release()
        if self._index < 0:
            # Clients expect at least one block.
            out += self._begin("text", {"type": "text", "text": ""}) + self._close()
        usage = format_messages_usage(self.usage) if self.usage is not None else {"output_tokens": 0}
        delta = {"stop_reason": _stop_reason(event), "stop_sequence": event.stop_sequence}
        out += sse.format_event({"type": "message_delta", "delta": delta, "usage": usage})
        return out + sse.format_event({"type": "message_stop"})

    def _failed(self, event: StreamFailed) -> bytes:
        return sse.format_event(error_document(event))


def error_document(failed: StreamFailed) -> dict[str, Any]:
    """An error in Anthropic's shape."""
    kind = ERROR_TYPES.get(failed.type) or ERROR_TYPES.get(failed.code) or "api_error"
    return {"type": "error", "error": {"type": kind, "message": failed.message}}


def _stop_reason(finished: StreamFinished) -> str:
    return "stop_sequence" if finished.stop_sequence is not None else _REASONS[finished.reason]


def _message(heading: ResponseMetadata) -> dict[str, Any]:
    return {
        "id": f"msg_{heading.seed}",
        "type": "message",
        "role": "assistant",
        "model": heading.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(
    call: ToolCallStarted | ToolCallPart, heading: ResponseMetadata, place: int, given: dict[str, Any]
) -> dict[str, Any]:
    ident = call.id or f"toolu_{heading.seed}_{place}"
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return {"type": "tool_use", "id": ident, "name": name, "input": given}


def whole(answer: ResponseIR, heading: ResponseMetadata) -> bytes:
    """The body of an answer that isn't streamed. A failed answer gives the error object."""
    if answer.finished is None:
        failed = answer.failed or StreamFailed("the answer ended before its end", "early_end")
        return orjson.dumps(error_document(failed))
    content = [_block(part, heading, place) for place, part in enumerate(answer.parts)]
    message = _message(heading)
    message["content"] = content or [{"type": "text", "text": ""}]
    message["stop_reason"] = _stop_reason(answer.finished)
    message["stop_sequence"] = answer.finished.stop_sequence
    message["usage"] = format_messages_usage(answer.usage) if answer.usage else {"input_tokens": 0, "output_tokens": 0}
    return lenient_json.dumps_bytes(message)


def _block(part: TextPart | ToolCallPart | ReasoningPart, heading: ResponseMetadata, place: int) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ToolCallPart():
            given = lenient_json.parse_object(
                wrap_custom_input(part.arguments) if part.custom else part.arguments or "{}"
            )
            return _tool_use(part, heading, place, {"arguments": part.arguments} if given is None else given)
        case ReasoningPart():
            signature = heading.stamped_payload(ReasoningEnded(part.payload, part.shape, part.id))
            if part.shape == "redacted":
                return {"type": "redacted_thinking", "data": signature}
            return {"type": "thinking", "thinking": "\n\n".join(part.summary), "signature": signature}
