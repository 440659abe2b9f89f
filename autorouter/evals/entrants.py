"""Who is compared: what a person would use without a router, and what the router offers.

    openfusion/fast                 a role, the cheap way out (`--baseline-role`)
    gpt-6.1-sol                     the best single: the highest predicted success over these cases
    claude-opus-5-5                 the judge alone, and each member of the panels that fusion would form
    openfusion/auto, /verify, /fusion

A candidate that is several of these is asked once. Fusion is worth something where it beats its *best* member.
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
from autorouter.wire import exchange

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
    """All contestants. `expected_usd`: what the answers of one round may cost, by the plans."""

    contestants: tuple[Entrant, ...]
    expected_usd: float

    @property
    def best(self) -> str:
        """The best single's label."""
        return next(c.label for c in self.contestants if BEST_SINGLE in c.stands_for)


def select_entrants(cases: Sequence[Case], deps: Deps, role: Role) -> EntrantSet:
    """Who is compared on these cases. No model is called. Raises UnknownModel where the pool is empty of names."""
    success: dict[str, list[float]] = {}
    stands: dict[str, list[str]] = {PREFIX + role: [f"role {role}"]}
    members: dict[str, None] = {}
    judges: dict[str, None] = {}
    expected_usd = 0.0
    for case in cases:
        for label in ROUTER_LABELS:
            decision = route(exchange.parse("chat", chat_body(label, case.prompt), {}).task, deps).decision
            plan = decision.preferred
            expected_usd += plan.step_usd if plan else 0.0
            if label == AUTO:
                for score in decision.scores:
                    success.setdefault(score.candidate, []).append(score.success)
            if plan is not None and plan.strategy is Strategy.FUSION:
                members |= dict.fromkeys(plan.members)
                judges |= dict.fromkeys([plan.judge] if plan.judge else [])
    if success:
        stands.setdefault(max(success, key=lambda name: (mean(success[name]), name)), []).append(BEST_SINGLE)
    for name in judges:
        stands.setdefault(name, []).append("judge alone")
    for name in members:
        stands.setdefault(name, []).append("panel member")
    contestants = [Entrant(label=label, stands_for=tuple(what)) for label, what in stands.items()]
    contestants += [Entrant(label=label, stands_for=("router",), ours=True) for label in ROUTER_LABELS]
    return EntrantSet(contestants=tuple(contestants), expected_usd=expected_usd)
