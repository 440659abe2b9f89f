"""Retries, the breaker, hedging, health over a restart and provider truth: through a live router, on real sockets."""

from __future__ import annotations

import itertools
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from autorouter import runtime as assembly
from autorouter.core.state.health import AttemptOutcome, Health, cooldown_left_s, observe
from autorouter.engine import retry
from autorouter.receipts.messages import sentence
from tests.fakes import (
    DONE,
    FIRST,
    STALL,
    WAIT_S,
    Play,
    Relay,
    completion,
    delta,
    refuse,
    stream,
    until,
    whole,
)
from tests.server.conftest import CHAT, KEY_ONE, KEY_TWO, Router, body

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
ASK: dict[str, dict[str, Any]] = {
    CHAT: body(),
    RESPONSES: {"model": "openfusion/auto", "input": "hi"},
    MESSAGES: {"model": "openfusion/auto", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
}
PATHS = pytest.mark.parametrize("path", ASK, ids=["chat", "responses", "messages"])
QUOTA = {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}
ALONE = "[policy]\ndeny = ['second', 'third']\n"
THIRD = """
[[candidates]]
id = "third"
upstream = "{upstream}"
model = "{model}"
context_window_tokens = {window}
capabilities = ["tools", "vision"]
price_usd_per_mtok = {{ input = 3.0, output = 9.0 }}
benchmarks = {{ general = 50, coding = 50, reasoning = 50, verification = 50, writing = 50 }}
"""


def third(upstream: str = "one", model: str = "vendor/third", window: int = 128_000, *, second: str = "") -> str:
    """A third candidate; `second` are further lines of the second."""
    return second + THIRD.format(upstream=upstream, model=model, window=window)


NUMBERS = itertools.count()


def fresh(**more: Any) -> dict[str, Any]:
    """A conversation of its own: no pin holds it."""
    return body([{"role": "user", "content": f"hello {next(NUMBERS)}"}], **more)


def tries(router: Router, answer: Any) -> list[tuple[str, str, str | None]]:
    return [
        (a["candidate"], a["result"], None if a["next"] is None else sentence(a["next"]))
        for a in router.receipt(answer)["attempts"]
    ]


def health(router: Router, name: str) -> Health:
    return router.runtime.deps.state.health[name]


def rest(router: Router, *names: str) -> None:
    """Time passes: the cooldowns of these have just ended, and their failures count no more."""
    state, past_s = router.runtime.deps.state, time.time() - 1
    rested = {name: replace(state.health[name], cooldown_until_s=past_s, bad=0.0) for name in names}
    state.health = {**state.health, **rested}


# ---- retries


@STREAMED
def test_who_is_alone_is_waited_for_as_long_as_it_asks(
    streamed: bool, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(more=ALONE)
    relay.play(refuse(429, retry_after="1"))
    answer = router.post(body(stream=streamed))
    assert answer.status_code == 200
    first, second = router.receipt(answer)["attempts"]
    assert (first["result"], first["retry_after_s"], first["retried_after_s"]) == ("rate_limited", 1.0, None)
    assert 1.0 <= second["retried_after_s"] <= 1.25
    assert (first["next"]["code"], first["next"]["params"]["wait_s"]) == ("retry", second["retried_after_s"])
    assert (second["result"], second["next"]) == ("answered", None)


def test_a_retry_after_in_milliseconds_is_understood(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=ALONE)
    relay.play(refuse(429, retry_after_ms="40", retry_after="9"))
    answer = router.post(body())
    assert router.receipt(answer)["attempts"][0]["retry_after_s"] == 0.04
    assert answer.status_code == 200


def test_a_wait_beyond_patience_is_the_clients(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more="[retry]\nmax_wait_s = 3\n" + ALONE)
    relay.always(refuse(429, retry_after="30"))
    answer = router.post(body())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    assert tries(router, answer) == [("first", "rate_limited", "gave up: nobody else is left")]


def test_no_attempt_begins_behind_the_deadline(route: Callable[..., Router], relay: Relay) -> None:
    router = route(limits="first_byte_timeout_s = 0.4", more="[retry]\ndeadline_s = 0.3\n")
    relay.play((STALL,), to="vendor/first")
    answer = router.post(body())
    assert answer.status_code == 504
    assert tries(router, answer) == [("first", "timeout", "gave up: its 0.3 s are over")]
    assert relay.asked() == ["vendor/first"]


def test_the_same_model_on_another_upstream_goes_before_another_model(
    route: Callable[..., Router], relay: Relay
) -> None:
    router = route(more=third("two", "other/first", second="").replace("general = 50", "general = 60"))
    relay.always(refuse(529), to="vendor/first")
    answer = router.post(body())
    assert tries(router, answer)[0] == ("first", "overloaded", "next: third, the same model elsewhere")
    assert answer.headers["x-autorouter-model"] == "third"


def test_a_client_that_hangs_up_in_a_wait_is_not_called_for_again(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=ALONE)
    relay.always(refuse(429, retry_after="15"))
    with router.connection() as line:
        data = orjson.dumps(body())
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        line.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        until(lambda: bool(relay.seen))
    until(lambda: bool(router.client.get("/debug/receipts").json()["data"]))
    seen = router.client.get("/debug/receipts").json()["data"][0]
    receipt = router.receipt(seen["id"])
    assert receipt["outcome"]["result"] == "client_gone"
    assert relay.asked() == ["vendor/first"]


def test_who_comes_while_all_pause_is_served_when_the_pause_is_over(route: Callable[..., Router], relay: Relay) -> None:
    """Codex ends its run at a 429: of two sub-agents neither may."""
    router = route(more=ALONE)
    relay.play(refuse(429, retry_after="1"))
    found: list[Any] = []
    first = threading.Thread(target=lambda: found.append(router.post(fresh())))
    first.start()
    until(lambda: "first" in router.runtime.deps.state.health)
    second = router.post(fresh())
    first.join(WAIT_S)
    assert (found[0].status_code, second.status_code) == (200, 200)
    assert router.receipt(second)["degraded"][0]["code"] == "waited_for_cooldown"
    assert len(relay.seen) == 3


def test_a_pause_beyond_patience_is_told_at_once(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=ALONE)
    relay.play(refuse(429, retry_after="90"))
    assert router.post(fresh()).status_code == 429
    answer = router.post(fresh())
    assert answer.status_code == 429
    assert 80 <= int(answer.headers["retry-after"]) <= 90
    assert len(relay.seen) == 1


# ---- the breaker


def test_one_request_probes_and_the_others_go_elsewhere(router: Router, relay: Relay) -> None:
    relay.play(refuse(500), to="vendor/first")
    assert router.post(fresh()).headers["x-autorouter-model"] == "second"
    rest(router, "first")
    gate = threading.Event()
    relay.play((gate, *whole(completion())), to="vendor/first")
    found: list[str] = []
    probe = threading.Thread(target=lambda: found.append(router.post(fresh()).headers["x-autorouter-model"]))
    probe.start()
    until(lambda: relay.asked().count("vendor/first") == 2)
    others = [router.post(fresh()) for _ in range(3)]
    assert [one.headers["x-autorouter-model"] for one in others] == ["second"] * 3
    rejection = next(r for r in router.receipt(others[0])["decision"]["rejections"] if r["candidate"] == "first")
    assert rejection["reasons"][0]["params"] == {"failure": "server", "left_s": None}
    gate.set()
    probe.join(WAIT_S)
    assert found == ["first"]
    assert router.post(fresh()).headers["x-autorouter-model"] == "first", "closed again"


def test_a_probe_that_fails_doubles_the_wait(router: Router, relay: Relay) -> None:
    relay.always(refuse(500), to="vendor/first")
    router.post(fresh())
    rest(router, "first")
    router.post(fresh())
    seen = health(router, "first")
    assert seen.failures_in_row == 2
    assert cooldown_left_s(seen, seen.at_s) == pytest.approx(4.0)


def test_a_probe_that_is_given_up_makes_room_for_the_next(router: Router, relay: Relay) -> None:
    relay.play(refuse(500), refuse(400), to="vendor/first")
    router.post(fresh())
    rest(router, "first")
    assert router.post(fresh()).status_code == 400, "the request was refused: no verdict on the candidate"
    assert router.post(fresh()).headers["x-autorouter-model"] == "first"


def test_an_empty_account_shuts_the_whole_upstream_for_long(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=third("one"))
    relay.play(refuse(429, QUOTA), to="vendor/first")
    answer = router.post(fresh())
    assert router.attempts(answer) == [("first", "quota"), ("second", "answered")]
    waits = [cooldown_left_s(health(router, name), health(router, name).at_s) for name in ("first", "third")]
    assert waits == [600.0, 600.0]
    rest(router, "first")
    assert router.post(fresh()).headers["x-autorouter-model"] == "first"
    assert cooldown_left_s(health(router, "third"), time.time()) == 0.0, "one answer opens them all"


@pytest.mark.parametrize(
    ("play", "kind", "wait_s"),
    [
        (refuse(529), "overloaded", 2.0),
        (refuse(429), "rate_limited", 5.0),
        (refuse(429, retry_after="17"), "rate_limited", 17.0),
        (refuse(429, QUOTA), "quota", 600.0),
        (refuse(401), "auth", 60.0),
        (refuse(400, {"message": "Your credit balance is too low to access the API"}), "quota", 600.0),
    ],
    ids=["529", "429", "429-told", "429-quota", "401", "400-credit"],
)
def test_refusals_that_look_alike_are_told_apart(
    play: Play, kind: str, wait_s: float, router: Router, relay: Relay
) -> None:
    relay.play(play, to="vendor/first")
    answer = router.post(body())
    assert router.attempts(answer) == [("first", kind), ("second", "answered")]
    seen = health(router, "first")
    assert cooldown_left_s(seen, seen.at_s) == pytest.approx(wait_s)


def test_twenty_requests_that_fail_at_once_are_one_failure(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=ALONE + "[retry]\nmax_wait_s = 0\n")
    gate = threading.Event()
    relay.always((gate, *refuse(429)), to="vendor/first")
    threads = [threading.Thread(target=router.post, args=(body(),)) for _ in range(20)]
    for one in threads:
        one.start()
    until(lambda: len(relay.seen) == 20)
    gate.set()
    for one in threads:
        one.join(WAIT_S)
    seen = health(router, "first")
    assert seen.failures_in_row == 1
    assert cooldown_left_s(seen, seen.at_s) <= 5.0


# ---- hedging

HEDGED = "[hedge]\nenabled = true\n"


def quick(router: Router, *names: str, ttft_s: float = 0.05) -> None:
    """These have begun within 50 ms, or as said, ever since."""
    state = router.runtime.deps.state
    for name in names:
        seen = Health()
        for _ in range(20):
            seen = observe(seen, AttemptOutcome(ok=True, ttft_s=ttft_s), time.time())
        state.health = {**state.health, name: seen}


def test_an_answer_that_is_slow_to_begin_gets_a_rival(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=HEDGED)
    quick(router, "first")
    relay.play((STALL,), to="vendor/first")
    answer = router.post(body(stream=True))
    assert answer.text.endswith("data: [DONE]\n\n")
    lead, rival = router.receipt(answer)["attempts"]
    assert (lead["candidate"], lead["result"], lead["hedge"]) == ("first", "hedge_lost", False)
    assert (rival["candidate"], rival["result"], rival["hedge"]) == ("second", "answered", True)
    assert lead["usage"]["input_tokens"] > 0, "the loser's prompt is paid for"
    assert lead["cost_usd"] > 0
    assert (lead["next"]["code"], lead["next"]["params"]["candidate"]) == ("hedged", "second")
    assert router.receipt(answer)["outcome"]["cost_usd"] == pytest.approx(
        lead["cost_usd"] + rival["cost_usd"], rel=1e-4
    )
    assert relay.seen[0].closed.wait(WAIT_S), "the loser is stopped"
    assert health(router, "first").ttft_s > 0.05, "and known to be slow"  # type: ignore[operator]


def test_a_lead_that_begins_after_all_wins_and_its_rival_is_stopped(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=HEDGED)
    quick(router, "first")
    gate = threading.Event()
    relay.play((gate, *stream()), to="vendor/first")
    relay.play((STALL,), to="vendor/second")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(router.post(body(stream=True))))
    asking.start()
    until(lambda: len(relay.seen) == 2)
    gate.set()
    asking.join(WAIT_S)
    assert [(a["candidate"], a["result"]) for a in router.receipt(found[0])["attempts"]] == [
        ("first", "answered"),
        ("second", "hedge_lost"),
    ]
    assert found[0].headers["x-autorouter-model"] == "first"
    assert router.receipt(found[0])["outcome"]["candidate"] == "first"
    assert relay.seen[1].closed.wait(WAIT_S)


def test_a_rival_that_fails_leaves_the_lead_alone(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=HEDGED)
    quick(router, "first")
    gate = threading.Event()
    relay.play((gate, *stream()), to="vendor/first")
    relay.play(refuse(500), to="vendor/second")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(router.post(body(stream=True))))
    asking.start()
    until(lambda: "second" in router.runtime.deps.state.health)
    gate.set()
    asking.join(WAIT_S)
    assert router.attempts(found[0]) == [("first", "answered"), ("second", "server")]


