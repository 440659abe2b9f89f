"""An answer's bytes on their way, and how faults reshape them.

    Flow(pieces=(event, event, ...), stream=True)     server-sent events, one each
    Flow(pieces=(document,), stream=False)            one JSON document
    Flow(..., ending="cut")                           after the last piece the connection breaks

No wire is known here but by the shape of its events: `data: {...}` and blank lines. What an error event looks like on a
wire comes with the flow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

COMMENT: Final = b": keep-alive\n\n"
WIDE_COMMENT: Final = ": naïve – 漢字 🙂\n\n".encode()
"""Gives `split_up` characters of two, three and four bytes to cut."""
SPLIT_BYTES: Final = 11
HUGE_BYTES: Final = 1024 * 1024
"""Longer than any line buffer in common use, shorter than what a tap takes for an attack."""


BodyEnding = Literal["cut", "rst", "framing", "timeout"]
"""What comes behind the last piece: a close without an end, RST, bytes that are no HTTP chunk, or silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseBody:
    """`error` is the bytes of an error in this answer's form, `error_body` those of one that is no event. `ending` None is
    a clean end."""

    pieces: tuple[bytes, ...]
    stream: bool
    error: bytes
    error_body: bytes = b""
    ending: BodyEnding | None = None


def cut_connection(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=_first_half(flow), ending="cut")


def reset_connection(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=_first_half(flow), ending="rst")


def break_framing(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=_first_half(flow), ending="framing")


def stall(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=_first_half(flow), ending="timeout")


def end_early(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=_first_half(flow))


def truncate(flow: ResponseBody) -> ResponseBody:
    whole = b"".join(flow.pieces)
    return replace(flow, pieces=(whole[: len(whole) // 2],))


def drop_last_event(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=flow.pieces[:-1]) if flow.stream else flow


def break_after(flow: ResponseBody, *, count: int, unit: str, ending: BodyEnding) -> ResponseBody:
    """The first `count` events or bytes, but never the last one. A whole answer has one event: half of it comes."""
    if unit == "bytes":
        whole = b"".join(flow.pieces)
        return replace(flow, pieces=(whole[: min(count, len(whole) - 1)],), ending=ending)
    kept = flow.pieces[: min(count, len(flow.pieces) - 1)] if flow.stream else _first_half(flow)
    return replace(flow, pieces=kept, ending=ending)


def malform_event(flow: ResponseBody) -> ResponseBody:
    """The event in the middle loses its second half, but not its end of line."""
    if not flow.stream:
        return replace(flow, pieces=(b"<html><body><h1>502 Bad Gateway</h1></body></html>\n",))
    middle = len(_first_half(flow)) - 1
    event = flow.pieces[middle].rstrip(b"\n")
    # The half of the data: a name before it stays.
    data = event.find(b"data: ")
    broken = event[: data + max(len(b"data: {"), (len(event) - data) // 2)] + b"\n\n"
    return replace(flow, pieces=(*flow.pieces[:middle], broken, *flow.pieces[middle + 1 :]))


def append_error(flow: ResponseBody) -> ResponseBody:
    return replace(flow, pieces=(*_first_half(flow), flow.error) if flow.stream else (flow.error,))


def replace_with_error(flow: ResponseBody) -> ResponseBody:
    """The error in place of the answer, whole whatever was asked for."""
    return replace(flow, pieces=(flow.error_body or flow.error,), stream=False)


def use_crlf(flow: ResponseBody) -> ResponseBody:
    """JSON escapes its line breaks, so that every bare one ends a line."""
    return replace(flow, pieces=tuple(piece.replace(b"\n", b"\r\n") for piece in flow.pieces))


def add_comments(flow: ResponseBody) -> ResponseBody:
    if not flow.stream:
        return flow
    return replace(flow, pieces=tuple(part for piece in flow.pieces for part in (COMMENT, piece)))


def split_bytes(flow: ResponseBody) -> ResponseBody:
    """Pieces of `SPLIT_BYTES`, and a cut inside each character of more than one byte."""
    whole = (WIDE_COMMENT if flow.stream else b"") + b"".join(flow.pieces)
    cuts = {index for index, byte in enumerate(whole) if byte & 0xC0 == 0x80}
    bounds = sorted({*cuts, *range(0, len(whole), SPLIT_BYTES), 0, len(whole)})
    return replace(flow, pieces=tuple(whole[a:b] for a, b in pairwise(bounds)))


def add_huge_line(flow: ResponseBody) -> ResponseBody:
    """The first piece's JSON gets an unknown member of `HUGE_BYTES`."""
    padding = b'{"padding":"' + b"x" * HUGE_BYTES + b'",'
    return replace(flow, pieces=(flow.pieces[0].replace(b"{", padding, 1), *flow.pieces[1:]))


def _first_half(flow: ResponseBody) -> tuple[bytes, ...]:
    """At least one piece, and never those that finish the answer: they are the last two or three of four or more."""
    if flow.stream:
        return flow.pieces[: max(1, len(flow.pieces) // 2)]
    whole = b"".join(flow.pieces)
    return (whole[: len(whole) // 2],)
