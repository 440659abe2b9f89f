"""What the user wants, as one immutable value: the dial, the limits, the rules and the constants of the formula.

Every constant says its unit and where it comes from. All of them are on the receipt, so that a decision can be run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autorouter.core.panels import FusionPolicy, Panel
from autorouter.core.types import Role, Strategy, TaskKind

DIAL_MIN, DIAL_MAX = 0.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A user's own rule: when any condition holds, set a kind, a role, a candidate or a strategy. `reason` is shown.

    keywords: substrings of the ask, case-insensitive. patterns: regular expressions searched in the ask.
    paths: globs matched against path-like words of the ask and of the tool calls. tools: declared tool names.
    headers: `name: glob` against the request's headers.
    """

    reason: str
    keywords: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    kind: TaskKind | None = None
    role: Role | None = None
    candidate: str | None = None
    strategy: Strategy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLimits:
    """Hard limits; None is no limit. An unknown value fails a limit that is set."""

    max_input_usd_per_mtok: float | None = None
    max_output_usd_per_mtok: float | None = None
    min_availability: float | None = None
    min_benchmark: float | None = None
    local_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps in USD; None is no cap. Spent money is in the snapshot."""

    per_request_usd: float | None = None
    per_session_usd: float | None = None
    per_day_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Constants of the utility. One *point* is one percentage point of the chance that the step succeeds."""

    discrimination: float = 8.0
    """Slope of P = (1 - slip) * sigmoid(discrimination * (ability - difficulty)), both on 0..1. Assumed: with 8, a
    model at the 60th percentile and one at the 95th differ by 0.2 points on "hi" and by 45 on work at the limit of the better."""
    slip: float = 0.02
    """Chance that even the ablest model gets the easiest step wrong: P never exceeds 1 - slip. Assumed; it is what makes
    a second look worth something where a mistake is dear."""
    unknown_percentile: float = 40.0
    """A benchmark that nobody measured counts as a weak model's, so that an unknown model must be cheap to be tried."""
    point_usd: float = 0.02
    """At dial 5 this many dollars are worth one point. Assumed; the dial moves it by `dial_ratio` a notch."""
    dial_ratio: float = 2.2
    """Each notch of the dial multiplies the weight of money: 10 notches span a factor of 2,600."""
    points_per_s: float = 0.05
    """One point is worth 20 seconds of waiting. Assumed; independent of the dial."""
    points_per_silent_s: float = 0.05
    """What a second weighs besides in which the answer is written or judged and nobody may read along. Assumed: a user who
    watches words come waits for the first of them. A draft that is looked at, and a panel, are paid for in this."""
    bytes_per_token: float = 4.0
    """Bytes of a JSON body per input token, before measured correction; agents' bodies measured 3.4 to 4.6."""
    input_error: float = 0.3
    """Half width of the estimate's band, relative: 4.0 against the extremes just named, and room for other tokenizers."""
    cacheable_share: float = 0.85
    """Share of a conversation's prompt that a provider's cache holds at the next step; replayed sessions measured
    0.77 to 0.91 in public reports on prompt-cache routing."""
    output_tokens: float = 700.0
    """Expected output of a step before anything is measured: an edit or a short answer, reasoning included."""
    turn_steps: float = 8.0
    """Expected steps of a turn of the highest difficulty with tools; a turn of difficulty 0 has one."""
    switch_margin: float = 1.5
    """A switch for cost must pay back this many times over the steps that are expected to come."""
    switch_points: float = 3.0
    """A switch for quality must gain this many points of success, and needs evidence or a new human message."""
    assumed_input_usd_per_mtok: float = 5.0
    assumed_output_usd_per_mtok: float = 25.0
    """What an unknown price is scored with: today's dearest broadly used tier. Shown as assumed, never as zero."""
    prior_weight: float = 12.0
    """Observations that the configured prior of availability, latency and throughput is worth."""
    verifier_tpr: float = 0.90
    verifier_tnr: float = 0.80
    """A verifier of full ability accepts 90 % of right answers and rejects 80 % of wrong ones: at these rates a replay of
    public SWE-bench Verified results reaches 96 % of the best model at 54 % of its cost."""
    fix_rate: float = 0.5
    """Chance that a primary mends a wrong draft once it is told what is wrong. Assumed."""
    spoil_rate: float = 0.02
    """Chance that a primary spoils a right draft that was rejected. Assumed."""
    verdict_tokens: float = 200.0
    """Output of a verdict in JSON."""
    judgement_tokens: float = 600.0
    """Output of a judgement of a panel: five lists of sentences. Assumed."""
    escalated_share: float = 0.56
    """What is left of a better candidate's chance where a cheaper one has failed, for hard steps are hard for both: on public
    SWE-bench Verified results, gemini-3-pro solves 41 % of what deepseek-v3.2 fails, and 73 % of all."""
    escalation_margin: float = 0.03
    """A candidate must be this much abler than the one whose draft was rejected, to be asked instead."""
    panel_size: int = 3
    panel_gain: float = 0.25
    """Share of the best member's remaining failures that judge and synthesis mend where `panel_kinds` says that members
    bring different evidence; elsewhere 0: without it a panel is no better than its best member (N <= 40, public)."""
    panel_kinds: tuple[TaskKind, ...] = (TaskKind.PLAN, TaskKind.REVIEW)
    risk_stakes: float = 3.0
    """Stakes grow from 1 to 1 + this at full risk: a destructive step is worth four times the care. Assumed."""
    housekeeping_stakes: float = 0.3
    """A title or a commit message is worth little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a user may set about decisions. `allow` and `deny` are globs over candidate id, model and vendor."""

    dial: float = 5.0
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    limits: CandidateLimits = CandidateLimits()
    budget: Budget = Budget()
    rules: tuple[PolicyRule, ...] = ()
    fusion: FusionPolicy = field(default_factory=FusionPolicy)
    panels: tuple[Panel, ...] = ()
    max_fallbacks: int = 3
    session_ttl_s: float = 3600.0
    tuning: Tuning = field(default_factory=Tuning)

    def usd_weight(self) -> float:
        """λ, points per USD: the only thing the dial changes. Geometric, 1 / point_usd at dial 5."""
        return float(self.tuning.dial_ratio ** (self.dial - 5.0)) / self.tuning.point_usd
