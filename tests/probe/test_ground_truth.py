"""Figures and descriptions from what was seen, without a relay: packets and times as given."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from autorouter.probe import check_ground_truth
from autorouter.probe.check_ground_truth import measure_speed, speed
from autorouter.probe.relay_client import Relay, RelayClient, RelayResponse
from autorouter.probe.relay_session import RelaySession
from autorouter.probe.stream_inspection import trace_stream
from tests.fakes import DONE, completion, delta

ROLE, WORD, FINISH = delta(role="assistant", content=""), delta(content="word "), delta("stop")


def session(*chunks: tuple[float, bytes], seconds: float) -> RelaySession:
    found = RelaySession(RelayClient(Relay(name="r", base_url="http://h"), httpx.AsyncClient()))
    found.stream_response = RelayResponse(status=200, chunks=chunks, seconds=seconds)
    found.stream_trace = trace_stream(found.stream_response)
    return found


def test_the_role_is_no_text_and_the_pace_is_that_of_the_text() -> None:
    words = [(1.0 + n / 10, WORD) for n in range(11)]
    found = session((0.5, ROLE), *words, (3.0, FINISH), (3.0, DONE), seconds=3.0)
    first_byte_s, first_text_s, rate = measure_speed(found)
    assert (first_byte_s, first_text_s) == (0.5, 1.0)
    assert rate == pytest.approx(11 * len("word ") / 4)
    assert asyncio.run(speed(found)).result == "pass"


def test_a_stream_that_comes_at_the_end_is_held_back() -> None:
    words = [(4.0, WORD)] * 5
    found = asyncio.run(speed(session((0.1, ROLE), *words, (4.0, FINISH + DONE), seconds=4.0)))
    assert found.result == "degraded"
    assert "held back" in found.evidence


def test_a_stream_that_begins_late_is_slow() -> None:
    words = [(11.0 + n, WORD) for n in range(5)]
    found = asyncio.run(speed(session((11.0, ROLE), *words, (16.0, FINISH + DONE), seconds=16.0)))
    assert (found.result, "held back" in found.evidence) == ("degraded", False)


@pytest.mark.parametrize(("model", "result"), [("openfusion/fusion", "degraded"), ("vendor/model", "fail")])
def test_tokens_of_many_calls_are_right_for_a_panel_and_wrong_for_a_model(model: str, result: str) -> None:
    usage = {"prompt_tokens": 9_000, "completion_tokens": 10, "total_tokens": 9_010}
    found = session(seconds=1.0)
    found.model = model
    found.whole_response = RelayResponse(
        status=200, chunks=((0.1, json.dumps(completion("Good.") | {"usage": usage}).encode()),)
    )
    assert asyncio.run(check_ground_truth.usage(found)).result == result


@pytest.mark.parametrize(
    ("body", "habit"),
    [
        (b'data:{"choices":[]}\n\n', "`data:` without a space"),
        (b'data: {"choices":[]}\r\n\r\n', "CRLF"),
        (b': a\n\ndata: {"choices":[]}\n\n', "1 comments"),
        (b'data: {"choices":[]}\n', "no blank line at the end"),
    ],
)
def test_habits_are_told_apart(body: bytes, habit: str) -> None:
    assert trace_stream(RelayResponse(status=200, chunks=((0.0, body),))).oddities == [habit]


def test_what_comes_behind_the_end_is_counted() -> None:
    assert trace_stream(RelayResponse(status=200, chunks=((0.0, DONE + WORD + WORD),))).events_after_done == 2


def test_a_key_is_not_shown_by_what_holds_it() -> None:
    assert "sk-secret" not in repr(Relay(name="r", base_url="http://h", key="sk-secret"))
