"""Whether the session may leave its incumbent. The gate doesn't know the dial, so that turning it stays monotone.

forced    the incumbent is down, too small, lacks a capability, or isn't configured any more
cost      the candidate is cheaper a step, and the switch pays back `switch_margin` times over the expected steps
quality   the candidate gains `switch_points` of success, and the human just spoke or tools have shown trouble
stay      otherwise
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autorouter.core import economics
from autorouter.core.economics import BreakEven
from autorouter.core.features import Features
from autorouter.core.policy import Tuning
from autorouter.core.scoring import Score

Verdict = Literal["first", "same", "forced", "cost", "quality", "stay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The verdict on going from the incumbent to a candidate, with the arithmetic where there is one."""

    verdict: Verdict
    reason: str
    candidate: str
    incumbent: str | None = None
    break_even: BreakEven | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict != "stay"


def gate(scores: Sequence[Score], incumbent: str | None, features: Features, tuning: Tuning) -> Mapping[str, Switch]:
    """A verdict for every scored candidate, by id."""
    if incumbent is None or features.phase == "housekeeping":
        why = (
            "housekeeping never moves the pin" if features.phase == "housekeeping" else "nobody served this session yet"
        )
        return {s.candidate: Switch(verdict="first", reason=why, candidate=s.candidate) for s in scores}
    holder = next((s for s in scores if s.candidate == incumbent), None)
    if holder is None:
        why = f"the incumbent {incumbent} can't serve this step"
        return {
            s.candidate: Switch(verdict="forced", reason=why, candidate=s.candidate, incumbent=incumbent)
            for s in scores
        }
    return {s.candidate: _judge(holder, s, features, tuning) for s in scores}


def _judge(holder: Score, other: Score, features: Features, tuning: Tuning) -> Switch:
    if other is holder:
        return Switch(verdict="same", reason="the incumbent", candidate=other.candidate, incumbent=holder.candidate)
    arithmetic = economics.break_even(
        (holder.candidate, holder.step_usd - holder.warmup_usd, holder.warmup_usd),
        (other.candidate, other.step_usd - other.warmup_usd, other.warmup_usd),
        features.expected_steps,
    )
    verdict, reason = _verdict(holder, other, arithmetic, features, tuning)
    return Switch(
        verdict=verdict,
        reason=reason,
        candidate=other.candidate,
        incumbent=holder.candidate,
        break_even=arithmetic,
    )


def _verdict(
    holder: Score, other: Score, arithmetic: BreakEven, features: Features, tuning: Tuning
) -> tuple[Verdict, str]:
    expected = arithmetic.expected_steps
    if arithmetic.steps is not None and expected > arithmetic.steps * tuning.switch_margin:
        return "cost", f"pays back after {arithmetic.steps:.1f} steps, {expected:.1f} expected"
    gain = 100.0 * features.stakes * (other.success - holder.success)
    if gain >= tuning.switch_points:
        if features.phase == "first":
            return "quality", f"gains {gain:.1f} points on what the human asks now"
        if features.evidence.corroborated():
            return "quality", f"gains {gain:.1f} points; " + ", ".join(features.evidence.signals)
    if arithmetic.steps is None:
        return "stay", f"dearer a step, and gains {gain:.1f} points without evidence that it is needed"
    return "stay", f"pays back after {arithmetic.steps:.1f} steps, only {expected:.1f} expected"
