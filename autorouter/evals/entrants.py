"""Chooses what is compared: the models that one would use without a router, and the router's own labels.

    openfusion/fast                 a role, the cheap way out (`--baseline-role`)
    gpt-6.1-sol                     the best single model: the highest predicted success over these cases
    claude-opus-5-5                 the judge alone, and each member of the panels that fusion would form
    openfusion/auto, /verify, /fusion

A candidate that has several of these roles is asked once. Fusion pays off only where it beats its *best* member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autorouter.core.labels import AUTO, PREFIX
from autorouter.core.types import Role, Strategy
from autorouter.engine.deps import Deps
from autorouter.engine.router import route
from autorouter.evals.ask import chat_body
from autorouter.evals.cases import Case
from autorouter.evals.statistics import mean
from autorouter.wire.parse import parse_request

ROUTER_LABELS = (AUTO, PREFIX + Strategy.VERIFY, PREFIX + Strategy.FUSION)
BEST_SINGLE = "best single"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A label that can be asked for, and what it stands for. `ours`: what the router offers."""

    label: str
    stands_for: tuple[str, ...]
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrantSet:
    """All entrants. `expected_usd`: the planned cost of asking each of them every case."""

    entrants: tuple[Entrant, ...]
    expected_usd: float

    @property
    def best(self) -> str:
        """The best single's label."""
        return next(c.label for c in self.entrants if BEST_SINGLE in c.stands_for)


def select_entrants(cases: Sequence[Case], deps: Deps, role: Role) -> EntrantSet:
    """Select the entrants for these cases; calls no model. Raises UnknownModel if the pool has no candidate for a label."""
    success: dict[str, list[float]] = {}
    descriptions: dict[str, list[str]] = {PREFIX + role: [f"role {role}"]}
    members: dict[str, None] = {}
    judges: dict[str, None] = {}
    expected_usd = 0.0
    for case in cases:
        for label in ROUTER_LABELS:
            decision = route(parse_request("chat", chat_body(label, case.prompt), {}).task, deps, None).decision
            plan = decision.plan
            expected_usd += plan.step_usd if plan else 0.0
            if label == AUTO:
                for score in decision.scores:
                    success.setdefault(score.candidate, []).append(score.success)
            if plan is not None and plan.strategy is Strategy.FUSION:
                members |= dict.fromkeys(plan.members)
                judges |= dict.fromkeys([plan.judge] if plan.judge else [])
    if success:
        descriptions.setdefault(max(success, key=lambda name: (mean(success[name]), name)), []).append(BEST_SINGLE)
    for name in judges:
        descriptions.setdefault(name, []).append("judge alone")
    for name in members:
        descriptions.setdefault(name, []).append("panel member")
    entrants = [Entrant(label=label, stands_for=tuple(what)) for label, what in descriptions.items()]
    entrants += [Entrant(label=label, stands_for=("router",), ours=True) for label in ROUTER_LABELS]
    return EntrantSet(entrants=tuple(entrants), expected_usd=expected_usd)
