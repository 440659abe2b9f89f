"""An answer's usage made the sum of all calls', in its wire's own shape, with every other byte as it was."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.types import Usage, Wire
from autorouter.simulator import codec
from autorouter.simulator.codec import AnswerMetadata
from autorouter.simulator.model import TextAnswer
from autorouter.wire.chat import passthrough
from autorouter.wire.common.observer import StreamObserver
from autorouter.wire.inner_request import read_answer
from autorouter.wire.messages.passthrough import MessagesObserver
from autorouter.wire.responses.passthrough import ResponsesObserver
from autorouter.wire.usage_sum import UsageSumObserver, add_usage

OWN = Usage(input_tokens=100, cached_tokens=40, output_tokens=9, reasoning_tokens=3)
BEFORE = Usage(input_tokens=1_000, cached_tokens=600, cache_write_tokens=50, output_tokens=70, reasoning_tokens=20)
STAMP = AnswerMetadata(model="m", seed=bytes(32), usage=OWN)
WIRES: tuple[Wire, ...] = ("chat", "responses", "messages")
TEXT = 'So "usage" it is: {"usage": {"prompt_tokens": 1}}\ndata: {"usage": 2}'


def pieces(wire: Wire, *, stream: bool) -> tuple[bytes, ...]:
    return codec.encode(TextAnswer(TEXT), STAMP, wire, stream=stream).pieces


def tap(wire: Wire, before: Usage = BEFORE) -> UsageSumObserver:
    inner: dict[Wire, type[StreamObserver]] = {
        "chat": passthrough.ChatObserver,
        "responses": ResponsesObserver,
        "messages": MessagesObserver,
    }
    made: Any = inner[wire]
    return UsageSumObserver(made(drop_usage=False) if wire == "chat" else made(), wire, before)


def passed(one: UsageSumObserver, chunks: list[bytes]) -> bytes:
    return b"".join([*(one.feed(chunk) for chunk in chunks), one.flush()])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wire", WIRES)
def test_the_client_is_told_the_sum(wire: Wire, stream: bool) -> None:
    data = pieces(wire, stream=stream)
    found = passed(tap(wire), list(data)) if stream else add_usage(data[0], wire, BEFORE)
    answer = read_answer(found, wire, stream=stream)
    assert answer.usage is not None
    assert answer.usage.input_tokens == OWN.input_tokens + BEFORE.input_tokens
    assert answer.usage.output_tokens == OWN.output_tokens + BEFORE.output_tokens
    assert answer.usage.cached_tokens == OWN.cached_tokens + BEFORE.cached_tokens
    assert answer.parts == read_answer(b"".join(data), wire, stream=stream).parts


@pytest.mark.parametrize("wire", ["chat", "responses"])
def test_the_total_is_the_sum_of_both(wire: Wire) -> None:
    usage = json.loads(add_usage(pieces(wire, stream=False)[0], wire, BEFORE))["usage"]
    names = ("prompt_tokens", "completion_tokens") if wire == "chat" else ("input_tokens", "output_tokens")
    assert usage["total_tokens"] == sum(usage[name] for name in names) == 1_179


@pytest.mark.parametrize("wire", WIRES)
def test_the_taps_own_usage_stays_the_one_calls(wire: Wire) -> None:
    one = tap(wire)
    passed(one, list(pieces(wire, stream=True)))
    assert one.usage is not None
    assert one.usage.output_tokens == OWN.output_tokens
    assert (one.complete, one.error) == (True, None)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("wire", WIRES)
def test_no_way_to_end_a_line_hides_the_usage(wire: Wire, ending: bytes) -> None:
    data = b"".join(pieces(wire, stream=True)).replace(b"\n", ending)
    found = passed(tap(wire), [data])
    assert read_answer(found, wire, stream=True).usage is not None
    told = read_answer(found, wire, stream=True).usage
    assert told is not None
    assert told.input_tokens == OWN.input_tokens + BEFORE.input_tokens


@given(wire=st.sampled_from(WIRES), cuts=st.lists(st.integers(0, 3_000), max_size=12), crlf=st.booleans())
def test_where_chunks_are_cut_changes_nothing(wire: Wire, cuts: list[int], crlf: bool) -> None:
    data = b"".join(pieces(wire, stream=True))
    data = data.replace(b"\n", b"\r\n") if crlf else data
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert passed(tap(wire), chunks) == passed(tap(wire), [data])


@given(wire=st.sampled_from(WIRES), cuts=st.lists(st.integers(0, 3_000), max_size=6))
def test_without_anything_before_the_bytes_are_the_same(wire: Wire, cuts: list[int]) -> None:
    data = b"".join(pieces(wire, stream=True))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert read_answer(
        passed(tap(wire, Usage(input_tokens=0, output_tokens=0)), chunks), wire, stream=True
    ) == read_answer(data, wire, stream=True)


def test_events_without_usage_pass_byte_for_byte() -> None:
    odd = b': comment\n\nevent: x\ndata:{"a" : 1.50}\n\ndata: not json "usage"\n\ndata: {"usage": null, "b":1.0}\n\n'
    one = tap("chat")
    assert one.feed(odd) == odd


def test_a_number_that_is_no_number_stays() -> None:
    body = orjson.dumps({"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": "7", "total_tokens": 3}})
    usage = json.loads(add_usage(body, "chat", BEFORE))["usage"]
    assert usage == {"prompt_tokens": None, "completion_tokens": "7", "total_tokens": 1_073}


@pytest.mark.parametrize("body", [b"[]", b'{"choices": []}', b'{"usage": null}', b'{"usage": [1]}'])
def test_an_answer_that_tells_no_usage_stays_as_it_is(body: bytes) -> None:
    assert add_usage(body, "chat", BEFORE) == body


def test_an_event_passes_when_it_is_whole_and_not_later() -> None:
    one = tap("chat")
    assert one.feed(b'data: {"model": "m", "choices": []}\n') == b""
    assert one.feed(b"\n").endswith(b"\n\n")
