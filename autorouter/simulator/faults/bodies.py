"""How faults transform the bytes of a response: each function takes a `ResponseBody` and returns a broken or unusual one.

Events are recognised only by their shape, `data: {...}` and a blank line, so one function serves all wires. What an
error event looks like on a wire comes with the body.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

from autorouter.simulator.codec import BodyEnding, ResponseBody

COMMENT: Final = b": keep-alive\n\n"
WIDE_COMMENT: Final = ": naïve – 漢字 🙂\n\n".encode()
"""Gives `split_bytes` characters of two, three and four bytes to cut."""
SPLIT_BYTES: Final = 11
HUGE_BYTES: Final = 1024 * 1024
"""Longer than any line buffer in common use, shorter than the limit at which the router's stream readers give up."""


def cut_connection(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=_first_half(body), ending="cut")


def reset_connection(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=_first_half(body), ending="rst")


def break_framing(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=_first_half(body), ending="framing")


def stall(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=_first_half(body), ending="timeout")


def end_early(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=_first_half(body))


def truncate(body: ResponseBody) -> ResponseBody:
    whole = b"".join(body.pieces)
    return replace(body, pieces=(whole[: len(whole) // 2],))


def drop_last_event(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=body.pieces[:-1]) if body.stream else body


def break_after(body: ResponseBody, *, count: int, unit: str, ending: BodyEnding) -> ResponseBody:
    """The first `count` events or bytes, but never the last one. A whole answer has one event: half of it comes."""
    if unit == "bytes":
        whole = b"".join(body.pieces)
        return replace(body, pieces=(whole[: min(count, len(whole) - 1)],), ending=ending)
    kept = body.pieces[: min(count, len(body.pieces) - 1)] if body.stream else _first_half(body)
    return replace(body, pieces=kept, ending=ending)


def malform_event(body: ResponseBody) -> ResponseBody:
    """The event in the middle loses its second half, but not its end of line."""
    if not body.stream:
        return replace(body, pieces=(b"<html><body><h1>502 Bad Gateway</h1></body></html>\n",))
    middle = len(_first_half(body)) - 1
    event = body.pieces[middle].rstrip(b"\n")
    # The half of the data: a name before it stays.
    data = event.find(b"data: ")
    broken = event[: data + max(len(b"data: {"), (len(event) - data) // 2)] + b"\n\n"
    return replace(body, pieces=(*body.pieces[:middle], broken, *body.pieces[middle + 1 :]))


def append_error(body: ResponseBody) -> ResponseBody:
    return replace(body, pieces=(*_first_half(body), body.error) if body.stream else (body.error,))


def replace_with_error(body: ResponseBody) -> ResponseBody:
    """The error instead of the answer, as one document even if a stream was requested."""
    return replace(body, pieces=(body.error_body or body.error,), stream=False)


def use_crlf(body: ResponseBody) -> ResponseBody:
    """JSON escapes its line breaks, so that every bare one ends a line."""
    return replace(body, pieces=tuple(piece.replace(b"\n", b"\r\n") for piece in body.pieces))


def add_comments(body: ResponseBody) -> ResponseBody:
    if not body.stream:
        return body
    return replace(body, pieces=tuple(part for piece in body.pieces for part in (COMMENT, piece)))


def split_bytes(body: ResponseBody) -> ResponseBody:
    """Pieces of `SPLIT_BYTES`, and a cut inside each character of more than one byte."""
    whole = (WIDE_COMMENT if body.stream else b"") + b"".join(body.pieces)
    cuts = {index for index, byte in enumerate(whole) if byte & 0xC0 == 0x80}
    bounds = sorted({*cuts, *range(0, len(whole), SPLIT_BYTES), 0, len(whole)})
    return replace(body, pieces=tuple(whole[a:b] for a, b in pairwise(bounds)))


def add_huge_line(body: ResponseBody) -> ResponseBody:
    """The first piece's JSON gets an unknown member of `HUGE_BYTES`."""
    padding = b'{"padding":"' + b"x" * HUGE_BYTES + b'",'
    return replace(body, pieces=(body.pieces[0].replace(b"{", padding, 1), *body.pieces[1:]))


def _first_half(body: ResponseBody) -> tuple[bytes, ...]:
    """At least one piece, and never those that finish the answer: they are the last two or three of four or more."""
    if body.stream:
        return body.pieces[: max(1, len(body.pieces) // 2)]
    whole = b"".join(body.pieces)
    return (whole[: len(whole) // 2],)
