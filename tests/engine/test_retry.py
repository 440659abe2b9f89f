"""What is done after which failure: the table, by its one reader."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.state.health import UNKNOWN_HEALTH, AttemptOutcome, Health, begin_probe, observe
from autorouter.core.types import Candidate
from autorouter.engine.retry import (
    LEAD_POINTS,
    RULES,
    FailureContext,
    RetryDecision,
    RetryPolicy,
    RetryState,
    decide_retry,
    is_same_model,
)
from autorouter.errors import UpstreamError
from autorouter.receipts.messages import sentence
from autorouter.upstream.errors import FailureVerdict

NOW_S = 1_000.0
NOT_RETRIED = {"refused", "reasoning"}


def candidate(name: str, upstream: str = "one", model: str = "", window: int = 128_000) -> Candidate:
    return Candidate(id=name, upstream=upstream, model=model or f"vendor/{name}", context_tokens=window)


A, B, C = candidate("a"), candidate("b"), candidate("c", "two")
SAME_MODEL = candidate("twin", "two", "other/a:free")
LARGE, SMALL = candidate("large", window=1_000_000), candidate("small", window=8_000)
POOL = {c.id: c for c in (A, B, C, SAME_MODEL, LARGE, SMALL)}
SCORES = {"a": 80.0, "b": 79.0, "c": 78.0, "twin": 74.0, "large": 60.0, "small": 50.0}


def failure_context(**more: object) -> FailureContext:
    default = FailureContext(
        by_id=POOL,
        scores=SCORES,
        health={},
        now_s=NOW_S,
        input_tokens=100.0,
        remaining_s=300.0,
        max_wait_s=20.0,
        jitter=0.5,
        retry=RetryPolicy(),
    )
    return replace(default, **more)  # type: ignore[arg-type]


def verdict(kind: str, retry_after_s: float | None = None, status: int | None = None) -> FailureVerdict:
    error = UpstreamError("m", kind=kind, http_status=502, code=kind, retry_after_s=retry_after_s, status=status)
    return FailureVerdict(kind=kind, retry_elsewhere=kind not in NOT_RETRIED, counts_against_health=True, error=error)


def decide(
    kind: str, *queue: str, tried: RetryState | None = None, retry_after_s: float | None = None, **more: object
) -> RetryDecision:
    status = more.pop("status", None)
    decision = verdict(kind, retry_after_s, status)  # type: ignore[arg-type]
    return decide_retry("a", decision, queue, tried or RetryState(), failure_context(**more))


@pytest.mark.parametrize("kind", [*RULES, "too_large", "busy", "a-new-kind"])
def test_every_failure_kind_ends_with_giving_up(kind: str) -> None:
    """However often it fails: each phase comes to its end."""
    tried, queue, description = RetryState(), ("b", "c", "twin", "large"), []
    current = "a"
    for _ in range(20):
        decision = decide_retry(current, verdict(kind), queue, tried, failure_context())
        description.append(sentence(decision.reason))
        assert sentence(decision.reason)
        queue = (current, *decision.queue) if decision.retry_in_s is not None else decision.queue
        if not queue:
            break
        current, queue = queue[0], queue[1:]
    else:
        pytest.fail("it goes on for ever")
    assert description[-1].startswith("gave up")


@pytest.mark.parametrize("kind", ["reset", "reasoning"])
def test_some_kinds_are_retried_immediately_once(kind: str) -> None:
    tried = RetryState()
    assert decide(kind, "b", tried=tried) == RetryDecision(
        ("b",), Reason.of(ReasonCode.RETRY, candidate="a", wait_s=0.0), 0.0
    )
    assert decide(kind, "b", tried=tried).retry_in_s is None, "once"


@pytest.mark.parametrize("kind", ["rate_limited", "overloaded", "server", "connect", "cut", "protocol"])
def test_the_last_candidate_is_retried_once_after_a_wait(kind: str) -> None:
    tried = RetryState()
    first = decide(kind, tried=tried)
    assert first.retry_in_s == 0.5
    assert sentence(first.reason) == "again, after 0.50 s"
    assert decide(kind, tried=tried) == RetryDecision((), Reason.of(ReasonCode.NO_FALLBACK_LEFT))


@pytest.mark.parametrize("kind", ["timeout", "auth", "quota", "not_found", "context", "too_large", "busy"])
def test_kinds_that_a_wait_does_not_cure_are_not_retried(kind: str) -> None:
    assert decide(kind).retry_in_s is None


def test_retry_after_is_honoured_up_to_the_maximum_wait() -> None:
    assert decide("rate_limited", retry_after_s=7.0).retry_in_s == pytest.approx(7.0 + 0.5 * 0.25)
    assert sentence(decide("rate_limited", retry_after_s=19.9).reason) == "gave up: nobody else is left", (
        "with its jitter it is too long"
    )
    assert decide("rate_limited", retry_after_s=7.0, max_wait_s=2.0).retry_in_s is None
    assert decide("rate_limited", retry_after_s=7.0, remaining_s=5.0).retry_in_s is None
    assert decide("rate_limited", retry_after_s=0.0).retry_in_s == pytest.approx(0.125)


def test_a_fallback_comes_first_unless_the_wait_is_short_and_the_lead_clear() -> None:
    close, far = {**SCORES, "a": 80.0}, {**SCORES, "a": 79.0 + LEAD_POINTS}
    assert sentence(decide("rate_limited", "b", retry_after_s=1.0, scores=close).reason) == "next: b"
    assert decide("rate_limited", "b", retry_after_s=1.0, scores=far).retry_in_s is not None
    assert sentence(decide("rate_limited", "b", retry_after_s=3.0, scores=far).reason) == "next: b"
    assert sentence(decide("rate_limited", "b", scores=far).reason) == "next: b", "no time was named"


def test_without_retry_after_the_wait_is_capped_full_jitter() -> None:
    def wait(row: int, jitter: float) -> float | None:
        return decide("server", health={"a": Health(failures_in_row=row)}, jitter=jitter).retry_in_s

    assert [wait(row, 0.999) for row in (0, 1, 2, 3, 50)] == pytest.approx([0.999, 0.999, 1.998, 3.996, 7.992])
    assert wait(3, 0.0) == 0.0


@pytest.mark.parametrize("kind", ["overloaded", "server", "rate_limited", "timeout", "connect"])
def test_the_same_model_elsewhere_goes_first_where_its_score_is_close(kind: str) -> None:
    decision = decide(kind, "b", "twin", "c")
    assert decision.queue == ("twin", "b", "c")
    assert sentence(decision.reason) == "next: twin, the same model elsewhere"
    assert decide(kind, "b", "twin", scores={**SCORES, "twin": 60.0}).queue == ("b", "twin")


def test_the_same_model_is_recognised_by_its_name() -> None:
    one = candidate("x", "one", "anthropic/claude-sonnet-5")
    assert is_same_model(one, candidate("y", "two", "claude-sonnet-5-20260101"))
    assert is_same_model(one, candidate("y", "two", "relay/Claude-Sonnet-5:beta"))
    assert not is_same_model(one, candidate("y", "two", "claude-sonnet-5-mini"))
    assert not is_same_model(one, candidate("y", "one", "anthropic/claude-sonnet-5")), "it is the same upstream"


@pytest.mark.parametrize(("kind", "status"), [("auth", 401), ("quota", 402), ("quota", 429)])
def test_an_account_refusal_skips_the_whole_upstream(kind: str, status: int) -> None:
    decision = decide(kind, "b", "c", status=status)
    assert decision.queue == ("c",)
    assert sentence(decision.reason) == "next: c; not b: one refuses the account"
    assert (
        sentence(decide(kind, "b", status=status).reason)
        == "gave up: nobody else is left; not b: one refuses the account"
    )


def test_a_403_may_be_about_the_model_alone() -> None:
    assert decide("auth", "b", "c", status=403).queue == ("b", "c")


def test_a_context_overflow_goes_to_larger_windows_only() -> None:
    full = {"input_tokens": 120_000.0}
    decision = decide("context", "b", "small", "large", **full)
    assert decision.queue == ("large",)
    assert sentence(decision.reason) == "next: large; not b, small: the window is no larger"
    assert sentence(decide("context", "b", "small", **full).reason).startswith("gave up: nobody else is left")


def test_an_overflow_far_below_the_configured_window_means_it_is_misconfigured() -> None:
    assert decide("context", "b", "small", "large", input_tokens=5_000.0).queue == ("large", "b")


def test_paused_candidates_are_skipped_and_unhealthy_ones_come_last() -> None:
    paused = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="rate_limited", retry_after_s=60.0), NOW_S)
    down = observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="server"), NOW_S)
    probed = begin_probe(observe(UNKNOWN_HEALTH, AttemptOutcome(ok=False, reason="server"), NOW_S - 10), NOW_S)
    health = {"b": paused, "c": down, "large": probed}
    assert decide("too_large", "b", "c", "large", "small", health=health).queue == ("small", "c", "large")


def test_no_attempt_starts_after_the_deadline() -> None:
    for kind in RULES:
        assert decide(kind, "b", remaining_s=0.0) == RetryDecision(
            (), Reason.of(ReasonCode.DEADLINE_OVER, deadline_s=300.0)
        )
