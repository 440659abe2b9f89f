"""The decision alone, on labelled requests: no model is called, so this costs nothing and can gate every change.

    agreement   the kind, the band of difficulty, risk and strategy that were read, against the labels
    regret      what the chosen model costs beyond the cheapest adequate one, and how often it is none

Adequate: its success is within `ADEQUATE` of the best candidate's, both predicted from the configured percentiles for the
kind and the difficulty of the *label*. So a misread request shows up as money or as a missing chance of success; whether the
percentiles are right, no routing eval can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from autorouter.core.decision import scoring
from autorouter.core.decision.scoring import Score
from autorouter.core.types import SKILL_BY_KIND, Strategy, TaskKind
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import session_key
from autorouter.engine.router import RoutedRequest, route
from autorouter.evals.cases import DifficultyBand, LabelledRequest
from autorouter.evals.client_fixtures import as_client_request
from autorouter.wire.parse import parse_request

MIDDLE, HARD = 1 / 3, 2 / 3
"""The bands are thirds of the documented scale, 0 easy .. 1 at the limit of today's best. Not fitted to the cases."""
RISKY = 0.5
"""Half of the scale 0..1: between "a verb or a target alone" and "both"."""
CENTRE: Mapping[DifficultyBand, float] = {"easy": 0.15, "middle": 0.5, "hard": 0.85}
"""Where a labelled band stands on the scale: about the middle of its third."""
ADEQUATE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """USD expected of the turn, and predicted success, by the label. `always_*`: one candidate for every case."""

    chosen_usd: float
    adequate_usd: float
    best_usd: float
    cheapest_usd: float
    chosen_success: float
    adequate_success: float
    best_success: float
    cheapest_success: float
    adequate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingResult:
    """What the router read and chose. `strategy` is what it would do; `candidate` None is a refusal."""

    case: LabelledRequest
    kind: TaskKind
    difficulty: float
    band: DifficultyBand
    risk: float
    strategy: Strategy | None
    candidate: str | None
    regret: Regret | None

    @property
    def agrees(self) -> tuple[bool, bool, bool, bool]:
        """Kind, band, risk, strategy."""
        return (
            self.kind is self.case.kind,
            self.band == self.case.difficulty,
            (self.risk >= RISKY) == self.case.risky,
            self.strategy in self.case.strategies,
        )


def band_of(difficulty: float) -> DifficultyBand:
    """The third of the scale."""
    return "easy" if difficulty < MIDDLE else "middle" if difficulty < HARD else "hard"


def route_all(cases: Iterable[LabelledRequest], deps: Deps) -> Iterator[RoutingResult]:
    """Each case through the decision that a server would make."""
    for case in cases:
        request = as_client_request(case)
        task = parse_request(request.wire, request.body, request.headers).task
        routed = route(task, deps, session_key(task))
        plan = routed.decision.plan
        yield RoutingResult(
            case=case,
            kind=routed.features.kind,
            difficulty=routed.features.difficulty,
            band=band_of(routed.features.difficulty),
            risk=routed.features.risk.value,
            strategy=plan.strategy if plan else None,
            candidate=plan.primary if plan else None,
            regret=_regret(case, routed, deps),
        )


def _regret(case: LabelledRequest, routed: RoutedRequest, deps: Deps) -> Regret | None:
    plan = routed.decision.plan
    if plan is None:
        return None
    by_label = replace(routed.features, kind=case.kind, difficulty=CENTRE[case.difficulty])
    eligible = [deps.by_id[score.candidate] for score in routed.decision.scores]
    scores = scoring.rank(eligible, by_label, routed.snapshot, deps.policy)
    best = max(scores, key=lambda s: (s.success, -s.expected_usd))
    cheapest = min(scores, key=_usd)
    enough = min((s for s in scores if s.success >= ADEQUATE * best.success), key=_usd)
    chosen = next(s for s in scores if s.candidate == plan.primary)
    # The plan's calls beyond the answer itself, as the router priced them, on top of the labelled turn.
    lead = next(s for s in routed.decision.scores if s.candidate == plan.primary)
    extra_usd = max(0.0, plan.expected_usd - lead.expected_usd)
    return Regret(
        chosen_usd=chosen.expected_usd + extra_usd,
        adequate_usd=enough.expected_usd,
        best_usd=best.expected_usd,
        cheapest_usd=cheapest.expected_usd,
        chosen_success=chosen.success,
        adequate_success=enough.success,
        best_success=best.success,
        cheapest_success=cheapest.success,
        adequate=chosen.success >= ADEQUATE * best.success,
    )


def _usd(score: Score) -> tuple[float, str]:
    return score.expected_usd, score.candidate


def misread_skills(reads: Sequence[RoutingResult]) -> dict[str, int]:
    """Cases whose kind was misread, by whether another benchmark column was looked at for it: only these can matter."""
    wrong = [read for read in reads if read.kind is not read.case.kind]
    other = sum(SKILL_BY_KIND[read.kind] != SKILL_BY_KIND[read.case.kind] for read in wrong)
    return {"another column": other, "the same column": len(wrong) - other}
