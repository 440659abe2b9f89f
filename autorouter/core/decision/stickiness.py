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
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.features import Features

SwitchVerdict = Literal["first", "same", "forced", "cost", "quality", "stay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """The verdict on going from the incumbent to a candidate, with the arithmetic where there is one."""

    verdict: SwitchVerdict
    reason: Reason
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
            return Switch(verdict="first", reason=Reason.of(ReasonCode.HOUSEKEEPING_KEEPS_PIN), candidate=name)
        if incumbent is None:
            return Switch(verdict="first", reason=Reason.of(ReasonCode.FIRST_STEP), candidate=name)
        if holder is None:
            why = Reason.of(ReasonCode.INCUMBENT_INELIGIBLE, incumbent=incumbent)
            return Switch(verdict="forced", reason=why, candidate=name, incumbent=incumbent)
        if score is holder:
            return Switch(verdict="same", reason=Reason.of(ReasonCode.INCUMBENT), candidate=name, incumbent=incumbent)
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

    def _reason(self, verdict: SwitchVerdict, holder: Score, other: Score, arithmetic: BreakEven) -> Reason:
        steps, expected, gain = arithmetic.steps, arithmetic.expected_steps, self._gain(holder, other)
        if verdict == "cost":
            return Reason.of(ReasonCode.PAYS_BACK, steps=steps, expected_steps=expected)
        if verdict == "quality" and self.features.phase == "first":
            return Reason.of(ReasonCode.GAINS_ON_PROMPT, points=gain)
        if verdict == "quality":
            return Reason.of(ReasonCode.GAINS_ON_EVIDENCE, points=gain, signals=self.features.evidence.signals)
        if steps is None:
            return Reason.of(ReasonCode.GAINS_WITHOUT_EVIDENCE, points=gain)
        return Reason.of(ReasonCode.PAYS_BACK_TOO_LATE, steps=steps, expected_steps=expected)


def switch_gate(scores: Sequence[Score], incumbent: str | None, features: Features, tuning: Tuning) -> SwitchGate:
    """The gate of a session; open where there is no incumbent that could stay, and for housekeeping."""
    holder = None
    if features.phase != "housekeeping":
        holder = next((s for s in scores if s.candidate == incumbent), None)
    return SwitchGate(incumbent, holder, features, tuning)


def _warm_usd(score: Score) -> float:
    """USD of a step with a warm cache."""
    return score.step_usd - score.warmup_usd
