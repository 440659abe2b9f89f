"""Every fault on a real socket: each wire, streamed and not, as the bytes that a client gets."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from autorouter.simulator.faults.catalog import FAULTS
from autorouter.simulator.faults.spec import FAMILIES, fault_by_name
from autorouter.wire.common.ir import ResponseIR, collect_events
from autorouter.wire.translate import ANSWER_DECODERS, DECODERS
from tests.lanes import one_each
from tests.simulator.server.conftest import ERRAND, HI, PATHS, TOOLS, Mock, Raw

QUICK = {"slow-first-byte": "slow-first-byte-0.2", "slow-stream": "slow-stream-0.02"}
"""The same fault with less patience."""
SILENCE_S = 0.3
NAMES = [*FAULTS, *(family.example for family in FAMILIES if not family.example.startswith("slow"))]
ALL = pytest.mark.parametrize(
    ("name", "wire", "stream"),
    one_each(
        pytest.param(*case, id=f"{case[0]}-{case[1]}-{'streamed' if case[2] else 'whole'}")
        for case in itertools.product(NAMES, PATHS, (False, True))
    ),
)
ENDS = {
    "reset": "reset",
    "hang-up": "closed",
    "timeout": "silent",
    "stall": "silent",
    "cut-stream": "closed",
    "rst-stream": "reset",
    "bad-framing": "garbled",
    "stall-after-20": "silent",
    "stall-after-512b": "silent",
    "cut-after-3": "closed",
    "cut-after-512b": "closed",
}
"""How the bytes end; all others end as they should."""
GOOD = {
    "slow-first-byte",
    "slow-stream",
    "agree",
    "verdict-revise",
    "wrong-model",
    "no-usage",
    "wrong-usage",
    "crlf",
    "split-utf8",
    "comments",
    "huge-line",
    "tool-delta-split",
    "tool-cumulative",
    "broken-args",
    "finish-early",
}
"""Those after which an answer in words is whole."""


def ask(mock: Mock, wire: str, name: str = "", *, stream: bool, **members: Any) -> Raw:
    if stream and wire == "chat":
        members["stream_options"] = {"include_usage": True}
    waits = ENDS.get(name) == "silent"
    silence_s = SILENCE_S if waits else None
    return mock.post(wire, QUICK.get(name, name), silence_s=silence_s, mute=name == "timeout", stream=stream, **members)


def read(raw: Raw, wire: str, *, stream: bool) -> ResponseIR:
    """The answer as this project's decoders read it."""
    if not stream:
        return collect_events(ANSWER_DECODERS[wire](orjson.loads(raw.data)))
    decoder = DECODERS[wire]()
    return collect_events([event for chunk in raw.chunks for event in decoder.feed(chunk)] + decoder.end())


@ALL
def test_every_fault_does_on_the_socket_what_its_row_says(mock: Mock, name: str, wire: str, stream: bool) -> None:
    fault = fault_by_name(name)
    raw = ask(mock, wire, name, stream=stream)
    assert raw.end == ENDS.get(name, "whole")
    if fault.error_response is not None:
        assert raw.status == fault.error_response.status
        assert ("retry-after" in raw.headers) == name.startswith("429-retry-after")
        if fault.error_response.html_page:
            assert raw.data.startswith(b"<html>")
        elif wire == "messages":
            assert raw.document["type"] == "error"
        else:
            assert raw.document["error"]["code"] == fault.error_response.code
        return
    if fault.connection_failure is not None:
        assert (raw.status, raw.data) == (0, b"")
        return
    assert raw.status == 200
    if name in GOOD:
        assert read(raw, wire, stream=stream).finished is not None
    elif name in ENDS and stream and name != "stall-after-20":
        assert raw.chunks, "the answer has begun"
        assert read(raw, wire, stream=True).finished is None


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["clean-eof", "half-body", "half-json", "error-event", "error-in-200"])
def test_a_clean_end_is_no_good_answer(mock: Mock, name: str, wire: str, stream: bool) -> None:
    raw = ask(mock, wire, name, stream=stream)
    assert raw.end == "whole", "the transport says that all is well"
    if stream and name != "error-in-200":
        assert read(raw, wire, stream=True).finished is None
        return
    try:
        document = orjson.loads(raw.data)
    except orjson.JSONDecodeError:
        assert name not in ("error-event", "error-in-200")
        return
    assert "error" in document
    assert raw.headers["content-type"] == "application/json"


@pytest.mark.parametrize("wire", PATHS)
def test_good_answers_are_the_same_streamed_and_whole_and_through_oddities(mock: Mock, wire: str) -> None:
    whole = read(ask(mock, wire, stream=False, ask=ERRAND, tools=[TOOLS[wire]]), wire, stream=False)
    for name in ("", "crlf", "split-utf8", "comments", "huge-line", "tool-delta-split", "slow-stream"):
        streamed = read(ask(mock, wire, name, stream=True, ask=ERRAND, tools=[TOOLS[wire]]), wire, stream=True)
        (made,), (expected,) = streamed.parts, whole.parts
        assert (made.name, orjson.loads(made.arguments)) == (expected.name, orjson.loads(expected.arguments)), name
        assert streamed.finished == whole.finished


@pytest.mark.parametrize("wire", PATHS)
def test_stall_after_20_is_twenty_events_and_then_nothing(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "stall-after-20", stream=True, ask="one two three four five six seven eight nine ten " * 9)
    assert raw.end == "silent"
    assert len(raw.chunks) == 20
    assert all(chunk.endswith(b"\n\n") for chunk in raw.chunks)


