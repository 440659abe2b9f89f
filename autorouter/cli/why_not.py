"""`route --why-not X`: how far X is from winning, and the smallest changes that would make it win.

Nothing is estimated here: every "at dial 3" and "at half its price" was tried with `decide()` itself.

    dial         those of 0..10 at which X answers
    price        the largest factor on its price at which it does
    percentile   the lowest one in the benchmark column of this kind of work at which it does
    eligible     its rank, were nothing against it (only asked when it was rejected)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_view import WORDS, points_of
from autorouter.cli.output import facts, section, table
from autorouter.cli.shown import DecisionView
from autorouter.core import labels
from autorouter.core.codec import to_plain
from autorouter.core.decision import cost
from autorouter.core.decision.decide import Decision, decide
from autorouter.core.decision.explain import TERMS
from autorouter.core.policy import Budget, Limits, Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import SKILL_OF_KIND, Candidate, Price
from autorouter.errors import UnknownModel

if TYPE_CHECKING:
    from rich.console import RenderableType

DIALS = tuple(float(notch) for notch in range(11))
HALVINGS = 24
"""Steps of a search: a factor to 7 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """The answer. None where no value of this one thing would do. `rank` counts from 1 among the scored."""

    candidate: str
    chosen: str | None
    wins: bool
    rank: int | None
    of: int
    total: float | None
    gap: float | None
    rejections: tuple[str, ...]
    dials: tuple[float, ...]
    price_factor: float | None
    skill: str
    percentile: float | None
    needed_percentile: float | None
    rank_if_eligible: int | None


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A decision's inputs with one candidate in question."""

    features: Features
    snapshot: Snapshot
    policy: Policy
    candidate: Candidate

    def decide(self, candidate: Candidate | None = None, policy: Policy | None = None) -> Decision:
        """The decision with this candidate, or this policy, instead."""
        chosen = candidate or self.candidate
        pool = tuple(chosen if c.id == chosen.id else c for c in self.snapshot.candidates)
        return decide(self.features, replace(self.snapshot, candidates=pool), policy or self.policy)

    def wins(self, candidate: Candidate | None = None, policy: Policy | None = None) -> bool:
        return self.decide(candidate, policy).candidate == self.candidate.id


def search(name: str, features: Features, snapshot: Snapshot, policy: Policy) -> Counterfactual:
    """Ask why `name` doesn't answer. UnknownModel with the nearest names when there is no such candidate."""
    by_id = {candidate.id: candidate for candidate in snapshot.candidates}
    if name not in by_id:
        near = difflib.get_close_matches(name, by_id, n=3, cutoff=0.5)
        hint = "did you mean " + " or ".join(near) + "?" if near else "autorouter models lists them"
        raise UnknownModel(f"There is no candidate `{name}`", hint=hint)
    world = _Scenario(features, snapshot, policy, by_id[name])
    decision = world.decide()
    ids = [score.candidate for score in decision.scores]
    row = next((s for s in decision.scores if s.candidate == name), None)
    best = next((s for s in decision.scores if s.candidate == decision.candidate), None)
    skill = SKILL_OF_KIND[features.kind]
    wins = decision.candidate == name
    lost = row is not None and not wins
    return Counterfactual(
        candidate=name,
        chosen=decision.candidate,
        wins=wins,
        rank=ids.index(name) + 1 if row else None,
        of=len(ids),
        total=row.total if row else None,
        gap=best.total - row.total if row and best else None,
        rejections=tuple(
            r.text for rejected in decision.rejections if rejected.candidate == name for r in rejected.reasons
        ),
        dials=_dials(world),
        price_factor=_price_factor(world) if lost else None,
        skill=skill,
        percentile=getattr(by_id[name].benchmarks, skill),
        needed_percentile=_percentile(world, skill) if lost else None,
        rank_if_eligible=None if row else _rank_if_eligible(world),
    )


def _dials(world: _Scenario) -> tuple[float, ...]:
    """A label such as `openfusion/auto:cheap` sets the dial itself: then the question is about plain `auto`."""
    if world.features.label in [f"{labels.AUTO}:{profile}" for profile in labels.PROFILE_DIALS]:
        world = replace(world, features=replace(world.features, label=labels.AUTO))
    return tuple(dial for dial in DIALS if world.wins(policy=replace(world.policy, dial=dial)))


def _price_factor(world: _Scenario) -> float | None:
    price = cost.price_of(world.candidate, world.policy.tuning)
    plain: Mapping[str, float] = to_plain(price)

    def cheaper(factor: float) -> bool:
        scaled = Price(**{name: value * factor for name, value in plain.items()})
        return world.wins(replace(world.candidate, price=scaled))

    return _largest(cheaper)


