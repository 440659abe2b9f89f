"""What the outcome of an attempt means for its candidate's health, its usage and its cost. Recorded as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable

from autorouter.core.review import usage_check
from autorouter.core.state import health
from autorouter.core.state.health import AttemptOutcome
from autorouter.core.types import Usage
from autorouter.engine.deps import Deps
from autorouter.engine.router import RoutedRequest
from autorouter.engine.trace import Attempt, UsageSource, set_cost
from autorouter.upstream.errors import FailureVerdict


def record_failure(attempt: Attempt, verdict: FailureVerdict, tokens: int, routed: RoutedRequest, deps: Deps) -> None:
    """An attempt gave no answer. `tokens`: received before it broke, none of which the client got."""
    attempt.close(verdict.kind, deps.timer())
    if tokens:
        _estimate(attempt, tokens, "estimated_partial", routed, deps)
    attempt.retry_after_s = verdict.error.retry_after_s
    if not verdict.counts_against_health:
        _end_probe(attempt, deps)
        return
    now_s = deps.clock()
    outcome = AttemptOutcome(ok=False, reason=verdict.kind, retry_after_s=attempt.retry_after_s)
    deps.state.observe(attempt.candidate, outcome, now_s)
    if verdict.kind in health.ACCOUNT_REASONS and verdict.error.status != 403:
        # A 403 may be about the model alone.
        own = deps.state.health[attempt.candidate]
        _update_upstream_peers(attempt, deps, lambda current: health.open_circuit(current, own, now_s))


def record_stream_broken(attempt: Attempt, kind: str, tokens: int, routed: RoutedRequest, deps: Deps) -> None:
    """An answer started and didn't end: it is paid for as far as it got, and counts against the candidate's health."""
    attempt.close(kind, deps.timer())
    _estimate(attempt, tokens, "estimated_partial", routed, deps)
    deps.state.observe(attempt.candidate, AttemptOutcome(ok=False, reason=kind), deps.clock())


NO_LONGER_NEEDED = ("quorum_reached", "member_timeout")


def record_stopped(
    attempt: Attempt, tokens: int, routed: RoutedRequest, deps: Deps, *, result: str = "client_gone"
) -> None:
    """We cancelled this call."""
    attempt.close(result, deps.timer())
    # The prompt of a member that is no longer waited for was most likely read, even though no byte of an answer has come:
    # an answer that isn't streamed gives no sign of life until it is complete.
    if attempt.status == 200 or (attempt.status is None and result in NO_LONGER_NEEDED):
        _estimate(attempt, tokens, "estimated_partial", routed, deps)
    _end_probe(attempt, deps)


SILENT_S = 20.0
"""A stream without any event for this long counts as a hang, as users and clients see it."""


def record_member_timeout(attempt: Attempt, streamed: bool, routed: RoutedRequest, deps: Deps) -> None:
    """A panel no longer waits for this attempt."""
    record_stopped(attempt, attempt.events, routed, deps, result="member_timeout")
    # Being slower than the quorum is no failure. A stream that never started is: a member that hangs would delay every panel.
    if streamed and attempt.ttft_s is None and (attempt.seconds or 0.0) >= SILENT_S:
        deps.state.observe(attempt.candidate, AttemptOutcome(ok=False, reason="timeout"), deps.clock())


def record_hedge_lost(attempt: Attempt, routed: RoutedRequest, deps: Deps) -> None:
    """The other attempt of a hedge started first, so this one was stopped. Its prompt is counted, as it was most likely read;
    the time it took so far is a lower bound for its health record."""
    attempt.close("hedge_lost", deps.timer())
    _estimate(attempt, attempt.events, "estimated_partial", routed, deps)
    state = deps.state
    current = state.health.get(attempt.candidate, health.UNKNOWN_HEALTH)
    state.health = {**state.health, attempt.candidate: health.observe_slow_start(current, attempt.seconds or 0.0)}


def _end_probe(attempt: Attempt, deps: Deps) -> None:
    """Let another request probe the candidate: this attempt says nothing about its health."""
    state = deps.state
    current = state.health.get(attempt.candidate, health.UNKNOWN_HEALTH)
    if current.probe_until_s:
        state.health = {**state.health, attempt.candidate: health.end_probe(current)}


def _update_upstream_peers(attempt: Attempt, deps: Deps, change: Callable[[health.Health], health.Health]) -> None:
    """Change the health of all other candidates of the attempt's upstream."""
    state = deps.state
    names = [c.id for c in deps.candidates if c.upstream == attempt.upstream and c.id != attempt.candidate]
    state.health = {**state.health, **{name: change(state.health.get(name, health.UNKNOWN_HEALTH)) for name in names}}


def record_answer(attempt: Attempt, usage: Usage | None, tokens: int, routed: RoutedRequest, deps: Deps) -> None:
    """A complete answer. `tokens`: our count of its output, used if the upstream reports no usage."""
    attempt.close("answered", deps.timer())
    sent_tokens = routed.features.input_tokens + attempt.added_tokens
    if usage is None:
        _estimate(attempt, tokens, "estimated", routed, deps)
    else:
        attempt.usage, attempt.usage_source = usage, "reported"
        attempt.usage_doubts = usage_check.usage_doubts(usage, input_tokens=sent_tokens, output_tokens=tokens)
        set_cost(attempt, deps.by_id[attempt.candidate], _billable_usage(attempt, usage, sent_tokens, tokens))
    streamed = attempt.ttft_s is not None and attempt.seconds is not None
    believed = not attempt.usage_doubts
    outcome = AttemptOutcome(
        ok=True,
        ttft_s=None if attempt.ttft_s is None else attempt.ttft_s - attempt.queued_s,
        stream_s=(attempt.seconds or 0.0) - (attempt.ttft_s or 0.0) if streamed else None,
        output_tokens=usage.output_tokens if usage and believed else None,
        input_tokens=usage.input_tokens if usage and believed else None,
        estimated_input_tokens=sent_tokens,
    )
    previous = deps.state.health.get(attempt.candidate, health.UNKNOWN_HEALTH)
    deps.state.observe(attempt.candidate, outcome, deps.clock())
    if previous.failures_in_row and previous.cooldown_reason in health.ACCOUNT_REASONS:
        reason = previous.cooldown_reason
        _update_upstream_peers(
            attempt,
            deps,
            lambda current: health.close_circuit(current) if current.cooldown_reason == reason else current,
        )


def _billable_usage(attempt: Attempt, usage: Usage, sent_tokens: float, tokens: int) -> Usage:
    if not attempt.usage_doubts:
        return usage
    return usage_check.corrected_usage(usage, input_tokens=sent_tokens, output_tokens=tokens)


def _estimate(attempt: Attempt, tokens: int, source: UsageSource, routed: RoutedRequest, deps: Deps) -> None:
    attempt.usage = Usage(input_tokens=round(routed.features.input_tokens + attempt.added_tokens), output_tokens=tokens)
    attempt.usage_source = source
    set_cost(attempt, deps.by_id[attempt.candidate])
