"""`decide(features, snapshot, policy) -> Decision`: the one entrance of the core.

Preview, execution, replay and benches call this function, so that a preview can't differ from what runs. It has no I/O,
no clock and no randomness; all that it reads goes onto the receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autorouter.core import labels, overrides, panels
from autorouter.core.decision import panel_plan, scoring, stickiness, verify_plan
from autorouter.core.decision.cost import Allowance, allowance
from autorouter.core.decision.eligibility import Rejection, filter_candidates
from autorouter.core.decision.notes import missing_strategy_note, over_budget_note, role_substitutions
from autorouter.core.decision.plans import (
    JudgeCandidate,
    Plan,
    PlanFilter,
    best_single_plan,
    plan_sort_key,
    single_plan,
)
from autorouter.core.decision.scoring import Score
from autorouter.core.decision.stickiness import Switch, SwitchGate
from autorouter.core.labels import Label
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.features import Features
from autorouter.core.signals.rules import RuleMatch
from autorouter.core.state.session import current_incumbent
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import NO_OVERRIDES, Candidate, Role, Strategy

DECISION_VERSION = 2
"""What receipts are re-decided by: `receipt verify` compares only decisions of this version, whatever the package's. Raise it
with every change that makes the same features, snapshot and policy lead to another decision record."""

Notes = tuple[Reason, ...]
"""For the receipt and the client: what was requested, or would be best, and isn't done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRefusal:
    """Nothing can serve the request. `retry_after_s`: when a candidate will be back, if all that could serve are cooling down."""

    reason: Reason
    retry_after_s: float | None = None

    @property
    def code(self) -> ReasonCode:
        return self.reason.code


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done and why. `plan` is carried out, None with a `refusal`. `scores` are best first; `plans` are the best of
    each strategy, best first; `fallbacks` are in the order they are tried."""

    label: str
    dial: float
    usd_weight: float
    plan: Plan | None
    fallbacks: tuple[str, ...]
    switch: Switch | None
    scores: tuple[Score, ...]
    rejections: tuple[Rejection, ...]
    plans: tuple[Plan, ...]
    allowance: Allowance | None
    notes: Notes
    refusal: RoutingRefusal | None = None

    @property
    def candidate(self) -> str | None:
        """The candidate that answers: the primary of the plan."""
        return self.plan.primary if self.plan else None


def decide(features: Features, snapshot: Snapshot, policy: Policy) -> Decision:
    """Choose. Raises UnknownModel for a label that isn't known; everything else is part of the decision."""
    by_id = {candidate.id: candidate for candidate in snapshot.candidates}
    label = labels.parse(features.label, by_id, panels.panel_names(policy.panels))
    policy = labels.apply_profile(label, policy)
    if features.wishes != NO_OVERRIDES:
        overrides.check_overrides(features.wishes, policy, by_id)
        policy = overrides.apply_overrides(features.wishes, policy)
    target, notes = _target(label, features, policy, by_id)
    eligible, rejections = filter_candidates(features, snapshot, policy, target.role)
    if not eligible:
        eligible, rejections, probe_notes = _half_open_probe(rejections, by_id, snapshot)
        notes += probe_notes
    scores = scoring.rank(eligible, features, snapshot, policy)
    if not scores:
        return _refused(_no_candidate(rejections, snapshot, features), features, policy, rejections, notes)
    judges = verify_plan.judge_candidates(scores, features, snapshot, policy, by_id)
    return _choose(_Pool(scores, rejections, by_id, judges, target), features, snapshot, policy, notes)


@dataclass(frozen=True, slots=True)
class _Target:
    """What the label, the overrides and the rules ask for; None where they leave the choice to the router."""

    candidate: str | None
    role: Role | None
    strategy: Strategy | None
    panel: Panel


@dataclass(frozen=True, slots=True)
class _Pool:
    scores: tuple[Score, ...]
    rejections: tuple[Rejection, ...]
    by_id: Mapping[str, Candidate]
    judges: Sequence[JudgeCandidate]
    target: _Target