@pytest.mark.parametrize("wire", PATHS)
def test_bytes_break_inside_an_event(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "cut-after-512b", stream=True)
    assert len(raw.data) == 512
    assert raw.end == "closed"


@pytest.mark.parametrize("wire", PATHS)
def test_characters_come_cut_into_chunks(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "split-utf8", stream=True)
    assert sum(chunk[0] & 0xC0 == 0x80 for chunk in raw.chunks) > 5
    assert max(map(len, raw.chunks)) <= 11
    raw.data.decode("utf-8")


@pytest.mark.parametrize("wire", PATHS)
def test_lines_end_with_cr_lf(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "crlf", stream=True)
    assert b"\r\n\r\n" in raw.data
    assert b"\n\n" not in raw.data


@pytest.mark.parametrize("wire", PATHS)
def test_a_comment_stands_before_each_event(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "comments", stream=True)
    assert raw.data.count(b": keep-alive\n\n") == len(raw.chunks) // 2


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_huge_line_is_a_megabyte(mock: Mock, wire: str, stream: bool) -> None:
    raw = ask(mock, wire, "huge-line", stream=stream)
    assert max(map(len, raw.data.split(b"\n"))) > 2**20


@pytest.mark.parametrize("wire", PATHS)
def test_one_event_of_a_malformed_stream_is_no_json(mock: Mock, wire: str) -> None:
    raw = ask(mock, wire, "malformed-chunk", stream=True)
    bad = 0
    for line in raw.data.splitlines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            try:
                orjson.loads(line[6:])
            except orjson.JSONDecodeError:
                bad += 1
    assert bad == 1


@pytest.mark.parametrize("wire", PATHS)
def test_the_last_event_is_missing(mock: Mock, wire: str) -> None:
    good, odd = (ask(mock, wire, name, stream=True) for name in ("", "no-done"))
    last = {"chat": b"[DONE]", "responses": b"response.completed", "messages": b"message_stop"}[wire]
    assert last in good.chunks[-1]
    assert last not in odd.data
    assert len(odd.chunks) == len(good.chunks) - 1


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_another_model_and_no_usage(mock: Mock, wire: str, stream: bool) -> None:
    assert read(ask(mock, wire, "wrong-model", stream=stream), wire, stream=stream).model == "dry-run/another-model"
    assert read(ask(mock, wire, "no-usage", stream=stream), wire, stream=stream).usage is None
    wrong = read(ask(mock, wire, "wrong-usage", stream=stream), wire, stream=stream).usage
    assert wrong.input_tokens > 10_000


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["broken-args", "half-json"])
def test_arguments_that_are_no_json(mock: Mock, wire: str, stream: bool, name: str) -> None:
    raw = ask(mock, wire, name, stream=stream, ask=ERRAND, tools=[TOOLS[wire]])
    found = read(raw, wire, stream=stream)
    if stream and wire != "chat":
        # These wires' decoders take such a call for a failure, or pass it on: it must not become another call.
        calls = [part.arguments for part in found.parts if hasattr(part, "arguments")]
        assert all(not _is_json(one) for one in calls)
        return
    if wire == "messages":
        (made,) = found.parts
        assert set(orjson.loads(made.arguments)) == {"arguments"}, "an object is needed there: it holds the broken text"
        return
    assert not found.parts or not _is_json(found.parts[0].arguments)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def test_each_cumulative_piece_repeats_all_before_it(mock: Mock) -> None:
    raw = ask(mock, "chat", "tool-cumulative", stream=True, ask=ERRAND, tools=[TOOLS["chat"]])
    pieces = []
    for line in raw.data.splitlines():
        document = orjson.loads(line[6:]) if line.startswith(b"data: {") else {}
        for choice in document.get("choices", ()):
            pieces += [call["function"]["arguments"] for call in choice["delta"].get("tool_calls", ())]
    assert len(pieces) > 2
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(pieces))
    assert orjson.loads(pieces[-1])["content"] == "ok\n"


def test_arguments_come_a_character_at_a_time(mock: Mock) -> None:
    raw = ask(mock, "messages", "tool-delta-split", stream=True, ask=ERRAND, tools=[TOOLS["messages"]])
    sizes = [
        len(orjson.loads(line[6:])["delta"]["partial_json"])
        for line in raw.data.splitlines()
        if b"input_json_delta" in line
    ]
    assert len(sizes) > 20
    assert set(sizes) == {1}


@pytest.mark.parametrize("wire", PATHS)
def test_the_key_that_was_sent_comes_back_in_an_error(mock: Mock, wire: str) -> None:
    raw = mock.ask(
        PATHS[wire],
        {"model": "m#key-echo", "input": HI, "messages": [{"role": "user", "content": HI}]},
        authorization="Bearer sk-echo-me",
    )
    assert raw.status == 401
    assert "sk-echo-me" in raw.document["error"]["message"]


def test_a_date_to_retry_at_lies_ahead(mock: Mock) -> None:
    import time
    from email.utils import parsedate_to_datetime

    began_s = time.time()
    told = parsedate_to_datetime(ask(mock, "chat", "429-retry-after-date", stream=False).headers["retry-after"])
    assert told.timestamp() + 1 > began_s


def test_a_whole_answer_where_a_stream_was_asked_for(mock: Mock) -> None:
    raw = ask(mock, "messages", "json-for-stream", stream=True)
    assert raw.headers["content-type"] == "application/json"
    assert read(raw, "messages", stream=False).finished is not None
