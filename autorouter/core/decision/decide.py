"""`decide(features, snapshot, policy) -> Decision`: the one entrance of the core.

Preview, execution, replay and benches call this function, so that a preview can't differ from what runs. It has no I/O,
no clock and no randomness; all that it reads goes onto the receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
from autorouter.core.signals.features import Features
from autorouter.core.state.session import current_incumbent
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import NO_OVERRIDES, Candidate, Role, Strategy

UNBOUNDED = 1_000_000
"""More calls than any panel makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRefusal:
    """Nothing can serve the request: why, in the words of the error that the client gets."""

    code: Literal["context_length_exceeded", "budget_exceeded", "no_eligible_model"]
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done and why. `plan` is carried out; `preferred` is the plan of highest utility where that one can't be
    (and `notes` say why). `scores` are best first; `plans` the best of each strategy. `fallbacks` in order."""

    label: str
    dial: float
    usd_weight: float
    plan: Plan | None
    preferred: Plan | None
    fallbacks: tuple[str, ...]
    switch: Switch | None
    scores: tuple[Score, ...]
    rejections: tuple[Rejection, ...]
    plans: tuple[Plan, ...]
    allowance: Allowance | None
    notes: tuple[str, ...]
    refusal: RoutingRefusal | None = None

    @property
    def candidate(self) -> str | None:
        """Who answers (the primary of the plan)."""
        return self.plan.primary if self.plan else None


def decide(features: Features, snapshot: Snapshot, policy: Policy) -> Decision:
    """Choose. Raises UnknownModel for a label that isn't known; everything else is part of the decision."""
    by_id = {candidate.id: candidate for candidate in snapshot.candidates}
    label = labels.parse(features.label, by_id, panels.panel_names(policy.panels))
    policy = labels.apply_profile(label, policy)
    if features.wishes != NO_OVERRIDES:
        overrides.check_overrides(features.wishes, policy, by_id)
        policy = overrides.apply_overrides(features.wishes, policy)
    notes = [f"rule: {fired.reason} (matched {fired.matched})" for fired in features.fired]
    wanted = _wanted(label, features, policy, by_id, notes)
    kept, rejections = filter_candidates(features, snapshot, policy, wanted.role)
    if not kept:
        kept, rejections = _probe(rejections, by_id, snapshot, notes)
    scores = scoring.rank(kept, features, snapshot, policy)
    if not scores:
        return _refused(features, policy, rejections, notes, _refusal(rejections, snapshot, features), None)
    return _choose(_Pool(scores, rejections, by_id, wanted), features, snapshot, policy, notes)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the label and the rules ask for; a label goes before a rule."""

    candidate: str | None
    role: Role | None
    strategy: Strategy | None
    panel: Panel


@dataclass(frozen=True, slots=True)
class _Pool:
    scores: tuple[Score, ...]
    rejections: tuple[Rejection, ...]
    by_id: Mapping[str, Candidate]
    wanted: _Wanted


def _wanted(
    label: Label, features: Features, policy: Policy, by_id: Mapping[str, Candidate], notes: list[str]
) -> _Wanted:
    wished = features.wishes
    panel = overrides.resolve_panel(wished, label.panel, policy)
    candidate, role, forced = label.candidate, label.role, wished.strategy or label.strategy
    if features.phase == "housekeeping" and wished.strategy is None and label.strategy is not None:
        notes.append(
            f"a title or a commit message needs no {label.strategy}: the best single model that is cheap does it"
        )
        forced = Strategy.SINGLE
    if forced is None and (wished.panel or wished.models):
        forced = Strategy.FUSION
    if label.role is not None and forced is None:
        # Who asks for a role by name wants that one model, and not another's time and money besides.
        forced = Strategy.SINGLE
    if label.candidate is None and label.role is None:
        for fired in features.fired:
            candidate = candidate or fired.candidate
            role = role or fired.role
            forced = forced or fired.strategy
    if candidate is not None:
        return _Wanted(candidate, None, Strategy.SINGLE, panel)
    if role is not None and not any(role in c.roles for c in by_id.values()):
        notes.append(f"no candidate is configured as {role}: the whole pool was considered")
        role = None
    return _Wanted(None, role, forced, panel)


def _probe(
    rejections: Sequence[Rejection], by_id: Mapping[str, Candidate], snapshot: Snapshot, notes: list[str]
) -> tuple[tuple[Candidate, ...], tuple[Rejection, ...]]:
    """Half-open probe: where a cooldown of our own is all that stands against every capable candidate, the one whose
    cooldown ends first is tried. A cooldown that the provider asked for is kept."""
    cooling = [
        r.candidate
        for r in rejections
        if all(reason.code == "cooldown" for reason in r.reasons) and not snapshot.health_of(r.candidate).asked
    ]
    if not cooling:
        return (), tuple(rejections)
    first = min(cooling, key=lambda c: (snapshot.health_of(c).cooldown_until_s, c))
    notes.append(f"every capable candidate is cooling down: {first} is tried, its cooldown ends first")
    return (by_id[first],), tuple(r for r in rejections if r.candidate != first)


def _choose(pool: _Pool, features: Features, snapshot: Snapshot, policy: Policy, notes: list[str]) -> Decision:
    pin = current_incumbent(snapshot.session, snapshot.now_s, policy.session_ttl_s)
    gate = stickiness.switch_gate(pool.scores, pin, features, policy.tuning)
    asked = pool.wanted.candidate
    allowed = {s.candidate for s in pool.scores if s.candidate == asked or gate.allows(s)}
    cap = allowance(policy.budget, snapshot)
    judges = verify_plan.judge_candidates(pool.scores, features, snapshot, policy, pool.by_id)
    plans = _plans(pool, judges, features, policy, lambda name, _: name in allowed)
    fitting = plans
    if cap is not None:
        left_usd = cap.left_usd
        fitting = _plans(pool, judges, features, policy, lambda name, usd: name in allowed and usd <= left_usd)
        if not fitting:
            refusal = RoutingRefusal(code="budget_exceeded", message=_too_dear(pool.scores, features, cap))
            return _refused(features, policy, pool.rejections, notes, refusal, cap, pool.scores)
        notes += over_budget_note(plans, fitting, cap)
    preferred = _preferred(fitting, pool, features, cap, notes)
    wanted = pool.wanted
    if wanted.strategy is not None and preferred.strategy is not wanted.strategy:
        free = replace(policy, fusion=replace(policy.fusion, max_calls=UNBOUNDED))
        unbounded = panel_plan.best_panel_plan(
            pool.scores, judges, features, free, pool.by_id, lambda *_: True, wanted.panel
        )
        notes.append(missing_strategy_note(wanted.strategy, plans, cap, unbounded, policy))
    plan = _performed(preferred, fitting, snapshot, notes)
    notes += role_substitutions(plan, features.wishes.judge, pool.rejections)
    return Decision(
        label=features.label,
        dial=policy.dial,
        usd_weight=policy.usd_weight(),
        plan=plan,
        preferred=preferred,
        fallbacks=_fallbacks(plan, pool, features, cap, policy),
        switch=_switch(plan, pool, gate),
        scores=pool.scores,
        rejections=pool.rejections,
        plans=tuple(plans),
        allowance=cap,
        notes=tuple(notes),
    )


def _plans(
    pool: _Pool, judges: Sequence[JudgeCandidate], features: Features, policy: Policy, may: PlanFilter
) -> list[Plan]:
    """The best plan of each strategy among those that may be chosen, best first."""
    panel = pool.wanted.panel
    asked = features.wishes.judge
    found = (
        best_single_plan(pool.scores, features, may),
        verify_plan.best_verify_plan(pool.scores, judges, features, policy, may, asked)
        if policy.fusion.care != "off"
        else None,
        panel_plan.best_panel_plan(pool.scores, judges, features, policy, pool.by_id, may, panel),
    )
    return sorted((plan for plan in found if plan is not None), key=plan_sort_key)


def _preferred(
    fitting: Sequence[Plan], pool: _Pool, features: Features, cap: Allowance | None, notes: list[str]
) -> Plan:
    wanted = pool.wanted
    if wanted.candidate is not None:
        named = next((s for s in pool.scores if s.candidate == wanted.candidate), None)
        plan = single_plan(named, features) if named else None
        if plan is not None and (cap is None or plan.reserve_usd <= cap.left_usd):
            return plan
        notes.append(f"{wanted.candidate} was asked for and can't serve this step: the best of the others does")
    if wanted.strategy is not None:
        forced = next((p for p in fitting if p.strategy is wanted.strategy), None)
        if forced is not None:
            return forced
    return fitting[0]


def _performed(preferred: Plan, fitting: Sequence[Plan], snapshot: Snapshot, notes: list[str]) -> Plan:
    """The preferred plan, or the best one whose strategy can be carried out now."""
    if preferred.strategy in snapshot.performable:
        return preferred
    notes.append(f"{preferred.strategy} is the plan but can't be carried out yet: the best single model answers")
    return next((p for p in fitting if p.strategy in snapshot.performable), preferred)


def _fallbacks(plan: Plan, pool: _Pool, features: Features, cap: Allowance | None, policy: Policy) -> tuple[str, ...]:
    """Who is tried next, best first: any scored candidate within the budget, also one that the gate held back, for a
    candidate that failed is reason enough to leave it."""
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


def _too_dear(scores: Sequence[Score], features: Features, cap: Allowance) -> str:
    cheapest = min(scores, key=lambda s: s.step_usd)
    return (
        f"The budget doesn't allow this request: budget.{cap.cap} has ${max(0.0, cap.left_usd):.4f} left, and the cheapest "
        f"candidate ({cheapest.candidate}) may cost ${cheapest.step_usd * (1.0 + features.input_error):.4f}"
    )


def _refusal(rejections: Sequence[Rejection], snapshot: Snapshot, features: Features) -> RoutingRefusal:
    """Tell a prompt that is too long from candidates that are down, and both from the rest."""
    codes = [{reason.code for reason in r.reasons} for r in rejections]
    listed = "; ".join(f"{r.candidate}: {', '.join(reason.text for reason in r.reasons)}" for r in rejections)
    if codes and all("window" in c for c in codes):
        return RoutingRefusal(
            code="context_length_exceeded",
            message=f"This request is too long for every candidate (about {features.input_tokens:,.0f} tokens). {listed}",
        )
    waits = [
        snapshot.health_of(r.candidate).cooldown_until_s - snapshot.now_s
        for r, c in zip(rejections, codes, strict=True)
        if c == {"cooldown"}
    ]
    return RoutingRefusal(
        code="no_eligible_model",
        message=f"No candidate can serve this request. {listed}" if listed else "No candidate is configured",
        retry_after_s=max(1.0, min(waits)) if waits else None,
    )


def _refused(
    features: Features,
    policy: Policy,
    rejections: Sequence[Rejection],
    notes: Sequence[str],
    refusal: RoutingRefusal,
    cap: Allowance | None,
    scores: tuple[Score, ...] = (),
) -> Decision:
    return Decision(
        label=features.label,
        dial=policy.dial,
        usd_weight=policy.usd_weight(),
        plan=None,
        preferred=None,
        fallbacks=(),
        switch=None,
        scores=scores,
        rejections=tuple(rejections),
        plans=(),
        allowance=cap,
        notes=tuple(notes),
        refusal=refusal,
    )
