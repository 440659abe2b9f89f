"""Panels on real sockets: at the same time, stopped when nobody needs them, and passed on as they are written."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fakes import (
    DONE,
    STALL,
    USAGE_EVENT,
    WAIT_S,
    Part,
    Play,
    Relay,
    chunk,
    completion,
    delta,
    http,
    until,
    whole,
)
from tests.server.conftest import Router, body, request_bytes
from tests.server.panel_scripts import ASK

MEMBERS = ("first", "second", "third")
THIRD = """[[candidates]]
id = "third"
upstream = "two"
model = "vendor/third"
capabilities = ["tools"]
price_usd_per_mtok = { input = 1.0, output = 4.0 }
benchmarks = { general = 50, coding = 50, reasoning = 50, verification = 50, writing = 50 }
"""
PANEL = """[panels.three]
members = ["first", "second", "third"]
judge = "second"
synthesizer = "first"
"""
STREAM_HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})


@pytest.fixture
def three(route: Callable[..., Router]) -> Router:
    """A router with a panel of three."""
    return route(more=THIRD + PANEL)


class Mark(threading.Event):
    """Set when its place in a play is reached; `then` goes on."""

    then: threading.Event | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        if self.then is not None:
            self.then.set()
        return True


def member_says(words: str, *before: Part) -> Play:
    events = (delta(role="assistant", content=words), delta("stop"), USAGE_EVENT, DONE)
    return (STREAM_HEAD, *before, *(chunk(event) for event in events), b"0\r\n\r\n")


def at_panel(**more: Any) -> dict[str, Any]:
    return body([{"role": "user", "content": ASK}], model="openfusion/panel/three", **more)


def role_of(seen: Any) -> str:
    return str(seen.document["messages"][-1]["content"]).partition('role="')[2].partition('"')[0]


def test_all_members_are_asked_before_any_of_them_answers(three: Router, relay: Relay) -> None:
    everybody = threading.Event()
    for name in MEMBERS:
        relay.play(member_says(f"I am {name}.", everybody), to=f"vendor/{name}")
    answers: list[httpx.Response] = []
    work = threading.Thread(target=lambda: answers.append(three.post(at_panel(stream=True))))
    work.start()
    until(lambda: len(relay.seen) == 3)
    assert [role_of(seen) for seen in relay.seen] == ["member"] * 3
    assert not answers
    everybody.set()
    work.join(WAIT_S)
    assert answers[0].status_code == 200


def test_agreement_closes_the_others_connections(three: Router, relay: Relay) -> None:
    begun, gate = Mark(), threading.Event()
    begun.then = gate
    relay.play(member_says("The answer is 42.", gate), to="vendor/first")
    relay.play(member_says("#### 42", gate), to="vendor/second")
    relay.play((STREAM_HEAD, chunk(delta(content="Well")), begun, STALL), to="vendor/third")
    answer = three.post(at_panel(stream=True))
    assert "42" in answer.text
    late = next(seen for seen in relay.seen if seen.document["model"] == "vendor/third")
    assert late.closed.wait(WAIT_S)
    receipt = three.receipt(answer)
    results = {attempt["candidate"]: attempt["result"] for attempt in receipt["attempts"]}
    assert results == {"first": "answered", "second": "answered", "third": "quorum_reached"}
    stopped = next(attempt for attempt in receipt["attempts"] if attempt["candidate"] == "third")
    assert stopped["usage"]["input_tokens"] > 0, "what came of it is paid for"
    assert receipt["degraded"] == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_a_hang_up_stops_all_members(streamed: bool, three: Router, relay: Relay) -> None:
    relay.always((STALL,))
    line = three.connection()
    line.sendall(request_bytes(json.dumps(at_panel(stream=streamed)).encode()))
    until(lambda: len(relay.seen) == 3)
    line.close()
    for seen in relay.seen:
        assert seen.closed.wait(WAIT_S)
    until(lambda: bool(three.client.get("/debug/receipts").json()["data"]))
    (found,) = three.client.get("/debug/receipts").json()["data"]
    receipt = three.receipt(found["id"])
    assert (receipt["outcome"]["result"], receipt["outcome"]["status"]) == ("client_gone", 499)
    assert [attempt["result"] for attempt in receipt["attempts"]] == ["client_gone"] * 3
    assert len(relay.seen) == 3, "nobody else was asked"


def test_the_synthesis_passes_on_as_it_is_written(three: Router, relay: Relay) -> None:
    """The first token of a synthesis reaches the client before the second is written."""
    ended = threading.Event()
    for name in MEMBERS:
        relay.play(member_says(f"I am {name}."), to=f"vendor/{name}")
    relay.play(whole(completion("no judgement")), to="vendor/second")
    went_on = Mark()
    first, rest = chunk(delta(role="assistant", content="Token-one ")), chunk(delta(content="two."))
    tail = (chunk(delta("stop")), chunk(USAGE_EVENT), chunk(DONE), b"0\r\n\r\n")
    relay.play((STREAM_HEAD, first, ended, went_on, rest, *tail), to="vendor/first")
    with three.connection() as line:
        line.sendall(request_bytes(json.dumps(at_panel(stream=True)).encode()))
        seen = b""
        while b"Token-one" not in seen:
            seen += line.recv(65_536)
        assert not went_on.is_set(), "the synthesizer has more to say"
        ended.set()
        while part := line.recv(65_536):
            seen += part
    assert b"two." in seen
