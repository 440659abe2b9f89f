"""What to do after an attempt has failed, by the kind of failure; and when to hedge. Pure: no clock, no randomness, no I/O.

    failure kind                   same candidate                          then
    reset                          once more immediately                   the same model on another upstream, the next
    reasoning                      once more immediately, without it       none: the request is refused
    rate_limited overloaded        once more after a wait, see below       the same model on another upstream, the next
    server connect cut protocol    once more after a wait, see below       the same model on another upstream, the next
    timeout not_found              no                                      the same model on another upstream, the next
    auth quota                     no                                      another upstream (after a 403 any)
    context                        no                                      a larger window
    too_large busy                 no                                      the next
    refused                        no                                      none: the request itself is at fault

A retry waits only if no other candidate is left, or if the upstream asks for at most `SHORT_WAIT_S` and the candidate leads
by `LEAD_POINTS`; once per phase. It waits as long as `Retry-After` says plus up to a quarter of `BACKOFF_BASE_S`, so that waiting
requests don't come back all at once. Without `Retry-After` it waits a random share of `BACKOFF_BASE_S` doubled per consecutive
failure, at most `BACKOFF_MAX_S` (full jitter). A wait longer than `max_wait_s` is left to the client: the error tells the time.

Hedging: each request earns a share of a hedge, a hedge costs one, and at most `MAX_SAVED_HEDGES` are saved up (`HedgeBudget`).
The race between the two attempts is in `attempts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from zlib import crc32

from autorouter.core.decision.decide import RoutingRefusal
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.state.health import UNKNOWN_HEALTH, Health, cooldown_left_s, probe_left_s, ttft_quantile_s
from autorouter.core.types import Candidate
from autorouter.engine.trace import bare_model_name
from autorouter.upstream.errors import FailureVerdict

SHORT_WAIT_S = 2.0
"""Shorter than most calls to another candidate take to begin."""
LEAD_POINTS = 5.0
"""Points by which a candidate must lead for such a wait. Assumed: worth more than ten seconds at the default weight of time."""
SAME_MODEL_POINTS = 10.0
"""The same model on another upstream goes first if its score is at most this far behind the next one's. Assumed: keeping one
model in a session is worth more than a small difference in price."""
TRUSTED_WINDOW_SHARE = 0.5
"""An overflow at less than this share of the configured window means the configured figure is wrong."""
RETRY_AFTER_JITTER = 0.25

FallbackScope = Literal["same_model", "next", "other_upstream", "larger_window", "none"]


class RetryRule(NamedTuple):
    """`immediate`, `can_wait`: how the same candidate is retried. `fallback`: which candidates are tried otherwise."""

    immediate: bool = False
    can_wait: bool = False
    fallback: FallbackScope = "next"


RULES: Mapping[str, RetryRule] = {
    "reset": RetryRule(immediate=True, can_wait=True, fallback="same_model"),
    "reasoning": RetryRule(immediate=True, fallback="none"),
    "rate_limited": RetryRule(can_wait=True, fallback="same_model"),
    "overloaded": RetryRule(can_wait=True, fallback="same_model"),
    "server": RetryRule(can_wait=True, fallback="same_model"),
    "connect": RetryRule(can_wait=True, fallback="same_model"),
    "cut": RetryRule(can_wait=True, fallback="same_model"),
    "protocol": RetryRule(can_wait=True, fallback="same_model"),
    "timeout": RetryRule(fallback="same_model"),
    "not_found": RetryRule(fallback="same_model"),
    "auth": RetryRule(fallback="other_upstream"),
    "quota": RetryRule(fallback="other_upstream"),
    "context": RetryRule(fallback="larger_window"),
    "refused": RetryRule(fallback="none"),
}
"""By the kind of failure. A kind that isn't listed goes to the next candidate."""


BACKOFF_BASE_S = 1.0
"""Longest first wait where the upstream sets none."""
BACKOFF_MAX_S = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Limits of retries. `deadline_s`: no retry and no fallback starts later than this after the request arrived; timeouts of
    upstreams and of a panel's phases apply as well. `max_wait_s`: the longest wait for one candidate."""

    deadline_s: float = 300.0
    max_wait_s: float = 20.0


