"""Streams of which a break is to be feared are held until they are whole, so that another candidate can take over."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from autorouter.engine import call
from tests.fakes import CUT, DONE, FIRST, Play, Relay, delta, event, refuse, stream
from tests.server.conftest import Router, body

STREAM_BREAK_KINDS: dict[str, Play] = {
    "cut": stream(FIRST, then=CUT),
    "early-end": stream(FIRST),
    "error-event": stream(FIRST, event({"error": {"message": "x", "type": "server_error"}})),
}
GOOD = stream(FIRST, delta("stop"), DONE)
CLINE = {
    "user_agent": "ai-sdk/openai-compatible/3.0.37 ai-sdk/provider-utils/5.0.30 runtime/bun/1.3.13",
}
CLINES_WORDS = [{"role": "system", "content": "You are Cline, an AI coding agent."}, {"role": "user", "content": "hi"}]
broken_play = pytest.mark.parametrize("play", STREAM_BREAK_KINDS.values(), ids=STREAM_BREAK_KINDS)


def breaks(router: Router) -> None:
    """The first candidate's answer breaks off where the client sees it; all but its last failure is forgotten."""
    with pytest.raises(httpx.RemoteProtocolError):
        router.post(body(stream=True))
    state = router.runtime.deps.state
    state.health = {name: replace(one, cooldown_until_s=0.0, bad=0.0) for name, one in state.health.items()}


def test_an_answer_of_one_that_broke_before_waits_until_it_is_whole(router: Router, relay: Relay) -> None:
    relay.play(STREAM_BREAK_KINDS["cut"], STREAM_BREAK_KINDS["early-end"], to="vendor/first")
    breaks(router)
    answer = router.post(body(stream=True))
    assert answer.text.count("One ") == 1, "no second voice"
    assert answer.text.endswith(DONE.decode())
    assert router.attempts(answer) == [("first", "cut"), ("second", "answered")]


def test_when_all_break_the_client_gets_an_error_and_no_beginning(router: Router, relay: Relay) -> None:
    relay.always(STREAM_BREAK_KINDS["cut"], to="vendor/first")
    relay.always(refuse(503), to="vendor/second")
    breaks(router)
    answer = router.post(body(stream=True))
    assert answer.status_code == 503
    assert "One " not in answer.text
    receipt = router.receipt(answer)
    assert receipt["outcome"]["result"] == "failed"
    assert receipt["attempts"][0]["usage_source"] == "estimated_partial", "what came is paid for"


@broken_play
def test_a_client_that_gives_up_at_a_break_sees_none(play: Play, router: Router, relay: Relay) -> None:
    relay.play(play, to="vendor/first")
    answer = router.post(body(CLINES_WORDS, stream=True), **CLINE)
    assert answer.status_code == 200
    assert [one for one, _ in router.attempts(answer)] == ["first", "second"]
    assert answer.text.count("One ") == 1


@pytest.mark.parametrize(("name", "limit"), [("MAX_BUFFER_S", -1.0), ("MAX_BUFFER_BYTES", 1)])
def test_nothing_is_held_beyond_the_limits(
    name: str, limit: float, router: Router, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, name, limit)
    relay.play(stream(FIRST, FIRST, delta("stop"), DONE))
    answer = router.post(body(CLINES_WORDS, stream=True), **CLINE)
    assert answer.text.count("One ") == 2
    assert router.attempts(answer) == [("first", "answered")]


def test_a_good_answer_ends_the_suspicion(router: Router, relay: Relay) -> None:
    relay.play(STREAM_BREAK_KINDS["cut"], GOOD, to="vendor/first")
    breaks(router)
    assert router.attempts(router.post(body(stream=True))) == [("first", "answered")]
    relay.play(STREAM_BREAK_KINDS["cut"], to="vendor/first")
    breaks(router)
