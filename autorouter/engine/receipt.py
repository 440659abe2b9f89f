"""The receipt of a step: built after the answer has left, from values that no longer change.

    {"type": "receipt", "id": "ar_0192...", "at": "2026-11-20T21:00:00.000Z", "version": "0.3.0",
     "decision_version": 2, "context": "sha256:...",
     "request": {...shape...}, "features": {...}, "snapshot": {...}, "decision": {...}, "attempts": [...],
     "outcome": {"result": "answered", "status": 200, "candidate": "cheap", "cost_usd": 0.0004, ...}, "degraded": []}

`features`, `snapshot` and the context (policy and candidates) are exact: the decision can be replayed from them.

Each part's type is its only definition: the function that builds it returns that type (the type checker compares them), and
`receipts/receipt.schema.json` is generated from it. The decision's part is in `core/decision/record`. Units end a name (`_s`,
`_usd`, `_tokens`, `_bytes`); why something happened is a code with parameters, and `receipts.messages` has its sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import TypedDict

from autorouter import __version__
from autorouter.core.codec import to_plain
from autorouter.core.decision.decide import DECISION_VERSION, Decision
from autorouter.core.decision.record import USD_DIGITS, DecisionRecord, decision_record
from autorouter.core.policy import Policy
from autorouter.core.reasons import ReasonRecord, reason_record
from autorouter.core.signals.features import Features
from autorouter.core.state.health import Health
from autorouter.core.state.learned import LearnedState
from autorouter.core.state.session import Session
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Strategy, Usage
from autorouter.engine.request_context import RequestShape, TraceContext
from autorouter.engine.trace import Attempt, PanelRecord, RequestResult, Trace, UsageSource
from autorouter.receipts.chain import RECEIPT_SCHEMA


class UsageRecord(TypedDict):
    """Tokens. Cached and cache-written ones are part of `input_tokens`, reasoning of `output_tokens`."""

    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


class SnapshotRecord(TypedDict):
    """The world before the decision; the candidates are in the context."""

    now_s: float
    health: dict[str, Health]
    session: Session
    spent_today_usd: float
    learned: LearnedState


class AttemptRecord(TypedDict):
    """One call. Seconds since it began; `cost_usd` null where the price is unknown, never zero for that. `retry_after_s`: what
    the upstream asked for; `retried_after_s`: the same candidate once more after so long a wait; `hedge`: begun beside the
    one before it; `next`: what followed its failure; `malformed`: events of its stream that are no JSON; `usage_doubts`: why
    what it reports is not to be believed."""

    candidate: str
    upstream: str
    model: str
    phase: str
    served_model: str | None
    served_differs: bool
    result: str
    status: int | None
    headers_s: float | None
    ttft_s: float | None
    seconds: float | None
    retry_after_s: float | None
    retried_after_s: float | None
    hedge: bool
    next: ReasonRecord | None
    malformed: int
    usage: UsageRecord | None
    usage_source: UsageSource | None
    usage_doubts: list[ReasonRecord]
    cost_usd: float | None


class PhaseRecord(TypedDict):
    """All calls of one phase together: a draft, the members of a panel, a verdict, a synthesis."""

    phase: str
    calls: int
    usage: UsageRecord
    cost_usd: float | None


class OutcomeRecord(TypedDict):
    """How the step ended. `overhead_s`: from the request's arrival to the first call. `usage` is the sum of `phases`."""

    result: RequestResult
    status: int
    error: str | None
    strategy: Strategy | None
    candidate: str | None
    model: str | None
    served_model: str | None
    ttft_s: float | None
    seconds: float | None
    overhead_s: float | None
    cost_usd: float | None
    usage: UsageRecord
    phases: list[PhaseRecord]


class ContextRecord(TypedDict):
    """What many receipts share, referred to by its digest."""

    policy: Policy
    candidates: list[Candidate]


class Receipt(TypedDict):
    """A receipt as it is built, before it gets its place in a file. `version` is the package's; a decision can be made again
    by any package whose `decision_version` is the same. `degraded`: how the answer came about otherwise than planned."""

    type: Literal["receipt"]
    schema: Literal["autorouter.receipt.v2"]
    id: str
    at: str
    version: str
    decision_version: int
    dry_run: bool
    context: str
    request: RequestShape
    features: Features
    snapshot: SnapshotRecord
    decision: DecisionRecord
    attempts: list[AttemptRecord]
    outcome: OutcomeRecord
    degraded: list[ReasonRecord]
    panel: PanelRecord | None
    prompts: dict[str, str]


class ChainedReceipt(Receipt):
    """A receipt as a line of its file, with its place in it: see docs/receipts.md."""

    seq: int
    prev: str
    sum: str


