"""A panel: members answer at the same time, and their answers become one. Its calls, its cost and its chance of success.

    P    = P of the best member + gain * (1 - P)        gain 0 where members bring no different evidence
    USD  = sum over the calls, each fed with the texts that are handed on to it
    time = sum over the groups, of each the slowest call

With tools nothing is merged: members propose, one proposal is picked as it is. So only `members + a ranking` is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autorouter.core.decision import cost
from autorouter.core.decision.eligibility import MIN_OUTPUT_TOKENS
from autorouter.core.decision.plans import (
    JudgeCandidate,
    PanelTrigger,
    Plan,
    PlanFilter,
    PlannedCall,
    build_plan,
    estimate_plan,
    review_probability,
)
from autorouter.core.decision.scoring import Score
from autorouter.core.panels import MAX_MEMBERS, Panel
from autorouter.core.policy import Policy, Tuning
from autorouter.core.signals.features import Features
from autorouter.core.types import Candidate, Role, Strategy

ABLE_SHARE = 0.75
"""A cheap panel is picked among candidates with at least this share of the ablest one's chance of success, and who leads
leaves the judging to another with at least this share of the ablest judge's."""


STREAMED_PHASES = ("synthesis", "refinement", "step")
"""Phases whose text is streamed to the client when they come last."""


@dataclass(frozen=True, slots=True)
class PanelPlan:
    """A panel with a candidate in every role: the lead, the members, the judge and the synthesizer."""

    panel: Panel
    lead: Score
    members: Sequence[Score]
    judge: Score
    synthesizer: Score
    features: Features
    tuning: Tuning
    by_id: Mapping[str, Candidate]

    def calls(self) -> list[PlannedCall]:
        """All calls of the plan at the most, in groups that run at the same time."""
        panel, members = self.panel, self.members
        found = [self.call(0, "member", score, 0) for score in members]
        if self.features.tools:
            return [*found, self.verdict(1, "ranking", len(members))]
        match panel.way:
            case "judge" | "self":
                found += self._judged(1, len(members))
            case "ranked":
                found += [self.verdict(1, "ranking", len(members)), self.verdict(1, "ranking", len(members))]
            case "vote":
                found.append(self.verdict(1, "ranking", len(members)))
            case "debate":
                for turn in range(1, panel.rounds + 1):
                    found += [self.call(turn, "debate", score, len(members)) for score in members]
                found += self._judged(panel.rounds + 1, len(members))
            case "layers":
                for turn in range(1, panel.rounds + 1):
                    found += [self.call(turn, "layer", score, len(members)) for score in members]
                found.append(self.call(panel.rounds + 1, "synthesis", self.synthesizer, len(members)))
            case "refine":
                found = [self.call(0, "draft", self.lead, 0)]
                found += [self.call(turn, "refinement", self.lead, 1) for turn in range(1, panel.rounds + 1)]
            case "pipeline":
                found = [self.call(n, "step", members[n], n) for n in range(len(panel.steps))]
        return found

    def _judged(self, group: int, texts: int) -> list[PlannedCall]:
        return [self.verdict(group, "judgement", texts), self.call(group + 1, "synthesis", self.synthesizer, texts)]

    def call(self, group: int, phase: str, score: Score, texts: int) -> PlannedCall:
        """An answer by `score`, with so many texts of others fed to it."""
        fed = texts * self.features.output_tokens
        price = cost.price_of(self.by_id[score.candidate], self.tuning)
        usd = score.step_usd + fed * price.input * cost.PER_MTOK
        tokens = score.input_tokens + fed
        return PlannedCall(group, phase, score.candidate, tokens, score.output_tokens, usd, score.seconds)

    def verdict(self, group: int, phase: str, texts: int) -> PlannedCall:
        """A short word of the judge's about so many texts."""
        tuning, judge = self.tuning, self.judge
        out = tuning.judgement_tokens if phase == "judgement" else tuning.verdict_tokens
        tokens = judge.input_tokens + texts * self.features.output_tokens
        price = cost.price_of(self.by_id[judge.candidate], tuning)
        usd = (tokens * price.input + out * price.output) * cost.PER_MTOK
        seconds = judge.seconds * out / max(out, judge.output_tokens)
        return PlannedCall(group, phase, judge.candidate, tokens, out, usd, seconds)


