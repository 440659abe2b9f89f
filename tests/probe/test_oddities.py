"""Smaller deviations, each made by one replacement in the bytes of a good relay: which check sees it, and how bad it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from autorouter.probe import checks
from autorouter.probe.relay_client import Relay
from autorouter.probe.report import Report
from tests.fakes import Play, Seen
from tests.probe.provider import Provider

Change = tuple[bytes, bytes]


class Odd(Provider):
    """`old` becomes `new` in the answers that `where` picks: the body of each, or the data of each HTTP chunk."""

    def __init__(self, old: bytes, new: bytes, where: Callable[[Seen], bool]) -> None:
        super().__init__()
        self.old, self.new, self.where = old, new, where
        self.changed = 0

    def _next(self, seen: Seen) -> Play:
        play = super()._next(seen)
        return (
            tuple(self._swap(part) if isinstance(part, bytes) else part for part in play) if self.where(seen) else play
        )

    def _swap(self, part: bytes) -> bytes:
        head, blank, body = part.partition(b"\r\n\r\n") if part.startswith(b"HTTP/") else (b"", b"", part)
        if self.old in head:
            self.changed += 1
            return head.replace(self.old, self.new) + blank + body
        if self.old not in body:
            return part
        self.changed += 1
        if head:
            body = body.replace(self.old, self.new)
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
            return b"\r\n".join([*lines, b"content-length: %d" % len(body)]) + blank + body
        _, _, data = body.partition(b"\r\n")
        data = data.removesuffix(b"\r\n").replace(self.old, self.new)
        return b"%x\r\n%s\r\n" % (len(data), data)


def chat(*, stream: bool, tools: bool = False) -> Callable[[Seen], bool]:
    """Requests for a chat answer of this sort."""

    def wanted(seen: Seen) -> bool:
        if not seen.path.endswith("/chat/completions") or not seen.body.endswith(b"}"):
            return False
        body = seen.document
        return bool(body.get("stream")) == stream and ("tools" in body) == tools

    return wanted


def on(path: str, *, stream: bool = True) -> Callable[[Seen], bool]:
    return lambda seen: seen.path.endswith(path) and bool(seen.document.get("stream")) == stream


WHOLE, STREAM = chat(stream=False), chat(stream=True)
WHOLE_TOOLS, STREAM_TOOLS = chat(stream=False, tools=True), chat(stream=True, tools=True)
ODDITIES: dict[str, tuple[bytes, bytes, Callable[[Seen], bool], str, str, str]] = {
    "no id": (b'"id": "chatcmpl-1"', b'"id": ""', WHOLE, "chat.whole", "degraded", "no id"),
    "no finish": (b'"finish_reason": "stop"', b'"x": 1', WHOLE, "chat.whole", "degraded", "no finish_reason"),
    "object": (b'"chat.completion"', b'"completion"', WHOLE, "chat.whole", "degraded", "object is `completion`"),
    "author": (b'"role": "assistant"', b'"role": "bot"', WHOLE, "chat.whole", "degraded", "role is `bot`"),
    "no choices": (b'"choices"', b'"answers"', WHOLE, "chat.whole", "fail", "no message in `choices[0]`"),
    "total": (b'"total_tokens": ', b'"total_tokens": 9', WHOLE, "truth.usage", "degraded", "isn't"),
    "no model": (b'"model": "vendor/solid-1"', b'"m": 1', WHOLE, "truth.model", "pass", "served by"),
    "kind": (b"text/event-stream", b"text/plain", STREAM, "stream.transport", "degraded", "content type"),
    "chunk object": (b"completion.chunk", b"completion.part", STREAM, "stream.events", "degraded", "object is"),
    "no role": (b'"role": "assistant"', b'"x": 1', STREAM, "stream.order", "degraded", "no role"),
    "cut character": (b"\\u6f22", b"\xe6\xbc", STREAM, "stream.events", "fail", "no UTF-8"),
    "escaped cut": (b"\\u6f22", b"\\ufffd", STREAM, "stream.events", "fail", "U+FFFD"),
    "changed text": (b"\\u6f22", b"?", STREAM, "truth.text", "degraded", "not said back to the letter: streamed"),
    "two finishes": (b'"finish_reason": null', b'"finish_reason": "stop"', STREAM, "stream.order", "fail", "finish reasons"),
    "late": (b"data: [DONE]", b'data: [DONE]\n\ndata: {"x":1}', STREAM, "stream.order", "fail", "behind `[DONE]`"),
    "done alone": (b'"finish_reason": "stop"', b'"x": 1', STREAM, "stream.end", "fail", "without a finish_reason"),
    "marks": (b'"content": "arrive ', b'"content": "<think> ', STREAM, "stream.text", "degraded", "`<think>` marks"),
    "reasoning": (b'"content": ""', b'"reasoning": "hm"', STREAM, "stream.text", "pass", "reasoning in reasoning"),
    "in choices": (b'"choices": [], "usage"', b'"choices": [{}], "usage"', STREAM, "truth.usage_stream", "degraded", "choices"),
    "call ends": (b'"tool_calls"}]', b'"stop"}]', WHOLE_TOOLS, "tools.whole", "degraded", "finish_reason is `stop`"),
    "call id": (b'"id": "call_0"', b'"id": ""', WHOLE_TOOLS, "tools.whole", "fail", "no id"),
    "call name": (b'"name": "probe_weather"', b'"name": "x"', WHOLE_TOOLS, "tools.whole", "fail", "its name is `x`"),
    "schema": (b'\\"city\\"', b'\\"town\\"', WHOLE_TOOLS, "tools.whole", "fail", "don't fit the schema"),
    "object args": (b'"{\\"city\\": \\"Oslo\\"}"', b"{}", WHOLE_TOOLS, "tools.whole", "fail", "arguments are no string"),
    "no answer": (b'"content": "It is', b'"x": "', WHOLE_TOOLS, "tools.whole", "fail", "no answer to the tool's result"),
    "no index": (b'{"index": 0, "id"', b'{"id"', STREAM_TOOLS, "tools.stream", "fail", "no JSON object"),
    "stream id": (b'"id": "call_0"', b'"id": ""', STREAM_TOOLS, "tools.stream", "fail", "no id"),
    "stream ends": (b'"finish_reason": "tool_calls"', b'"finish_reason": "stop"', STREAM_TOOLS, "tools.stream", "degraded", ""),
    "begins": (b"response.created", b"response.begun", on("/responses"), "responses.stream", "degraded", "begins with"),
    "names": (b"event: response.output_text.delta", b"event: delta", on("/responses"), "responses.stream", "degraded", "names"),
    "numbers": (b'"sequence_number": 3', b'"sequence_number": 0', on("/responses"), "responses.stream", "degraded", "rise"),
    "no usage": (b'"usage"', b'"x"', on("/responses", stream=False), "responses.whole", "degraded", "no usage"),
    "message type": (b'"type": "message"', b'"type": "x"', on("/messages", stream=False), "messages.whole", "fail", "type is"),
    "call without id": (b'"id": "toolu_1"', b'"id": ""', on("/messages"), "messages.tools", "fail", "a call with the id"),
}  # fmt: skip
"""Name -> (old, new, in which answers, check, result, words)."""


def report_of(relay: Provider) -> Report:
    return asyncio.run(checks.probe(Relay(name="odd", base_url=relay.url), at="2026-11-20T12:00:00Z"))


@pytest.mark.parametrize("name", ODDITIES)
def test_each_oddity_is_seen_by_its_check(name: str) -> None:
    old, new, where, check, result, words = ODDITIES[name]
    with Odd(old, new, where) as relay:
        found = report_of(relay).named(check)
    assert relay.changed
    assert (found.result, words in found.evidence) == (result, True), found.evidence