DEFAULT_RETRY_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureContext:
    """The state of a phase when an attempt fails. `scores`: points by candidate. `input_tokens`: estimated size of the request.
    `remaining_s`: until the request's deadline. `max_wait_s`: the longest wait in this phase. `jitter`: 0..1."""

    by_id: Mapping[str, Candidate]
    scores: Mapping[str, float]
    health: Mapping[str, Health]
    now_s: float
    input_tokens: float
    remaining_s: float
    max_wait_s: float
    jitter: float
    retry: RetryPolicy


@dataclass(slots=True)
class RetryState:
    """What a phase has used up: candidates retried immediately, and its one wait."""

    immediate: set[str] = field(default_factory=set)
    waited: bool = False


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`queue` is tried next, in order. With `retry_in_s` the failed candidate goes first, after that delay. `reason` is
    for the receipt."""

    queue: tuple[str, ...]
    reason: Reason
    retry_in_s: float | None = None


def decide_retry(
    candidate: str, verdict: FailureVerdict, queue: Sequence[str], tried: RetryState, context: FailureContext
) -> RetryDecision:
    """What to do after `candidate` failed with `queue` still to come. Updates `tried`."""
    rule = RULES.get(verdict.kind, RetryRule())
    if context.remaining_s <= 0.0:
        return RetryDecision((), Reason.of(ReasonCode.DEADLINE_OVER, deadline_s=context.retry.deadline_s))
    if rule.immediate and candidate not in tried.immediate:
        tried.immediate.add(candidate)
        return RetryDecision(tuple(queue), Reason.of(ReasonCode.RETRY, candidate=candidate, wait_s=0.0), 0.0)
    if not verdict.retry_elsewhere or rule.fallback == "none":
        return RetryDecision((), Reason.of(ReasonCode.REQUEST_REFUSED))
    others, skipped = _fallback_queue(candidate, rule.fallback, verdict, _not_paused(queue, context), context)
    wait_s = _wait_s(candidate, verdict, context)
    if rule.can_wait and not tried.waited and wait_s <= min(context.max_wait_s, context.remaining_s):
        retry_after_s = verdict.error.retry_after_s
        short = retry_after_s is not None and retry_after_s <= SHORT_WAIT_S
        if not others or (short and _leads_by_points(candidate, others, context.scores)):
            tried.waited = True
            return RetryDecision(others, Reason.of(ReasonCode.RETRY, candidate=candidate, wait_s=wait_s), wait_s)
    if not others:
        return RetryDecision((), Reason.of(ReasonCode.NO_FALLBACK_LEFT, **skipped))
    same_model = is_same_model(context.by_id[candidate], context.by_id[others[0]])
    following = Reason.of(ReasonCode.FALLBACK, candidate=others[0], same_model=same_model, **skipped)
    return RetryDecision(others, following)


def jitter_fraction(seed: str) -> float:
    """A jitter of 0..1 derived from the receipt's id, so that a replay waits the same time."""
    return crc32(seed.encode()) / 2**32


def reroute_delay_s(refusal: RoutingRefusal | None, retry: RetryPolicy, seed: str) -> float | None:
    """How long to wait before routing again: if every eligible candidate has asked for a pause and the shortest is acceptable.
    None: don't wait."""
    # A 429 would end the run of some agents, so a short wait on their behalf is worth it.
    if refusal is None or refusal.retry_after_s is None:
        return None
    wait_s = refusal.retry_after_s + jitter_fraction(seed) * RETRY_AFTER_JITTER * BACKOFF_BASE_S
    return wait_s if wait_s <= retry.max_wait_s else None


def _not_paused(queue: Sequence[str], context: FailureContext) -> tuple[str, ...]:
    """The queue without candidates that have asked for a pause since; cooling or probed ones come last."""
    health = {name: context.health.get(name, UNKNOWN_HEALTH) for name in queue}
    cooling = {name: cooldown_left_s(entry, context.now_s) for name, entry in health.items()}
    not_paused = [name for name in queue if not (cooling[name] and health[name].asked)]
    return tuple(sorted(not_paused, key=lambda name: bool(cooling[name] or probe_left_s(health[name], context.now_s))))


