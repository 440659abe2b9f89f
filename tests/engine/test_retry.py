"""What is done after which failure: the table, by its one reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autorouter.core.state.health import UNKNOWN_HEALTH, AttemptOutcome, Health, begin_probe, observe
from autorouter.core.types import Candidate
from autorouter.engine.retry import (
    LEAD_POINTS,
    RULES,
    FailureContext,
    RetryDecision,
    RetryPolicy,
    RetryState,
    after,
    is_same_model,
)
from autorouter.errors import UpstreamError
from autorouter.upstream.errors import FailureVerdict

NOW_S = 1_000.0
FINAL = {"refused", "reasoning"}


def candidate(name: str, upstream: str = "one", model: str = "", window: int = 128_000) -> Candidate:
    return Candidate(id=name, upstream=upstream, model=model or f"vendor/{name}", context_tokens=window)


A, B, C = candidate("a"), candidate("b"), candidate("c", "two")
TWIN = candidate("twin", "two", "other/a:free")
LARGE, SMALL = candidate("large", window=1_000_000), candidate("small", window=8_000)
POOL = {c.id: c for c in (A, B, C, TWIN, LARGE, SMALL)}
SCORES = {"a": 80.0, "b": 79.0, "c": 78.0, "twin": 74.0, "large": 60.0, "small": 50.0}


def place(**more: object) -> FailureContext:
    usual = FailureContext(
        by_id=POOL,
        scores=SCORES,
        health={},
        now_s=NOW_S,
        input_tokens=100.0,
        left_s=300.0,
        patience_s=20.0,
        part=0.5,
        retry=RetryPolicy(),
    )
    return replace(usual, **more)  # type: ignore[arg-type]


def verdict(kind: str, told_s: float | None = None, status: int | None = None) -> FailureVerdict:
    error = UpstreamError("m", kind=kind, http_status=502, code=kind, retry_after_s=told_s, status=status)
    return FailureVerdict(kind=kind, retry_elsewhere=kind not in FINAL, counts_against_health=True, error=error)


def moved(
    kind: str, *waiting: str, tried: RetryState | None = None, told_s: float | None = None, **more: object
) -> RetryDecision:
    status = more.pop("status", None)
    found = verdict(kind, told_s, status)  # type: ignore[arg-type]
    return after("a", found, waiting, tried or RetryState(), place(**more))


@pytest.mark.parametrize("kind", [*RULES, "too_large", "busy", "a-new-kind"])
def test_every_failure_ends_somewhere_and_says_where(kind: str) -> None:
    """However often it fails: each phase comes to its end."""
    tried, waiting, words = RetryState(), ("b", "c", "twin", "large"), []
    current = "a"
    for _ in range(20):
        move = after(current, verdict(kind), waiting, tried, place())
        words.append(move.words)
        assert move.words
        queue = (current, *move.waiting) if move.again_s is not None else move.waiting
        if not queue:
            break
        current, waiting = queue[0], queue[1:]
    else:
        pytest.fail("it goes on for ever")
    assert words[-1].startswith("gave up")


@pytest.mark.parametrize("kind", ["reset", "reasoning"])
def test_some_are_asked_once_more_at_once(kind: str) -> None:
    tried = RetryState()
    assert moved(kind, "b", tried=tried) == RetryDecision(("b",), "again, at once", 0.0)
    assert moved(kind, "b", tried=tried).again_s is None, "once"


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "server", "connect", "cut", "protocol"])
def test_who_is_alone_is_waited_for_once(kind: str) -> None:
    tried = RetryState()
    first = moved(kind, tried=tried)
    assert first.again_s == 0.5
    assert first.words == "again, after 0.50 s"
    assert moved(kind, tried=tried) == RetryDecision((), "gave up: nobody else is left")


@pytest.mark.parametrize("kind", ["timeout", "auth", "quota", "not_found", "context", "too_large", "busy"])
def test_a_wait_that_cures_nothing_is_not_waited(kind: str) -> None:
    assert moved(kind).again_s is None


def test_what_the_upstream_asks_for_is_waited_while_it_is_short_enough() -> None:
    assert moved("rate_limited", told_s=7.0).again_s == pytest.approx(7.0 + 0.5 * 0.25)
    assert moved("rate_limited", told_s=19.9).words == "gave up: nobody else is left", "with its jitter it is too long"
    assert moved("rate_limited", told_s=7.0, patience_s=2.0).again_s is None
    assert moved("rate_limited", told_s=7.0, left_s=5.0).again_s is None
    assert moved("rate_limited", told_s=0.0).again_s == pytest.approx(0.125)


def test_elsewhere_is_faster_unless_the_wait_is_short_and_the_lead_clear() -> None:
    close, far = {**SCORES, "a": 80.0}, {**SCORES, "a": 79.0 + LEAD_POINTS}
    assert moved("rate_limited", "b", told_s=1.0, scores=close).words == "next: b"
    assert moved("rate_limited", "b", told_s=1.0, scores=far).again_s is not None
    assert moved("rate_limited", "b", told_s=3.0, scores=far).words == "next: b"
    assert moved("rate_limited", "b", scores=far).words == "next: b", "no time was named"


def test_a_wait_without_a_time_is_full_jitter_that_grows_and_is_capped() -> None:
    def wait(row: int, part: float) -> float | None:
        return moved("server", health={"a": Health(failures_in_row=row)}, part=part).again_s

    assert [wait(row, 0.999) for row in (0, 1, 2, 3, 50)] == pytest.approx([0.999, 0.999, 1.998, 3.996, 7.992])
    assert wait(3, 0.0) == 0.0


@pytest.mark.parametrize("kind", ["overloaded", "server", "rate_limited", "timeout", "connect"])
def test_the_same_model_elsewhere_goes_first_where_its_score_is_close(kind: str) -> None:
    found = moved(kind, "b", "twin", "c")
    assert found.waiting == ("twin", "b", "c")
    assert found.words == "next: twin, the same model elsewhere"
    assert moved(kind, "b", "twin", scores={**SCORES, "twin": 60.0}).waiting == ("b", "twin")


def test_the_same_model_is_known_by_its_name_alone() -> None:
    one = candidate("x", "one", "anthropic/claude-sonnet-5")
    assert is_same_model(one, candidate("y", "two", "claude-sonnet-5-20260101"))
    assert is_same_model(one, candidate("y", "two", "relay/Claude-Sonnet-5:beta"))
    assert not is_same_model(one, candidate("y", "two", "claude-sonnet-5-mini"))
    assert not is_same_model(one, candidate("y", "one", "anthropic/claude-sonnet-5")), "it is the same upstream"


@pytest.mark.parametrize(("kind", "status"), [("auth", 401), ("quota", 402), ("quota", 429)])
def test_what_an_account_is_refused_is_refused_to_its_neighbours(kind: str, status: int) -> None:
    found = moved(kind, "b", "c", status=status)
    assert found.waiting == ("c",)
    assert found.words == "next: c; not b: one refuses the account"
    assert moved(kind, "b", status=status).words == "gave up: nobody else is left; not b: one refuses the account"


def test_a_403_may_be_about_the_model_alone() -> None:
    assert moved("auth", "b", "c", status=403).waiting == ("b", "c")


def test_an_overflow_goes_to_a_larger_window_and_nowhere_else() -> None:
    full = {"input_tokens": 120_000.0}
    found = moved("context", "b", "small", "large", **full)
    assert found.waiting == ("large",)
    assert found.words == "next: large; not b, small: the window is no larger"
    assert moved("context", "b", "small", **full).words.startswith("gave up: nobody else is left")


def test_an_overflow_far_below_the_configured_window_says_that_it_is_wrong() -> None:
    assert moved("context", "b", "small", "large", input_tokens=5_000.0).waiting == ("large", "b")


def test_who_asked_for_a_pause_meanwhile_is_skipped_and_who_is_down_or_probed_comes_last() -> None:
    paused = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=60.0), NOW_S)
    down = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="server"), NOW_S)
    probed = begin_probe(observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="server"), NOW_S - 10), NOW_S)
    health = {"b": paused, "c": down, "large": probed}
    assert moved("too_large", "b", "c", "large", "small", health=health).waiting == ("small", "c", "large")


def test_behind_the_deadline_nothing_begins() -> None:
    for kind in RULES:
        assert moved(kind, "b", left_s=0.0) == RetryDecision((), "gave up: its 300 s are over")
