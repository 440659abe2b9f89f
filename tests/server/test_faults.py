"""What an upstream can do wrong, streamed and not: what the client gets, who is tried next, and what the receipt says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fakes import (
    CUT,
    DONE,
    FIRST,
    RESET,
    STALL,
    Play,
    Relay,
    chunk,
    completion,
    delta,
    event,
    http,
    refuse,
    stream,
    whole,
)
from tests.server.conftest import KEY_ONE, POOL, Router, body

LEAK = "words-of-the-upstream"
"""Stands in every body that an upstream answers with: no client may see it."""
END = b"\r\n0\r\n\r\n"
"""The chunk that ends a chunked answer cleanly."""
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
QUICK = "first_byte_timeout_s = 0.4\nidle_timeout_s = 0.4"
"""Limits of the first candidate's upstream where a test waits for one to pass."""
AT_ONCE = "[retry]\nmax_wait_s = 0\n"
"""Nobody is waited for: the verdict comes at once."""


def said(**more: Any) -> dict[str, Any]:
    return {"message": f"{LEAK} {KEY_ONE}", "type": "t", "param": None, "code": None} | more


@dataclass(frozen=True)
class Fault:
    """Before the first byte: what is played, what the client gets if nobody else answers, and the receipt's word."""

    name: str
    play: Play
    status: int
    code: str
    kind: str
    limits: str = ""
    streamed: bool | None = None


QUOTA = said(code="insufficient_quota", type="insufficient_quota")
FAULTS = [
    Fault("401", refuse(401, said()), 401, "upstream_auth", "auth"),
    Fault("402", refuse(402, said()), 402, "insufficient_quota", "quota"),
    Fault("403", refuse(403, said()), 403, "upstream_forbidden", "auth"),
    Fault("404", refuse(404, said()), 404, "model_not_found", "not_found"),
    Fault("408", refuse(408, said()), 504, "upstream_timeout", "timeout"),
    Fault("429", refuse(429, said()), 429, "rate_limit_exceeded", "rate_limited"),
    Fault("429-asked", refuse(429, said(), retry_after="7"), 429, "rate_limit_exceeded", "rate_limited"),
    Fault("429-quota", refuse(429, QUOTA), 429, "insufficient_quota", "quota"),
    Fault("500", refuse(500, said()), 502, "upstream_error", "server"),
    Fault("503", refuse(503, said()), 503, "server_is_overloaded", "overloaded"),
    Fault("504", refuse(504, said()), 504, "upstream_timeout", "timeout"),
    Fault("529", refuse(529, said()), 503, "server_is_overloaded", "overloaded"),
    Fault("html", (http(500, {}, f"<html>{LEAK}".encode()),), 502, "upstream_error", "server"),
    Fault("redirect", (http(302, {"location": "http://127.0.0.1:9/"}),), 502, "upstream_error", "server"),
    Fault("silence", (STALL,), 504, "upstream_timeout", "timeout", QUICK),
    Fault("reset", (RESET,), 502, "upstream_reset", "reset"),
    Fault("closed", (CUT,), 502, "upstream_reset", "reset"),
    Fault("no-http", (b"\x16\x03\x01 " + LEAK.encode() + b"\r\n\r\n", CUT), 502, "upstream_protocol", "protocol"),
    Fault("no-json", (http(200, JSON, LEAK.encode()),), 502, "upstream_protocol", "protocol"),
    Fault("no-completion", whole({"said": LEAK}), 502, "upstream_protocol", "protocol"),
    Fault("empty", (http(200, JSON),), 502, "upstream_protocol", "protocol"),
    Fault("200-error", whole({"error": said()}), 502, "upstream_error", "server", streamed=False),
    Fault("cut-body", (http(200, JSON | {"content-length": "999"}, b'{"a":'), CUT), 502, "upstream_cut", "cut"),
    Fault(
        "stalled-body",
        (http(200, JSON | {"content-length": "99"}, b"{"), STALL),
        504,
        "upstream_timeout",
        "timeout",
        QUICK,
    ),
    Fault("json-for-stream", whole(completion(LEAK)), 502, "upstream_protocol", "protocol", streamed=True),
    Fault("error-event-first", stream(event({"error": said()})), 502, "upstream_error", "server", streamed=True),
    Fault(
        "429-event-first",
        stream(event({"error": said(code=429)})),
        429,
        "rate_limit_exceeded",
        "rate_limited",
        streamed=True,
    ),
    Fault("no-events", stream(b"\n"), 502, "upstream_protocol", "protocol", streamed=True),
    Fault("comments-only", stream(b": hold on\n\n"), 502, "upstream_protocol", "protocol", streamed=True),
    Fault("broken-events", stream(b"data: {oops\n\n"), 502, "upstream_protocol", "protocol", streamed=True),
    Fault("silent-stream", (stream(b": hold on\n\n", then=STALL)), 504, "upstream_timeout", "timeout", QUICK, True),
]
EITHER = [
    pytest.param(fault, streamed, id=f"{fault.name}-{'streamed' if streamed else 'whole'}")
    for fault in FAULTS
    for streamed in (False, True)
    if fault.streamed in (None, streamed)
]


