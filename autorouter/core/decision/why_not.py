"""Why a candidate did not win, and the smallest changes that would make it win.

Nothing is estimated: every "at dial 3" and "at half its price" was tried with `decide()` itself.

    dials              those of 0..10 at which the candidate answers
    price_factor       the largest factor on its price at which it does
    needed_percentile  the lowest one in the benchmark column of this kind of work at which it does
    rank_if_eligible   its rank if nothing ruled it out; None unless it was rejected
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from autorouter.core import labels
from autorouter.core.codec import to_plain
from autorouter.core.decision import cost
from autorouter.core.decision.decide import Decision, decide
from autorouter.core.policy import Budget, CandidateLimits, Policy
from autorouter.core.reasons import Reason
from autorouter.core.signals.features import Features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import SKILL_BY_KIND, Candidate, Price
from autorouter.errors import UnknownModel
from autorouter.suggest import close_matches

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
    rejections: tuple[Reason, ...]
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
        near = close_matches(name, by_id, limit=3, cutoff=0.5)
        hint = "did you mean " + " or ".join(near) + "?" if near else "autorouter models lists them"
        raise UnknownModel(f"There is no candidate `{name}`", hint=hint)
    world = _Scenario(features, snapshot, policy, by_id[name])
    decision = world.decide()
    ids = [score.candidate for score in decision.scores]
    row = next((s for s in decision.scores if s.candidate == name), None)
    best = next((s for s in decision.scores if s.candidate == decision.candidate), None)
    skill = SKILL_BY_KIND[features.kind]
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
        rejections=tuple(r for rejected in decision.rejections if rejected.candidate == name for r in rejected.reasons),
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
    free = replace(world.policy, allow=(), deny=(), limits=CandidateLimits(), budget=Budget())
    before = {score.candidate for score in world.decide().scores}
    lifted = replace(world, snapshot=replace(snapshot, health=health), policy=free).decide(able)
    ids = [s.candidate for s in lifted.scores if s.candidate in before or s.candidate == candidate.id]
    return ids.index(candidate.id) + 1 if candidate.id in ids else None
