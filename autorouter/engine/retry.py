"""What is done after an attempt failed, by the class of the failure. Pure: no clock, no chance, no I/O.

    class                          the same candidate                     then
    reset                          once more at once                      the same model elsewhere, the next
    reasoning                      once more at once, without it          nobody: the request is refused
    rate_limited overloaded        after a wait, see below                the same model elsewhere, the next
    server connect cut protocol    after a wait, see below                the same model elsewhere, the next
    timeout not_found              no                                     the same model elsewhere, the next
    auth quota                     no                                     another upstream (after a 403 anybody)
    context                        no                                     a larger window
    too_large busy                 no                                     the next
    refused                        no                                     nobody: the request's own fault

A wait is worth it where nobody else is there, or where the upstream names one of at most `SHORT_S` and the candidate leads
by `LEAD_POINTS`; once a phase. It lasts as long as the upstream says and up to a quarter of `base_s` more, so that those who
wait don't come back all at once; where it says nothing, a part 0..1 of `base_s` times 2 for each failure in the row before,
at most `cap_s` (full jitter). One that passes `patience_s` is the client's, who is told the time.

How much may be hedged, and when: see `hedge`. What stands here has no I/O and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from zlib import crc32

from autorouter.core.decision.decide import RoutingRefusal
from autorouter.core.state.health import UNKNOWN_HEALTH, Health, cooldown_left_s, probe_left_s, ttft_quantile_s
from autorouter.core.types import Candidate
from autorouter.upstream.errors import FailureVerdict

SHORT_WAIT_S = 2.0
"""A wait that is shorter than what a call elsewhere mostly takes to begin."""
LEAD_POINTS = 5.0
"""Points by which a candidate must lead for such a wait. Assumed: some ten seconds at the default weight of time are less."""
SAME_MODEL_POINTS = 10.0
"""The same model on another upstream goes first where its score is at most this far behind the next one's. Assumed: it
keeps the words of one model in a session, which is worth more than a small difference of price."""
TRUSTED_WINDOW_SHARE = 0.5
"""An overflow at less than this share of the configured window says that the configured one is wrong."""
RETRY_AFTER_JITTER = 0.25
_VARIANT = re.compile(r"[-@](?:20\d{2}-?\d{2}-?\d{2}|latest|preview)$|:[\w-]+$")

Elsewhere = Literal["twin", "next", "upstream", "larger", "nobody"]


class RetryRule(NamedTuple):
    """`at_once`, `waits`: the same candidate once more. `elsewhere`: who is tried otherwise."""

    at_once: bool = False
    waits: bool = False
    elsewhere: Elsewhere = "next"


RULES: Mapping[str, RetryRule] = {
    "reset": RetryRule(at_once=True, waits=True, elsewhere="twin"),
    "reasoning": RetryRule(at_once=True, elsewhere="nobody"),
    "rate_limited": RetryRule(waits=True, elsewhere="twin"),
    "overloaded": RetryRule(waits=True, elsewhere="twin"),
    "server": RetryRule(waits=True, elsewhere="twin"),
    "connect": RetryRule(waits=True, elsewhere="twin"),
    "cut": RetryRule(waits=True, elsewhere="twin"),
    "protocol": RetryRule(waits=True, elsewhere="twin"),
    "timeout": RetryRule(elsewhere="twin"),
    "not_found": RetryRule(elsewhere="twin"),
    "auth": RetryRule(elsewhere="upstream"),
    "quota": RetryRule(elsewhere="upstream"),
    "context": RetryRule(elsewhere="larger"),
    "refused": RetryRule(elsewhere="nobody"),
}
"""By the verdict's kind; any other one: the next candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The limits. `deadline_s`: no retry and no fallback begins later than so long after the request came; the upstream's own
    limits of time stay, as do those of a panel's phases. `patience_s`: the longest wait for one candidate."""

    deadline_s: float = 300.0
    patience_s: float = 20.0
    base_s: float = 1.0
    cap_s: float = 8.0


DEFAULT_RETRY_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureContext:
    """Where a phase stands when an attempt has failed. `scores`: points by candidate. `input_tokens`: our estimate of the
    request. `left_s`: of its time. `patience_s`: see `Retry`. `part`: the jitter's, 0..1."""

    by_id: Mapping[str, Candidate]
    scores: Mapping[str, float]
    health: Mapping[str, Health]
    now_s: float
    input_tokens: float
    left_s: float
    patience_s: float
    part: float
    retry: RetryPolicy


