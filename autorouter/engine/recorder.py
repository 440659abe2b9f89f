"""The receipt of a step: built in the writer's thread from values that no longer change.

    {"type": "receipt", "id": "ar_0192...", "at": "2026-11-20T21:00:00.000Z", "version": "0.1.0", "context": "sha256:...",
     "request": {...shape...}, "features": {...}, "snapshot": {...}, "decision": {...}, "attempts": [...],
     "outcome": {"result": "answered", "status": 200, "candidate": "cheap", "cost_usd": 0.0004, ...}, "degraded": []}

`features`, `snapshot` and the context (policy and candidates) are exact: from them the decision can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from autorouter import __version__
from autorouter.core.codec import from_plain, to_plain
from autorouter.core.decision.decide import Decision, decide
from autorouter.core.decision.record import decision_record, rounded
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Task
from autorouter.engine.trace import Attempt, Trace

SCHEMA = "autorouter.receipt.v1"


def context_record(policy: Policy, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What many receipts share, kept once: the policy and the candidates in force."""
    return {"policy": to_plain(policy), "candidates": to_plain(tuple(candidates))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a receipt is made from. It waits for the writer without the request's body."""

    receipt_id: str
    shape: dict[str, Any]
    features: Features
    snapshot: Snapshot
    decision: Decision
    trace: Trace
    context: str
    dry_run: bool

    def __call__(self) -> dict[str, Any]:
        return receipt_record(self)


def receipt_record(made: Made) -> dict[str, Any]:
    """The whole receipt."""
    return {
        "type": "receipt",
        "schema": SCHEMA,
        "id": made.receipt_id,
        "at": at(made.snapshot.now_s),
        "version": __version__,
        "dry_run": made.dry_run,
        "context": made.context,
        "request": made.shape,
        "features": to_plain(made.features),
        "snapshot": snapshot_record(made.snapshot),
        "decision": decision_record(made.decision),
        "attempts": [attempt_record(attempt) for attempt in made.trace.attempts],
        "outcome": outcome_record(made.decision, made.trace),
        "degraded": list(made.trace.degraded),
        "panel": made.trace.panel,
        "prompts": dict(made.trace.prompts),
    }


def request_shape(task: Task) -> dict[str, Any]:
    """Counts and names, no content."""
    return {
        "wire": task.wire,
        "label": task.label,
        "stream": task.stream,
        "client": task.client,
        "session": task.session,
        "agent": task.agent,
        "body_bytes": len(task.body),
        "prompt_bytes": task.prompt_bytes,
        "messages": task.messages,
        "ask_chars": len(task.ask),
        "tools": len(task.tools),
        "images": task.images,
        "trail_steps": len(task.trail),
        "max_output_tokens": task.max_output_tokens,
    }


def snapshot_record(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot without the candidates, which stand in the context."""
    return {
        "now_s": snapshot.now_s,
        "health": to_plain(snapshot.health),
        "session": to_plain(snapshot.session),
        "spent_today_usd": snapshot.spent_today_usd,
        "performable": [str(s) for s in snapshot.performable],
    }


def attempt_record(attempt: Attempt) -> dict[str, Any]:
    """One attempt; seconds and dollars rounded."""
    found: dict[str, Any] = rounded(
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
    """How the step ended, with what it cost in all."""
    last = trace.answer or (trace.attempts[-1] if trace.attempts else None)
    answered = last if last is not None and trace.result in ("answered", "broken", "client_gone") else None
    found: dict[str, Any] = rounded(
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
    """What each phase used and cost, in the order of their beginning."""
    return [
        {"phase": phase, "calls": calls, "usage": to_plain(usage), "cost_usd": cost_usd}
        for phase, (calls, usage, cost_usd) in trace.phases().items()
    ]


def decide_again(receipt: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """Make a receipt's decision anew, from the receipt alone: must give the same record, to the byte.

    Raises KeyError, TypeError or ValueError for a receipt that isn't one of this version.
    """
    policy = from_plain(Policy, context["policy"])
    candidates = from_plain(tuple[Candidate, ...], context["candidates"])
    plain = receipt["snapshot"]
    snapshot = from_plain(Snapshot, {**plain, "candidates": ()})
    snapshot = Snapshot(
        now_s=snapshot.now_s,
        candidates=candidates,
        health=snapshot.health,
        session=snapshot.session,
        spent_today_usd=snapshot.spent_today_usd,
        performable=snapshot.performable,
    )
    features = from_plain(Features, receipt["features"])
    return decision_record(decide(features, snapshot, policy))


def at(now_s: float) -> str:
    """A time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
