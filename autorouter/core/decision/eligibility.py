"""Hard filters: each candidate is kept, or rejected with every reason that holds. Price and safety fail closed.

A pin never helps here: health, capabilities and windows are checked for the incumbent as for anyone else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from autorouter.core.policy import Budget, CandidateLimits, Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.health import Health, availability, cooldown_left_s, probe_left_s
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import SKILL_BY_KIND, Candidate, Capability, Role

RejectionCode = Literal[
    "cooldown",
    "capability",
    "window",
    "output",
    "price",
    "availability",
    "benchmark",
    "policy",
    "residency",
    "role",
]


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """Why a candidate can't serve: a code for machines, a text with the figures for people."""

    code: RejectionCode
    text: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that can't serve this request now."""

    candidate: str
    reasons: tuple[RejectionReason, ...]


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
) -> list[RejectionReason]:
    health = snapshot.health_of(candidate.id)
    reasons: list[RejectionReason] = []
    if health.cooldown_until_s > snapshot.now_s or health.probe_until_s > snapshot.now_s:
        reasons += _cooldown(health, snapshot.now_s)
    if role is not None and role not in candidate.roles:
        reasons.append(RejectionReason("role", f"not configured as {role}"))
    # Reasoning effort is a wish, not a need: profiles drop it where a model has no such setting.
    missing = [n for n in features.needs if n not in candidate.capabilities and n is not Capability.REASONING]
    reasons += [RejectionReason("capability", f"has no {need}") for need in missing]
    reasons += _window(candidate, features, health)
    if policy.allow or policy.deny:
        reasons += _lists(candidate, policy.allow, policy.deny)
    reasons += _limits(candidate, features, health, policy)
    if candidate.price is None and policy.budget != NO_BUDGET:
        reasons.append(RejectionReason("price", "its price is unknown, and a budget is set"))
    return reasons


def _cooldown(health: Health, now_s: float) -> list[RejectionReason]:
    why, left_s = health.cooldown_reason or "a failure", cooldown_left_s(health, now_s)
    if left_s:
        return [RejectionReason("cooldown", f"cooling down for {left_s:.1f} s more after {why}")]
    if probe_left_s(health, now_s):
        return [RejectionReason("cooldown", f"another request finds out whether it is back after {why}")]
    return []


def _window(candidate: Candidate, features: Features, health: Health) -> list[RejectionReason]:
    tokens = features.input_tokens * (health.input_ratio or 1.0)
    room = float(features.max_output_tokens or MIN_OUTPUT_TOKENS)
    room = min(room, candidate.output_tokens)
    if tokens + room > candidate.context_tokens:
        text = f"needs {tokens + room:,.0f} tokens (input estimate and output), its window has {candidate.context_tokens:,}"
        return [RejectionReason("window", text)]
    return []


def _lists(candidate: Candidate, allow: Sequence[str], deny: Sequence[str]) -> list[RejectionReason]:
    names = (candidate.id, candidate.model, candidate.vendor)
    for glob in deny:
        if any(fnmatchcase(name, glob) for name in names):
            return [RejectionReason("policy", f"denied by `{glob}`")]
    if allow and not any(fnmatchcase(name, glob) for name in names for glob in allow):
        return [RejectionReason("policy", "not on the allow list")]
    return []


def _limits(candidate: Candidate, features: Features, health: Health, policy: Policy) -> list[RejectionReason]:
    limits = policy.limits
    if limits == NO_LIMITS:
        return []
    reasons: list[RejectionReason] = []
    if limits.local_only and not candidate.local:
        reasons.append(RejectionReason("residency", "not local, and only local candidates may see this request"))
    price = candidate.price
    for name, cap, value in (
        ("input", limits.max_input_usd_per_mtok, price.input if price else None),
        ("output", limits.max_output_usd_per_mtok, price.output if price else None),
    ):
        if cap is not None and (value is None or value > cap):
            shown = "an unknown price" if value is None else f"${value:g} per Mtok"
            reasons.append(RejectionReason("price", f"{name} costs {shown}, the cap is ${cap:g}"))
    if limits.min_availability is not None:
        up = availability(candidate, health, policy.tuning)
        if up < limits.min_availability:
            reasons.append(
                RejectionReason("availability", f"{up:.3f} is below the floor of {limits.min_availability:g}")
            )
    if limits.min_benchmark is not None:
        percentile = getattr(candidate.benchmarks, SKILL_BY_KIND[features.kind])
        if percentile is None or percentile < limits.min_benchmark:
            shown = "unknown" if percentile is None else f"{percentile:g}"
            reasons.append(
                RejectionReason("benchmark", f"percentile {shown} is below the floor of {limits.min_benchmark:g}")
            )
    return reasons


NO_LIMITS = CandidateLimits()
NO_BUDGET = Budget()