def fill_panel(
    scores: Sequence[Score],
    judges: Sequence[JudgeCandidate],
    features: Features,
    policy: Policy,
    by_id: Mapping[str, Candidate],
    may: PlanFilter,
    panel: Panel,
) -> PanelPlan | None:
    """The panel with a candidate in every role, led by the ablest one that may lead; None if nobody may lead or judge."""
    able = sorted(scores, key=lambda s: (-s.success, s.expected_usd, s.candidate))
    lead = next((s for s in able if may(s.candidate, 0.0)), None)
    if lead is None or not judges:
        return None
    scored = {s.candidate: s for s in scores}
    members = _members(panel, lead, able, scored, by_id, policy.tuning)
    if lead not in members:
        lead = next((s for s in able if s in members and may(s.candidate, 0.0)), members[0])
    fed_tokens = len(members) * features.output_tokens
    judge = _if_it_fits(scored.get(panel.judge or ""), fed_tokens, by_id)
    judge = judge or _select_judge(panel, lead, judges, scored, fed_tokens, by_id)
    synthesizer = _if_it_fits(scored.get(panel.synthesizer or ""), fed_tokens, by_id) or lead
    return PanelPlan(panel, lead, members, judge, synthesizer, features, policy.tuning, by_id)


def best_panel_plan(
    scores: Sequence[Score],
    judges: Sequence[JudgeCandidate],
    features: Features,
    policy: Policy,
    by_id: Mapping[str, Candidate],
    may: PlanFilter,
    panel: Panel,
) -> Plan | None:
    """The plan of a panel; None if it can't be filled, needs too many calls, or may not be chosen."""
    filled = fill_panel(scores, judges, features, policy, by_id, may, panel)
    if filled is None:
        return None
    calls = filled.calls()
    if len(calls) > policy.fusion.max_calls:
        return None
    lead, synthesizer = filled.lead, filled.synthesizer
    trigger = panel_trigger(features)
    share = review_probability(features) if trigger == "draft" else 1.0
    p = lead.success + share * (_success(filled) - lead.success)
    extra_usd = max(0.0, sum(call.usd for call in calls) - lead.step_usd)
    seconds = lead.seconds + share * (_seconds(calls) - lead.seconds)
    # Text reaches the client only from the last call, and from none if a member's answer is released as it is.
    silent_s = max(0.0, seconds - (synthesizer.seconds if calls[-1].phase in STREAMED_PHASES else 0.0))
    # The reservation covers the whole panel, whether it will join or not.
    reserve_usd = (lead.step_usd + extra_usd) * (1.0 + features.input_error)
    if not may(lead.candidate, reserve_usd):
        return None
    estimate = estimate_plan(
        lead, features, p, share * extra_usd, seconds, silent_s, policy, policy.usd_weight(), reserve_usd=reserve_usd
    )
    return build_plan(
        Strategy.FUSION,
        lead,
        estimate,
        features,
        policy,
        calls=calls,
        panel=panel,
        members=tuple(s.candidate for s in filled.members),
        judge=filled.judge.candidate,
        synthesizer=synthesizer.candidate,
        panel_trigger=trigger,
    )


def panel_trigger(features: Features) -> PanelTrigger:
    """A panel works where decisions are made: at the first step of a turn, and after failed runs. At every other step of a
    tool loop one model drafts, and the panel joins if that turns out to be a final answer or a risky call."""
    if not features.tools or features.phase == "first":
        return "now"
    return "now" if features.evidence.last_run == "red" or features.evidence.is_corroborated() else "draft"


