"""A chat stream, looked at byte by byte and event by event.

: keep-alive                                                                 a comment
data: {"choices":[{"delta":{"role":"assistant","content":""}}]}              the role
data: {"choices":[{"delta":{"content":"Hi"}}]}                               text
data: {"choices":[{"delta":{},"finish_reason":"stop"}]}                      the finish
data: {"choices":[],"usage":{...}}                                           usage, where it was asked for
data: [DONE]                                                                 the end

`look` never raises: whatever comes is described.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from autorouter.probe.relay_client import Seen
from autorouter.wire.common import lenient_json
from autorouter.wire.common.sse import EventSplitter, SseEvent


@dataclass(slots=True)
class StreamedCall:
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
class Streamed:
    """Positions count the data events from 0. `errors` are error objects inside; `unparsed` what is no JSON object."""

    frames: int = 0
    unparsed: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    done_at: int | None = None
    behind_done: int = 0
    roles: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    finishes: list[tuple[int, str]] = field(default_factory=list)
    usages: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    usage_with_choices: bool = False
    text: str = ""
    reasoning: dict[str, int] = field(default_factory=dict)
    calls: dict[Any, StreamedCall] = field(default_factory=lambda: defaultdict(StreamedCall))
    ids: set[str] = field(default_factory=set)
    models: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    habits: list[str] = field(default_factory=list)
    """What is legal and rare: CRLF, comments, characters cut between packets."""
    bad_utf8: bool = False


def look(seen: Seen) -> Streamed:
    """Describe what came."""
    found = Streamed()
    _bytes(seen, found)
    frames = split(seen)
    found.frames = len(frames)
    for at, frame in enumerate(frames):
        if found.done_at is not None:
            found.behind_done += 1
        elif frame.data.strip() == b"[DONE]":
            found.done_at = at
        else:
            _event(at, frame.data, found)
    return found


def split(seen: Seen) -> list[SseEvent]:
    """The events of a stream; what is beyond all bounds is left out."""
    splitter = EventSplitter()
    frames: list[SseEvent] = []
    try:
        for _, chunk in seen.chunks:
            frames += splitter.feed(chunk)
        return frames + splitter.flush()
    except ValueError:
        return frames


def _bytes(seen: Seen, found: Streamed) -> None:
    whole = seen.body
    try:
        whole.decode()
    except UnicodeDecodeError:
        found.bad_utf8 = True
    if b"\r\n" in whole:
        found.habits.append("CRLF")
    if comments := len(re.findall(rb"^:", whole, re.MULTILINE)):
        found.habits.append(f"{comments} comments")
    if re.search(rb"^data:[^ ]", whole, re.MULTILINE):
        found.habits.append("`data:` without a space")
    if any(chunk[:1] and chunk[0] & 0xC0 == 0x80 for _, chunk in seen.chunks):
        found.habits.append("characters cut between packets")
    if whole and not re.search(rb"(\r\n|\n|\r)\1$", whole):
        found.habits.append("no blank line at the end")


def _event(at: int, data: bytes, found: Streamed) -> None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        found.unparsed.append(data.decode("utf-8", "replace"))
        return
    if error := document.get("error"):
        found.errors.append(error if isinstance(error, dict) else {"message": str(error)})
        return
    found.ids.add(lenient_json.as_text(document.get("id")))
    found.kinds.add(lenient_json.as_text(document.get("object")))
    if model := lenient_json.as_text(document.get("model")):
        found.models.append(model)
    choices = lenient_json.as_objects(document.get("choices"))
    if isinstance(document.get("usage"), dict):
        found.usages.append((at, document["usage"]))
        found.usage_with_choices |= bool(choices)
    for choice in choices:
        if choice.get("index") in (0, None):
            _choice(at, choice, found)


def _choice(at: int, choice: dict[str, Any], found: Streamed) -> None:
    delta = lenient_json.as_object(choice.get("delta"))
    if delta.get("role"):
        found.roles.append(at)
    if text := lenient_json.as_text(delta.get("content")):
        found.texts.append(at)
        found.text += text
    for name in ("reasoning_content", "reasoning", "reasoning_details"):
        if delta.get(name):
            found.reasoning[name] = found.reasoning.get(name, 0) + 1
    for piece in lenient_json.as_objects(delta.get("tool_calls")):
        found.texts.append(at)
        _call(piece, found)
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish:
        found.finishes.append((at, finish))


def _call(piece: dict[str, Any], found: Streamed) -> None:
    function = lenient_json.as_object(piece.get("function"))
    index = piece.get("index")
    call = found.calls[index if isinstance(index, int) else None]
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