class ExportedReceipt(ChainedReceipt, total=False):
    """With its context: all that is needed to make the decision again."""

    context_record: ContextRecord


def context_record(policy: Policy, candidates: Sequence[Candidate]) -> ContextRecord:
    """What many receipts share and is stored once: the policy and the candidates in force."""
    return {"policy": to_plain(policy), "candidates": to_plain(tuple(candidates))}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRequest:
    """All that is recorded of a request: its receipt, metrics, log line and spans are made from it. It waits for them, so it
    doesn't hold the request's body. `request_id` and `trace_context` as in `RequestContext`."""

    receipt_id: str
    shape: RequestShape
    features: Features
    snapshot: Snapshot
    decision: Decision
    trace: Trace
    context: str
    dry_run: bool
    request_id: str | None = None
    trace_context: TraceContext | None = None


def receipt_record(completed: CompletedRequest) -> Receipt:
    """The whole receipt."""
    return {
        "type": "receipt",
        "schema": RECEIPT_SCHEMA,
        "id": completed.receipt_id,
        "at": rfc3339_utc(completed.snapshot.now_s),
        "version": __version__,
        "decision_version": DECISION_VERSION,
        "dry_run": completed.dry_run,
        "context": completed.context,
        "request": completed.shape,
        "features": to_plain(completed.features),
        "snapshot": snapshot_record(completed.snapshot),
        "decision": decision_record(completed.decision),
        "attempts": [attempt_record(attempt) for attempt in completed.trace.attempts],
        "outcome": outcome_record(completed.decision, completed.trace),
        "degraded": [reason_record(reason) for reason in completed.trace.degraded],
        "panel": completed.trace.panel,
        "prompts": dict(completed.trace.prompts),
    }


def snapshot_record(snapshot: Snapshot) -> SnapshotRecord:
    """The snapshot without the candidates, which are in the context."""
    return {
        "now_s": snapshot.now_s,
        "health": to_plain(snapshot.health),
        "session": to_plain(snapshot.session),
        "spent_today_usd": snapshot.spent_today_usd,
        "learned": to_plain(snapshot.learned),
    }


def attempt_record(attempt: Attempt) -> AttemptRecord:
    """One attempt; seconds and dollars rounded."""
    return {
        "candidate": attempt.candidate,
        "upstream": attempt.upstream,
        "model": attempt.model,
        "phase": attempt.phase,
        "served_model": attempt.served_model,
        "served_differs": attempt.served_differs,
        "result": attempt.result,
        "status": attempt.status,
        "headers_s": _rounded(attempt.headers_s),
        "ttft_s": _rounded(attempt.ttft_s),
        "seconds": _rounded(attempt.seconds),
        "retry_after_s": _rounded(attempt.retry_after_s),
        "retried_after_s": _rounded(attempt.retried_after_s),
        "hedge": attempt.hedge,
        "next": None if attempt.next is None else reason_record(attempt.next),
        "malformed": attempt.malformed,
        "usage": None if attempt.usage is None else usage_record(attempt.usage),
        "usage_source": attempt.usage_source,
        "usage_doubts": [reason_record(doubt) for doubt in attempt.usage_doubts],
        "cost_usd": _rounded(attempt.cost_usd),
    }


def outcome_record(decision: Decision, trace: Trace) -> OutcomeRecord:
    """How the step ended, and its total cost."""
    last = trace.answer or (trace.attempts[-1] if trace.attempts else None)
    answered = last if last is not None and trace.result in ("answered", "broken", "client_gone") else None
    return {
        "result": trace.result,
        "status": trace.status,
        "error": trace.error,
        "strategy": decision.plan.strategy if decision.plan else None,
        "candidate": answered.candidate if answered else None,
        "model": answered.model if answered else None,
        "served_model": answered.served_model if answered else None,
        "ttft_s": _rounded(answered.ttft_s) if answered else None,
        "seconds": _rounded(trace.seconds),
        "overhead_s": _rounded(trace.overhead_s),
        "cost_usd": _rounded(trace.cost_usd),
        "usage": usage_record(trace.usage),
        "phases": phases_record(trace),
    }


def usage_record(usage: Usage) -> UsageRecord:
    """Tokens by hand, as the rest: there are several on each receipt."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, USD_DIGITS)


def phases_record(trace: Trace) -> list[PhaseRecord]:
    """Usage and cost of each phase, in the order they started."""
    return [
        {"phase": phase, "calls": calls, "usage": usage_record(usage), "cost_usd": cost_usd}
        for phase, (calls, usage, cost_usd) in trace.phases().items()
    ]


def rfc3339_utc(now_s: float) -> str:
    """A time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a receipt."""
    from pydantic import ConfigDict, TypeAdapter

    ExportedReceipt.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    found = TypeAdapter(ExportedReceipt).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "autorouter receipt, v2"}
