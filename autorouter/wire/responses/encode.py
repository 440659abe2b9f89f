"""Events -> Responses: the ordered, typed events of a stream, and the whole body.

    response.created  response.in_progress
    response.output_item.added {"output_index":0,"item":{"type":"function_call","call_id":"call_1","arguments":""}}
    response.function_call_arguments.delta  ...  response.function_call_arguments.done
    response.output_item.done {"output_index":0,"item":{...,"arguments":"{\"cmd\":\"ls\"}","status":"completed"}}
    response.completed {"response":{"id":"resp_...","status":"completed","output":[...],"usage":{...}}}

A free-form tool's call must be a `custom_tool_call`: Codex aborts a `function_call` of such a tool.

Objects of the Responses wire that stream and whole body share.

{"id": "resp_...", "object": "response", "status": "completed", "model": "openfusion/auto", "output": [...], "usage": {...}}
{"type": "function_call", "id": "fc_...", "call_id": "call_1", "name": "ls", "arguments": "", "status": "in_progress"}
"""

from __future__ import annotations

from typing import Any

from autorouter.wire.common import lenient_json, sse
from autorouter.wire.common.encoder import ResponseMetadata, StreamEncoder
from autorouter.wire.common.ir import (
    ReasoningDelta,
    ReasoningEnded,
    ReasoningPart,
    ResponseIR,
    StreamEvent,
    StreamFailed,
    StreamFinished,
    TextDelta,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallPart,
    ToolCallStarted,
)
from autorouter.wire.common.usage import format_responses_usage

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Item:
    """An output item that is still open."""

    __slots__ = ("document", "parts", "place", "texts")

    def __init__(self, place: int, document: dict[str, Any]) -> None:
        self.place = place
        self.document = document
        self.texts: list[str] = []
        self.parts: list[tuple[int, list[str]]] = []


class ResponsesEncoder(StreamEncoder):
    """Feed it events; it gives the bytes of a Responses stream."""

    def __init__(self, heading: ResponseMetadata) -> None:
        super().__init__(heading)
        self._number = -1
        self._output: list[dict[str, Any]] = []
        self._speech: _Item | None = None
        """The open message or reasoning: one at a time."""
        self._calls: dict[int, _Item] = {}

    # ---- the frame

    def _emit(self, kind: str, **members: Any) -> bytes:
        self._number += 1
        return sse.format_event({"type": kind, "sequence_number": self._number, **members})

    def _started(self) -> bytes:
        response = response_document(self.metadata, "in_progress")
        return self._emit("response.created", response=response) + self._emit("response.in_progress", response=response)

    def _finished(self, event: StreamFinished) -> bytes:
        status = "incomplete" if event.reason in _INCOMPLETE else "completed"
        out = self._close_speech(status) + b"".join(self._close_call(index, status) for index in tuple(self._calls))
        response = response_document(self.metadata, status, output=self._output)
        if event.reason in _INCOMPLETE:
            response["incomplete_details"] = {"reason": _INCOMPLETE[event.reason]}
        if self.usage is not None:
            response["usage"] = format_responses_usage(self.usage)
        return out + self._emit(f"response.{status}", response=response)

    def _failed(self, event: StreamFailed) -> bytes:
        response = response_document(self.metadata, "failed", output=self._output)
        response["error"] = {"code": event.code, "message": event.message}
        if self.usage is not None:
            response["usage"] = format_responses_usage(self.usage)
        return self._emit("response.failed", response=response)

    # ---- items

    def _part(self, event: StreamEvent) -> bytes:
        match event:
            case TextDelta(text):
                return self._text(text)
            case ReasoningDelta(text, part):
                return self._reasoning(text, part)
            case ReasoningEnded():
                return self._sealed(event)
            case ToolCallStarted():
                return self._close_speech() + self._call(event)
            case ToolCallDelta(index, text) if index in self._calls:
                item = self._calls[index]
                item.texts.append(text)
                return self._emit(f"{_kind(item)}.delta", **_where(item), delta=text)
            case ToolCallEnded(index) if index in self._calls:
                return self._close_call(index)
            case _:
                return b""

    def _open(self, document: dict[str, Any]) -> tuple[_Item, bytes]:
        item = _Item(len(self._output), document)
        self._output.append(document)
        return item, self._emit("response.output_item.added", output_index=item.place, item=document)

    def _done(self, item: _Item, status: str) -> bytes:
        item.document["status"] = status
        return self._emit("response.output_item.done", output_index=item.place, item=item.document)

    def _text(self, text: str) -> bytes:
        out = b""
        if self._speech is None or self._speech.document["type"] != "message":
            out = self._close_speech()
            ident = f"msg_{self.metadata.seed}_{len(self._output)}"
            opened = {"type": "message", "id": ident, "status": "in_progress", "role": "assistant", "content": []}
            self._speech, added = self._open(opened)
            part = {"type": "output_text", "text": "", "annotations": []}
            out += added + self._emit("response.content_part.added", **_where(self._speech), content_index=0, part=part)
        self._speech.texts.append(text)
        return out + self._emit("response.output_text.delta", **_where(self._speech), content_index=0, delta=text)

    def _reasoning(self, text: str, part: int) -> bytes:
        out = self._open_reasoning()
        assert self._speech is not None
        if not self._speech.parts or self._speech.parts[-1][0] != part:
            out += self._close_summary()
            self._speech.parts.append((part, []))
            empty = {"type": "summary_text", "text": ""}
            out += self._emit("response.reasoning_summary_part.added", **self._summary_place(), part=empty)
        self._speech.parts[-1][1].append(text)
        return out + self._emit("response.reasoning_summary_text.delta", **self._summary_place(), delta=text)

    def _open_reasoning(self, ident: str = "") -> bytes:
        if self._speech is not None and self._speech.document["type"] == "reasoning":
            return b""
        out = self._close_speech()
        ident = ident or f"rs_{self.metadata.seed}_{len(self._output)}"
        self._speech, added = self._open({"type": "reasoning", "id": ident, "summary": []})
        return out + added

    def _summary_place(self) -> dict[str, Any]:
        assert self._speech is not None
        return {**_where(self._speech), "summary_index": len(self._speech.parts) - 1}

    def _close_summary(self) -> bytes:
        """End the summary's open part."""
        item = self._speech
        if item is None or len(item.document["summary"]) == len(item.parts):
            return b""
        part = {"type": "summary_text", "text": "".join(item.parts[-1][1])}
        item.document["summary"].append(part)
        done = self._emit("response.reasoning_summary_text.done", **self._summary_place(), text=part["text"])
        return done + self._emit("response.reasoning_summary_part.done", **self._summary_place(), part=part)

    def _sealed(self, event: ReasoningEnded) -> bytes:
        out = self._open_reasoning()
        assert self._speech is not None
        self._speech.document["encrypted_content"] = self.metadata.stamped_payload(event)
        return out + self._close_speech()

    def _close_speech(self, status: str = "completed") -> bytes:
        item = self._speech
        if item is None:
            return b""
        if item.document["type"] == "reasoning":
            out = self._close_summary() + self._done(item, status)
        else:
            part = {"type": "output_text", "text": "".join(item.texts), "annotations": []}
            item.document["content"] = [part]
            place = {**_where(item), "content_index": 0}
            out = self._emit("response.output_text.done", **place, text=part["text"])
            out += self._emit("response.content_part.done", **place, part=part) + self._done(item, status)
        self._speech = None
        return out

    def _call(self, event: ToolCallStarted) -> bytes:
        document = call_item(event, self.metadata, len(self._output), "in_progress")
        self._calls[event.index], added = self._open(document)
        return added

    def _close_call(self, index: int, status: str = "completed") -> bytes:
        item = self._calls.pop(index)
        member = "input" if item.document["type"] == "custom_tool_call" else "arguments"
        full = "".join(item.texts) or ("{}" if member == "arguments" and status == "completed" else "")
        item.document[member] = full
        return self._emit(f"{_kind(item)}.done", **_where(item), **{member: full}) + self._done(item, status)