def _percentile(world: _Scenario, skill: str) -> float | None:
    """Searched from 100 down to what it has: the skill's own column alone is changed."""
    now = getattr(world.candidate.benchmarks, skill)
    span = 100.0 - (world.policy.tuning.unknown_percentile if now is None else now)

    def abler(below: float) -> bool:
        benchmarks = replace(world.candidate.benchmarks, **{skill: 100.0 - below * span})
        return world.wins(replace(world.candidate, benchmarks=benchmarks))

    below = _largest(abler)
    return None if below is None else 100.0 - below * span


def _largest(holds: Callable[[float], bool]) -> float | None:
    """The largest value in 0..1 at which something holds that holds at all smaller ones; None when not even at 0."""
    if not holds(0.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _rank_if_eligible(world: _Scenario) -> int | None:
    """With its cooldown, its lacks and the user's limits lifted, for this candidate and nobody else."""
    candidate, snapshot = world.candidate, world.snapshot
    roles = tuple({*candidate.roles, *(role for c in snapshot.candidates for role in c.roles)})
    able = replace(
        candidate, context_tokens=10**9, roles=roles, local=True, capabilities=frozenset(world.features.needs)
    )
    health = {name: seen for name, seen in snapshot.health.items() if name != candidate.id}
    free = replace(world.policy, allow=(), deny=(), limits=Limits(), budget=Budget())
    before = {score.candidate for score in world.decide().scores}
    lifted = replace(world, snapshot=replace(snapshot, health=health), policy=free).decide(able)
    ids = [s.candidate for s in lifted.scores if s.candidate in before or s.candidate == candidate.id]
    return ids.index(candidate.id) + 1 if candidate.id in ids else None


def render_why_not(answer: Counterfactual, view: DecisionView) -> Iterator[RenderableType]:
    """The answer for people: a block, and the terms beside those of the chosen one."""
    block = facts(
        [
            ("answer", _place(answer)),
            ("part", _part(answer.candidate, view.decision["plan"])),
            *[("rejected", text) for text in answer.rejections],
            ("it would win", "\n".join(_ways(answer, view.decision["dial"]))),
        ]
    )
    yield section(f"Why not {answer.candidate}?", block)
    chosen, row = view.score(answer.chosen or ""), view.score(answer.candidate)
    if chosen is not None and row is not None and chosen is not row:
        rows: list[tuple[Any, ...]] = [
            (WORDS[name], f"{a:.2f}", f"{b + 0.0:.2f}", f"{b - a:+.2f}")
            for name, a, b in zip(TERMS, points_of(chosen), points_of(row), strict=True)
        ]
        rows.append(
            ("total", f"{chosen['total']:.2f}", f"{row['total']:.2f}", f"{row['total'] - chosen['total']:+.2f}")
        )
        names = (str(answer.chosen), answer.candidate, "difference")
        yield section("Term by term, in points", table(("term", *names), rows, right=names))


def _place(answer: Counterfactual) -> str:
    if answer.wins:
        return f"it does answer: rank {answer.rank} of {answer.of}, {answer.total:.2f} points"
    if answer.total is None:
        hypothetical = f"; otherwise it would be number {answer.rank_if_eligible}" if answer.rank_if_eligible else ""
        return f"it can't serve this request{hypothetical}"
    gap = f", {answer.gap:.2f} behind {answer.chosen}" if answer.gap is not None else ""
    return f"rank {answer.rank} of {answer.of} with {answer.total:.2f} points{gap}"


def _part(candidate: str, plan: Mapping[str, Any] | None) -> str:
    """What it does in the chosen plan besides answering first; empty where it has no part in it."""
    if plan is None or plan["strategy"] == "single":
        return ""
    calls = [call["phase"] for call in plan["calls"] if call["candidate"] == candidate]
    parts = [f"{phase} x{calls.count(phase)}" if calls.count(phase) > 1 else phase for phase in dict.fromkeys(calls)]
    return f"in the {plan['strategy']} plan: {', '.join(parts)}" if parts else ""


def _ways(answer: Counterfactual, dial: float) -> list[str]:
    """The changes that would do, each on its own; the dial's nearest value first."""
    if answer.wins:
        return []
    ways = []
    if answer.dials:
        nearest = min(answer.dials, key=lambda value: abs(value - dial))
        others = f" (of 0 to 10, at {', '.join(f'{d:g}' for d in answer.dials)})"
        ways.append(f"at dial {nearest:g} instead of {dial:g}{others}")
    if answer.price_factor is not None:
        ways.append(_cheaper(answer.price_factor))
    if answer.needed_percentile is not None:
        now = "unknown" if answer.percentile is None else f"{answer.percentile:g}"
        ways.append(f"at percentile {answer.needed_percentile:.1f} in {answer.skill} instead of {now}")
    if not ways and answer.rejections:
        return ["only once what it is rejected for is gone"]
    return ways or ["at no dial, at no price, and with no benchmark: something else decides here"]


def _cheaper(factor: float) -> str:
    return "if it cost next to nothing" if factor < 0.0005 else f"at {factor:.3g} times its price"
