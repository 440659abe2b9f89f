"""Events -> chat: the chunks of a stream, and the whole body.

    data: {"id":"chatcmpl-...","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"},...}]}
    data: {..."choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
    data: {..."choices":[],"usage":{...}}          where the client asked for it
    data: [DONE]

A broken answer ends with `data: {"error": {...}}` and no `[DONE]`: no client takes that for a whole one.
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
    ToolCallPart,
    ToolCallStarted,
)
from autorouter.wire.common.usage import format_chat_usage

_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


class ChatEncoder(StreamEncoder):
    """Feed it events; it gives the bytes of a chat stream."""

    def __init__(self, heading: ResponseMetadata) -> None:
        super().__init__(heading)
        self._custom: set[int] = set()

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse.format_data({**_envelope(self.metadata, "chat.completion.chunk"), "choices": [choice]})

    def _started(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def _part(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta(text):
                return self._chunk({"content": text})
            case ReasoningDelta(text):
                return self._chunk({"reasoning_content": text})
            case ReasoningEnded(payload) if payload:
                return self._chunk({"reasoning_signature": self.metadata.stamped_payload(event)})
            case ToolCallStarted(index):
                if event.custom:
                    self._custom.add(index)
                return self._chunk({"tool_calls": [{"index": index, **_call(event, index, self.metadata, "")}]})
            case ToolCallDelta(index, text):
                inner = {"custom": {"input": text}} if index in self._custom else {"function": {"arguments": text}}
                return self._chunk({"tool_calls": [{"index": index, **inner}]})
            case _:
                return b""

    def _finished(self, event: StreamFinished) -> bytes:
        out = self._chunk({}, _REASONS[event.reason])
        if self.metadata.wants_usage and self.usage is not None:
            envelope = _envelope(self.metadata, "chat.completion.chunk")
            out += sse.format_data({**envelope, "choices": [], "usage": format_chat_usage(self.usage)})
        return out + b"data: [DONE]\n\n"

    def _failed(self, event: StreamFailed) -> bytes:
        error = {"message": event.message, "type": event.type, "param": None, "code": event.code}
        return sse.format_data({"error": error})


def _envelope(heading: ResponseMetadata, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{heading.seed}",
        "object": kind,
        "created": heading.created_s,
        "model": heading.model,
    }


def _call(
    call: ToolCallStarted | ToolCallPart, index: int, heading: ResponseMetadata, arguments: str
) -> dict[str, Any]:
    kind, member = ("custom", "input") if call.custom else ("function", "arguments")
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    return {"id": call.id or f"call_{heading.seed}_{index}", "type": kind, kind: {"name": name, member: arguments}}


def whole(answer: ResponseIR, heading: ResponseMetadata) -> bytes:
    """The body of an answer that isn't streamed. A failed answer gives the error object."""
    if answer.finished is None:
        failed = answer.failed or StreamFailed("the answer ended before its end", "early_end")
        error = {"message": failed.message, "type": failed.type, "param": None, "code": failed.code}
        return orjson.dumps({"error": error})
    words = [part.text for part in answer.parts if isinstance(part, TextPart)]
    calls = [part for part in answer.parts if isinstance(part, ToolCallPart)]
    thoughts = [part for part in answer.parts if isinstance(part, ReasoningPart)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words) if words or not calls else None}
    summaries = [summary for part in thoughts for summary in part.summary]
    if summaries:
        message["reasoning_content"] = "\n\n".join(summaries)
    if calls:
        message["tool_calls"] = [_call(call, n, heading, call.arguments or "") for n, call in enumerate(calls)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS[answer.finished.reason]}
    document = {**_envelope(heading, "chat.completion"), "choices": [choice]}
    if answer.usage is not None:
        document["usage"] = format_chat_usage(answer.usage)
    return lenient_json.dumps_bytes(document)