@dataclass(slots=True)
class RetryState:
    """What a phase has tried already: who was asked again at once, and whether it has waited."""

    at_once: set[str] = field(default_factory=set)
    waited: bool = False


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`waiting` are tried next, in order; with `again_s` the same candidate goes before them, after so long a wait. `words`
    are for the receipt."""

    waiting: tuple[str, ...]
    words: str
    again_s: float | None = None


def after(
    candidate: str, verdict: FailureVerdict, waiting: Sequence[str], tried: RetryState, place: FailureContext
) -> RetryDecision:
    """What to do now that `candidate` has failed; `waiting` were to come behind it. Fills in `tried`."""
    rule = RULES.get(verdict.kind, RetryRule())
    if place.left_s <= 0.0:
        return RetryDecision((), f"gave up: its {place.retry.deadline_s:g} s are over")
    if rule.at_once and candidate not in tried.at_once:
        tried.at_once.add(candidate)
        return RetryDecision(tuple(waiting), "again, at once", 0.0)
    if not verdict.retry_elsewhere or rule.elsewhere == "nobody":
        return RetryDecision((), "gave up: the request is refused")
    others, skipped = _elsewhere(candidate, rule.elsewhere, verdict, _there(waiting, place), place)
    wait_s = _wait_s(candidate, verdict, place)
    if rule.waits and not tried.waited and wait_s <= min(place.patience_s, place.left_s):
        told_s = verdict.error.retry_after_s
        short = told_s is not None and told_s <= SHORT_WAIT_S
        if not others or (short and _leads(candidate, others, place.scores)):
            tried.waited = True
            return RetryDecision(others, f"again, after {wait_s:.2f} s", wait_s)
    if not others:
        return RetryDecision((), f"gave up: nobody else is left{skipped}")
    return RetryDecision(others, f"next: {others[0]}{_why(candidate, others[0], place)}{skipped}")


def jitter_fraction(seed: str) -> float:
    """A jitter's part, 0..1, drawn from the receipt's id, so that what happened can happen again."""
    return crc32(seed.encode()) / 2**32


def reroute_delay_s(refusal: RoutingRefusal | None, retry: RetryPolicy, seed: str) -> float | None:
    """How long to wait before a decision is made anew: where all who could serve have asked for a pause that is short enough.
    Who was waiting for one of them already is served then; a 429 would end some agents' runs. None: don't."""
    if refusal is None or refusal.retry_after_s is None:
        return None
    wait_s = refusal.retry_after_s + jitter_fraction(seed) * RETRY_AFTER_JITTER * retry.base_s
    return wait_s if wait_s <= retry.patience_s else None


def _there(waiting: Sequence[str], place: FailureContext) -> tuple[str, ...]:
    """Without those who have since asked for a pause; those who cool down for our own reasons, or are probed, come last."""
    health = {name: place.health.get(name, UNKNOWN_HEALTH) for name in waiting}
    out = {name: cooldown_left_s(one, place.now_s) for name, one in health.items()}
    there = [name for name in waiting if not (out[name] and health[name].asked)]
    return tuple(sorted(there, key=lambda name: bool(out[name] or probe_left_s(health[name], place.now_s))))


def _elsewhere(
    candidate: str, elsewhere: Elsewhere, verdict: FailureVerdict, waiting: tuple[str, ...], place: FailureContext
) -> tuple[tuple[str, ...], str]:
    """Who is tried next, in order, and a clause on those who are not."""
    own = place.by_id[candidate]
    if elsewhere == "larger":
        fits = _larger(own, waiting, place)
        return fits, _skipped(waiting, fits, "the window is no larger")
    if elsewhere == "upstream" and verdict.error.status != 403:
        # A 403 may be about the model alone.
        fits = tuple(name for name in waiting if place.by_id[name].upstream != own.upstream)
        return fits, _skipped(waiting, fits, f"{own.upstream} refuses the account")
    if elsewhere == "twin" and waiting:
        best = place.scores.get(waiting[0], 0.0)
        for name in waiting:
            if is_same_model(own, place.by_id[name]) and best - place.scores.get(name, best) <= SAME_MODEL_POINTS:
                return (name, *(one for one in waiting if one != name)), ""
    return waiting, ""


def _larger(own: Candidate, waiting: tuple[str, ...], place: FailureContext) -> tuple[str, ...]:
    """Larger windows first in their order. Where the request is far from the configured window, that one is wrong, and one
    that is as large on paper may do: it comes behind."""
    window = {name: place.by_id[name].context_tokens for name in waiting}
    larger = tuple(name for name in waiting if window[name] > own.context_tokens)
    if place.input_tokens >= TRUSTED_WINDOW_SHARE * own.context_tokens:
        return larger
    return larger + tuple(name for name in waiting if window[name] == own.context_tokens)


def is_same_model(one: Candidate, other: Candidate) -> bool:
    """The same model on another upstream: names are equal but for vendor prefix, date and variant."""
    return one.upstream != other.upstream and _bare(one.model) == _bare(other.model)


def _bare(name: str) -> str:
    return _VARIANT.sub("", name.lower().rsplit("/", 1)[-1])


def _wait_s(candidate: str, verdict: FailureVerdict, place: FailureContext) -> float:
    retry, told_s = place.retry, verdict.error.retry_after_s
    if told_s is not None:
        return told_s + place.part * RETRY_AFTER_JITTER * retry.base_s
    row = place.health.get(candidate, UNKNOWN_HEALTH).failures_in_row
    return float(place.part * min(retry.cap_s, retry.base_s * 2.0 ** min(16, max(0, row - 1))))


def _leads(candidate: str, others: Sequence[str], scores: Mapping[str, float]) -> bool:
    own = scores.get(candidate)
    return own is not None and own - max(scores.get(name, own) for name in others) >= LEAD_POINTS


def _why(candidate: str, other: str, place: FailureContext) -> str:
    return ", the same model elsewhere" if is_same_model(place.by_id[candidate], place.by_id[other]) else ""


def _skipped(waiting: Sequence[str], fits: Sequence[str], why: str) -> str:
    out = [name for name in waiting if name not in fits]
    return f"; not {', '.join(out)}: {why}" if out else ""


SAVED = 5.0
SAMPLES = 8
"""Answers after which an estimate of the slow end is trusted."""
LEAST_S = 0.05
"""Below it a rival can't be ahead any more."""


class HedgeBudget:
    """The configured percentile and what may still be hedged."""

    def __init__(self, percentile: float, max_share: float) -> None:
        self._percentile = percentile
        self._max_share = max_share
        self._saved = 1.0

    def earn(self) -> None:
        """A request came."""
        self._saved = min(SAVED, self._saved + self._max_share)

    def spend(self) -> bool:
        """Take one hedge, if there is one."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def after_s(self, health: Health) -> float | None:
        """How long the first event may take before a rival is worth it; None while too little was measured."""
        slow_s = ttft_quantile_s(health, self._percentile) if health.samples >= SAMPLES else None
        return None if slow_s is None else max(LEAST_S, slow_s)
