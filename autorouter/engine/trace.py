"""The trace of a step: its attempts and its outcome. Filled during execution, recorded at the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from autorouter.core.decision import cost
from autorouter.core.decision.plans import PanelTrigger
from autorouter.core.panels import PanelMethod
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review.draft_risk import DraftKind
from autorouter.core.types import Candidate, Usage

RequestResult = Literal["answered", "failed", "refused", "broken", "client_gone"]
"""`broken`: the answer had begun and couldn't be finished. `client_gone`: the client hung up first."""
UsageSource = Literal["reported", "estimated", "estimated_partial"]
"""`estimated`: the upstream reported none. `estimated_partial`: the answer was cut, and counted as far as it got."""
_NAME_SUFFIX = re.compile(r"[-@](?:20\d{2}-?\d{2}-?\d{2}|latest|preview)$|:[\w-]+$")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call to an upstream. Times in seconds since the call started; `cost_usd` is None if the price is unknown."""

    candidate: str
    upstream: str
    model: str
    began_s: float
    number: int = 1
    """Its place among all attempts of the request."""
    phase: str = "answer"
    added_tokens: float = 0.0
    events: int = 0
    """Events received of a buffered answer: its usage so far, should it be stopped."""
    result: str = "open"
    status: int | None = None
    served_model: str | None = None
    headers_s: float | None = None
    ttft_s: float | None = None
    seconds: float | None = None
    queued_s: float = 0.0
    """Seconds spent waiting for a slot, which say nothing about the upstream's speed."""
    retry_after_s: float | None = None
    retried_after_s: float | None = None
    """Set on a retry of the same candidate: the wait before it, 0 if immediate."""
    hedge: bool = False
    """Started next to the attempt before it, which was slow to start."""
    next: Reason | None = None
    """What was done after the attempt failed, or beside it while it was slow."""
    malformed: int = 0
    """Events of its stream that aren't JSON; passed on unchanged."""
    usage: Usage | None = None
    usage_source: UsageSource | None = None
    usage_doubts: tuple[Reason, ...] = ()
    """Why the reported usage isn't plausible."""
    cost_usd: float | None = None
    losses: tuple[Reason, ...] = ()
    """What couldn't be carried over to the upstream's API."""

    def queued(self, seconds: float) -> None:
        """Record how long the call waited for a slot."""
        self.queued_s = seconds

    def close(self, result: str, now_s: float) -> None:
        """End the attempt."""
        self.result, self.seconds = result, now_s - self.began_s

    @property
    def served_differs(self) -> bool:
        """Whether the upstream names another model than the requested one."""
        return bool(self.served_model) and not same_model(self.model, self.served_model or "")


class JudgementRecord(TypedDict):
    """How many entries a judge made in each of its lists, and whose answer it found best."""

    consensus: int
    contradictions: int
    partial_coverage: int
    unique_insights: int
    blind_spots: int
    best: str | None


class PanelRecord(TypedDict, total=False):
    """What a panel or a verifier came to: names and counts, no text of any answer. `method`, `name` and `trigger` are a
    panel's; `draft_kind`, `verdict`, `verdict_by` and `findings` a verifier's. `reviewed`: whether the draft was reviewed, or a
    panel joined; `selected`: whose answer went out unchanged; `tie`: several had the same rank."""

    method: PanelMethod
    name: str
    trigger: PanelTrigger
    reviewed: bool
    usable: int
    agreed: bool
    vote: Literal["decided", "abstained"]
    ranking: list[str]
    rankings: list[list[str]]
    tie: bool
    judgement: JudgementRecord
    selected: str
    draft_kind: DraftKind
    verdict: Literal["accept", "revise"]
    verdict_by: str | None
    findings: int


@dataclass(slots=True, kw_only=True)
class Trace:
    """All attempts of a step, and how it ended."""

    attempts: list[Attempt] = field(default_factory=list)
    answer: Attempt | None = None
    """The attempt whose answer the client gets."""
    result: RequestResult = "failed"
    status: int = 0
    error: str | None = None
    overhead_s: float | None = None
    seconds: float | None = None
    degraded: list[Reason] = field(default_factory=list)
    """How the answer came about otherwise than planned, and what was lost on the way."""
    panel: PanelRecord | None = None
    """The outcome of a panel or a verifier: names, letters, counts; no text of any answer."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Digests of the instructions that were used, by role."""

    def degrade(self, code: ReasonCode, **params: Any) -> None:
        """Note how the answer differs from what was planned."""
        self.degraded.append(Reason(code, params))

    @property
    def cost_usd(self) -> float | None:
        """Sum over attempts; None if an attempt that used tokens has an unknown price."""
        return _cost(self.attempts)

    @property
    def usage(self) -> Usage:
        """Sum over all attempts."""
        return sum_usage([a.usage for a in self.attempts if a.usage is not None])

    def phases(self) -> dict[str, tuple[int, Usage, float | None]]:
        """By phase, in the order they started: number of calls, usage, and USD (None: a price is unknown)."""
        by_phase: dict[str, list[Attempt]] = {}
        for attempt in self.attempts:
            by_phase.setdefault(attempt.phase, []).append(attempt)
        return {
            phase: (len(own), sum_usage([a.usage for a in own if a.usage is not None]), _cost(own))
            for phase, own in by_phase.items()
        }


def _cost(attempts: Sequence[Attempt]) -> float | None:
    used = [a for a in attempts if a.usage is not None]
    if any(a.cost_usd is None for a in used):
        return None
    return sum(a.cost_usd or 0.0 for a in used)


def sum_usage(usages: Sequence[Usage]) -> Usage:
    """The sum."""
    return Usage(
        input_tokens=sum(u.input_tokens for u in usages),
        cached_tokens=sum(u.cached_tokens for u in usages),
        cache_write_tokens=sum(u.cache_write_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        reasoning_tokens=sum(u.reasoning_tokens for u in usages),
    )


def same_model(asked: str, served: str) -> bool:
    """Whether two names mean the same model: without vendor prefix, date and variant, one starts with the other."""
    one, other = bare_model_name(asked), bare_model_name(served)
    return one.startswith(other) or other.startswith(one)


def bare_model_name(name: str) -> str:
    """The model name without vendor prefix, date and variant."""
    return _NAME_SUFFIX.sub("", name.lower().rsplit("/", 1)[-1])


def set_cost(attempt: Attempt, candidate: Candidate, counted: Usage | None = None) -> None:
    """Set the attempt's cost from `counted`, by default its own usage, if the price is known."""
    usage = counted or attempt.usage
    if usage is None or candidate.price is None:
        return
    attempt.cost_usd = cost.usage_usd(
        candidate.price,
        input_tokens=usage.input_tokens,
        cached=usage.cached_tokens,
        written=usage.cache_write_tokens,
        output=usage.output_tokens,
    )
