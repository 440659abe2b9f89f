"""What was measured of each candidate, as a pure fold: `observe(health, outcome, now_s) -> Health`.

Counts decay by half every `HALF_LIFE_S`, so that last week's outage doesn't speak against today. Priors from the
catalog weigh as much as `Tuning.prior_weight` observations; with none, the prior stands alone.

    closed ──failure──► open for PAUSES[reason], or as long as the provider says ──time──► half open ──success──► closed
                                                                                     │ one request probes, others go
                                                                                     └─failure──► open, twice as long

A failure that comes while it is open was on its way before: it counts, and doubles nothing. From any moment on, whatever
happened and whatever the clock does, nobody is kept away for longer than `PAUSE_MAX_S`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite, log
from typing import NamedTuple

from autorouter.core.policy import Tuning
from autorouter.core.types import Candidate

HALF_LIFE_S = 3_600.0
USUAL_COOLDOWN_MAX_S = 300.0
COOLDOWN_LIMIT_S = 3_600.0
"""A provider may ask for more; an hour later it is asked again, so that no cooldown can get stuck."""
PROBE_TIMEOUT_S = 30.0
"""So long others wait for the verdict of the one request that probes; then the next one does."""
FAILURE_STREAK_TTL_S = 3_600.0
"""So long after a cooldown ended without another failure, the row of failures begins anew."""
CLOCK_SLACK_S = 5.0
"""A clock that was set back by more ends a cooldown: its end can't be told any more."""
SMOOTHING = 0.2
"""Weight of the newest observation in the running means of times and ratios."""


class CooldownRange(NamedTuple):
    """The first cooldown and the longest, seconds; each further failure in the row doubles it."""

    first_s: float
    most_s: float


DEFAULT_COOLDOWN = CooldownRange(2.0, USUAL_COOLDOWN_MAX_S)
"""Short at first: one reset must not take a lone model away from its user, and the next request after it must not wait."""
COOLDOWN_BY_REASON: Mapping[str, CooldownRange] = {
    "overloaded": CooldownRange(2.0, 120.0),
    "rate_limited": CooldownRange(5.0, USUAL_COOLDOWN_MAX_S),
    "not_found": CooldownRange(60.0, 1_800.0),
    "auth": CooldownRange(60.0, 1_800.0),
    "quota": CooldownRange(600.0, COOLDOWN_LIMIT_S),
}
"""By the verdict's kind. An overload passes in moments; a limit's window is mostly a minute; a model that isn't there, a
wrong key and an empty account need a human."""
ACCOUNT_REASONS = frozenset({"auth", "quota"})
"""Failures of the account, not of the model: they hold for all candidates of the upstream."""
EXPONENTIAL_TAIL = 1.0 / 0.7358
"""Scale of an exponential distribution over its mean absolute deviation, which is 2/e of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Measured state of one candidate. `good` and `bad` are decayed counts at `at_s`; means are None until measured.

    `input_ratio`: input tokens as billed over our estimate. `asked`: the provider itself set the cooldown.
    `ttft_deviation_s`: mean absolute deviation of the time to the first token. `probe_until_s`: a request finds out until
    then whether the candidate is back.
    """

    at_s: float = 0.0
    good: float = 0.0
    bad: float = 0.0
    failures_in_row: int = 0
    cooldown_until_s: float = 0.0
    cooldown_reason: str = ""
    asked: bool = False
    ttft_s: float | None = None
    throughput_tokens_per_s: float | None = None
    input_ratio: float | None = None
    samples: int = 0
    ttft_deviation_s: float | None = None
    probe_until_s: float = 0.0


UNKNOWN_HEALTH = Health()


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """What one attempt showed. `ok` is about the provider, not about the answer's quality; a request that the provider
    rightly refuses (400) is no failure. None where it wasn't seen."""

    ok: bool
    reason: str = ""
    retry_after_s: float | None = None
    ttft_s: float | None = None
    output_tokens: int | None = None
    stream_s: float | None = None
    input_tokens: int | None = None
    estimated_input_tokens: float | None = None