def reach(router: Router, document: dict[str, Any]) -> httpx.Response:
    answer = router.post(document)
    assert LEAK not in answer.text
    assert KEY_ONE not in answer.text
    return answer


def assert_good(answer: httpx.Response, streamed: bool) -> None:
    assert answer.status_code == 200, answer.text
    if streamed:
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "Good."


def assert_openai_error(answer: httpx.Response, code: str) -> None:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["message"]
    assert error["type"]


@pytest.mark.parametrize(("fault", "streamed"), EITHER)
def test_a_fault_before_the_first_byte_is_absorbed(
    fault: Fault, streamed: bool, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(fault.limits)
    relay.always(fault.play, to="vendor/first")
    answer = reach(router, body(stream=streamed))
    assert_good(answer, streamed)
    assert answer.headers["x-autorouter-model"] == "second"
    tries = 2 if fault.kind == "reset" else 1
    assert router.attempts(answer) == [("first", fault.kind)] * tries + [("second", "answered")]
    assert_good(reach(router, body(stream=streamed)), streamed)
    assert relay.asked().count("vendor/first") == tries, "a candidate that just failed isn't asked again at once"


@pytest.mark.parametrize(("fault", "streamed"), EITHER)
def test_a_fault_of_all_is_one_verdict(
    fault: Fault, streamed: bool, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(fault.limits, more=f"{AT_ONCE}[policy]\ndeny = ['second']")
    relay.always(fault.play)
    answer = reach(router, body(stream=streamed))
    assert answer.status_code == fault.status
    assert_openai_error(answer, fault.code)
    wait = {"429-asked": "7"}.get(fault.name, "5")
    assert answer.headers.get("retry-after") == (wait if fault.status == 429 else None)
    receipt = router.receipt(answer)
    assert receipt["outcome"]["result"] == "failed"
    assert receipt["outcome"]["status"] == fault.status
    assert {a["result"] for a in receipt["attempts"]} == {fault.kind}
    relay.recover()
    after = reach(router, body(stream=streamed))
    if fault.name == "429-asked":
        assert after.status_code == 429, "what a provider asks for is kept"
        assert 1 <= int(after.headers["retry-after"]) <= 7
    else:
        assert_good(after, streamed)


@STREAMED
def test_a_refused_request_is_the_clients_and_is_not_tried_elsewhere(
    streamed: bool, router: Router, relay: Relay
) -> None:
    error = {"message": f"`top_k` is unknown, said {KEY_ONE}", "type": "x", "param": "top_k", "code": "bad_field"}
    relay.play(refuse(400, error | {"stack": LEAK}))
    answer = reach(router, body(stream=streamed))
    assert answer.status_code == 400
    assert_openai_error(answer, "bad_field")
    assert answer.json()["error"]["param"] == "top_k"
    assert "`top_k` is unknown" in answer.json()["error"]["message"]
    assert router.attempts(answer) == [("first", "refused")]
    assert_good(reach(router, body(stream=streamed)), streamed)
    assert relay.asked() == ["vendor/first"] * 2, "a request that is refused doesn't speak against the candidate"


@STREAMED
def test_a_context_that_is_too_long_for_one_is_tried_elsewhere(streamed: bool, router: Router, relay: Relay) -> None:
    too_long = {"message": "This model's maximum context length is 8192 tokens", "type": "invalid_request_error"}
    relay.play(refuse(400, too_long), to="vendor/first")
    answer = reach(router, body(stream=streamed))
    assert_good(answer, streamed)
    assert router.attempts(answer) == [("first", "context"), ("second", "answered")]
    relay.always(refuse(400, too_long))
    answer = reach(router, body(stream=streamed))
    assert answer.status_code == 400
    assert_openai_error(answer, "context_length_exceeded")


@STREAMED
def test_an_unreachable_upstream_is_absorbed(streamed: bool, start: Callable[..., Router], relay: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    text = POOL.format(url=relay.url, limits="", more="").replace(relay.url, f"http://127.0.0.1:{nobody}/v1", 1)
    router = start(text)
    answer = reach(router, body(stream=streamed))
    assert_good(answer, streamed)
    assert router.attempts(answer) == [("first", "connect"), ("second", "answered")]


@STREAMED
def test_a_pooled_connection_that_was_closed_is_tried_again(streamed: bool, router: Router, relay: Relay) -> None:
    relay.play((RESET,))
    answer = reach(router, body(stream=streamed))
    assert_good(answer, streamed)
    assert router.attempts(answer) == [("first", "reset"), ("first", "answered")]


@STREAMED
def test_the_verdict_names_everybody_who_was_tried(streamed: bool, route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=AT_ONCE)
    relay.always(refuse(500), to="vendor/first")
    relay.always(refuse(429, retry_after="3"), to="vendor/second")
    answer = reach(router, body(stream=streamed))
    assert answer.status_code == 429, "of two verdicts the one that a wait may cure"
    assert answer.headers["retry-after"] == "3"
    assert "first: server, second: rate_limited" in answer.json()["error"]["message"]
    assert router.attempts(answer) == [("first", "server"), ("second", "rate_limited")]


# ---- after the first byte


def ends_after(*events: bytes) -> Play:
    """More events, and then a clean end."""
    return (*(chunk(event) for event in events), b"0\r\n\r\n")


SAYS_DONE = delta(content='A stream ends with `data: [DONE]` and has a "finish_reason":"stop".')
WITH_FINISH = {"error": said(code=502), "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}
ERROR = event({"error": said()})
MIDDLE = {
    "cut": ((CUT,), "cut"),
    "stall": ((STALL,), "timeout"),
    "clean-end": (ends_after(delta(content="two")), "early_end"),
    "clean-end-that-speaks-of-ends": (ends_after(SAYS_DONE), "early_end"),
    "empty-finish-reason": (ends_after(delta("", content="two")), "early_end"),
    "half-event": (ends_after(b'data: {"choices":[{"delta":{"content":"tw'), "early_end"),
    "error-event": (ends_after(ERROR), "error_event"),
    "error-event-then-done": (ends_after(ERROR, DONE), "error_event"),
    "error-with-a-finish": (ends_after(event(WITH_FINISH), DONE), "error_event"),
    "error-as-text": (ends_after(event({"error": f"overloaded {LEAK}"})), "error_event"),
    "error-in-pieces": (ends_after(ERROR[:30], ERROR[30:60], ERROR[60:]), "error_event"),
    "half-an-error": (ends_after(ERROR[:70]), "early_end"),
    "bad-chunk": ((b"zz\r\nno chunk\r\n", CUT), "cut"),
}
"""What follows the first event, and the receipt's word for it."""


@pytest.mark.parametrize("name", MIDDLE)
def test_a_stream_that_breaks_never_ends_cleanly(name: str, route: Callable[..., Router], relay: Relay) -> None:
    after, kind = MIDDLE[name]
    router = route("idle_timeout_s = 0.4" if name == "stall" else "")
    arrived = threading.Event()
    relay.play((*stream(FIRST)[:-1], arrived, *after))
    seen = router.raw(body(stream=True), arrived)
    head, _, rest = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert FIRST in rest, "what came before the break has arrived"
    assert END not in rest
    assert LEAK.encode() not in rest
    assert KEY_ONE.encode() not in rest
    mark = next(line for line in head.decode().split("\r\n") if line.startswith("x-autorouter-receipt"))
    receipt = router.receipt(mark.partition(": ")[2])
    assert receipt["outcome"]["result"] == "broken"
    assert receipt["outcome"]["error"] == f"stream_{kind}"
    assert [(a["candidate"], a["result"]) for a in receipt["attempts"]] == [("first", kind)], "no second voice"
    assert receipt["attempts"][0]["usage_source"] == "estimated_partial"
    assert_good(reach(router, body(stream=True)), True)


def test_an_error_right_behind_the_first_event_is_absorbed(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST + ERROR), to="vendor/first")
    answer = reach(router, body(stream=True))
    assert_good(answer, True)
    assert router.attempts(answer) == [("first", "server"), ("second", "answered")]


def test_a_client_library_sees_a_broken_stream_as_broken(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST))
    with (
        pytest.raises(httpx.RemoteProtocolError),
        router.client.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        answer.read()


@pytest.mark.parametrize(
    "play",
    [
        stream(FIRST, delta("stop"), DONE, then=CUT),
        stream(FIRST, delta("length")),
        stream(FIRST, DONE),
        stream(FIRST, delta("stop"), b"data: [DONE]"),
        stream(FIRST, event({"error": None, "choices": []}), delta("stop")),
    ],
    ids=["cut-behind-the-end", "finish-only", "done-only", "no-last-blank-line", "error-null"],
)
def test_streams_that_do_end_are_ended(play: Play, router: Router, relay: Relay) -> None:
    relay.play(play)
    answer = router.post(body(stream=True))
    assert answer.text.startswith(FIRST.decode())
    assert router.attempts(answer) == [("first", "answered")]


def test_fifty_faults_later_the_router_still_answers(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=AT_ONCE)
    plays = [fault.play for fault in FAULTS if not fault.limits and fault.name != "429-asked"]
    for number, play in enumerate(plays * 2):
        relay.play(play, play)
        router.post(body(stream=number % 2 == 0))
    relay.recover()
    assert_good(reach(router, body()), False)
    assert router.client.get("/readyz").json()["receipts_dropped"] == 0
