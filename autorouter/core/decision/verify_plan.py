"""Single plus verifier: one model drafts, another accepts or lists findings; then the primary fixes it, or a better one answers.

P    = p - p*(1-tpr)*spoil + (1-p)*tnr*fix        p the primary's, tpr and tnr the verifier's at this difficulty
fix  = fix_rate * q                               the primary, given the findings; q: the verifier's quality
     = escalated_share * P(next better)           a cascade: what one model failed is hard for the other too
USD  = verdict + P(rejected) * the second answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autorouter.core.decision import cost, scoring
from autorouter.core.decision.plans import (
    JudgeCandidate,
    Plan,
    PlanEstimate,
    PlanFilter,
    PlannedCall,
    build_plan,
    estimate_plan,
    review_probability,
)
from autorouter.core.decision.scoring import Score
from autorouter.core.policy import Policy, Tuning
from autorouter.core.signals.features import Features
from autorouter.core.state import health
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Strategy


def judge_candidates(
    scores: Sequence[Score], features: Features, snapshot: Snapshot, policy: Policy, by_id: Mapping[str, Candidate]
) -> list[JudgeCandidate]:
    """The candidates that may verify or judge: the two ablest (the ablest shouldn't verify itself), the cheapest of those at
    least half as able, and the requested one. Best first; independent of the dial."""
    tuning = policy.tuning
    pool = sorted(_judge_sort_key(score, by_id[score.candidate], features, tuning) for score in scores)
    if not pool:
        return []
    least = -pool[0][0] / 2
    cheapest = min((entry for entry in pool if -entry[0] >= least), key=lambda entry: (entry[1], entry[0], entry[2]))
    chosen = pool[:2] if cheapest in pool[:2] else [*pool[:2], cheapest]
    chosen += [entry for entry in pool if entry[2] == features.wishes.judge and entry not in chosen]
    return [_judge_candidate(entry, by_id[entry[2]], snapshot, tuning) for entry in chosen]


def _judge_sort_key(score: Score, candidate: Candidate, features: Features, tuning: Tuning) -> tuple[float, float, str]:
    """(-quality, USD of a verdict, id): sorts the ablest first, then the cheaper."""
    price = cost.price_of(candidate, tuning)
    percentile = candidate.benchmarks.verification
    if percentile is None:
        percentile = candidate.benchmarks.general
    usd = (score.input_tokens + features.output_tokens) * price.input + tuning.verdict_tokens * price.output
    return -scoring.success_probability(percentile, features.difficulty, tuning), usd * cost.PER_MTOK, candidate.id


def _judge_candidate(
    entry: tuple[float, float, str], candidate: Candidate, snapshot: Snapshot, tuning: Tuning
) -> JudgeCandidate:
    measured = snapshot.health_of(candidate.id)
    seconds = health.ttft_s(candidate, measured) + tuning.verdict_tokens / health.throughput(candidate, measured)
    return JudgeCandidate(candidate=candidate.id, quality=-entry[0], usd=entry[1], seconds=seconds)


def best_verify_plan(
    scores: Sequence[Score],
    judges: Sequence[JudgeCandidate],
    features: Features,
    policy: Policy,
    may: PlanFilter,
    verifier: str | None = None,
) -> Plan | None:
    """The best single-plus-verifier plan over all primaries, verifiers, and second answers (by the primary or a better one);
    a primary verifies itself only if no other candidate can. `verifier`: the requested one."""
    usd_weight = policy.usd_weight()
    able = sorted(scores, key=lambda s: (s.success, s.expected_usd, s.candidate))
    best: tuple[PlanEstimate, Score, JudgeCandidate, Score | None] | None = None
    for score in scores:
        better = _next_better(score, able, policy)
        for judge in _verifiers(score, judges, verifier):
            for second in (None, better) if better is not None else (None,):
                estimate = _estimate(score, judge, second, features, policy, usd_weight)
                if (best is None or estimate.rank < best[0].rank) and may(score.candidate, estimate.reserve_usd):
                    best = estimate, score, judge, second
    if best is None:
        return None
    estimate, lead, judge, second = best
    return build_plan(
        Strategy.VERIFY,
        lead,
        estimate,
        features,
        policy,
        calls=_calls(lead, judge, second, features, policy.tuning),
        verifier=judge.candidate,
        escalation=second.candidate if second is not None else None,
    )


def _verifiers(score: Score, judges: Sequence[JudgeCandidate], requested: str | None) -> Sequence[JudgeCandidate]:
    if requested is not None:
        return [judge for judge in judges if judge.candidate == requested] or judges
    return [judge for judge in judges if judge.candidate != score.candidate] or judges


def _next_better(score: Score, able: Sequence[Score], policy: Policy) -> Score | None:
    """The least able of those that are abler by the margin. Independent of the dial."""
    if not policy.fusion.escalate:
        return None
    least = score.success + policy.tuning.escalation_margin
    return next((other for other in able if other.success >= least), None)


def _rates(score: Score, judge: JudgeCandidate, tuning: Tuning) -> tuple[float, float, float]:
    """The verifier's quality, and the chances that it accepts a right draft and rejects a wrong one."""
    # A model that reviews its own draft shares its blind spots: half the quality, assumed.
    quality = judge.quality * (0.5 if judge.candidate == score.candidate else 1.0)
    return quality, 0.5 + (tuning.verifier_tpr - 0.5) * quality, 0.5 + (tuning.verifier_tnr - 0.5) * quality


def _estimate(
    score: Score, judge: JudgeCandidate, second: Score | None, features: Features, policy: Policy, usd_weight: float
) -> PlanEstimate:
    tuning = policy.tuning
    quality, accepts_right, rejects_wrong = _rates(score, judge, tuning)
    fix = tuning.fix_rate * quality if second is None else tuning.escalated_share * second.success
    p = score.success
    p_verified = p - p * (1 - accepts_right) * tuning.spoil_rate + (1 - p) * rejects_wrong * fix
    p_rejected = p * (1 - accepts_right) + (1 - p) * rejects_wrong
    again_usd = score.step_usd - score.warmup_usd if second is None else second.step_usd
    again_s = score.seconds if second is None else second.seconds
    share = review_probability(features)
    extra_usd = share * (judge.usd + p_rejected * again_usd)
    # A reviewed draft is held back until it is complete, so the client waits for it without seeing text.
    seconds = score.seconds + share * (score.seconds + judge.seconds + p_rejected * again_s)
    silent_s = share * (score.seconds + judge.seconds)
    # The reservation covers a rejected draft: the expected cost would be too little half of the time.
    reserve_usd = (score.step_usd + judge.usd + again_usd) * (1.0 + features.input_error)
    p_reviewed = p + share * (p_verified - p)
    return estimate_plan(
        score, features, p_reviewed, extra_usd, seconds, silent_s, policy, usd_weight, reserve_usd=reserve_usd
    )


def _calls(
    lead: Score, judge: JudgeCandidate, second: Score | None, features: Features, tuning: Tuning
) -> tuple[PlannedCall, ...]:
    """The most calls it makes: draft, verdict, and the second answer if the draft is rejected."""
    draft_tokens = features.output_tokens
    again = second if second is not None else lead
    again_usd = lead.step_usd - lead.warmup_usd if second is None else second.step_usd
    return (
        PlannedCall(
            group=0,
            phase="draft",
            candidate=lead.candidate,
            input_tokens=lead.input_tokens,
            output_tokens=lead.output_tokens,
            usd=lead.step_usd,
            seconds=lead.seconds,
        ),
        PlannedCall(
            group=1,
            phase="verdict",
            candidate=judge.candidate,
            input_tokens=lead.input_tokens + draft_tokens,
            output_tokens=tuning.verdict_tokens,
            usd=judge.usd,
            seconds=judge.seconds,
        ),
        PlannedCall(
            group=2,
            phase="revision" if second is None else "escalation",
            candidate=again.candidate,
            input_tokens=again.input_tokens + draft_tokens,
            output_tokens=again.output_tokens,
            usd=again_usd,
            seconds=again.seconds,
        ),
    )
