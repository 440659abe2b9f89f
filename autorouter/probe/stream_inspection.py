"""A chat stream, looked at byte by byte and event by event.

: keep-alive                                                                 a comment
data: {"choices":[{"delta":{"role":"assistant","content":""}}]}              the role
data: {"choices":[{"delta":{"content":"Hi"}}]}                               text
data: {"choices":[{"delta":{},"finish_reason":"stop"}]}                      the finish
data: {"choices":[],"usage":{...}}                                           usage, where it was asked for
data: [DONE]                                                                 the end

`trace_stream` never raises: any bytes are described.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from autorouter.probe.relay_client import RelayResponse
from autorouter.wire.common import lenient_json
from autorouter.wire.common.sse import EventSplitter, SseEvent


@dataclass(slots=True)
class StreamedToolCall:
    """A tool call in pieces, as they came."""

    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    unusual: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        """The pieces joined, as a client does."""
        return "".join(self.pieces)

    @property
    def cumulative(self) -> bool:
        """Each piece repeats what came before: joined, they are no JSON, but the last one is."""
        told = [piece for piece in self.pieces if piece]
        grows = len(told) > 1 and all(b.startswith(a) for a, b in pairwise(told))
        return grows and lenient_json.parse_object(self.arguments) is None


@dataclass(slots=True, kw_only=True)
class StreamTrace:
    """Positions count the data events from 0. `errors` are error objects inside; `unparsed` what is no JSON object."""

    frames: int = 0
    unparsed: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    done_at: int | None = None
    events_after_done: int = 0
    roles: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    finishes: list[tuple[int, str]] = field(default_factory=list)
    usages: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    usage_with_choices: bool = False
    text: str = ""
    reasoning: dict[str, int] = field(default_factory=dict)
    calls: dict[Any, StreamedToolCall] = field(default_factory=lambda: defaultdict(StreamedToolCall))
    ids: set[str] = field(default_factory=set)
    models: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    oddities: list[str] = field(default_factory=list)
    """What is legal and rare: CRLF, comments, characters cut between packets."""
    bad_utf8: bool = False


def trace_stream(response: RelayResponse) -> StreamTrace:
    """Describe what came."""
    trace = StreamTrace()
    _inspect_bytes(response, trace)
    frames = split_events(response)
    trace.frames = len(frames)
    for at, frame in enumerate(frames):
        if trace.done_at is not None:
            trace.events_after_done += 1
        elif frame.data.strip() == b"[DONE]":
            trace.done_at = at
        else:
            _inspect_event(at, frame.data, trace)
    return trace


def split_events(response: RelayResponse) -> list[SseEvent]:
    """The events of a stream; what is beyond all bounds is left out."""
    splitter = EventSplitter()
    frames: list[SseEvent] = []
    try:
        for _, chunk in response.chunks:
            frames += splitter.feed(chunk)
        return frames + splitter.flush()
    except ValueError:
        return frames


def _inspect_bytes(response: RelayResponse, trace: StreamTrace) -> None:
    whole = response.body
    try:
        whole.decode()
    except UnicodeDecodeError:
        trace.bad_utf8 = True
    if b"\r\n" in whole:
        trace.oddities.append("CRLF")
    if comments := len(re.findall(rb"^:", whole, re.MULTILINE)):
        trace.oddities.append(f"{comments} comments")
    if re.search(rb"^data:[^ ]", whole, re.MULTILINE):
        trace.oddities.append("`data:` without a space")
    if any(chunk[:1] and chunk[0] & 0xC0 == 0x80 for _, chunk in response.chunks):
        trace.oddities.append("characters cut between packets")
    if whole and not re.search(rb"(\r\n|\n|\r)\1$", whole):
        trace.oddities.append("no blank line at the end")


def _inspect_event(at: int, data: bytes, trace: StreamTrace) -> None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        trace.unparsed.append(data.decode("utf-8", "replace"))
        return
    if error := document.get("error"):
        trace.errors.append(error if isinstance(error, dict) else {"message": str(error)})
        return
    trace.ids.add(lenient_json.as_text(document.get("id")))
    trace.kinds.add(lenient_json.as_text(document.get("object")))
    if model := lenient_json.as_text(document.get("model")):
        trace.models.append(model)
    choices = lenient_json.as_objects(document.get("choices"))
    if isinstance(document.get("usage"), dict):
        trace.usages.append((at, document["usage"]))
        trace.usage_with_choices |= bool(choices)
    for choice in choices:
        if choice.get("index") in (0, None):
            _inspect_choice(at, choice, trace)


def _inspect_choice(at: int, choice: dict[str, Any], trace: StreamTrace) -> None:
    delta = lenient_json.as_object(choice.get("delta"))
    if delta.get("role"):
        trace.roles.append(at)
    if text := lenient_json.as_text(delta.get("content")):
        trace.texts.append(at)
        trace.text += text
    for name in ("reasoning_content", "reasoning", "reasoning_details"):
        if delta.get(name):
            trace.reasoning[name] = trace.reasoning.get(name, 0) + 1
    for piece in lenient_json.as_objects(delta.get("tool_calls")):
        trace.texts.append(at)
        _inspect_call(piece, trace)
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish:
        trace.finishes.append((at, finish))


def _inspect_call(piece: dict[str, Any], trace: StreamTrace) -> None:
    function = lenient_json.as_object(piece.get("function"))
    index = piece.get("index")
    call = trace.calls[index if isinstance(index, int) else None]
    if not isinstance(index, int) or isinstance(index, bool):
        call.unusual.append("a piece without an index")
    if ident := lenient_json.as_text(piece.get("id")):
        call.ids.append(ident)
    if name := lenient_json.as_text(function.get("name")):
        call.names.append(name)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        call.pieces.append(arguments)
    elif arguments is not None:
        call.pieces.append(orjson.dumps(arguments).decode())
        call.unusual.append("arguments that are no string")
