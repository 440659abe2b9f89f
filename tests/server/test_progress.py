"""The client's line while a panel is at work: comments that no SDK minds, events for who asks for them, errors within it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from autorouter.server import streaming
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
    refuse,
    whole,
)
from tests.server.conftest import Router, body

ASK: list[Any] = [{"role": "user", "content": "explain the design of the cache"}]
PANEL = '[panels.two]\nmembers = ["first", "second"]\njudge = "second"\nsynthesizer = "first"\n'
LABEL = "openfusion/panel/two"
HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})


@pytest.fixture
def lively(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments as often as nobody would want them."""
    monkeypatch.setattr(streaming, "FIRST_KEEPALIVE_S", 0.02)
    monkeypatch.setattr(streaming, "KEEPALIVE_INTERVAL_S", 0.02)


@pytest.fixture
def two(route: Callable[..., Router]) -> Router:
    return route(more=PANEL)


def says(words: str, *before: Part) -> Play:
    events = (delta(role="assistant", content=words), delta("stop"), USAGE_EVENT, DONE)
    return (HEAD, *before, *(chunk(event) for event in events), b"0\r\n\r\n")


class Gate(threading.Event):
    """Lets an upstream go on once the client has seen enough."""


def fused(**more: Any) -> dict[str, Any]:
    return body(ASK, model=LABEL, stream=True, **more)


