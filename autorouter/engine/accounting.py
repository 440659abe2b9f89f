"""Accounting of a whole request, once, when its execution has ended: what it cost, and what its session has become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autorouter.core.state import session as sessions
from autorouter.core.types import Strategy
from autorouter.engine import outcomes
from autorouter.engine.deps import Deps, Reservation
from autorouter.engine.receipt import CompletedRequest
from autorouter.engine.request_context import RequestContext
from autorouter.engine.router import RoutedRequest
from autorouter.engine.step import Step
from autorouter.engine.trace import Attempt


def account(step: Step, reservation: Reservation, *, cut_off: str | None = None) -> CompletedRequest:
    """Replace the reservation by the cost, update the session, and return what is to be recorded. `cut_off`: why the answer was
    cut short, if not by the client or an upstream."""
    # Synchronous, because it also runs in cancelled tasks, where an `await` may never finish.
    trace, deps = step.trace, step.deps
    _close_open_attempts(step)
    if not trace.status:
        trace.result, trace.status = "client_gone", 499
    trace.error = trace.error or cut_off
    trace.seconds = deps.timer() - step.context.began_s
    now_s, cost_usd = deps.clock(), trace.cost_usd or 0.0
    reservation.settle(cost_usd, now_s)
    _update_session(step, cost_usd, now_s)
    return _completed(step)


@contextmanager
def carry_out(context: RequestContext, routed: RoutedRequest, deps: Deps) -> Iterator[Step]:
    """A step to be executed in the block, for requests of this process: reserved before, accounted for and recorded after it."""
    plan = routed.decision.plan
    usd = plan.reserve_usd if plan is not None else 0.0
    with Reservation(deps.state, usd, session_key=context.session_key) as reservation:
        step = Step(context, routed, deps)
        try:
            yield step
        finally:
            step.close()
            deps.receipts.record(account(step, reservation))


def _completed(step: Step) -> CompletedRequest:
    context, routed, deps = step.context, step.routed, step.deps
    return CompletedRequest(
        receipt_id=context.receipt_id,
        shape=context.shape(),
        features=routed.features,
        snapshot=routed.snapshot,
        decision=routed.decision,
        trace=step.trace,
        context=deps.context,
        dry_run=deps.dry_run,
        request_id=context.request_id,
        trace_context=context.trace,
    )


def _close_open_attempts(step: Step) -> None:
    """Close the attempts that are still open, because the client hung up or they are no longer needed. They are paid for as
    far as they got and don't count against health."""
    stream_reply = step.stream_reply
    for attempt in step.trace.attempts:
        if attempt.result == "open":
            own = stream_reply is not None and stream_reply.attempt is attempt
            events = stream_reply.observer.events if own and stream_reply is not None else attempt.events
            outcomes.record_stopped(attempt, events, step.routed, step.deps)


def _update_session(step: Step, cost_usd: float, now_s: float) -> None:
    key, state = step.context.session_key, step.deps.state
    if key is None:
        return
    pinned = _pinned_attempt(step)
    usage = pinned.usage if pinned is not None else None
    if usage is None and not cost_usd:
        return
    phase = step.routed.features.phase
    # Housekeeping (a title) doesn't pin the session, nor does a broken answer: its candidate is in trouble.
    pins = pinned is not None and usage is not None and pinned.result == "answered" and phase != "housekeeping"
    folded = sessions.record_step(
        state.session(key),
        candidate=pinned.candidate if pinned is not None else "",
        input_tokens=usage.input_tokens if usage is not None else 0,
        context_tokens=step.routed.features.input_tokens,
        output_tokens=usage.output_tokens if usage is not None else 0,
        cost_usd=cost_usd,
        is_new_turn=phase == "first",
        moves_pin=pins,
        now_s=now_s,
    )
    state.keep_session(key, folded)


def _pinned_attempt(step: Step) -> Attempt | None:
    """The attempt whose candidate the session is pinned to: the one whose answer went out, so that a rejected draft hands the
    session over; for a panel its lead, which keeps the tool loop and its cache whichever proposal was selected."""
    plan, trace = step.routed.decision.plan, step.trace
    if plan is not None and plan.strategy is Strategy.FUSION:
        own = [a for a in trace.attempts if a.candidate == plan.primary and a.result == "answered"]
        if own:
            return own[0]
    return trace.answer or (trace.attempts[-1] if trace.attempts else None)
