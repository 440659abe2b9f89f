"""Chat on both sides: the request body with another model, and an observer of the stream.

What we don't know is sent on. `model` is replaced, and `stream_options` is added if the client didn't ask for usage: the
receipt needs it.

The observer looks at the bytes that pass and parses only the few events that matter:

    data: {"id":...,"model":"m","choices":[...]}      first event: the served model
    data: {..."usage":{...}}                          usage, wherever a server puts it
    data: {"error":{...}}                             an error, first or later: it and what follows is not passed on
    data: [DONE]                                      the terminal event; without it (or a finish_reason) a stream is broken

Only whole events are passed on: a part of one is of no use to a client, and might be the beginning of an error.
"""

from __future__ import annotations

import re
from typing import Any

from autorouter.core.types import Usage
from autorouter.wire.chat.request import ChatRequest
from autorouter.wire.common import lenient_json, request_body, sse
from autorouter.wire.common.usage import parse_chat_usage

ASK_USAGE = {"include_usage": True}
_FINISH = re.compile(rb'"finish_reason": ?"[^"]')
"""In texts the quotes are escaped. Some servers say `""` until they have one."""
_DATA = re.compile(rb"(?:^|[\r\n])data:[ \t]*[^ \t\r\n]")
_DONE = re.compile(rb"(?:^|[\r\n])data:[ \t]*\[DONE\]")
"""At the beginning of a line: an answer may well speak of `[DONE]`."""


def upstream_body(request: ChatRequest, model: str, *, stream_usage: bool) -> bytes:
    """The body for the upstream. `stream_usage`: ask for usage in the stream, which the receipt needs."""
    body, span = request.task.body, request.model_span
    ask_usage = stream_usage and not request.wants_usage
    if span is None or (ask_usage and request.has_stream_options):
        return _serialize_again(request, model, ask_usage)
    added = ("stream_options", ASK_USAGE) if ask_usage else None
    return request_body.replace_model(body, span, model, added)


def _serialize_again(request: ChatRequest, model: str, ask_usage: bool) -> bytes:
    """The body parsed and serialized again, without our own member; the rare path."""
    document = request_body.own_members(request.parsed.document) | {"model": model}
    if ask_usage:
        document["stream_options"] = {**(document.get("stream_options") or {}), **ASK_USAGE}
    return lenient_json.dumps_bytes(document)


class ChatObserver:
    """Feed it each chunk as it passes. `events`: data events seen; `done`: `[DONE]` was seen; `finished`: a finish reason;
    `malformed`: events that don't end as an object does and are none. They are passed on: a part of an answer is gone, and
    only the client knows whether it can do without."""

    __slots__ = ("_carry", "_drop_usage", "done", "error", "events", "finished", "malformed", "served_model", "usage")

    def __init__(self, *, drop_usage: bool = False) -> None:
        self._carry = b""
        self._drop_usage = drop_usage
        self.events = 0
        self.malformed = 0
        self.done = False
        self.finished = False
        self.served_model: str | None = None
        self.usage: Usage | None = None
        self.error: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """The answer ended as it should: a finish reason or the terminal event came."""
        return self.done or self.finished

    def feed(self, chunk: bytes) -> bytes:
        """Look at a chunk; returns the whole events that are there now, to pass on: the same bytes, save for a usage event
        that we asked for and the client didn't, and for an error. Raises ValueError for an event beyond all bounds."""
        data = self._carry + chunk if self._carry else chunk
        end = sse.last_event_end(data)
        if len(data) - end > sse.MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {sse.MAX_EVENT_BYTES} bytes")
        self._carry = data[end:]
        return self._inspect(data[:end]) if end else b""

    def flush(self) -> bytes:
        """What stands behind the last blank line; call it when the stream has ended."""
        rest, self._carry = self._carry, b""
        return self._inspect(rest) if rest else b""

    def _inspect(self, whole: bytes) -> bytes:
        if self.error is not None:
            return b""
        if _has(whole, b'"error"'):
            whole = self._up_to_error(whole)
        if self.served_model is None:
            self._first(whole)
        found = whole.count(b"data:")
        self.events += found
        if not (found == 1 and whole.endswith(b"}\n\n")) and whole.count(b"}\n\n") != found:
            self.malformed += _malformed(whole)
        if not self.finished:
            self.finished = _finishes(whole)
        if not self.done and _has(whole, b"[DONE]") and _DONE.search(whole):
            self.done = True
        if _has(whole, b'"usage"'):
            return self._with_usage(whole)
        return whole

    def _up_to_error(self, whole: bytes) -> bytes:
        """The events before an error event; all where there is none."""
        for start, end in sse.event_spans(whole):
            document = sse.event_document(whole[start:end]) if b'"error"' in whole[start:end] else None
            error = document.get("error") if document else None
            if error and isinstance(error, dict | str):
                self.error = error if isinstance(error, dict) else {"message": error}
                return whole[:start]
        return whole

    def _first(self, whole: bytes) -> None:
        """Look at the first data event: who answers."""
        for start, end in sse.event_spans(whole):
            document = sse.event_document(whole[start:end])
            if document is None:
                continue
            model = document.get("model")
            self.served_model = model if isinstance(model, str) else ""
            return

    def _with_usage(self, whole: bytes) -> bytes:
        """Read usage from the events that have one; only they are parsed."""
        kept: list[bytes] = []
        done = 0
        found = whole.find(b'"usage"')
        while found >= 0:
            start = max(done, sse.last_event_end(whole[done:found]) + done)
            end = next((stop for _, stop in sse.event_spans(whole, start)), len(whole))
            document = sse.event_document(whole[start:end])
            usage = document.get("usage") if document else None
            if isinstance(usage, dict):
                self.usage = parse_chat_usage(usage)
            drop = self._drop_usage and isinstance(usage, dict) and document is not None and not document.get("choices")
            kept.append(whole[done : start if drop else end])
            done = end
            found = whole.find(b'"usage"', end)
        return b"".join(kept) + whole[done:] if self._drop_usage else whole


def _malformed(whole: bytes) -> int:
    """How many events are neither an object nor the end."""
    odd = [whole[start:end] for start, end in sse.event_spans(whole) if not whole[start:end].rstrip().endswith(b"}")]
    return sum(
        _DATA.search(event) is not None and not _DONE.search(event) and sse.event_document(event) is None
        for event in odd
    )


def _has(whole: bytes, mark: bytes) -> bool:
    """`mark in whole`, from the end: four times as fast in text that is full of quotes."""
    return whole.rfind(mark) >= 0


def _finishes(whole: bytes) -> bool:
    """Whether a finish reason stands in it. Looked for as servers write it; one pattern over the whole costs ten times as
    much, and was a fifth of a stream's time."""
    if not _has(whole, b'"finish_reason":"') and not _has(whole, b'"finish_reason": "'):
        return False
    return _FINISH.search(whole) is not None
