"""Plans: a strategy with its models filled in, its chance of success, its cost and its utility in points.

    U = 100 * stakes * P * availability  -  lambda * USD (turn and warm-up)  -  mu * seconds

    single   P of the primary
    verify   P - P*(1-tpr)*spoil + (1-P)*tnr*fix*q        q: what the verifier can tell at this difficulty
    fusion   P of the best member + gain * (1 - P)         gain 0 where members bring no different evidence

Which plans are compared doesn't depend on the dial: only then does turning it towards cheap never raise the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autorouter.core import economics, health, scoring
from autorouter.core.features import Features
from autorouter.core.policy import Policy, Tuning
from autorouter.core.scoring import Score
from autorouter.core.snapshot import Snapshot
from autorouter.core.values import Candidate, Strategy


@dataclass(frozen=True, slots=True)
class Worth:
    """The summands of a plan's utility, in points."""

    success: float
    price: float
    latency: float
    stickiness: float

    def total(self) -> float:
        return self.success + self.price + self.latency + self.stickiness


@dataclass(frozen=True, slots=True)
class Plan:
    """`step_usd` is this request alone (all its calls), `turn_usd` the expected rest of the turn, warm;
    `reserve_usd` what this request may cost at the upper end of the token estimate."""

    strategy: Strategy
    primary: str
    verifier: str | None
    panel: tuple[str, ...]
    judge: str | None
    success: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    reserve_usd: float
    seconds: float
    worth: Worth
    total: float

    @property
    def expected_usd(self) -> float:
        return self.turn_usd + self.warmup_usd


class Expert(NamedTuple):
    """A candidate as verifier or judge: `quality` is the chance that it tells right from wrong at this difficulty."""

    candidate: str
    quality: float
    usd: float
    seconds: float


def preference(plan: Plan) -> tuple[float, float, str]:
    """Sort key: the highest utility, then the cheaper, then the name."""
    return (-plan.total, plan.expected_usd, plan.primary)


May = Callable[[str, float], bool]
"""Whether a plan may be chosen, by its primary and the USD that it reserves: the switch gate, and the budget."""


def best_single(scores: Sequence[Score], features: Features, may: May) -> Plan | None:
    """The best single plan; its utility is the score, so that the first one that may be chosen is it."""
    reserve = 1.0 + features.input_error
    for score in scores:
        if may(score.candidate, score.step_usd * reserve):
            return single(score, features)
    return None


def single(score: Score, features: Features) -> Plan:
    """The plan of one candidate answering alone."""
    points = score.points
    success = points.task_fit + points.benchmark + points.availability
    return Plan(
        Strategy.SINGLE,
        score.candidate,
        None,
        (),
        None,
        score.success,
        score.step_usd,
        score.turn_usd,
        score.warmup_usd,
        score.step_usd * (1.0 + features.input_error),
        score.seconds,
        Worth(success, points.price, points.latency, points.stickiness),
        score.total,
    )


def experts(
    scores: Sequence[Score], features: Features, snapshot: Snapshot, policy: Policy, by_id: Mapping[str, Candidate]
) -> list[Expert]:
    """Who may verify or judge: the two ablest (the ablest can't well verify itself), and the cheapest of those at least
    half as able. Best first; not a matter of the dial."""
    tuning = policy.tuning
    pool = sorted(_able(score, by_id[score.candidate], features, tuning) for score in scores)
    if not pool:
        return []
    least = -pool[0][0] / 2
    cheapest = min((entry for entry in pool if -entry[0] >= least), key=lambda entry: (entry[1], entry[0], entry[2]))
    chosen = pool[:2] if cheapest in pool[:2] else [*pool[:2], cheapest]
    return [_expert(entry, by_id[entry[2]], snapshot, tuning) for entry in chosen]


def _able(score: Score, candidate: Candidate, features: Features, tuning: Tuning) -> tuple[float, float, str]:
    """(-quality, USD of a verdict, id): sorts the ablest first, then the cheaper."""
    price = economics.price_of(candidate, tuning)
    percentile = candidate.benchmarks.verification
    if percentile is None:
        percentile = candidate.benchmarks.general
    usd = (score.input_tokens + features.output_tokens) * price.input + tuning.verdict_tokens * price.output
    return -scoring.success(percentile, features.difficulty, tuning), usd * economics.PER_MTOK, candidate.id


def _expert(entry: tuple[float, float, str], candidate: Candidate, snapshot: Snapshot, tuning: Tuning) -> Expert:
    seen = snapshot.health_of(candidate.id)
    seconds = health.ttft_s(candidate, seen) + tuning.verdict_tokens / health.throughput(candidate, seen)
    return Expert(candidate.id, -entry[0], entry[1], seconds)


def best_verified(
    scores: Sequence[Score], judges: Sequence[Expert], features: Features, policy: Policy, may: May
) -> Plan | None:
    """The best single-plus-verifier plan over all primaries; a primary verifies itself only where nobody else can."""
    usd_weight = policy.usd_weight()
    best: Draft | None = None
    lead: Score | None = None
    for score in scores:
        others = [j for j in judges if j.candidate != score.candidate] or judges
        for judge in others:
            draft = _verify(score, judge, features, policy.tuning, usd_weight)
            if (best is None or draft.rank < best.rank) and may(score.candidate, draft.reserve_usd):
                best, lead = draft, score
    return _plan(best, lead, features, policy) if best is not None and lead is not None else None


