"""Whether the session may leave its incumbent. The gate doesn't know the dial, so that turning it stays monotone.

forced    the incumbent is down, too small, lacks a capability, or isn't configured any more
cost      the candidate is cheaper a step, and the switch pays back `switch_margin` times over the expected steps
quality   the candidate gains `switch_points` of success, and the human just spoke or tools have shown trouble
stay      otherwise
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autorouter.core.decision import cost
from autorouter.core.decision.cost import BreakEven
from autorouter.core.decision.scoring import Score
from autorouter.core.policy import Tuning
from autorouter.core.signals.features import Features

SwitchVerdict = Literal["first", "same", "forced", "cost", "quality", "stay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The verdict on going from the incumbent to a candidate, with the arithmetic where there is one."""

    verdict: SwitchVerdict
    reason: str
    candidate: str
    incumbent: str | None = None
    break_even: BreakEven | None = None


@dataclass(frozen=True, slots=True)
class SwitchGate:
    """Stands between the incumbent and everybody else. `holder` is the incumbent's score; None where it has none."""

    incumbent: str | None
    holder: Score | None
    features: Features
    tuning: Tuning

    def allows(self, score: Score) -> bool:
        """Whether this candidate may answer now."""
        return self.holder is None or score is self.holder or self._verdict(self.holder, score) != "stay"

    def switch(self, score: Score) -> Switch:
        """The verdict in words and figures."""
        name, incumbent, holder = score.candidate, self.incumbent, self.holder
        if self.features.phase == "housekeeping":
            return Switch(verdict="first", reason="housekeeping never moves the pin", candidate=name)
        if incumbent is None:
            return Switch(verdict="first", reason="nobody served this session yet", candidate=name)
        if holder is None:
            why = f"the incumbent {incumbent} can't serve this step"
            return Switch(verdict="forced", reason=why, candidate=name, incumbent=incumbent)
        if score is holder:
            return Switch(verdict="same", reason="the incumbent", candidate=name, incumbent=incumbent)
        arithmetic = cost.break_even(
            (holder.candidate, _warm_usd(holder), holder.warmup_usd),
            (name, _warm_usd(score), score.warmup_usd),
            self.features.expected_steps,
        )
        verdict = self._verdict(holder, score)
        reason = self._reason(verdict, holder, score, arithmetic)
        return Switch(verdict=verdict, reason=reason, candidate=name, incumbent=incumbent, break_even=arithmetic)

    def _verdict(self, holder: Score, other: Score) -> SwitchVerdict:
        once_usd = max(0.0, other.warmup_usd - holder.warmup_usd)
        gain_usd = _warm_usd(holder) - _warm_usd(other)
        if gain_usd > 0 and self.features.expected_steps * gain_usd > once_usd * self.tuning.switch_margin:
            return "cost"
        fresh = self.features.phase == "first"
        if self._gain(holder, other) >= self.tuning.switch_points and (
            fresh or self.features.evidence.is_corroborated()
        ):
            return "quality"
        return "stay"

    def _gain(self, holder: Score, other: Score) -> float:
        """Points of success; what they cost is the utility's business."""
        return 100.0 * self.features.stakes * (other.success - holder.success)

    def _reason(self, verdict: SwitchVerdict, holder: Score, other: Score, arithmetic: BreakEven) -> str:
        expected, gain = arithmetic.expected_steps, self._gain(holder, other)
        if verdict == "cost":
            return f"pays back after {arithmetic.steps:.1f} steps, {expected:.1f} expected"
        if verdict == "quality" and self.features.phase == "first":
            return f"gains {gain:.1f} points on what the human asks now"
        if verdict == "quality":
            return f"gains {gain:.1f} points; " + ", ".join(self.features.evidence.signals)
        if arithmetic.steps is None:
            return f"is dearer a step, and gains {gain:.1f} points without evidence that it is needed"
        return f"pays back after {arithmetic.steps:.1f} steps, only {expected:.1f} expected"


def switch_gate(scores: Sequence[Score], incumbent: str | None, features: Features, tuning: Tuning) -> SwitchGate:
    """The gate of a session; open where there is no incumbent that could stay, and for housekeeping."""
    holder = None
    if features.phase != "housekeeping":
        holder = next((s for s in scores if s.candidate == incumbent), None)
    return SwitchGate(incumbent, holder, features, tuning)


def _warm_usd(score: Score) -> float:
    """USD of a step with a warm cache."""
    return score.step_usd - score.warmup_usd
