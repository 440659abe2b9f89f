"""Routing a task: snapshot, features, decision. Preview and execution both come through here."""

from __future__ import annotations

from dataclasses import dataclass

from autorouter.core.decision.decide import Decision, RoutingRefusal, decide
from autorouter.core.signals.features import Features, extract_features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Task
from autorouter.engine.deps import Deps
from autorouter.errors import AllCooling, AutorouterError, BudgetExceeded, ContextTooLong, RoutingError


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """A task with the decision on it, and all that the decision was made from."""

    task: Task
    features: Features
    snapshot: Snapshot
    decision: Decision


def route(task: Task, deps: Deps) -> RoutedRequest:
    """Decide. Raises UnknownModel for a label that isn't known; a refusal is part of the decision."""
    snapshot = deps.snapshot(session_key(task))
    read = extract_features(task, deps.policy)
    return RoutedRequest(task, read, snapshot, decide(read, snapshot, deps.policy))


def session_key(task: Task) -> str | None:
    """Sub-agents are sessions of their own: they have their own prompt, and so their own cache."""
    if task.session is None:
        return None
    return f"{task.session}/{task.agent}" if task.agent else task.session


def refusal_error(refusal: RoutingRefusal) -> AutorouterError:
    """The error that the client gets for a refusal."""
    if refusal.code == "context_length_exceeded":
        return ContextTooLong(refusal.message, hint="compact the conversation, or add a candidate with a larger window")
    if refusal.code == "budget_exceeded":
        return BudgetExceeded(refusal.message, hint="raise the cap under [budget], or wait for the next day")
    if refusal.retry_after_s is not None:
        return AllCooling(refusal.message, retry_after_s=refusal.retry_after_s)
    return RoutingError(refusal.message)
