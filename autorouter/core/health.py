"""What was measured of each candidate, as a pure fold: `observe(health, outcome, now_s, tuning) -> Health`.

Counts decay by half every `HALF_LIFE_S`, so that last week's outage doesn't speak against today. Priors from the
catalogue weigh as much as `Tuning.prior_weight` observations; with none, the prior stands alone.

    cooling down      2 s, 4 s, 8 s ... after failures in a row, at most 300 s; what the provider asks for when it asks
    half open         when the cooldown has passed the candidate is tried again; one more failure doubles the wait
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autorouter.core.policy import Tuning
from autorouter.core.values import Candidate

HALF_LIFE_S = 3_600.0
COOLDOWN_FIRST_S = 2.0
"""Short: one reset must not take a lone model away from its user, and the next request after it must not wait."""
COOLDOWN_MAX_S = 300.0
COOLDOWN_ASKED_MAX_S = 3_600.0
"""A provider may ask for more; an hour later it is asked again, so that no cooldown can get stuck."""
SMOOTHING = 0.2
"""Weight of the newest observation in the running means of times and ratios."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Measured state of one candidate. `good` and `bad` are decayed counts at `at_s`; means are None until measured.

    `input_ratio`: input tokens as billed over our estimate. `asked`: the provider itself set the cooldown.
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


UNKNOWN = Health()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
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


def observe(health: Health, outcome: Outcome, now_s: float) -> Health:
    """Fold one attempt into a candidate's health."""
    decay = 0.5 ** (max(0.0, now_s - health.at_s) / HALF_LIFE_S) if health.at_s else 1.0
    aged = replace(health, at_s=now_s, good=health.good * decay, bad=health.bad * decay, samples=health.samples + 1)
    return _succeeded(aged, outcome) if outcome.ok else _failed(aged, outcome, now_s)


def _succeeded(health: Health, outcome: Outcome) -> Health:
    rate = None
    if outcome.output_tokens and outcome.stream_s and outcome.stream_s > 0.05:
        rate = outcome.output_tokens / outcome.stream_s
    ratio = None
    if outcome.input_tokens and outcome.estimated_input_tokens:
        ratio = min(4.0, max(0.25, outcome.input_tokens / outcome.estimated_input_tokens))
    return replace(
        health,
        good=health.good + 1.0,
        failures_in_row=0,
        cooldown_until_s=0.0,
        cooldown_reason="",
        asked=False,
        ttft_s=_mean(health.ttft_s, outcome.ttft_s),
        throughput_tokens_per_s=_mean(health.throughput_tokens_per_s, rate),
        input_ratio=_mean(health.input_ratio, ratio),
    )


def _failed(health: Health, outcome: Outcome, now_s: float) -> Health:
    row = health.failures_in_row + 1
    wait_s = min(COOLDOWN_MAX_S, COOLDOWN_FIRST_S * 2.0 ** min(row - 1, 16))
    if outcome.retry_after_s is not None:
        wait_s = min(COOLDOWN_ASKED_MAX_S, max(0.0, outcome.retry_after_s))
    return replace(
        health,
        bad=health.bad + 1.0,
        failures_in_row=row,
        cooldown_until_s=now_s + wait_s,
        cooldown_reason=outcome.reason,
        asked=outcome.retry_after_s is not None,
    )


def _mean(old: float | None, new: float | None) -> float | None:
    if new is None:
        return old
    return new if old is None else old + SMOOTHING * (new - old)


def availability(candidate: Candidate, health: Health, tuning: Tuning) -> float:
    """Chance 0..1 that the candidate answers: the prior, moved by what was measured."""
    weight = tuning.prior_weight
    return (candidate.availability * weight + health.good) / (weight + health.good + health.bad)


def ttft_s(candidate: Candidate, health: Health) -> float:
    """Seconds to the first token: as measured, else as configured."""
    return candidate.ttft_s if health.ttft_s is None else health.ttft_s


def throughput(candidate: Candidate, health: Health) -> float:
    """Output tokens per second: as measured, else as configured."""
    measured = health.throughput_tokens_per_s
    return candidate.throughput_tokens_per_s if measured is None else measured
