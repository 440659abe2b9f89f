"""How much at once: slots, the queue, rates, bytes in hand, and the slots of upstreams, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from autorouter.config.schema import ConcurrencyConfig
from autorouter.server import concurrency
from autorouter.server.concurrency import FairQueue
from autorouter.server.rate_limit import MAX_BUCKETS, RateLimiter
from autorouter.upstream.concurrency import ConcurrencyLimitedTransport
from tests.fakes import (
    CUT,
    DONE,
    FIRST,
    STALL,
    WAIT_S,
    Part,
    Relay,
    chunk,
    completion,
    delta,
    http,
    refuse,
    stream,
    until,
    whole,
)
from tests.server.conftest import CHAT, HI, Router, body, request_bytes

RouteMaker = Callable[..., Router]
STREAM_HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as running:
        yield running


def ready(router: Router) -> dict[str, Any]:
    found: dict[str, Any] = router.client.get("/readyz").json()
    return found


def held(gate: threading.Event, text: str = "Good.") -> tuple[Part, ...]:
    """A whole answer that waits for the gate."""
    return (gate, *whole(completion(text)))


def held_stream(gate: threading.Event) -> tuple[Part, ...]:
    """A stream that waits behind its first event."""
    return (STREAM_HEAD, chunk(FIRST), gate, chunk(delta("stop")), chunk(DONE), b"0\r\n\r\n")


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def of(session: str) -> dict[str, str]:
    return {"x_session_id": session}


# ---- rates and the queue, by themselves


def test_a_rate_tells_exactly_when_the_next_one_may_come() -> None:
    rate = RateLimiter(60.0)
    for _ in range(60):
        assert rate.wait_s("me", 1.0, 0.0) == 0.0
        rate.take("me", 1.0, 0.0)
    assert rate.wait_s("me", 1.0, 0.0) == pytest.approx(1.0)
    assert rate.wait_s("me", 1.0, 0.75) == pytest.approx(0.25)
    assert rate.wait_s("me", 1.0, 1.0 + 1e-9) == 0.0
    assert rate.wait_s("you", 1.0, 0.0) == 0.0, "each client has its own"


def test_a_request_above_a_whole_minutes_worth_goes_when_the_bucket_is_full() -> None:
    rate = RateLimiter(100.0)
    assert rate.wait_s("me", 250.0, 0.0) == 0.0
    rate.take("me", 250.0, 0.0)
    assert rate.wait_s("me", 100.0, 0.0) == pytest.approx(150.0), "and is paid off before the next"


def test_buckets_are_bounded() -> None:
    rate = RateLimiter(1.0)
    for number in range(MAX_BUCKETS + 5):
        rate.take(str(number), 1.0, 0.0)
    assert len(rate._buckets) == MAX_BUCKETS
    assert rate.wait_s(str(MAX_BUCKETS), 1.0, 0.0) > 0


async def _in_turn(arrivals: str) -> str:
    queue: FairQueue[str] = FairQueue()
    for number, session in enumerate(arrivals):
        queue.add(session, f"{session}{number}")
    order = ""
    while (waiter := queue.take(lambda _: True)) is not None:
        order += waiter.session
    assert len(queue) == 0
    return order


def test_sessions_take_turns() -> None:
    import asyncio

    assert asyncio.run(_in_turn("aaabc")) == "abcaa"
    assert asyncio.run(_in_turn("abab")) == "abab"


def test_nobody_meets_a_limit_by_default() -> None:
    limits = ConcurrencyConfig()
    assert limits.max_parallel_requests_per_session is limits.requests_per_minute is limits.tokens_per_minute is None
    assert limits.max_parallel_requests >= 512


# ---- slots


def test_what_finds_no_slot_waits_and_sessions_take_turns(
    route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor
) -> None:
    router = route(more="[limits]\nmax_parallel_requests = 1\n")
    gate = threading.Event()
    relay.play(held(gate))
    running = [pool.submit(router.post, body(said("a1")), **of("a"))]
    until(lambda: len(relay.seen) == 1)
    for number, name in enumerate(("a2", "a3", "a4", "b1", "c1"), 1):
        running.append(pool.submit(router.post, body(said(name)), **of(name[0])))
        until(lambda n=number: ready(router)["queued"] == n)  # type: ignore[misc]
    assert ready(router)["in_flight"] == 1
    gate.set()
    assert [one.result(WAIT_S).status_code for one in running] == [200] * 6
    assert [seen.document["messages"][0]["content"] for seen in relay.seen] == ["a1", "a2", "b1", "c1", "a3", "a4"]
    found = ready(router)
    assert (found["in_flight"], found["queued"]) == (0, 0)


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/messages"])
def test_beyond_the_queue_is_a_429_in_the_clients_shape(
    path: str, route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_QUEUED_REQUESTS", 0)
    router = route(more="[limits]\nmax_parallel_requests = 1\n")
    gate = threading.Event()
    relay.play(held(gate))
    first = pool.submit(router.post, body())
    until(lambda: len(relay.seen) == 1)
    document = {"model": "openfusion/auto", "max_tokens": 10, "messages": HI, "input": "hi"}
    answer = router.post(document, path)
    gate.set()
    assert first.result(WAIT_S).status_code == 200
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("router_busy", "rate_limit_error")
    assert (answer.json().get("type") == "error") == (path == "/v1/messages")
    assert "0 requests wait already" in error["message"]


def test_a_wait_ends_with_its_deadline(route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor) -> None:
    router = route(more="[limits]\nmax_parallel_requests = 1\nqueue_timeout_s = 0.05\n")
    gate = threading.Event()
    relay.play(held(gate))
    first = pool.submit(router.post, body())
    until(lambda: len(relay.seen) == 1)
    answer = router.post(body())
    assert answer.status_code == 429
    assert "retry-after" in answer.headers
    assert ready(router)["queued"] == 0
    gate.set()
    first.result(WAIT_S)
    assert router.post(body()).status_code == 200, "the slot is free again"


def test_sessions_have_a_limit_of_their_own(route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor) -> None:
    router = route(more="[limits]\nmax_parallel_requests_per_session = 2\nqueue_timeout_s = 0.05\n")
    gate = threading.Event()
    relay.play(held_stream(gate), held(gate))
    running = [pool.submit(router.post, body(stream=True), **of("a"))]
    until(lambda: len(relay.seen) == 1)
    running.append(pool.submit(router.post, body(), **of("a")))
    until(lambda: len(relay.seen) == 2)
    assert router.post(body(), **of("a")).status_code == 429, "the session's third"
    assert router.post(body(), **of("b")).status_code == 200
    assert router.post(body()).status_code == 200, "who names no session has none to fill"
    gate.set()
    assert [one.result(WAIT_S).status_code for one in running] == [200, 200]


def test_a_hang_up_leaves_the_queue(route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor) -> None:
    router = route(more="[limits]\nmax_parallel_requests = 1\n")
    gate = threading.Event()
    relay.play(held(gate))
    first = pool.submit(router.post, body())
    until(lambda: len(relay.seen) == 1)
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body()).encode()))
        until(lambda: ready(router)["queued"] == 1)
    until(lambda: ready(router)["queued"] == 0)
    gate.set()
    assert first.result(WAIT_S).status_code == 200
    assert len(relay.seen) == 1, "nobody was called for it"


# ---- rates, bytes


def test_a_client_that_is_too_fast_is_told_when_to_come_back(route: RouteMaker) -> None:
    router = route(more="[limits]\nrequests_per_minute = 2.0\n")
    answers = [router.post(body()) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "30"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"


def test_input_tokens_have_a_rate(route: RouteMaker) -> None:
    router = route(more="[limits]\ntokens_per_minute = 1000.0\n")
    long = body(said("word " * 640))
    first, second = router.post(long), router.post(long)
    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert "input tokens" in second.json()["error"]["message"]


def test_bodies_in_hand_are_bounded_together(
    route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_BUFFERED_BYTES", 3000)
    router = route()
    gate = threading.Event()
    relay.play(held(gate))
    big = body(said("x" * 5000))
    first = pool.submit(router.post, big)
    until(lambda: len(relay.seen) == 1)
    answer = router.post(body())
    assert answer.status_code == 429, "the one in hand fills it"
    assert "the bodies of running requests" in answer.json()["error"]["message"]
    parts = (part for part in (b'{"model":', b'"openfusion/auto"}'))
    chunked = router.client.post(CHAT, content=parts, headers={"content-type": "application/json"})
    assert chunked.status_code == 429, "a body that tells no length as well"
    gate.set()
    assert first.result(WAIT_S).status_code == 200, "a single one fits, however large"
    assert router.post(body()).status_code == 200


# ---- slots of an upstream

SLOT = "max_parallel_requests = 1\nslot_timeout_s = 0.05"


def slots_used(router: Router) -> int:
    transport = router.runtime.deps.transport
    assert isinstance(transport, ConcurrencyLimitedTransport)
    return transport.slots["one"].used


def test_an_upstream_without_a_slot_is_passed_over(route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor) -> None:
    router = route(SLOT)
    gate = threading.Event()
    relay.play(held_stream(gate), to="vendor/first")
    first = pool.submit(router.post, body(stream=True))
    until(lambda: len(relay.seen) == 1)
    answer = router.post(body())
    assert router.attempts(answer) == [("first", "busy"), ("second", "answered")]
    assert "first" not in ready(router)["cooling_down"], "that is nobody's fault"
    gate.set()
    assert first.result(WAIT_S).status_code == 200
    until(lambda: slots_used(router) == 0)
    assert router.attempts(router.post(body())) == [("first", "answered")]


def test_a_slot_that_comes_free_in_time_is_taken(route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor) -> None:
    router = route("max_parallel_requests = 1\nslot_timeout_s = 20.0")
    gate = threading.Event()
    relay.play(held(gate), to="vendor/first")
    first = pool.submit(router.post, body())
    until(lambda: len(relay.seen) == 1)
    second: Future[httpx.Response] = pool.submit(router.post, body())
    transport = router.runtime.deps.transport
    assert isinstance(transport, ConcurrencyLimitedTransport)
    until(lambda: transport.slots["one"].waiting == 1)
    gate.set()
    first.result(WAIT_S)
    assert router.attempts(second.result(WAIT_S)) == [("first", "answered")]


def test_when_every_upstream_is_full_the_client_is_told_to_wait(
    route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor
) -> None:
    router = route(SLOT, more='[policy]\ndeny = ["second"]\n')
    gate = threading.Event()
    relay.play(held(gate), to="vendor/first")
    first = pool.submit(router.post, body())
    until(lambda: len(relay.seen) == 1)
    answer = router.post(body())
    gate.set()
    first.result(WAIT_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "upstream_busy")
    assert "retry-after" in answer.headers


PLAYS = {"whole": (), "refused": refuse(500), "cut": stream(FIRST, then=CUT), "not-an-answer": whole({"no": 1})}


@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_slot_is_free_again_however_a_call_ends(
    play: tuple[Part, ...], streamed: bool, route: RouteMaker, relay: Relay
) -> None:
    router = route(SLOT)
    if play:
        relay.play(play, to="vendor/first")
    try:
        router.post(body(stream=streamed))
    except httpx.RemoteProtocolError:
        assert play == PLAYS["cut"]
    until(lambda: slots_used(router) == 0)


@pytest.mark.parametrize(
    "play", [(STALL,), (STREAM_HEAD, chunk(FIRST), STALL)], ids=["before-headers", "in-the-stream"]
)
def test_a_slot_is_free_again_after_a_hang_up(play: tuple[Part, ...], route: RouteMaker, relay: Relay) -> None:
    router = route(SLOT)
    relay.play(play, to="vendor/first")
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body(stream=True)).encode()))
        until(lambda: len(relay.seen) == 1)
        assert slots_used(router) == 1
    until(lambda: slots_used(router) == 0)


@pytest.mark.parametrize(
    "play", [(STALL,), (STREAM_HEAD, chunk(FIRST), STALL)], ids=["before-headers", "in-the-stream"]
)
def test_a_panels_slots_are_free_again_after_a_hang_up(play: tuple[Part, ...], route: RouteMaker, relay: Relay) -> None:
    router = route(SLOT)
    relay.always(play)
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body(stream=True, model="openfusion/fusion")).encode()))
        until(lambda: len(relay.seen) == 2)
    until(lambda: slots_used(router) == 0 and ready(router)["in_flight"] == 0)


THIRD = """
[[candidates]]
id = "third"
upstream = "one"
model = "vendor/third"
price_usd_per_mtok = { input = 0.1, output = 0.4 }
benchmarks = { general = 80, coding = 80, reasoning = 80, verification = 80, writing = 80 }
"""


def test_a_panels_member_waits_for_its_slot_as_nobody_can_stand_in(
    route: RouteMaker, relay: Relay, pool: ThreadPoolExecutor
) -> None:
    """A local server answers one at a time: without the wait, it would never give a panel more than one voice."""
    router = route(SLOT, more=THIRD)
    gate = threading.Event()
    relay.play(held(gate), to="vendor/first")
    wish = {"strategy": "fusion", "models": ["first", "third"], "judge": "second", "synthesizer": "second"}
    asked = pool.submit(router.post, body(openfusion=wish))
    transport = router.runtime.deps.transport
    assert isinstance(transport, ConcurrencyLimitedTransport)
    until(lambda: transport.slots["one"].waiting == 1)
    with pytest.raises(TimeoutError):
        asked.result(0.3)  # six times `slot_s`
    assert transport.slots["one"].waiting == 1, "it waits on"
    gate.set()
    members = [one for one in router.receipt(asked.result(WAIT_S))["attempts"] if one["phase"] == "member"]
    assert sorted((one["candidate"], one["result"]) for one in members) == [
        ("first", "answered"),
        ("third", "answered"),
    ]
    until(lambda: slots_used(router) == 0)