def _members(
    panel: Panel,
    lead: Score,
    able: Sequence[Score],
    scored: Mapping[str, Score],
    by_id: Mapping[str, Candidate],
    tuning: Tuning,
) -> list[Score]:
    """Who answers; at least one. Members that can't serve this request are left out."""
    if panel.way in ("self", "refine"):
        lead = next((scored[name] for name in panel.models if name in scored), lead)
    if panel.way == "self":
        return [lead] * max(1, min(panel.samples, MAX_MEMBERS))
    if panel.way == "refine":
        return [lead]
    if panel.way == "pipeline" and panel.steps:
        return [scored.get(step.candidate or "", lead) for step in panel.steps]
    if panel.models:
        return [scored[name] for name in panel.models[:MAX_MEMBERS] if name in scored] or [lead]
    size = panel.size or tuning.panel_size
    pool = list(able)
    if panel.pick == "coders":
        coders = [s for s in able if Role.CODER in by_id[s.candidate].roles or s is lead]
        # One alone is no panel: where nobody is configured as a coder, the ablest are.
        pool = coders if len(coders) > 1 else pool
    elif panel.pick == "cheapest":
        least = able[0].success * ABLE_SHARE
        enough = [s for s in able if s.success >= least]
        pool = sorted(enough, key=lambda s: (s.expected_usd, s.candidate))
        lead = lead if lead in pool[:size] else pool[0]
    return _diverse(lead, pool, by_id, size)


def _diverse(lead: Score, pool: Sequence[Score], by_id: Mapping[str, Candidate], size: int) -> list[Score]:
    """The lead, then the first of other vendors, then whoever is first."""
    panel, vendors = [lead], {by_id[lead.candidate].vendor}
    for s in pool:
        if len(panel) < size and by_id[s.candidate].vendor not in vendors:
            panel.append(s)
            vendors.add(by_id[s.candidate].vendor)
    return panel + [s for s in pool if s not in panel][: size - len(panel)]


def _select_judge(
    panel: Panel,
    lead: Score,
    judges: Sequence[JudgeCandidate],
    scored: Mapping[str, Score],
    fed_tokens: float,
    by_id: Mapping[str, Candidate],
) -> Score:
    """Who judges where nobody is named: the ablest that isn't the lead and can hold the answers. One model in every role is
    a legitimate panel; else whoever leads doesn't judge itself where another is able to."""
    if panel.way == "self":
        return lead
    fitting = [j for j in judges if _if_it_fits(scored[j.candidate], fed_tokens, by_id)] or judges
    least = fitting[0].quality * ABLE_SHARE
    others = [j for j in fitting if j.candidate != lead.candidate and j.quality >= least] or fitting
    if panel.pick == "cheapest":
        return scored[min(others, key=lambda j: (j.usd, j.candidate)).candidate]
    return scored[others[0].candidate]


def _if_it_fits(score: Score | None, fed_tokens: float, by_id: Mapping[str, Candidate]) -> Score | None:
    """The candidate, if its window holds the conversation with so much of others' texts behind it."""
    if score is None:
        return None
    needed = score.input_tokens + fed_tokens + MIN_OUTPUT_TOKENS
    return score if needed <= by_id[score.candidate].context_tokens else None


def _success(plan: PanelPlan) -> float:
    """A panel's gain where members may differ in what they see; else it is as good as its best member."""
    tuning, members = plan.tuning, plan.members
    best = max(s.success for s in members)
    differ = len({s.candidate for s in members}) > 1 and plan.features.kind in tuning.panel_kinds
    return best + (tuning.panel_gain if differ else 0.0) * (1.0 - best)


def _seconds(calls: Sequence[PlannedCall]) -> float:
    slowest: dict[int, float] = {}
    for call in calls:
        slowest[call.group] = max(slowest.get(call.group, 0.0), call.seconds)
    return sum(slowest.values())