def _target(label: Label, features: Features, policy: Policy, by_id: Mapping[str, Candidate]) -> tuple[_Target, Notes]:
    notes = [
        Reason.of(ReasonCode.RULE_MATCHED, reason=match.reason, condition=match.condition, matched=match.matched)
        for match in features.fired
    ]
    panel = overrides.resolve_panel(features.wishes, label.panel, policy)
    # A label that names a model or a role is more specific than any rule.
    rules = features.fired if label.candidate is None and label.role is None else ()
    strategy = _requested_strategy(label, features, rules)
    if label.strategy is not None and features.wishes.strategy is None and features.phase == "housekeeping":
        notes.append(Reason.of(ReasonCode.HOUSEKEEPING_IS_SINGLE, strategy=label.strategy))
    candidate = label.candidate or next((rule.candidate for rule in rules if rule.candidate), None)
    if candidate is not None:
        return _Target(candidate, None, Strategy.SINGLE, panel), tuple(notes)
    role = label.role or next((rule.role for rule in rules if rule.role), None)
    if role is not None and not any(role in c.roles for c in by_id.values()):
        notes.append(Reason.of(ReasonCode.ROLE_NOT_CONFIGURED, role=role))
        role = None
    return _Target(None, role, strategy, panel), tuple(notes)


def _requested_strategy(label: Label, features: Features, rules: Sequence[RuleMatch]) -> Strategy | None:
    """The strategy that is forced on the decision, by precedence; None: the plan of the highest utility wins."""
    requested = features.wishes
    housekeeping = features.phase == "housekeeping"
    precedence = (
        requested.strategy,
        Strategy.SINGLE if label.strategy is not None and housekeeping else None,
        label.strategy,
        Strategy.FUSION if requested.panel or requested.models else None,
        # A role label asks for that one model, and not for another's time and money.
        Strategy.SINGLE if label.role is not None else None,
        *(rule.strategy for rule in rules),
    )
    return next((strategy for strategy in precedence if strategy is not None), None)


def _half_open_probe(
    rejections: Sequence[Rejection], by_id: Mapping[str, Candidate], snapshot: Snapshot
) -> tuple[tuple[Candidate, ...], tuple[Rejection, ...], Notes]:
    """Half-open probe: if every capable candidate is rejected only for a cooldown of our own, the one whose cooldown ends
    first is tried. A cooldown that the provider asked for is kept."""
    cooling = [
        r.candidate
        for r in rejections
        if all(reason.code is ReasonCode.COOLDOWN for reason in r.reasons) and not snapshot.health_of(r.candidate).asked
    ]
    if not cooling:
        return (), tuple(rejections), ()
    first = min(cooling, key=lambda c: (snapshot.health_of(c).cooldown_until_s, c))
    note = Reason.of(ReasonCode.HALF_OPEN_PROBE, candidate=first)
    return (by_id[first],), tuple(r for r in rejections if r.candidate != first), (note,)


def _choose(pool: _Pool, features: Features, snapshot: Snapshot, policy: Policy, notes: Notes) -> Decision:
    incumbent = current_incumbent(snapshot.session, snapshot.now_s, policy.session_ttl_s)
    gate = stickiness.switch_gate(pool.scores, incumbent, features, policy.tuning)
    # A candidate that was asked for by name may always answer: the gate guards the router's own choices only.
    allowed = {s.candidate for s in pool.scores if s.candidate == pool.target.candidate or gate.allows(s)}
    cap = allowance(policy.budget, snapshot)
    plans = _best_plans(pool, features, policy, lambda name, _: name in allowed)
    affordable = plans
    if cap is not None:
        left_usd = cap.left_usd
        affordable = _best_plans(pool, features, policy, lambda name, usd: name in allowed and usd <= left_usd)
        if not affordable:
            refusal = RoutingRefusal(reason=_over_budget(pool.scores, features, cap))
            return _refused(refusal, features, policy, pool.rejections, notes, cap, pool.scores)
        notes += over_budget_note(plans, affordable, cap)
    plan, selection_notes = _select_plan(affordable, pool, features, cap)
    notes += selection_notes
    requested = pool.target.strategy
    if requested is not None and plan.strategy is not requested:
        panel = panel_plan.fill_panel(
            pool.scores, pool.judges, features, policy, pool.by_id, lambda *_: True, pool.target.panel
        )
        notes += (missing_strategy_note(requested, plans, cap, panel, policy),)
    notes += role_substitutions(plan, features.wishes.judge, pool.rejections)
    return Decision(
        label=features.label,
        dial=policy.dial,
        usd_weight=policy.usd_weight(),
        plan=plan,
        fallbacks=_fallbacks(plan, pool, features, cap, policy),
        switch=_switch(plan, pool, gate),
        scores=pool.scores,
        rejections=pool.rejections,
        plans=tuple(plans),
        allowance=cap,
        notes=notes,
    )