def test_who_has_asked_for_a_pause_meanwhile_is_no_rival(route: Callable[..., Router], relay: Relay) -> None:
    router = route(limits="first_byte_timeout_s = 1", more=HEDGED + "[retry]\nmax_wait_s = 0\n")
    quick(router, "first", ttft_s=0.3)
    relay.play((STALL,), to="vendor/first")
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(router.post(body(stream=True))))
    asking.start()
    until(lambda: len(relay.seen) == 1)
    state = router.runtime.deps.state
    pause = AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=60.0)
    state.observe("second", pause, router.runtime.deps.clock())
    asking.join(WAIT_S)
    assert router.attempts(found[0]) == [("first", "timeout")]
    assert len(relay.seen) == 1


def test_where_both_fail_there_is_one_verdict(route: Callable[..., Router], relay: Relay) -> None:
    router = route(limits="first_byte_timeout_s = 0.5", more=HEDGED + "[retry]\nmax_wait_s = 0\n")
    quick(router, "first")
    relay.play((STALL,), to="vendor/first")
    relay.play(refuse(529), to="vendor/second")
    answer = router.post(body(stream=True))
    assert answer.status_code == 503
    assert {name for name, *_ in tries(router, answer)} == {"first", "second"}


def test_only_a_share_of_requests_is_hedged(
    route: Callable[..., Router], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MAX_HEDGED_SHARE", 0.25)
    router = route(limits="first_byte_timeout_s = 0.3", more=HEDGED)
    hedged = 0
    for _ in range(8):
        quick(router, "first")
        relay.play((STALL,), to="vendor/first")
        hedged += any(a["hedge"] for a in router.receipt(router.post(body(stream=True)))["attempts"])
    assert hedged == 3, "one that was saved, and a quarter of eight"


@pytest.mark.parametrize(("more", "streamed"), [("", True), (HEDGED, False)], ids=["not-enabled", "whole"])
def test_who_gets_no_rival(more: str, streamed: bool, route: Callable[..., Router], relay: Relay) -> None:
    router = route(limits="first_byte_timeout_s = 0.3", more=more)
    quick(router, "first")
    relay.play((STALL,), to="vendor/first")
    assert router.attempts(router.post(body(stream=streamed))) == [("first", "timeout"), ("second", "answered")]


def test_a_client_that_leaves_stops_both(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=HEDGED)
    quick(router, "first")
    relay.always((STALL,))
    with router.connection() as line:
        data = orjson.dumps(body(stream=True))
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        line.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        until(lambda: len(relay.seen) == 2)
    assert all(seen.closed.wait(WAIT_S) for seen in relay.seen)
    until(lambda: bool(router.client.get("/debug/receipts").json()["data"]))
    receipt = router.receipt(router.client.get("/debug/receipts").json()["data"][0]["id"])
    assert receipt["outcome"]["result"] == "client_gone"
    assert [a["result"] for a in receipt["attempts"]] == ["client_gone"] * 2


# ---- overflow


@PATHS
def test_an_overflow_goes_to_a_larger_window_only(path: str, route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=third("two", window=1_000_000, second="context_window_tokens = 64_000\n"))
    too_long = {"message": "maximum context length is 8192 tokens", "type": "invalid_request_error"}
    relay.play(refuse(400, too_long), to="vendor/first")
    answer = router.post(ASK[path], path)
    assert answer.status_code == 200
    assert tries(router, answer)[0] == ("first", "context", "next: third; not second: the window is no larger")


@pytest.mark.parametrize("refused_by", ["the upstream", "the router"])
@STREAMED
@PATHS
def test_an_overflow_of_all_is_said_as_each_agent_looks_for_it(
    path: str, streamed: bool, refused_by: str, route: Callable[..., Router], relay: Relay
) -> None:
    router = route()
    document = ASK[path] | {"stream": streamed}
    if refused_by == "the upstream":
        relay.always(refuse(400, {"message": "prompt is too long: 9 tokens > 8 maximum"}))
    else:
        long = "words " * 200_000
        document |= {"input": long} if path == RESPONSES else {"messages": [{"role": "user", "content": long}]}
    answer = router.post(document, path)
    error = answer.json()["error"]
    assert answer.status_code == 400
    if path == MESSAGES:
        assert answer.json()["type"] == "error"
        assert error["type"] == "invalid_request_error"
        assert error["message"].startswith("prompt is too long"), "Claude Code"
    else:
        assert (error["code"], error["type"]) == ("context_length_exceeded", "invalid_request_error")
        assert "maximum context length" in error["message"], "Aider"
        assert "exceeds the context window" in error["message"], "OpenCode"
    codex = {"user_agent": "codex_exec/0.169.0", "originator": "codex_exec"}
    if path == RESPONSES and streamed:
        answer = router.post(document, path, **codex)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind, data = answer.text.strip().split("\n")
        assert kind == "event: response.failed"
        failed = orjson.loads(data.removeprefix("data: "))["response"]
        assert (failed["status"], failed["error"]["code"]) == ("failed", "context_length_exceeded")
        assert router.receipt(answer)["outcome"]["status"] == 400


# ---- health over a restart


def again(router: Router) -> assembly.Runtime:
    """The router of a next process, on the same folder."""
    router.runtime.close()
    env = {"ONE_KEY": KEY_ONE, "TWO_KEY": KEY_TWO}
    return assembly.build(router.runtime.settings, env=env)


def test_health_outlives_a_restart(router: Router, relay: Relay) -> None:
    relay.play(refuse(429, retry_after="600"), to="vendor/first")
    router.post(body(stream=True))
    before = router.runtime.deps.state.health
    after = again(router)
    try:
        kept = after.deps.state.health
        assert set(kept) == {"first", "second"}
        assert kept["second"] == before["second"]
        assert cooldown_left_s(kept["first"], time.time()) > 500
        assert stat.S_IMODE((router.receipts / "health.json").stat().st_mode) == 0o600
    finally:
        after.close()


def test_a_broken_health_file_stops_no_start(router: Router, relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    router.post(body())
    router.runtime.close()
    (router.receipts / "health.json").write_bytes(b"{oops")
    after = assembly.build(router.runtime.settings, env={"ONE_KEY": KEY_ONE, "TWO_KEY": KEY_TWO})
    after.close()
    assert after.deps.state.health == {}
    assert "what was measured before is forgotten" in caplog.text


def test_the_dry_run_leaves_no_health_behind(dry: Router) -> None:
    dry.post(body())
    dry.runtime.close()
    assert not (dry.receipts / "health.json").exists()


# ---- provider truth


def told(**usage: int) -> Play:
    return whole(completion("Good. " * 100) | {"usage": usage})


LONG = [{"role": "user", "content": "words " * 10_000}]


@pytest.mark.parametrize(
    ("usage", "doubt"),
    [
        ({"prompt_tokens": 15_000, "completion_tokens": 150}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, "input_too_low"),
        ({"prompt_tokens": 12, "completion_tokens": 150}, "input_too_low"),
        ({"prompt_tokens": 900_000, "completion_tokens": 150}, "input_too_high"),
    ],
    ids=["good", "zero", "low", "high"],
)
def test_a_usage_that_cannot_be_is_doubted_and_never_too_cheap(
    usage: dict[str, int], doubt: str | None, router: Router, relay: Relay
) -> None:
    relay.play(told(**usage))
    answer = router.post(body(LONG))
    attempt = router.receipt(answer)["attempts"][0]
    assert attempt["usage"]["input_tokens"] == usage["prompt_tokens"], "as it was told"
    assert [one["code"] for one in attempt["usage_doubts"]][:1] == ([doubt] if doubt else [])
    assert attempt["cost_usd"] >= 0.1 * 15_000 / 1e6, "too little is counted as estimated"
    if doubt:
        assert health(router, "first").input_ratio is None, "nothing is learned from it"


def test_what_was_doubted_fills_the_budget_as_estimated(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more="[budget]\nper_day_usd = 0.003\n[policy]\ndeny = ['second']\n")
    relay.always(told(prompt_tokens=0, completion_tokens=0))
    codes = [router.post(body(LONG)).status_code for _ in range(3)]
    assert codes[0] == 200
    assert codes[-1] == 402, "a provider that reports nothing doesn't open the budget"


def test_an_unknown_price_is_never_zero(start: Callable[..., Router], relay: Relay) -> None:
    text = f"""schema_version = 1
[upstreams.one]
base_url = "{relay.url}"
[[candidates]]
id = "first"
upstream = "one"
model = "vendor/first"
"""
    router = start(text)
    receipt = router.receipt(router.post(body()))
    assert receipt["attempts"][0]["cost_usd"] is None
    assert receipt["outcome"]["cost_usd"] is None


def test_a_malformed_event_is_passed_on_and_said(router: Router, relay: Relay) -> None:
    bad = b'data: {"choices":[{"index":0,"del\n\n'
    relay.play(stream(FIRST, bad, delta("stop"), DONE))
    answer = router.post(body(stream=True))
    assert bad.decode() in answer.text
    receipt = router.receipt(answer)
    assert receipt["attempts"][0]["malformed"] == 1
    assert receipt["outcome"]["result"] == "answered"
    assert [(note["code"], note["params"]) for note in receipt["degraded"]] == [
        ("malformed_events", {"count": 1, "candidate": "first"})
    ]


def test_a_model_that_was_not_asked_for_is_said(router: Router, relay: Relay) -> None:
    relay.play(whole(completion() | {"model": "vendor/cheaper"}))
    attempt = router.receipt(router.post(body()))["attempts"][0]
    assert (attempt["served_model"], attempt["served_differs"]) == ("vendor/cheaper", True)


def test_no_usage_is_estimated_and_said(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST, delta("stop"), DONE))
    attempt = router.receipt(router.post(body(stream=True)))["attempts"][0]
    assert attempt["usage_source"] == "estimated"
    assert attempt["usage"]["input_tokens"] > 0
    assert attempt["cost_usd"] > 0