def _kind(item: _Item) -> str:
    custom = item.document["type"] == "custom_tool_call"
    return "response.custom_tool_call_input" if custom else "response.function_call_arguments"


def _where(item: _Item) -> dict[str, Any]:
    return {"item_id": item.document["id"], "output_index": item.place}


def whole(answer: ResponseIR, heading: ResponseMetadata) -> bytes:
    """The body of an answer that isn't streamed: the response object of the stream's last event."""
    encoder = _Collector(heading)
    for index, part in enumerate(answer.parts):
        if isinstance(part, ToolCallPart):
            encoder.feed(ToolCallStarted(index, part.id, part.name, part.namespace, part.custom))
            encoder.feed(ToolCallDelta(index, part.arguments))
            encoder.feed(ToolCallEnded(index))
        elif isinstance(part, ReasoningPart):
            for number, summary in enumerate(part.summary):
                encoder.feed(ReasoningDelta(summary, number))
            encoder.feed(ReasoningEnded(part.payload, part.shape, part.id))
        else:
            encoder.feed(TextDelta(part.text))
    encoder.usage = answer.usage
    encoder.feed(answer.failed or answer.finished or StreamFailed("the answer ended before its end", "early_end"))
    return lenient_json.dumps_bytes(encoder.response)


class _Collector(ResponsesEncoder):
    """Keeps the last response object in place of writing events."""

    response: dict[str, Any]

    def _emit(self, kind: str, **members: Any) -> bytes:
        self.response = members.get("response") or getattr(self, "response", {})
        return b""


def call_item(
    call: ToolCallStarted | ToolCallPart, heading: ResponseMetadata, place: int, status: str
) -> dict[str, Any]:
    """A call's output item, without its arguments."""
    kind, prefix, member = ("custom_tool_call", "ctc", "input") if call.custom else ("function_call", "fc", "arguments")
    item: dict[str, Any] = {
        "type": kind,
        "id": f"{prefix}_{heading.seed}_{place}",
        "call_id": call.id or f"call_{heading.seed}_{place}",
        "name": call.name,
    }
    if call.namespace:
        item["namespace"] = call.namespace
    return item | {member: "", "status": status}


def response_document(
    heading: ResponseMetadata, status: str, *, output: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The response object; `usage` stays null where the upstream said nothing, for Codex acts on what stands there."""
    return {
        "id": f"resp_{heading.seed}",
        "object": "response",
        "created_at": heading.created_s,
        "status": status,
        "model": heading.model,
        "output": output or [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