def read_until(line: Any, seen: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(seen):
        part = line.recv(65_536)
        assert part, seen
        seen += part
    return seen


def ask(router: Router, document: dict[str, Any], **headers: str) -> Any:
    line = router.connection()
    data = json.dumps(document).encode()
    told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{told}"
    line.sendall(f"{head}connection: close\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    return line


def test_the_pauses_between_signs_of_life_are_shorter_than_ten_seconds() -> None:
    assert streaming.FIRST_KEEPALIVE_S <= 10.0
    assert streaming.KEEPALIVE_INTERVAL_S < 10.0


@pytest.mark.usefixtures("lively")
def test_comments_keep_the_line_alive_until_the_answer_streams(two: Router, relay: Relay) -> None:
    gate = Gate()
    relay.play(says("Use a lock.", gate), says("Anew."), to="vendor/first")
    relay.play(says("Use a queue."), whole(completion("no judgement")), to="vendor/second")
    with ask(two, fused()) as line:
        seen = read_until(line, b"", lambda data: data.count(b": openfusion ") >= 3)
        assert b"data: " not in seen
        assert b"openfusion panel: 1 of 2 members" in seen
        gate.set()
        seen = read_until(line, seen, lambda data: data.endswith(b"0\r\n\r\n"))
    assert b"Anew." in seen
    answer = seen.partition(b"Anew.")[2]
    assert b": openfusion" not in answer, "once the answer streams, it speaks for itself"
    assert b"event: openfusion" not in seen


@pytest.mark.usefixtures("lively")
def test_comments_go_on_for_as_long_as_nothing_streams(two: Router, relay: Relay) -> None:
    gate = Gate()
    relay.always(says("Use a lock.", gate), to="vendor/first")
    with ask(two, fused()) as line:
        seen = read_until(line, b"", lambda data: data.count(b": openfusion ") >= 20)
        gate.set()
        seen = read_until(line, seen, lambda data: data.endswith(b"0\r\n\r\n"))
    assert seen.index(b"data: ") > seen.rindex(b": openfusion ")


def test_a_quick_panel_says_nothing_besides_its_answer(two: Router) -> None:
    answer = two.post(fused())
    assert ": openfusion" not in answer.text
    assert answer.text.count("[DONE]") == 1


def test_before_the_first_comment_an_error_has_its_own_status(two: Router, relay: Relay) -> None:
    relay.always(refuse(400, {"message": "no such thing", "code": "bad"}))
    answer = two.post(fused())
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"


CUT = b"(cut)"
ERRORS = {
    "/v1/chat/completions": (b'data: {"error":', {"messages": ASK}),
    "/v1/messages": (b'event: error\ndata: {"type":"error"', {"messages": ASK, "max_tokens": 20_000}),
    "/v1/responses": (b"event: response.failed\n", {"input": ASK}),
}


@pytest.mark.usefixtures("lively")
@pytest.mark.parametrize("path", ERRORS)
def test_behind_a_comment_an_error_is_an_event_and_the_line_is_cut(path: str, two: Router, relay: Relay) -> None:
    event, said = ERRORS[path]
    gate = Gate()
    for name in ("first", "second"):
        relay.always((gate, *refuse(500)), to=f"vendor/{name}")
    seen = b""
    with two.client.stream("POST", path, json={"model": LABEL, "stream": True, **said}) as answer:
        assert answer.status_code == 200
        try:
            for part in answer.iter_bytes():
                seen += part
                gate.set()
        except httpx.RemoteProtocolError:
            seen += CUT
        name = answer.headers["x-autorouter-receipt"]
    assert seen.startswith(b": openfusion ")
    assert seen.endswith(CUT)
    assert seen.count(event) == 1
    assert b"[DONE]" not in seen
    receipt = two.receipt(name)
    assert (receipt["outcome"]["result"], receipt["outcome"]["candidate"]) == ("failed", None)


@pytest.fixture
def slow_first(relay: Relay) -> Iterator[Callable[[], None]]:
    """One member waits until so many comments must have passed."""
    gate = Gate()
    relay.play(says("Use a lock.", gate), says("Anew."), to="vendor/first")
    relay.play(says("Use a queue."), whole(completion("no judgement")), to="vendor/second")
    timer = threading.Timer(0.3, gate.set)
    yield timer.start
    timer.cancel()
    gate.set()


@pytest.mark.usefixtures("lively")
def test_the_openai_sdk_reads_over_comments(two: Router, slow_first: Callable[[], None]) -> None:
    slow_first()
    with openai.OpenAI(base_url=f"{two.url}/v1", api_key="x", max_retries=0, timeout=WAIT_S) as sdk:
        stream = sdk.chat.completions.create(model=LABEL, messages=ASK, stream=True)
        text = "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
    assert text == "Anew."


@pytest.mark.usefixtures("lively")
def test_the_openai_sdk_reads_responses_over_comments(two: Router, slow_first: Callable[[], None]) -> None:
    slow_first()
    with openai.OpenAI(base_url=f"{two.url}/v1", api_key="x", max_retries=0, timeout=WAIT_S) as sdk:
        kinds = [event.type for event in sdk.responses.create(model=LABEL, input=ASK, stream=True)]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


@pytest.mark.usefixtures("lively")
def test_a_messages_stream_holds_nothing_but_comments_and_its_own_events(
    two: Router, slow_first: Callable[[], None]
) -> None:
    slow_first()
    said = {"model": LABEL, "stream": True, "messages": ASK, "max_tokens": 20_000}
    answer = two.post(said, "/v1/messages")
    blocks = [block for block in answer.text.split("\n\n") if block]
    ours = [block for block in blocks if block.startswith(": openfusion ")]
    assert ours
    assert blocks[: len(ours)] == ours
    assert all(block.startswith("event: ") and "\ndata: {" in block for block in blocks[len(ours) :])
    assert blocks[-1].startswith("event: message_stop")


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block for block in text.split("\n\n") if block.startswith("event: openfusion.")]
    return [(block.split("\n")[0].removeprefix("event: "), json.loads(block.split("data: ", 1)[1])) for block in blocks]


def test_who_asks_for_events_is_told_every_stage_and_the_sum(two: Router, relay: Relay) -> None:
    relay.play(says("Use a lock."), says("Anew."), to="vendor/first")
    relay.play(says("Use a queue."), whole(completion("no judgement")), to="vendor/second")
    answer = two.post(fused(), x_autorouter_progress="events")
    found = events_of(answer.text)
    stages = [event["stage"] for name, event in found if name == "openfusion.progress"]
    assert stages == ["panel", "member", "member", "judgement", "synthesis"]
    done = sorted(
        event["done"] for name, event in found if name == "openfusion.progress" and event["stage"] == "member"
    )
    assert done == [1, 2]
    name, said = found[-1]
    assert name == "openfusion.summary"
    assert said["receipt"] == answer.headers["x-autorouter-receipt"]
    assert answer.text.rindex("event: openfusion.summary") > answer.text.index("[DONE]")
    assert "Use a lock" not in json.dumps(found), "names and counts, no text of any answer"


def test_a_verifier_tells_its_stages_as_well(two: Router, relay: Relay) -> None:
    answer = two.post(body(ASK, model="openfusion/verify", stream=True), x_autorouter_progress="events")
    stages = [event["stage"] for name, event in events_of(answer.text) if name == "openfusion.progress"]
    assert stages == ["draft", "verdict"]


def test_a_client_that_leaves_between_comments_stops_the_panel(
    two: Router, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FIRST_KEEPALIVE_S", 0.02)
    monkeypatch.setattr(streaming, "KEEPALIVE_INTERVAL_S", 0.02)
    relay.always((STALL,))
    line = ask(two, fused())
    read_until(line, b"", lambda data: b": openfusion " in data and len(relay.seen) == 2)
    line.close()
    for seen in relay.seen:
        assert seen.closed.wait(WAIT_S)
    assert len(relay.seen) == 2