def _best_plans(pool: _Pool, features: Features, policy: Policy, may: PlanFilter) -> list[Plan]:
    """The best plan of each strategy among those that may be chosen, best first."""
    judge = features.wishes.judge
    candidates = (
        best_single_plan(pool.scores, features, may),
        verify_plan.best_verify_plan(pool.scores, pool.judges, features, policy, may, judge)
        if policy.fusion.care != "off"
        else None,
        panel_plan.best_panel_plan(pool.scores, pool.judges, features, policy, pool.by_id, may, pool.target.panel),
    )
    return sorted((plan for plan in candidates if plan is not None), key=plan_sort_key)


def _select_plan(
    affordable: Sequence[Plan], pool: _Pool, features: Features, cap: Allowance | None
) -> tuple[Plan, Notes]:
    """The requested candidate's plan, else the best plan of the requested strategy, else the best plan."""
    notes: Notes = ()
    target = pool.target
    if target.candidate is not None:
        score = next((s for s in pool.scores if s.candidate == target.candidate), None)
        plan = single_plan(score, features) if score else None
        if plan is not None and (cap is None or plan.reserve_usd <= cap.left_usd):
            return plan, ()
        notes = (Reason.of(ReasonCode.CANDIDATE_UNAVAILABLE, candidate=target.candidate),)
    matching = (plan for plan in affordable if plan.strategy is target.strategy)
    return next(matching, affordable[0]), notes


def _fallbacks(plan: Plan, pool: _Pool, features: Features, cap: Allowance | None, policy: Policy) -> tuple[str, ...]:
    """The candidates to try next, best first: any scored one within the budget, also one that the gate held back, because
    a failed candidate is reason enough to leave it."""
    reserve = 1.0 + features.input_error
    order = [
        s.candidate
        for s in pool.scores
        if s.candidate != plan.primary and (cap is None or s.step_usd * reserve <= cap.left_usd)
    ]
    return tuple(order[: policy.max_fallbacks])


def _switch(plan: Plan, pool: _Pool, gate: SwitchGate) -> Switch:
    """The verdict on the candidate that answers; where it is the incumbent, on the best one that was held back."""
    best = pool.scores[0]
    if best.candidate != plan.primary and gate.incumbent == plan.primary and not gate.allows(best):
        return gate.switch(best)
    return gate.switch(next(s for s in pool.scores if s.candidate == plan.primary))


def _over_budget(scores: Sequence[Score], features: Features, cap: Allowance) -> Reason:
    cheapest = min(scores, key=lambda s: s.step_usd)
    return Reason.of(
        ReasonCode.BUDGET_EXCEEDED,
        cap=cap.cap,
        left_usd=max(0.0, cap.left_usd),
        cheapest=cheapest.candidate,
        cost_usd=cheapest.step_usd * (1.0 + features.input_error),
    )


def _no_candidate(rejections: Sequence[Rejection], snapshot: Snapshot, features: Features) -> RoutingRefusal:
    """Tells a prompt that is too long from candidates that are down, and both from the rest."""
    codes = [{reason.code for reason in r.reasons} for r in rejections]
    if codes and all(ReasonCode.WINDOW in c for c in codes):
        return RoutingRefusal(reason=Reason.of(ReasonCode.CONTEXT_LENGTH_EXCEEDED, input_tokens=features.input_tokens))
    waits = [
        snapshot.health_of(r.candidate).cooldown_until_s - snapshot.now_s
        for r, c in zip(rejections, codes, strict=True)
        if c == {ReasonCode.COOLDOWN}
    ]
    return RoutingRefusal(
        reason=Reason.of(ReasonCode.NO_ELIGIBLE_MODEL, candidates=len(rejections)),
        retry_after_s=max(1.0, min(waits)) if waits else None,
    )


def _refused(
    refusal: RoutingRefusal,
    features: Features,
    policy: Policy,
    rejections: Sequence[Rejection],
    notes: Notes,
    cap: Allowance | None = None,
    scores: tuple[Score, ...] = (),
) -> Decision:
    return Decision(
        label=features.label,
        dial=policy.dial,
        usd_weight=policy.usd_weight(),
        plan=None,
        fallbacks=(),
        switch=None,
        scores=scores,
        rejections=tuple(rejections),
        plans=(),
        allowance=cap,
        notes=notes,
        refusal=refusal,
    )
