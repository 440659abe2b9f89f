"""The receipt of a step: built after the answer has left, from values that no longer change.

    {"type": "receipt", "id": "ar_0192...", "at": "2026-11-20T21:00:00.000Z", "version": "0.1.0", "context": "sha256:...",
     "request": {...shape...}, "features": {...}, "snapshot": {...}, "decision": {...}, "attempts": [...],
     "outcome": {"result": "answered", "status": 200, "candidate": "cheap", "cost_usd": 0.0004, ...}, "degraded": []}

`features`, `snapshot` and the context (policy and candidates) are exact: the decision can be replayed from them.

The types at the end describe its shape; `receipts/receipt.schema.json` is generated from them. Units end a name (`_s`, `_usd`,
`_tokens`, `_bytes`) or are in `unit`; where a number came from is in `source` or `usage_source`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import TypedDict

from autorouter import __version__
from autorouter.core.codec import to_plain
from autorouter.core.decision.decide import Decision, RoutingRefusal
from autorouter.core.decision.record import decision_record, round_floats
from autorouter.core.decision.stickiness import Switch
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.health import Health
from autorouter.core.state.learned import LearnedState
from autorouter.core.state.session import Session
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Strategy, Usage, Wire
from autorouter.engine.request_context import TraceContext
from autorouter.engine.trace import Attempt, RequestResult, Trace
from autorouter.receipts.chain import RECEIPT_SCHEMA


def context_record(policy: Policy, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What many receipts share and is stored once: the policy and the candidates in force."""
    return {"policy": to_plain(policy), "candidates": to_plain(tuple(candidates))}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRequest:
    """All that is recorded of a request: its receipt, metrics, log line and spans are made from it. It waits for them, so it
    doesn't hold the request's body. `request_id` and `trace_context` as in `RequestContext`."""

    receipt_id: str
    shape: dict[str, Any]
    features: Features
    snapshot: Snapshot
    decision: Decision
    trace: Trace
    context: str
    dry_run: bool
    request_id: str | None = None
    trace_context: TraceContext | None = None


def receipt_record(completed: CompletedRequest) -> dict[str, Any]:
    """The whole receipt."""
    return {
        "type": "receipt",
        "schema": RECEIPT_SCHEMA,
        "id": completed.receipt_id,
        "at": rfc3339_utc(completed.snapshot.now_s),
        "version": __version__,
        "dry_run": completed.dry_run,
        "context": completed.context,
        "request": completed.shape,
        "features": to_plain(completed.features),
        "snapshot": snapshot_record(completed.snapshot),
        "decision": decision_record(completed.decision),
        "attempts": [attempt_record(attempt) for attempt in completed.trace.attempts],
        "outcome": outcome_record(completed.decision, completed.trace),
        "degraded": list(completed.trace.degraded),
        "panel": completed.trace.panel,
        "prompts": dict(completed.trace.prompts),
    }


