"""Routing a task: snapshot, features, decision. Preview and execution both come through here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decision.decide import Decision, decide
from autorouter.core.decision.record import decision_record
from autorouter.core.reasons import ReasonCode
from autorouter.core.signals.features import Features, extract_features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Task
from autorouter.engine.deps import Deps
from autorouter.engine.receipt import snapshot_record
from autorouter.errors import AllCooling, AutorouterError, BudgetExceeded, ContextTooLong, RoutingError
from autorouter.receipts.explain import explain_decision
from autorouter.receipts.messages import refusal_message, with_text


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """A task with its decision and the inputs of that decision."""

    task: Task
    features: Features
    snapshot: Snapshot
    decision: Decision


def route(task: Task, deps: Deps, session_key: str | None) -> RoutedRequest:
    """Decide. Raises UnknownModel for an unknown label; a refusal is part of the decision."""
    snapshot = deps.snapshot(session_key)
    read = extract_features(task, deps.policy)
    return RoutedRequest(task, read, snapshot, decide(read, snapshot, deps.policy))


def preview_record(routed: RoutedRequest, deps: Deps) -> dict[str, Any]:
    """A decision that isn't executed: the body of `/debug/route` and of `autorouter route --json`."""
    return {
        "object": "autorouter.route",
        "why": explain_decision(routed.decision, routed.features),
        "dry_run": deps.dry_run,
        "context": deps.context,
        "features": with_text(to_plain(routed.features)),
        "snapshot": snapshot_record(routed.snapshot),
        "decision": with_text(decision_record(routed.decision)),
    }


def refusal_error(decision: Decision) -> AutorouterError:
    """The error that the client gets for a refusal."""
    refusal = decision.refusal
    assert refusal is not None
    message = refusal_message(refusal.reason, decision.rejections)
    if refusal.reason.code is ReasonCode.CONTEXT_LENGTH_EXCEEDED:
        return ContextTooLong(message, hint="compact the conversation, or add a candidate with a larger window")
    if refusal.reason.code is ReasonCode.BUDGET_EXCEEDED:
        return BudgetExceeded(message, hint="raise the cap under [budget], or wait for the next day")
    if refusal.retry_after_s is not None:
        return AllCooling(message, retry_after_s=refusal.retry_after_s)
    return RoutingError(message)
