"""The `[policy]` and `[budget]` tables of `autorouter.toml`: what the user wants of decisions.

The defaults of `[policy.tuning]` are those of `core.policy.Tuning`, where each constant says where it comes from.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, Strict, model_validator

from autorouter.config.types import (
    ConfigTable,
    Count,
    Flag,
    HeaderGlobs,
    NonEmptyText,
    NonNegative,
    Percentile,
    Positive,
    RegexText,
    Share,
)
from autorouter.core import policy as core
from autorouter.core.types import Role, Strategy, TaskKind

_T = core.Tuning()

CONDITIONS = ("keywords", "patterns", "paths", "tools", "headers")
EFFECTS = ("kind", "role", "candidate", "strategy")


def _key(default: Any, text: str) -> Any:
    return Field(default, description=text)


class PolicyLimitsConfig(ConfigTable):
    """Hard limits on candidates. A value that nobody knows fails a limit that is set."""

    max_input_usd_per_mtok: NonNegative | None = _key(None, "Highest price of input, USD per million tokens.")
    max_output_usd_per_mtok: NonNegative | None = _key(None, "Highest price of output, USD per million tokens.")
    min_availability: Share | None = _key(None, "Lowest availability, 0..1.")
    min_benchmark: Percentile | None = _key(None, "Lowest percentile, 0..100, in the skill that the request needs.")
    local_only: Flag = _key(False, "Only candidates on this machine: nothing leaves it.")


class PolicyRuleConfig(ConfigTable):
    """A rule of your own: when one of its conditions holds, its effects are set and its reason is shown."""

    reason: NonEmptyText = Field(description="Why the rule exists; shown wherever it fired.")
    keywords: tuple[NonEmptyText, ...] = _key(
        (), "Condition: one of these stands in what the human asked, in any case."
    )
    patterns: tuple[RegexText, ...] = _key((), "Condition: one of these regular expressions is found in the ask.")
    paths: tuple[NonEmptyText, ...] = _key(
        (), "Condition: a file named in the ask or in a tool call matches one of these globs."
    )
    tools: tuple[NonEmptyText, ...] = _key((), "Condition: the client declares a tool of one of these names.")
    headers: HeaderGlobs = _key({}, "Condition: a request header matches; a table of header name and glob.")
    kind: TaskKind | None = _key(None, "Effect: the kind of work this is.")
    role: Role | None = _key(None, "Effect: the role that the model must have.")
    candidate: NonEmptyText | None = _key(None, "Effect: the id of the candidate that answers.")
    strategy: Strategy | None = _key(None, "Effect: how many models answer.")

    @model_validator(mode="after")
    def _complete(self) -> PolicyRuleConfig:
        if not any(getattr(self, name) for name in CONDITIONS):
            raise ValueError("needs at least one condition: " + ", ".join(CONDITIONS))
        if all(getattr(self, name) is None for name in EFFECTS):
            raise ValueError("needs at least one effect: " + ", ".join(EFFECTS))
        return self


class TuningConfig(ConfigTable):
    """Constants of the formula; change them when `route --explain` shows that one is wrong for your work."""

    discrimination: Positive = _key(_T.discrimination, "Slope of the chance of success over ability minus difficulty.")
    slip: Share = _key(_T.slip, "Chance that even the ablest model gets the easiest step wrong.")
    unknown_percentile: Percentile = _key(_T.unknown_percentile, "Percentile of a model that nobody measured.")
    point_usd: Positive = _key(_T.point_usd, "USD that one point of success is worth at dial 5.")
    dial_ratio: Annotated[float, Strict(), Field(allow_inf_nan=False, ge=1, le=10)] = _key(
        _T.dial_ratio, "Each notch of the dial multiplies the weight of money by this."
    )
    points_per_s: NonNegative = _key(_T.points_per_s, "Points that one second of waiting costs.")
    points_per_silent_s: NonNegative = _key(
        _T.points_per_silent_s, "Points that a second costs besides in which nobody may read along."
    )
    bytes_per_token: Positive = _key(_T.bytes_per_token, "Bytes of a request's body per input token.")
    input_error: Share = _key(_T.input_error, "Half width of the band around that estimate, relative.")
    cacheable_share: Share = _key(
        _T.cacheable_share, "Share of a prompt that the provider's cache holds at the next step."
    )
    output_tokens: Positive = _key(_T.output_tokens, "Expected output of a step before anything is measured.")
    turn_steps: Annotated[float, Strict(), Field(allow_inf_nan=False, ge=1)] = _key(
        _T.turn_steps, "Expected steps of the hardest turn with tools."
    )
    switch_margin: NonNegative = _key(_T.switch_margin, "A change of model for cost must pay back this many times.")
    switch_points: NonNegative = _key(_T.switch_points, "A change of model for quality must gain this many points.")
    assumed_input_usd_per_mtok: NonNegative = _key(
        _T.assumed_input_usd_per_mtok, "What an unknown price of input is scored with, USD per million tokens."
    )
    assumed_output_usd_per_mtok: NonNegative = _key(
        _T.assumed_output_usd_per_mtok, "What an unknown price of output is scored with, USD per million tokens."
    )
    prior_weight: Positive = _key(
        _T.prior_weight, "Observations that a candidate's configured availability and speed count."
    )
    verifier_tpr: Share = _key(_T.verifier_tpr, "Share of right answers that a verifier of full ability accepts.")
    verifier_tnr: Share = _key(_T.verifier_tnr, "Share of wrong answers that a verifier of full ability rejects.")
    fix_rate: Share = _key(_T.fix_rate, "Chance that a model mends a wrong draft once told what is wrong.")
    spoil_rate: Share = _key(_T.spoil_rate, "Chance that a model spoils a right draft that was rejected.")
    verdict_tokens: NonNegative = _key(_T.verdict_tokens, "Output of a verdict, tokens.")
    judgement_tokens: NonNegative = _key(_T.judgement_tokens, "Output of a panel's judgement, tokens.")
    escalated_share: Share = _key(
        _T.escalated_share, "What is left of a better model's chance where a cheaper one has failed."
    )
    escalation_margin: Share = _key(
        _T.escalation_margin, "How much abler, as a chance, a model must be to be asked after a rejected draft."
    )
    panel_size: Annotated[int, Strict(), Field(ge=2, le=8)] = _key(_T.panel_size, "Members of a panel.")
    panel_gain: Share = _key(_T.panel_gain, "Share of the best member's failures that judge and synthesis mend.")
    panel_kinds: tuple[TaskKind, ...] = _key(_T.panel_kinds, "Kinds of work for which a panel gains anything.")
    risk_stakes: NonNegative = _key(_T.risk_stakes, "Stakes grow from 1 to 1 plus this at full risk.")
    housekeeping_stakes: NonNegative = _key(_T.housekeeping_stakes, "Stakes of a title or a commit message.")


class PolicyConfig(ConfigTable):
    """What decides between candidates."""

    dial: Annotated[float, Strict(), Field(allow_inf_nan=False, ge=core.DIAL_MIN, le=core.DIAL_MAX)] = _key(
        5.0, "0 is the best answer at any price, 10 the cheapest that will do."
    )
    allow: tuple[NonEmptyText, ...] = _key((), "Globs over candidate id, model and vendor; empty allows all.")
    deny: tuple[NonEmptyText, ...] = _key((), "Globs over candidate id, model and vendor; wins over allow.")
    max_fallbacks: Annotated[Count, Field(le=20)] = _key(
        3, "Other candidates tried when one fails before its first byte."
    )
    limits: PolicyLimitsConfig = Field(
        default_factory=PolicyLimitsConfig.model_construct, description="Hard limits on candidates."
    )
    rules: tuple[PolicyRuleConfig, ...] = _key((), "Rules of your own; of two that set the same thing the first wins.")
    tuning: TuningConfig = Field(default_factory=TuningConfig.model_construct, description="Constants of the formula.")


class BudgetConfig(ConfigTable):
    """Caps in USD, checked before a call and settled after it."""

    per_request_usd: NonNegative | None = _key(None, "Highest cost of one request.")
    per_session_usd: NonNegative | None = _key(None, "Highest cost of one conversation.")
    per_day_usd: NonNegative | None = _key(None, "Highest cost of one UTC day; kept over a restart where receipts are.")
