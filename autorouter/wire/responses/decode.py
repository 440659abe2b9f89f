"""A Responses upstream's answer, streamed or whole -> events.

    event: response.output_item.added    {"output_index":0,"item":{"type":"function_call","call_id":"call_1",...}}
    event: response.function_call_arguments.delta    {"output_index":0,"delta":"{\\"cmd\\""}
    event: response.output_item.done     {"output_index":0,"item":{...,"arguments":"{\\"cmd\\":\\"ls\\"}"}}
    event: response.completed            {"response":{"id":"resp_1","output":[...],"usage":{...}}}

Servers leave out what they like of this: an item may come only as done, or only in the last response. Each is read from
where it first stands whole, and nothing twice.
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
from autorouter.wire.common.usage import parse_responses_usage

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_TEXT = "response.output_text."
_REFUSAL = "response.refusal."
_SUMMARY = "response.reasoning_summary_text."
_THOUGHT = "response.reasoning_text."


class ResponsesDecoder(StreamDecoder):
    """Feed it the stream of a Responses upstream."""

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        self._refused = False
        self._calls = ToolCallTracker()
        self._passed: dict[Any, str] = {}
        """Text passed on, by item and part: what a `done` repeats is not passed again."""
        self._came: dict[str, str] = {}
        """Items that came whole: their ids (made up where they have none) in order, and their kinds."""
        self._latest: Any = 0
        """The key of the item that came last: where pieces belong that don't say where."""

    def _document(self, name: str, document: dict[str, Any]) -> Iterator[StreamEvent]:
        kind = lenient_json.as_text(document.get("type")) or name
        response = document.get("response")
        if isinstance(response, dict) and not self._began and kind not in ("response.failed", "error"):
            self._began = True
            yield StreamStarted(lenient_json.as_text(response.get("id")), lenient_json.as_text(response.get("model")))
        if kind in ("response.completed", "response.incomplete", "response.done"):
            yield from self._last(lenient_json.as_object(response))
        elif kind in ("response.failed", "response.cancelled", "error"):
            inner = lenient_json.as_object(response).get("error") or document.get("error") or document
            yield failed_event(inner, "the upstream's response failed")
        elif kind.startswith("response.output_item."):
            key = self._key(document, lenient_json.as_object(document.get("item")))
            yield from self._item(key, lenient_json.as_object(document.get("item")), done=kind.endswith(".done"))
        else:
            yield from self._piece(kind, document)

    def _piece(self, kind: str, document: dict[str, Any]) -> Iterator[StreamEvent]:
        key = self._key(document, {})
        delta = lenient_json.as_text(document.get("delta"))
        if kind.startswith((_TEXT, _REFUSAL)):
            self._refused = self._refused or kind.startswith(_REFUSAL)
            full = document.get("refusal" if kind.startswith(_REFUSAL) else "text")
            place = (key, "text", lenient_json.as_count(document.get("content_index")))
            yield from self._text(place, delta, full)
        elif kind.startswith((_SUMMARY, _THOUGHT)):
            part = lenient_json.as_count(
                document.get("summary_index" if kind.startswith(_SUMMARY) else "content_index")
            )
            yield from self._thought((key, kind.startswith(_SUMMARY), part), part, delta, document.get("text"))
        elif kind.endswith(("call_arguments.delta", "tool_call_input.delta")) and key in self._calls:
            yield from self._calls.feed(key, delta)
        elif kind.endswith(("call_arguments.done", "tool_call_input.done")) and key in self._calls:
            full = document.get("arguments", document.get("input"))
            if full is not None:
                yield from self._calls.whole(key, lenient_json.as_json_text(full))

    def _key(self, document: dict[str, Any], item: dict[str, Any]) -> Any:
        """What tells items apart: their place; their id where there is none."""
        place = document.get("output_index")
        if isinstance(place, int):
            return place
        ident = document.get("item_id") or item.get("id") or item.get("call_id")
        return ident if isinstance(ident, str) else self._latest

    def _text(self, place: Any, delta: str, full: Any) -> Iterator[StreamEvent]:
        missing = self._missing(place, delta, full)
        if missing:
            yield TextDelta(missing)

    def _thought(self, place: Any, part: int, delta: str, full: Any) -> Iterator[StreamEvent]:
        missing = self._missing(place, delta, full)
        if missing:
            yield ReasoningDelta(missing, part)

    def _missing(self, place: Any, delta: str, full: Any) -> str:
        """What of a delta, or of a text said whole, hasn't been passed on."""
        passed = self._passed.get(place, "")
        if not delta and isinstance(full, str) and full.startswith(passed):
            delta = full[len(passed) :]
        if delta:
            self._passed[place] = passed + delta
        return delta

    def _item(self, key: Any, item: dict[str, Any], *, done: bool) -> Iterator[StreamEvent]:
        kind, ident = lenient_json.as_text(item.get("type")), _ident(item)
        self._latest = key
        if ident in self._came:
            return
        if kind in _CALLS:
            yield from self._call(key, item, done)
        elif done and kind == "message":
            for number, part in enumerate(lenient_json.as_objects(item.get("content"))):
                self._refused = self._refused or part.get("type") == "refusal"
                yield from self._text((key, "text", number), "", part.get("text") or part.get("refusal"))
        elif done and kind == "reasoning":
            yield from self._reasoning(key, item)
        if done:
            self._came[ident or f"#{len(self._came)}"] = kind
            # Servers that number all items 0 are met.
            self._passed = {place: text for place, text in self._passed.items() if place[0] != key}

    def _call(self, key: Any, item: dict[str, Any], done: bool) -> Iterator[StreamEvent]:
        kind = lenient_json.as_text(item.get("type"))
        if key not in self._calls:
            yield self._calls.begin(
                key,
                lenient_json.as_text(item.get("call_id")) or lenient_json.as_text(item.get("id")),
                lenient_json.as_text(item.get("name")),
                namespace=lenient_json.as_text(item.get("namespace")) or None,
                custom=kind == "custom_tool_call",
            )
        if done:
            yield from self._calls.whole(key, lenient_json.as_json_text(item.get(_CALLS[kind])))
            if item.get("status") != "incomplete":
                yield from self._calls.end(key)

    def _reasoning(self, key: Any, item: dict[str, Any]) -> Iterator[StreamEvent]:
        for number, part in enumerate(lenient_json.as_objects(item.get("summary"))):
            yield from self._thought((key, True, number), number, "", part.get("text"))
        if not item.get("summary"):
            for number, part in enumerate(lenient_json.as_objects(item.get("content"))):
                yield from self._thought((key, False, number), number, "", part.get("text"))
        yield ReasoningEnded(
            lenient_json.as_text(item.get("encrypted_content")), "responses", lenient_json.as_text(item.get("id"))
        )

    def _last(self, response: dict[str, Any]) -> Iterator[StreamEvent]:
        came = list(self._came.values())
        for place, item in enumerate(lenient_json.as_objects(response.get("output"))):
            # An id may be another one here than in the stream.
            if _ident(item) not in self._came and came[place : place + 1] != [item.get("type")]:
                ident = lenient_json.as_text(item.get("id"))
                named = any(key[0] == ident for key in self._passed) or ident in self._calls
                yield from self._item(ident if named else place, item, done=True)
        incomplete = lenient_json.as_text(lenient_json.as_object(response.get("incomplete_details")).get("reason"))
        reason: FinishReason = "tool_calls" if self._calls.count else "refusal" if self._refused else "stop"
        if response.get("status") == "incomplete" or incomplete:
            reason = "content_filter" if incomplete == "content_filter" else "length"
        yield from self._calls.end_all(cut=reason in ("length", "content_filter"))
        if isinstance(response.get("usage"), dict):
            yield UsageEvent(parse_responses_usage(response["usage"]))
        yield StreamFinished(reason)


def _ident(item: dict[str, Any]) -> str:
    """An item's own id; a call's is the one that its result will name."""
    return lenient_json.as_text(item.get("call_id")) or lenient_json.as_text(item.get("id"))


def whole(document: dict[str, Any]) -> list[StreamEvent]:
    """The events of an answer that came whole. What is no response is `StreamFailed`."""
    if document.get("status") in ("failed", "cancelled") or document.get("error"):
        return [failed_event(document.get("error"), "the upstream's response failed")]
    if not isinstance(document.get("output"), list):
        return [StreamFailed("the upstream's answer has no output", "malformed")]
    last = {"type": "response.completed", "response": document}
    return ResponsesDecoder().feed(b"data: " + lenient_json.dumps(last).encode() + b"\n\n")