def observe(health: Health, outcome: AttemptOutcome, now_s: float) -> Health:
    """Fold one attempt into a candidate's health."""
    left_s = cooldown_left_s(health, now_s)
    if outcome.ok:
        return _succeeded(health, outcome, left_s, now_s)
    return _failed(_aged(health, now_s), outcome, left_s, now_s)


def _decay(health: Health, now_s: float) -> float:
    return float(0.5 ** (max(0.0, now_s - health.at_s) / HALF_LIFE_S)) if health.at_s else 1.0


def _aged(health: Health, now_s: float) -> Health:
    decay = _decay(health, now_s)
    return replace(health, at_s=now_s, good=health.good * decay, bad=health.bad * decay, probe_until_s=0.0)


def _succeeded(health: Health, outcome: AttemptOutcome, left_s: float, now_s: float) -> Health:
    """`left_s`: of a cooldown. One that the provider asked for isn't ended by an answer that was on its way before. (Made
    at once, for it is made for every answer: `replace` twice costs twice as much.)"""
    rate, ratio, off_s = None, None, None
    if outcome.output_tokens and outcome.stream_s and outcome.stream_s > 0.05:
        rate = outcome.output_tokens / outcome.stream_s
    if outcome.input_tokens and outcome.estimated_input_tokens:
        ratio = min(4.0, max(0.25, outcome.input_tokens / outcome.estimated_input_tokens))
    if outcome.ttft_s is not None and health.ttft_s is not None:
        off_s = abs(outcome.ttft_s - health.ttft_s)
    decay = _decay(health, now_s)
    keeps = health.asked and left_s > 0.0
    return Health(
        at_s=now_s,
        good=health.good * decay + 1.0,
        bad=health.bad * decay,
        failures_in_row=health.failures_in_row if keeps else 0,
        cooldown_until_s=now_s + left_s if keeps else 0.0,
        cooldown_reason=health.cooldown_reason if keeps else "",
        asked=keeps,
        ttft_s=_mean(health.ttft_s, outcome.ttft_s),
        throughput_tokens_per_s=_mean(health.throughput_tokens_per_s, rate),
        input_ratio=_mean(health.input_ratio, ratio),
        samples=health.samples + 1,
        ttft_deviation_s=_mean(health.ttft_deviation_s, off_s),
    )


def _failed(health: Health, outcome: AttemptOutcome, left_s: float, now_s: float) -> Health:
    """`left_s`: of the cooldown that it was in already."""
    told_s = outcome.retry_after_s
    if told_s is not None and not isfinite(told_s):
        told_s = None
    forgotten = now_s - health.cooldown_until_s > FAILURE_STREAK_TTL_S
    row = health.failures_in_row if left_s else 1 if forgotten else health.failures_in_row + 1
    pause = COOLDOWN_BY_REASON.get(outcome.reason, DEFAULT_COOLDOWN)
    wait_s = left_s or min(pause.most_s, pause.first_s * 2.0 ** min(row - 1, 16))
    if told_s is not None:
        # As told; but who says "now" again and again is given the moment that anybody is.
        least_s = DEFAULT_COOLDOWN.first_s if row > 1 else 0.0
        wait_s = max(left_s, min(COOLDOWN_LIMIT_S, max(least_s, told_s)))
    elif outcome.reason in ACCOUNT_REASONS:
        wait_s = max(wait_s, pause.first_s)
    return replace(
        health,
        bad=health.bad + 1.0,
        samples=health.samples + 1,
        failures_in_row=max(1, row),
        cooldown_until_s=now_s + wait_s,
        cooldown_reason=outcome.reason,
        asked=told_s is not None or (health.asked and left_s > 0.0),
    )


def _mean(old: float | None, new: float | None) -> float | None:
    if new is None or not isfinite(new):
        return old
    return new if old is None else old + SMOOTHING * (new - old)