def snapshot_record(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot without the candidates, which are in the context."""
    return {
        "now_s": snapshot.now_s,
        "health": to_plain(snapshot.health),
        "session": to_plain(snapshot.session),
        "spent_today_usd": snapshot.spent_today_usd,
        "learned": to_plain(snapshot.learned),
        "performable": [str(s) for s in Strategy],  # constant; goes with the next receipt format,
    }


def attempt_record(attempt: Attempt) -> dict[str, Any]:
    """One attempt; seconds and dollars rounded."""
    found: dict[str, Any] = round_floats(
        {
            "candidate": attempt.candidate,
            "upstream": attempt.upstream,
            "model": attempt.model,
            "phase": attempt.phase,
            "served_model": attempt.served_model,
            "served_differs": attempt.served_differs,
            "result": attempt.result,
            "status": attempt.status,
            "headers_s": attempt.headers_s,
            "ttft_s": attempt.ttft_s,
            "seconds": attempt.seconds,
            "retry_after_s": attempt.retry_after_s,
            "retried_after_s": attempt.retried_after_s,
            "hedge": attempt.hedge,
            "then": attempt.then,
            "malformed": attempt.malformed,
            "usage": to_plain(attempt.usage),
            "usage_source": attempt.usage_source,
            "usage_doubt": attempt.usage_doubt,
            "cost_usd": attempt.cost_usd,
        }
    )
    return found


def outcome_record(decision: Decision, trace: Trace) -> dict[str, Any]:
    """How the step ended, and its total cost."""
    last = trace.answer or (trace.attempts[-1] if trace.attempts else None)
    answered = last if last is not None and trace.result in ("answered", "broken", "client_gone") else None
    found: dict[str, Any] = round_floats(
        {
            "result": trace.result,
            "status": trace.status,
            "error": trace.error,
            "strategy": str(decision.plan.strategy) if decision.plan else None,
            "candidate": answered.candidate if answered else None,
            "model": answered.model if answered else None,
            "served_model": answered.served_model if answered else None,
            "ttft_s": answered.ttft_s if answered else None,
            "seconds": trace.seconds,
            "overhead_s": trace.overhead_s,
            "cost_usd": trace.cost_usd,
            "usage": to_plain(trace.usage),
            "phases": phases_record(trace),
        }
    )
    return found


def phases_record(trace: Trace) -> list[dict[str, Any]]:
    """Usage and cost of each phase, in the order they started."""
    return [
        {"phase": phase, "calls": calls, "usage": to_plain(usage), "cost_usd": cost_usd}
        for phase, (calls, usage, cost_usd) in trace.phases().items()
    ]


def rfc3339_utc(now_s: float) -> str:
    """A time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class PointsRecord(TypedDict):
    """The six terms of a score, in percentage points of the chance that the step succeeds; they add up to its total."""

    task_fit: float
    benchmark: float
    price: float
    latency: float
    availability: float
    stickiness: float


class ScoreRecord(TypedDict):
    """A candidate that may serve. `success` and `availability` are probabilities 0..1; percentiles 0..100 are configured;
    `turn_usd` is the turn's expected steps with a warm cache, `warmup_usd` what a cold one costs once, `step_usd` this
    step with its warm-up, `wait_s` this step's seconds. `health_source`: of `wait_s` and `availability`."""

    candidate: str
    total: float
    points: PointsRecord
    success: float
    skill: str
    percentile: float | None
    general_percentile: float | None
    input_tokens: float
    output_tokens: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    wait_s: float
    availability: float
    price_source: str
    health_source: str


class ReasonRecord(TypedDict):
    """Why a candidate can't serve."""

    code: str
    text: str


class RejectionRecord(TypedDict):
    """A candidate that can't serve, with every reason."""

    candidate: str
    reasons: list[ReasonRecord]


class WorthRecord(TypedDict):
    """A plan's utility in points."""

    success: float
    price: float
    latency: float
    stickiness: float


class CallRecord(TypedDict):
    """A call of a plan, counted beforehand; calls of one `group` run at the same time."""

    group: int
    phase: str
    candidate: str
    input_tokens: float
    output_tokens: float
    usd: float
    seconds: float


class PlanRecord(TypedDict):
    """A strategy with its models. `reserve_usd`: what is held back of the budget until usage is known. `moment`: a panel
    works at once, or joins after the lead's draft. `calls`: those of verify and fusion, at the most."""

    strategy: Strategy
    primary: str
    verifier: str | None
    panel: list[str]
    judge: str | None
    synthesizer: str | None
    escalation: str | None
    panel_name: str | None
    way: str | None
    moment: str
    calls: list[CallRecord]
    success: float
    step_usd: float
    turn_usd: float
    warmup_usd: float
    reserve_usd: float
    wait_s: float
    worth: WorthRecord
    total: float


class AllowanceRecord(TypedDict):
    """The tightest cap."""

    cap: str
    left_usd: float


class DecisionRecord(TypedDict):
    """What was decided. `preferred`: the plan of highest utility where another one is carried out, `notes` say why."""

    label: str
    dial: float
    usd_weight_points_per_usd: float
    plan: PlanRecord | None
    preferred: PlanRecord | None
    fallbacks: list[str]
    switch: Switch | None
    scores: list[ScoreRecord]
    rejections: list[RejectionRecord]
    plans: list[PlanRecord]
    allowance: AllowanceRecord | None
    notes: list[str]
    refusal: RoutingRefusal | None


class RequestShape(TypedDict):
    """Counts and names of the request; session and agent are digests, `trace_id` is W3C Trace Context's,
    `key` the name of the local key that the client came with."""

    wire: Wire
    label: str
    stream: bool
    client: str
    session: str | None
    agent: str | None
    body_bytes: int
    prompt_bytes: int
    messages: int
    ask_chars: int
    tools: int
    images: int
    trail_steps: int
    max_output_tokens: int | None
    trace_id: str | None
    key: str | None


class SnapshotRecord(TypedDict):
    """The world before the decision; the candidates stand in the context."""

    now_s: float
    health: dict[str, Health]
    session: Session
    spent_today_usd: float
    learned: LearnedState
    performable: list[Strategy]


class AttemptRecord(TypedDict):
    """One call. Seconds since it began; `cost_usd` null where the price is unknown, never zero for that. `retry_after_s`: what
    the upstream asked for; `retried_after_s`: the same candidate once more after so long a wait; `hedge`: begun beside the
    one before it; `then`: what was done after it failed; `malformed`: events of its stream that are no JSON; `usage_doubt`: why
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
    then: str | None
    malformed: int
    usage: Usage | None
    usage_source: str | None
    usage_doubt: str | None
    cost_usd: float | None


class PhaseRecord(TypedDict):
    """All calls of one phase together: a draft, the members of a panel, a verdict, a synthesis."""

    phase: str
    calls: int
    usage: Usage
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
    usage: Usage
    phases: list[PhaseRecord]


class ContextRecord(TypedDict):
    """What many receipts share, referred to by its digest."""

    policy: Policy
    candidates: list[Candidate]


class _Chained(TypedDict):
    """A line's place in its file: see docs/receipts.md."""

    seq: int
    prev: str
    sum: str


class Receipt(_Chained):
    """A receipt as a line of its file; `receipt export` adds `context_record`."""

    type: Literal["receipt"]
    schema: Literal["autorouter.receipt.v1"]
    id: str
    at: str
    version: str
    dry_run: bool
    context: str
    request: RequestShape
    features: Features
    snapshot: SnapshotRecord
    decision: DecisionRecord
    attempts: list[AttemptRecord]
    outcome: OutcomeRecord
    degraded: list[str]
    panel: dict[str, Any] | None
    prompts: dict[str, str]


class ExportedReceipt(Receipt, total=False):
    """With its context: all that is needed to make the decision again."""

    context_record: ContextRecord


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a receipt."""
    from pydantic import ConfigDict, TypeAdapter

    ExportedReceipt.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    found = TypeAdapter(ExportedReceipt).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "autorouter receipt, v1"}
