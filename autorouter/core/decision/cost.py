"""What a step costs, with prompt caching, and when a switch pays back.

    P cacheable prefix tokens, T new tokens, o output tokens; prices: in, cr (cache read), cw (cache write), out

    step      = P*cr + T*cw + o*out               a step whose prefix is in the provider's cache
    warm-up   = (P - warm)*(cw - cr)              once, for the part that isn't
    C         = warm-up(b) - warm-up(a)           leaving the incumbent a for b
    G         = step(a) - step(b)                 gained at every step afterwards
    n*        = C / G                             break-even steps; never, if G <= 0

A warm incumbent has warm-up 0, so that C = P*(cw_b - cr_b); a cold one has its own, and b may be warm from before: the
three cases of the formula are one. A switch is never credited with its own prefill, nor is the write premium forgotten.

Caps in USD, checked before a call: what is left of each, and whether a plan fits.

The ladder goes down from fusion over verify and the best single to the cheapest capable; only when that doesn't fit
either is the request refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from autorouter.core.policy import Budget, Tuning
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Price

PER_MTOK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTokens:
    """Tokens of one step as a candidate would count them."""

    prefix: float
    new: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """The arithmetic of leaving `incumbent` for `candidate`. `steps` None: it never pays back."""

    incumbent: str
    candidate: str
    once_usd: float
    gain_usd_per_step: float
    steps: float | None
    expected_steps: float


def price_of(candidate: Candidate, tuning: Tuning) -> Price:
    """The configured price, or the assumed one where it is unknown (the score says so)."""
    if candidate.price is not None:
        return candidate.price
    unknown = tuning.assumed_input_usd_per_mtok
    return Price(input=unknown, output=tuning.assumed_output_usd_per_mtok, cache_read=unknown, cache_write=unknown)


def step_usd(price: Price, load: StepTokens) -> float:
    """USD of one step whose prefix is cached."""
    return (load.prefix * price.cache_read + load.new * price.cache_write + load.output * price.output) * PER_MTOK


def warmup_usd(price: Price, load: StepTokens, warm_tokens: float) -> float:
    """USD paid once to bring the part of the prefix that isn't cached into the cache."""
    return max(0.0, load.prefix - warm_tokens) * (price.cache_write - price.cache_read) * PER_MTOK


def break_even(
    incumbent: tuple[str, float, float], candidate: tuple[str, float, float], expected_steps: float
) -> BreakEven:
    """Compare two candidates given as (id, step USD, warm-up USD)."""
    once = candidate[2] - incumbent[2]
    gain = incumbent[1] - candidate[1]
    steps = max(0.0, once) / gain if gain > 0 else None
    return BreakEven(
        incumbent=incumbent[0],
        candidate=candidate[0],
        once_usd=once,
        gain_usd_per_step=gain,
        steps=steps,
        expected_steps=expected_steps,
    )


def usage_usd(price: Price, *, input_tokens: int, cached: int, written: int, output: int) -> float:
    """USD of a step as the provider reported it. Plain input is what was neither read from the cache nor written to it."""
    plain = max(0, input_tokens - cached - written)
    total = plain * price.input + cached * price.cache_read + written * price.cache_write + output * price.output
    return total * PER_MTOK


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The tightest cap: its name and what is left of it in USD. None: nothing is capped."""

    cap: str
    left_usd: float


def allowance(budget: Budget, snapshot: Snapshot) -> Allowance | None:
    """What this request may cost at most, and by which cap."""
    left = []
    if budget.per_request_usd is not None:
        left.append(Allowance(cap="per_request_usd", left_usd=budget.per_request_usd))
    if budget.per_session_usd is not None:
        left.append(Allowance(cap="per_session_usd", left_usd=budget.per_session_usd - snapshot.session.spent_usd))
    if budget.per_day_usd is not None:
        left.append(Allowance(cap="per_day_usd", left_usd=budget.per_day_usd - snapshot.spent_today_usd))
    return min(left, key=lambda a: a.left_usd) if left else None
