"""What a recorded session would have cost with other models: list prices, and caches that live by the recorded times.

Assumptions. Tokens are those of the recording, the same for every model. A model's cache holds what the session sent it last,
for the candidate's `cache_ttl_s`, if it is at least `MIN_CACHED_TOKENS`; what isn't in it is paid at the price of writing it.
After a compaction only the system part is still the same. Quality is not simulated: the recording goes on as it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from autorouter.core.types import Candidate, Price

MIN_CACHED_TOKENS = 1_024
"""Providers cache no shorter prefix."""
PER_MTOK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStep:
    """A request of a recorded session: when it was sent, the tokens of its prompt and its answer, and how many tokens of the
    prompt are still those of the step before (`kept`: all that was sent then, or the system part after a compaction)."""

    at_s: float
    input_tokens: int
    output_tokens: int
    kept_tokens: int


@dataclass(slots=True)
class SessionCaches:
    """The providers' caches of one session, as far as a bill shows them. `feed` every step, whoever answers it."""

    _held: dict[str, tuple[float, int]] = field(default_factory=dict)

    def compact(self, kept_tokens: int) -> None:
        """The history begins anew: no cache holds more than this of the next prompt."""
        self._held = {name: (at_s, min(tokens, kept_tokens)) for name, (at_s, tokens) in self._held.items()}

    def charge(self, candidate: Candidate, step: RecordedStep) -> float:
        """USD of this step by this candidate, whose cache then holds its prompt."""
        at_s, tokens = self._held.get(candidate.id, (float("-inf"), 0))
        cached = min(tokens, step.input_tokens) if step.at_s - at_s <= candidate.cache_ttl_s else 0
        self._held[candidate.id] = (step.at_s, step.input_tokens)
        return step_usd(candidate.price, step, cached if cached >= MIN_CACHED_TOKENS else 0)


def step_usd(price: Price | None, step: RecordedStep, cached_tokens: int) -> float:
    """USD of a step of which so many tokens were found in the cache. A local model without a price costs nothing."""
    if price is None:
        return 0.0
    new = step.input_tokens - cached_tokens
    return (cached_tokens * price.cache_read + new * price.cache_write + step.output_tokens * price.output) * PER_MTOK


def session_usd(steps: Sequence[RecordedStep], answered_by: Sequence[Candidate]) -> float:
    """USD of a whole session, answered by one candidate a step."""
    caches, total = SessionCaches(), 0.0
    for step, candidate in zip(steps, answered_by, strict=True):
        caches.compact(step.kept_tokens)
        total += caches.charge(candidate, step)
    return total