def cooldown_left_s(health: Health, now_s: float) -> float:
    """Seconds that the candidate is still kept out, 0 where it may be asked. A clock that was set back ends it."""
    left_s = health.cooldown_until_s - now_s
    if left_s <= 0.0 or now_s < health.at_s - CLOCK_SLACK_S:
        return 0.0
    return min(left_s, COOLDOWN_LIMIT_S)


def probe_left_s(health: Health, now_s: float) -> float:
    """Seconds that a request may still find out whether the candidate is back, 0 where none does."""
    left_s = health.probe_until_s - now_s
    return left_s if 0.0 < left_s <= PROBE_TIMEOUT_S else 0.0


def begin_probe(health: Health, now_s: float) -> Health:
    """A request goes to a candidate that failed last: until its end, others needn't find out the same."""
    return replace(
        health, probe_until_s=now_s + PROBE_TIMEOUT_S, asked=health.asked and cooldown_left_s(health, now_s) > 0.0
    )


def end_probe(health: Health) -> Health:
    """The probe ended without a verdict: the next request is one."""
    return replace(health, probe_until_s=0.0)


def observe_slow_start(health: Health, ttft_s: float) -> Health:
    """A call that was stopped before its first token came, after so long: its time would have been longer still."""
    if health.ttft_s is None or ttft_s <= health.ttft_s:
        return end_probe(health)
    off_s = _mean(health.ttft_deviation_s, ttft_s - health.ttft_s)
    return replace(health, ttft_s=_mean(health.ttft_s, ttft_s), ttft_deviation_s=off_s, probe_until_s=0.0)


def open_circuit(health: Health, other: Health, now_s: float) -> Health:
    """A candidate whose upstream refused `other` for the account's sake: out for as long, though it didn't fail itself."""
    if cooldown_left_s(health, now_s) >= cooldown_left_s(other, now_s):
        return health
    return replace(
        _aged(health, now_s),
        failures_in_row=max(1, health.failures_in_row),
        cooldown_until_s=other.cooldown_until_s,
        cooldown_reason=other.cooldown_reason,
        asked=other.asked,
    )


def close_circuit(health: Health) -> Health:
    """Closed again, in the words of a breaker: nothing speaks against asking it."""
    return replace(health, failures_in_row=0, cooldown_until_s=0.0, cooldown_reason="", asked=False)


def restore_health(health: Health, now_s: float) -> Health:
    """As kept over a restart: a cooldown holds while it is valid. One for a refused key doesn't, for a restart is how a new
    key comes; and nobody probes any more."""
    if health.cooldown_reason == "auth":
        health = close_circuit(health)
    elif not cooldown_left_s(health, now_s):
        health = replace(health, cooldown_until_s=min(health.cooldown_until_s, now_s), asked=False)
    return replace(health, at_s=min(health.at_s, now_s), probe_until_s=0.0)


def availability(candidate: Candidate, health: Health, tuning: Tuning) -> float:
    """Chance 0..1 that the candidate answers: the prior, moved by what was measured."""
    weight = tuning.prior_weight
    return (candidate.availability * weight + health.good) / (weight + health.good + health.bad)


def ttft_s(candidate: Candidate, health: Health) -> float:
    """Seconds to the first token: as measured, else as configured."""
    return candidate.ttft_s if health.ttft_s is None else health.ttft_s


def ttft_quantile_s(health: Health, share: float) -> float | None:
    """Seconds within which this share (0..1) of first tokens come; None until it was measured twice. From mean and mean
    deviation, with an exponential tail: mean + deviation * e/2 * (-ln(1 - share) - 1), for 0.95 mean + 2.7 deviations."""
    if health.ttft_s is None or health.ttft_deviation_s is None:
        return None
    return health.ttft_s + health.ttft_deviation_s * EXPONENTIAL_TAIL * max(0.0, -log(1.0 - share) - 1.0)


def throughput(candidate: Candidate, health: Health) -> float:
    """Output tokens per second: as measured, else as configured."""
    measured = health.throughput_tokens_per_s
    return candidate.throughput_tokens_per_s if measured is None else measured