class Draft(NamedTuple):
    """A plan's figures before it is known to be the best of its kind. `rank` sorts best first."""

    strategy: Strategy
    rank: tuple[float, float, str]
    success: float
    extra_usd: float
    seconds: float
    reserve_usd: float
    verifier: str | None = None
    panel: tuple[str, ...] = ()
    judge: str | None = None


def _verify(score: Score, judge: Expert, features: Features, tuning: Tuning, usd_weight: float) -> Draft:
    quality = judge.quality * (0.5 if judge.candidate == score.candidate else 1.0)
    accepts_right = 0.5 + (tuning.verifier_tpr - 0.5) * quality
    rejects_wrong = 0.5 + (tuning.verifier_tnr - 0.5) * quality
    p = score.success
    p_verified = p - p * (1 - accepts_right) * tuning.spoil_rate + (1 - p) * rejects_wrong * tuning.fix_rate * quality
    p_rejected = p * (1 - accepts_right) + (1 - p) * rejects_wrong
    extra_usd = judge.usd + p_rejected * (score.step_usd - score.warmup_usd)
    # Twice the draft's time: it must be whole before it is judged, so that nobody reads along while it is written.
    seconds = score.seconds * (2 + p_rejected) + judge.seconds
    rank, reserve_usd = _rank(score, features, p_verified, extra_usd, seconds, tuning, usd_weight)
    return Draft(Strategy.VERIFY, rank, p_verified, extra_usd, seconds, reserve_usd, judge.candidate)


def _rank(
    lead: Score,
    features: Features,
    p: float,
    extra_usd: float,
    seconds: float,
    tuning: Tuning,
    usd_weight: float,
) -> tuple[tuple[float, float, str], float]:
    """The sort key of a plan, best first, and the USD that it reserves."""
    expected_usd = lead.turn_usd + extra_usd + lead.warmup_usd
    worth = 100.0 * features.stakes * p * lead.availability
    total = worth - usd_weight * expected_usd - tuning.points_per_s * seconds
    reserve_usd = (lead.step_usd + extra_usd) * (1.0 + features.input_error)
    return (-total, expected_usd, lead.candidate), reserve_usd


def best_fused(
    scores: Sequence[Score],
    judges: Sequence[Expert],
    features: Features,
    policy: Policy,
    by_id: Mapping[str, Candidate],
    may: May,
) -> Plan | None:
    """A panel of the ablest of different vendors, judged by the ablest verifier, written by its best allowed member."""
    tuning = policy.tuning
    able = sorted(scores, key=lambda s: (-s.success, s.expected_usd, s.candidate))
    lead = next((s for s in able if may(s.candidate, 0.0)), None)
    if lead is None or not judges:
        return None
    panel = _panel(lead, able, by_id, tuning.panel_size)
    judge = judges[0]
    gain = tuning.panel_gain if features.kind in tuning.panel_kinds and len(panel) > 1 else 0.0
    p = lead.success + gain * (1.0 - lead.success)
    drafts_usd = sum(s.step_usd for s in panel if s is not lead)
    extra_usd = drafts_usd + judge.usd * len(panel) + lead.step_usd - lead.warmup_usd
    seconds = max(s.seconds for s in panel) + judge.seconds + lead.seconds
    rank, reserve_usd = _rank(lead, features, p, extra_usd, seconds, tuning, policy.usd_weight())
    members = tuple(s.candidate for s in panel)
    draft = Draft(Strategy.FUSION, rank, p, extra_usd, seconds, reserve_usd, None, members, judge.candidate)
    return _plan(draft, lead, features, policy) if may(lead.candidate, reserve_usd) else None


def _panel(lead: Score, able: Sequence[Score], by_id: Mapping[str, Candidate], size: int) -> list[Score]:
    """The lead, then the ablest of other vendors, then whoever is ablest."""
    panel, vendors = [lead], {by_id[lead.candidate].vendor}
    for s in able:
        if len(panel) < size and by_id[s.candidate].vendor not in vendors:
            panel.append(s)
            vendors.add(by_id[s.candidate].vendor)
    return panel + [s for s in able if s not in panel][: size - len(panel)]


def _plan(draft: Draft, lead: Score, features: Features, policy: Policy) -> Plan:
    usd_weight = policy.usd_weight()
    turn_usd = lead.turn_usd + draft.extra_usd
    worth = Worth(
        100.0 * features.stakes * draft.success * lead.availability,
        0.0 - usd_weight * turn_usd,
        0.0 - policy.tuning.points_per_s * draft.seconds,
        0.0 - usd_weight * lead.warmup_usd,
    )
    return Plan(
        draft.strategy,
        lead.candidate,
        draft.verifier,
        draft.panel,
        draft.judge,
        draft.success,
        lead.step_usd + draft.extra_usd,
        turn_usd,
        lead.warmup_usd,
        draft.reserve_usd,
        draft.seconds,
        worth,
        worth.total(),
    )
