"""What the router has learned from its own receipts, as a pure fold. A decision reads it, and its receipt keeps it.

    turns    by client and kind of work: how long turns are, how much a step adds to the context and writes
    models   by candidate and kind of work: outcomes (a Beta posterior over the formula's chance), and how much it writes

An empty state changes nothing: every reader falls back to a prior. Means are exact, so that folding is associative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStats:
    """Finished turns of one client and kind. `steps` and `squared_steps` are means over turns; `new_tokens`,
    by which the context grew, and `output_tokens` are means over the `samples` steps that reported them."""

    turns: float = 0.0
    steps: float = 0.0
    squared_steps: float = 0.0
    samples: float = 0.0
    new_tokens: float = 0.0
    output_tokens: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStats:
    """Outcomes of one candidate at one kind of work. Weights may be fractions: weak evidence counts less.
    `output_factor`: mean of what it wrote over what was expected, over `outputs` answers."""

    successes: float = 0.0
    failures: float = 0.0
    outputs: float = 0.0
    output_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedState:
    """Everything learned. Keys are made by `stats_key`. Treat the mappings as frozen."""

    turns: Mapping[str, TurnStats] = field(default_factory=dict)
    models: Mapping[str, ModelStats] = field(default_factory=dict)

    def turn_stats(self, client: str, kind: str) -> TurnStats:
        return self.turns.get(stats_key(client, kind), NO_TURNS)

    def model_stats(self, candidate: str, kind: str) -> ModelStats:
        return self.models.get(stats_key(candidate, kind), NO_OUTCOMES)


NO_TURNS = TurnStats()
NO_OUTCOMES = ModelStats()
NOTHING_LEARNED = LearnedState()


def stats_key(name: str, kind: str) -> str:
    """`name` is a client or a candidate. A kind has no slash, so the key is unique."""
    return f"{name}/{kind}"


def for_request(learned: LearnedState, client: str, kind: str) -> LearnedState:
    """The part that one decision reads; a receipt needn't keep the rest."""
    key, suffix = stats_key(client, kind), f"/{kind}"
    return LearnedState(
        turns={key: learned.turns[key]} if key in learned.turns else {},
        models={name: stats for name, stats in learned.models.items() if name.endswith(suffix)},
    )


def record_turn(learned: LearnedState, *, client: str, kind: str, steps: float) -> LearnedState:
    """Fold one finished turn."""
    stats = learned.turn_stats(client, kind)
    turns = stats.turns + 1.0
    changed = replace(
        stats,
        turns=turns,
        steps=stats.steps + (steps - stats.steps) / turns,
        squared_steps=stats.squared_steps + (steps * steps - stats.squared_steps) / turns,
    )
    return replace(learned, turns={**learned.turns, stats_key(client, kind): changed})


def record_turn_step(
    learned: LearnedState, *, client: str, kind: str, new_tokens: float, output_tokens: float
) -> LearnedState:
    """Fold the sizes of one step that continued a turn."""
    stats = learned.turn_stats(client, kind)
    samples = stats.samples + 1.0
    changed = replace(
        stats,
        samples=samples,
        new_tokens=stats.new_tokens + (new_tokens - stats.new_tokens) / samples,
        output_tokens=stats.output_tokens + (output_tokens - stats.output_tokens) / samples,
    )
    return replace(learned, turns={**learned.turns, stats_key(client, kind): changed})


def record_outcome(
    learned: LearnedState, *, candidate: str, kind: str, success: bool, weight: float = 1.0
) -> LearnedState:
    """Fold the outcome of one task."""
    stats = learned.model_stats(candidate, kind)
    changed = replace(
        stats,
        successes=stats.successes + (weight if success else 0.0),
        failures=stats.failures + (0.0 if success else weight),
    )
    return replace(learned, models={**learned.models, stats_key(candidate, kind): changed})


def record_output(learned: LearnedState, *, candidate: str, kind: str, factor: float) -> LearnedState:
    """Fold how much one answer wrote, relative to what was expected."""
    stats = learned.model_stats(candidate, kind)
    outputs = stats.outputs + 1.0
    changed = replace(
        stats, outputs=outputs, output_factor=stats.output_factor + (factor - stats.output_factor) / outputs
    )
    return replace(learned, models={**learned.models, stats_key(candidate, kind): changed})