def _fallback_queue(
    candidate: str, fallback: FallbackScope, verdict: FailureVerdict, queue: tuple[str, ...], context: FailureContext
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The candidates to try next, in order, and which are skipped and why, for the receipt."""
    failed = context.by_id[candidate]
    if fallback == "larger_window":
        fits = _larger_windows(failed, queue, context)
        return fits, _skipped(queue, fits, Reason.of(ReasonCode.WINDOW_NO_LARGER))
    if fallback == "other_upstream" and verdict.error.status != 403:
        # A 403 may be about the model alone.
        fits = tuple(name for name in queue if context.by_id[name].upstream != failed.upstream)
        return fits, _skipped(queue, fits, Reason.of(ReasonCode.ACCOUNT_REFUSED, upstream=failed.upstream))
    if fallback == "same_model" and queue:
        best = context.scores.get(queue[0], 0.0)
        for name in queue:
            if (
                is_same_model(failed, context.by_id[name])
                and best - context.scores.get(name, best) <= SAME_MODEL_POINTS
            ):
                return (name, *(other for other in queue if other != name)), {}
    return queue, {}


def _larger_windows(failed: Candidate, queue: tuple[str, ...], context: FailureContext) -> tuple[str, ...]:
    """Candidates with a larger window. If the request is far below the configured window, that figure is wrong, and another
    candidate with the same figure may do: those come last."""
    window = {name: context.by_id[name].context_tokens for name in queue}
    larger = tuple(name for name in queue if window[name] > failed.context_tokens)
    if context.input_tokens >= TRUSTED_WINDOW_SHARE * failed.context_tokens:
        return larger
    return larger + tuple(name for name in queue if window[name] == failed.context_tokens)


def is_same_model(first: Candidate, other: Candidate) -> bool:
    """Whether it is the same model on another upstream: equal names apart from vendor prefix, date and variant."""
    return first.upstream != other.upstream and bare_model_name(first.model) == bare_model_name(other.model)


def _wait_s(candidate: str, verdict: FailureVerdict, context: FailureContext) -> float:
    retry_after_s = verdict.error.retry_after_s
    if retry_after_s is not None:
        return retry_after_s + context.jitter * RETRY_AFTER_JITTER * BACKOFF_BASE_S
    failures = context.health.get(candidate, UNKNOWN_HEALTH).failures_in_row
    return float(context.jitter * min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0 ** min(16, max(0, failures - 1))))


def _leads_by_points(candidate: str, others: Sequence[str], scores: Mapping[str, float]) -> bool:
    failed = scores.get(candidate)
    return failed is not None and failed - max(scores.get(name, failed) for name in others) >= LEAD_POINTS


def _skipped(queue: Sequence[str], fits: Sequence[str], why: Reason) -> dict[str, Any]:
    excluded = [name for name in queue if name not in fits]
    return {"skipped": excluded, "skipped_why": why} if excluded else {}


MAX_SAVED_HEDGES = 5.0
MIN_SAMPLES = 8
"""Answers after which the estimated percentile is trusted."""
HEDGE_PERCENTILE = 0.95
"""Slow is what takes longer to begin than this share of a candidate's answers."""
MAX_HEDGED_SHARE = 0.1
"""Largest share of requests that get a second call."""
MIN_DELAY_S = 0.05
"""Below this a hedge can't overtake the first attempt."""


class HedgeBudget:
    """When a slow answer gets a hedge, and how many hedges are left."""

    def __init__(self) -> None:
        self._saved = 1.0

    def deposit(self) -> None:
        """Count a request that could be hedged."""
        self._saved = min(MAX_SAVED_HEDGES, self._saved + MAX_HEDGED_SHARE)

    def try_withdraw(self) -> bool:
        """Use one hedge, if one is left."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def delay_s(self, health: Health) -> float | None:
        """How long to wait for the first event before hedging; None while too few times were measured."""
        slow_s = ttft_quantile_s(health, HEDGE_PERCENTILE) if health.samples >= MIN_SAMPLES else None
        return None if slow_s is None else max(MIN_DELAY_S, slow_s)
