"""Events that are no JSON: passed on as they came, and counted."""

from __future__ import annotations

import pytest

from autorouter.wire.chat.passthrough import ChatObserver
from autorouter.wire.messages.passthrough import MessagesObserver
from autorouter.wire.responses.passthrough import ResponsesObserver
from tests.fakes import DONE, FIRST, GOOD, USAGE_EVENT, delta

HALF = b'data: {"choices":[{"index":0,"delta":{"conte\n\n'
GOOD_STREAM = b"".join(GOOD)
WIDE = delta(content='It says "data: {" and }\n\n and [DONE] on a line.')
STREAMS = {
    "good": (GOOD_STREAM, 0),
    "half": (FIRST + HALF + GOOD_STREAM, 1),
    "html": (FIRST + b"data: <html>\n\n" + HALF + DONE, 2),
    "comments": (b": ping\n\n" + FIRST + b": ping\n\n" + GOOD_STREAM, 0),
    "empty-data": (FIRST + b"data:\n\ndata: \n\n" + GOOD_STREAM, 0),
    "words-that-look-like-it": (FIRST + WIDE + GOOD_STREAM, 0),
    "over-two-lines": (FIRST + b'data: {"choices":\ndata: []}\n\n' + DONE, 0),
    "named": (b"event: x\n" + FIRST + USAGE_EVENT + DONE, 0),
    "behind-the-last-blank-line": (FIRST + b"data: [DONE]", 0),
}
SIZES = (1, 7, 64, 10_000)


def fed(tap: object, data: bytes, size: int) -> bytes:
    parts = [tap.feed(data[at : at + size]) for at in range(0, len(data), size)]  # type: ignore[attr-defined]
    return b"".join(parts) + tap.flush()  # type: ignore[attr-defined]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STREAMS)
def test_malformed_events_of_chat_are_counted_and_passed_on(name: str, size: int, ends: str) -> None:
    data, malformed = STREAMS[name]
    data = data.replace(b"\n", ends.encode())
    tap = ChatObserver()
    assert fed(tap, data, size) == data
    assert tap.malformed == malformed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [ResponsesObserver, MessagesObserver])
def test_malformed_events_of_the_other_wires_too(make: type[ResponsesObserver], size: int) -> None:
    good = b'event: a\ndata: {"type":"a"}\n\n'
    data = (
        good
        + b'event: a\ndata: {"type":"a\n\n'
        + b": ping\n\n"
        + b"event: ping\ndata:\n\n"
        + b"data: [DONE]\n\n"
        + good
    )
    tap = make()
    assert fed(tap, data, size) == data
    assert tap.malformed == 1
