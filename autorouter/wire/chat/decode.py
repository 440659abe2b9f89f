"""A chat upstream's answer, streamed or whole -> events.

    data: {"id":"c1","model":"m","choices":[{"delta":{"content":"Hi"}}]}         StreamStarted("c1", "m") TextDelta("Hi")
    data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1",
           "function":{"name":"ls","arguments":"{}"}}]}}]}                      ToolCallStarted(0, "call_1", "ls")
    data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}               ToolCallDelta(0, "{}") ToolCallEnded(0)
    data: {"choices":[],"usage":{...}}                                          UsageEvent(...)
    data: [DONE]                                                                StreamFinished("tool_calls")

The finish reason waits for `[DONE]` or the stream's end, for usage comes behind it.
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
from autorouter.wire.common.stream_repair import ThinkTagFilter
from autorouter.wire.common.usage import parse_chat_usage

REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
}
"""Finish reasons as they are met; any other word is a stop."""


class ChatDecoder(StreamDecoder):
    """Feed it the stream of a chat upstream."""

    def __init__(self) -> None:
        super().__init__()
        self._began = False
        self._reason: FinishReason | None = None
        self._refused = False
        self._thinking = False
        self._thoughts = ThinkTagFilter()
        self._calls = ToolCallTracker()
        self._latest: Any = None
        """The key of the call that came last: where pieces without an index and an id belong."""
        self._at: dict[int, Any] = {}
        """Which call an index stands for now: some servers give all calls the index 0."""
        self._nameless: dict[Any, list[str]] = {}
        """Calls whose name hasn't come yet: their id, then their pieces."""

    def _document(self, name: str, document: dict[str, Any]) -> Iterator[StreamEvent]:
        if document.get("error"):
            yield failed_event(document["error"])
            return
        if not self._began:
            self._began = True
            yield StreamStarted(lenient_json.as_text(document.get("id")), lenient_json.as_text(document.get("model")))
        if isinstance(document.get("usage"), dict):
            yield UsageEvent(parse_chat_usage(document["usage"]))
        for choice in lenient_json.as_objects(document.get("choices")):
            if choice.get("index") in (0, None):
                yield from self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> Iterator[StreamEvent]:
        delta = lenient_json.as_object(choice.get("delta")) or lenient_json.as_object(choice.get("message"))
        thought = lenient_json.as_text(delta.get("reasoning_content")) or lenient_json.as_text(delta.get("reasoning"))
        if thought:
            yield from self._words([(True, thought)])
        for content in _texts(delta.get("content")):
            yield from self._words(self._thoughts.feed(content))
        if refusal := lenient_json.as_text(delta.get("refusal")):
            self._refused = True
            yield from self._words([(False, refusal)])
        old = lenient_json.as_object(delta.get("function_call"))
        for call in (
            *lenient_json.as_objects(delta.get("tool_calls")),
            *([{"index": 0, "function": old}] if old else ()),
        ):
            yield from self._call(call)
        found = choice.get("finish_reason")
        if found == "error":
            yield failed_event(choice.get("error"), "the upstream broke off with an error")
        elif isinstance(found, str) and found:
            self._reason = REASONS.get(found.lower(), "stop")

    def _words(self, words: list[tuple[bool, str]]) -> Iterator[StreamEvent]:
        for thought, text in words:
            if thought:
                self._thinking = True
                yield ReasoningDelta(text)
            elif text:
                yield from self._sealed()
                yield TextDelta(text)

    def _sealed(self) -> Iterator[StreamEvent]:
        if self._thinking:
            self._thinking = False
            yield ReasoningEnded("", "chat")

    def _call(self, call: dict[str, Any]) -> Iterator[StreamEvent]:
        custom = isinstance(call.get("custom"), dict)
        function = lenient_json.as_object(call.get("custom" if custom else "function"))
        ident, name = lenient_json.as_text(call.get("id")), lenient_json.as_text(function.get("name"))
        key = self._latest = self._key(call.get("index"), ident, name)
        arguments = function.get("input" if custom else "arguments")
        if key not in self._calls:
            early = self._nameless.pop(key, [""])
            if not name:
                self._nameless[key] = [early[0] or ident, *early[1:], lenient_json.as_json_text(arguments)]
                return
            yield from self._words(self._thoughts.end())
            yield from self._sealed()
            yield self._calls.begin(key, ident or early[0], name, custom=custom)
            for piece in early[1:]:
                yield from self._calls.feed(key, piece)
        if isinstance(arguments, dict | list):
            yield from self._calls.whole(key, lenient_json.dumps(arguments))
        else:
            yield from self._calls.feed(key, lenient_json.as_text(arguments))

    def _key(self, index: Any, ident: str, name: str) -> Any:
        """Which call a piece belongs to. A new id on a known index is a new call; without both, a name begins one."""
        if isinstance(index, int) and not isinstance(index, bool):
            known = self._at.get(index)
            if known is None or (ident and name and known[1] and ident != known[1]):
                known = self._at[index] = (index, ident)
            return known
        if ident:
            return ("id", ident)
        if name or self._latest is None:
            return ("nth", self._calls.count)
        return self._latest

    def _done(self) -> Iterator[StreamEvent]:
        if self._nameless:
            yield StreamFailed("the upstream called a tool without naming it", "malformed")
            return
        yield from self._words(self._thoughts.end())
        yield from self._sealed()
        reason: FinishReason = "refusal" if self._refused else self._reason or "stop"
        yield from self._calls.end_all(cut=reason in ("length", "content_filter"))
        if reason in ("stop", "tool_calls"):
            reason = "tool_calls" if self._calls.count else "stop"
        yield StreamFinished(reason)

    def _at_end(self) -> Iterator[StreamEvent]:
        return self._done() if self._reason is not None else super()._at_end()


def _texts(content: Any) -> Iterator[str]:
    """A delta's text; some servers send parts."""
    if isinstance(content, str):
        if content:
            yield content
        return
    for part in lenient_json.as_objects(content):
        if words := lenient_json.as_text(part.get("text")):
            yield words


def whole(document: dict[str, Any]) -> list[StreamEvent]:
    """The events of an answer that came whole. What has no choices is `StreamFailed`."""
    decoder = ChatDecoder()
    choices = lenient_json.as_objects(document.get("choices"))
    if not choices and not document.get("error"):
        return [StreamFailed("the upstream's answer has no choices", "malformed")]
    return decoder.feed(b"data: " + lenient_json.dumps(document).encode() + b"\n\ndata: [DONE]\n\n")
