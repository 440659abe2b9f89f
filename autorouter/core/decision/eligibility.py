"""Hard filters: each candidate is kept, or rejected with every reason that holds. Price and safety fail closed.

A pin never helps here: health, capabilities and windows are checked for the incumbent as for anyone else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from autorouter.core.policy import Budget, CandidateLimits, Policy
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.features import Features
from autorouter.core.state.health import Health, availability, cooldown_left_s, probe_left_s
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import SKILL_BY_KIND, Candidate, Capability, Role


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that can't serve this request now."""

    candidate: str
    reasons: tuple[Reason, ...]


MIN_OUTPUT_TOKENS = 256.0
"""Room that an answer needs when the client names none."""


def filter_candidates(
    features: Features, snapshot: Snapshot, policy: Policy, role: Role | None
) -> tuple[tuple[Candidate, ...], tuple[Rejection, ...]]:
    """Split the candidates into those who may serve and those who may not. Order is kept."""
    kept: list[Candidate] = []
    rejected: list[Rejection] = []
    for candidate in snapshot.candidates:
        reasons = _reasons(candidate, features, snapshot, policy, role)
        if reasons:
            rejected.append(Rejection(candidate.id, tuple(reasons)))
        else:
            kept.append(candidate)
    return tuple(kept), tuple(rejected)


def _reasons(
    candidate: Candidate, features: Features, snapshot: Snapshot, policy: Policy, role: Role | None
) -> list[Reason]:
    health = snapshot.health_of(candidate.id)
    reasons: list[Reason] = []
    if health.cooldown_until_s > snapshot.now_s or health.probe_until_s > snapshot.now_s:
        reasons += _cooldown(health, snapshot.now_s)
    if role is not None and role not in candidate.roles:
        reasons.append(Reason.of(ReasonCode.ROLE, role=role))
    # Reasoning effort is a wish, not a need: profiles drop it where a model has no such setting.
    missing = [n for n in features.needs if n not in candidate.capabilities and n is not Capability.REASONING]
    reasons += [Reason.of(ReasonCode.CAPABILITY, capability=need) for need in missing]
    reasons += _window(candidate, features, health)
    if policy.allow or policy.deny:
        reasons += _lists(candidate, policy.allow, policy.deny)
    reasons += _limits(candidate, features, health, policy)
    if candidate.price is None and policy.budget != NO_BUDGET:
        reasons.append(Reason.of(ReasonCode.PRICE, unknown_under_budget=True))
    return reasons


def _cooldown(health: Health, now_s: float) -> list[Reason]:
    failure, left_s = health.cooldown_reason or None, cooldown_left_s(health, now_s)
    if left_s:
        return [Reason.of(ReasonCode.COOLDOWN, failure=failure, left_s=left_s)]
    if probe_left_s(health, now_s):
        return [Reason.of(ReasonCode.COOLDOWN, failure=failure, left_s=None)]
    return []


def _window(candidate: Candidate, features: Features, health: Health) -> list[Reason]:
    tokens = features.input_tokens * (health.input_ratio or 1.0)
    room = float(features.max_output_tokens or MIN_OUTPUT_TOKENS)
    room = min(room, candidate.output_tokens)
    if tokens + room > candidate.context_tokens:
        window = candidate.context_tokens
        return [Reason.of(ReasonCode.WINDOW, needed_tokens=tokens + room, window_tokens=window)]
    return []


def _lists(candidate: Candidate, allow: Sequence[str], deny: Sequence[str]) -> list[Reason]:
    names = (candidate.id, candidate.model, candidate.vendor)
    for glob in deny:
        if any(fnmatchcase(name, glob) for name in names):
            return [Reason.of(ReasonCode.POLICY, denied_by=glob)]
    if allow and not any(fnmatchcase(name, glob) for name in names for glob in allow):
        return [Reason.of(ReasonCode.POLICY, denied_by=None)]
    return []


def _limits(candidate: Candidate, features: Features, health: Health, policy: Policy) -> list[Reason]:
    limits = policy.limits
    if limits == NO_LIMITS:
        return []
    reasons: list[Reason] = []
    if limits.local_only and not candidate.local:
        reasons.append(Reason.of(ReasonCode.RESIDENCY))
    price = candidate.price
    for name, cap, value in (
        ("input", limits.max_input_usd_per_mtok, price.input if price else None),
        ("output", limits.max_output_usd_per_mtok, price.output if price else None),
    ):
        if cap is not None and (value is None or value > cap):
            reasons.append(Reason.of(ReasonCode.PRICE, tokens=name, usd_per_mtok=value, cap_usd_per_mtok=cap))
    if limits.min_availability is not None:
        up = availability(candidate, health, policy.tuning)
        if up < limits.min_availability:
            reasons.append(Reason.of(ReasonCode.AVAILABILITY, availability=up, floor=limits.min_availability))
    if limits.min_benchmark is not None:
        percentile = getattr(candidate.benchmarks, SKILL_BY_KIND[features.kind])
        if percentile is None or percentile < limits.min_benchmark:
            reasons.append(Reason.of(ReasonCode.BENCHMARK, percentile=percentile, floor=limits.min_benchmark))
    return reasons


NO_LIMITS = CandidateLimits()
NO_BUDGET = Budget()
