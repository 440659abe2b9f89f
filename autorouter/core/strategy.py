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


@dataclass(frozen=True, slots=True)
class Expert:
    """A candidate as verifier or judge: `quality` is the chance that it tells right from wrong at this difficulty."""

    candidate: str
    quality: float
    usd: float
    seconds: float


def preference(plan: Plan) -> tuple[float, float, str]:
    """Sort key: the highest utility, then the cheaper, then the name."""
    return (-plan.total, plan.expected_usd, plan.primary)


def singles(scores: Sequence[Score], features: Features, policy: Policy) -> list[Plan]:
    """One plan per score; its utility is the score."""
    return [_single(score, features) for score in scores]


def _single(score: Score, features: Features) -> Plan:
    points = score.points
    worth = Worth(
        points.task_fit + points.benchmark + points.availability, points.price, points.latency, points.stickiness
    )
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
        worth,
        score.total,
    )


def experts(
    scores: Sequence[Score], features: Features, snapshot: Snapshot, policy: Policy, by_id: Mapping[str, Candidate]
) -> list[Expert]:
    """Who may verify or judge: the ablest, and the cheapest of those at least half as able. Not a matter of the dial."""
    tuning = policy.tuning
    pool = [_expert(score, by_id[score.candidate], features, snapshot, tuning) for score in scores]
    if not pool:
        return []
    ablest = max(pool, key=lambda e: (e.quality, -e.usd, e.candidate))
    able = [expert for expert in pool if expert.quality >= ablest.quality / 2]
    cheapest = min(able, key=lambda e: (e.usd, -e.quality, e.candidate))
    return [ablest] if cheapest is ablest else [ablest, cheapest]


def _expert(score: Score, candidate: Candidate, features: Features, snapshot: Snapshot, tuning: Tuning) -> Expert:
    price = economics.price_of(candidate, tuning)
    seen = snapshot.health_of(candidate.id)
    percentile = candidate.benchmarks.verification
    if percentile is None:
        percentile = candidate.benchmarks.general
    tokens = score.input_tokens + features.output_tokens
    usd = (tokens * price.input + tuning.verdict_tokens * price.output) * economics.PER_MTOK
    seconds = health.ttft_s(candidate, seen) + tuning.verdict_tokens / health.throughput(candidate, seen)
    return Expert(candidate.id, scoring.success(percentile, features.difficulty, tuning), usd, seconds)


def verified(
    scores: Sequence[Score],
    judges: Sequence[Expert],
    features: Features,
    policy: Policy,
    allowed: Callable[[str], bool],
) -> Plan | None:
    """The best single-plus-verifier plan over all primaries; a primary verifies itself only where nobody else can."""
    best: Plan | None = None
    for score in scores:
        if not allowed(score.candidate):
            continue
        others = [j for j in judges if j.candidate != score.candidate] or judges
        for judge in others:
            plan = _verify(score, judge, features, policy)
            if best is None or preference(plan) < preference(best):
                best = plan
    return best


def _verify(score: Score, judge: Expert, features: Features, policy: Policy) -> Plan:
    tuning = policy.tuning
    quality = judge.quality * (0.5 if judge.candidate == score.candidate else 1.0)
    accepts_right = 0.5 + (tuning.verifier_tpr - 0.5) * quality
    rejects_wrong = 0.5 + (tuning.verifier_tnr - 0.5) * quality
    p = score.success
    p_verified = p - p * (1 - accepts_right) * tuning.spoil_rate + (1 - p) * rejects_wrong * tuning.fix_rate * quality
    p_rejected = p * (1 - accepts_right) + (1 - p) * rejects_wrong
    extra_usd = judge.usd + p_rejected * (score.step_usd - score.warmup_usd)
    # Twice the draft's time: it must be whole before it is judged, so that nobody reads along while it is written.
    seconds = score.seconds * (2 + p_rejected) + judge.seconds
    return _plan(Strategy.VERIFY, score, features, policy, p_verified, extra_usd, seconds, verifier=judge.candidate)


def fused(
    scores: Sequence[Score],
    judges: Sequence[Expert],
    features: Features,
    policy: Policy,
    by_id: Mapping[str, Candidate],
    allowed: Callable[[str], bool],
) -> Plan | None:
    """A panel of the ablest of different vendors, judged by the ablest verifier, written by its best allowed member."""
    tuning = policy.tuning
    able = sorted(scores, key=lambda s: (-s.success, s.expected_usd, s.candidate))
    lead = next((s for s in able if allowed(s.candidate)), None)
    if lead is None or not judges:
        return None
    panel = [lead]
    vendors = {by_id[lead.candidate].vendor}
    for s in able:
        if len(panel) < tuning.panel_size and s is not lead and by_id[s.candidate].vendor not in vendors:
            panel.append(s)
            vendors.add(by_id[s.candidate].vendor)
    panel += [s for s in able if s not in panel][: tuning.panel_size - len(panel)]
    judge = judges[0]
    gain = tuning.panel_gain if features.kind in tuning.panel_kinds and len(panel) > 1 else 0.0
    p = lead.success + gain * (1.0 - lead.success)
    drafts_usd = sum(s.step_usd for s in panel if s is not lead)
    extra_usd = drafts_usd + judge.usd * len(panel) + lead.step_usd - lead.warmup_usd
    seconds = max(s.seconds for s in panel) + judge.seconds + lead.seconds
    members = tuple(s.candidate for s in panel)
    return _plan(Strategy.FUSION, lead, features, policy, p, extra_usd, seconds, panel=members, judge=judge.candidate)


def _plan(
    strategy: Strategy,
    lead: Score,
    features: Features,
    policy: Policy,
    p: float,
    extra_usd: float,
    seconds: float,
    *,
    verifier: str | None = None,
    panel: tuple[str, ...] = (),
    judge: str | None = None,
) -> Plan:
    usd_weight = policy.usd_weight()
    turn_usd = lead.turn_usd + extra_usd
    worth = Worth(
        100.0 * features.stakes * p * lead.availability,
        -usd_weight * turn_usd,
        -policy.tuning.points_per_s * seconds,
        -usd_weight * lead.warmup_usd,
    )
    step_usd = lead.step_usd + extra_usd
    reserve = step_usd * (1.0 + features.input_error)
    return Plan(
        strategy,
        lead.candidate,
        verifier,
        panel,
        judge,
        p,
        step_usd,
        turn_usd,
        lead.warmup_usd,
        reserve,
        seconds,
        worth,
        worth.total(),
    )
