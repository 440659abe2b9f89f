"""What a step leaves behind: health, the session, the money. Folded when it is known, settled once at the end."""

from __future__ import annotations

from autorouter.core import session as sessions
from autorouter.core.health import Outcome
from autorouter.core.values import Strategy, Usage
from autorouter.engine.calling import Opened
from autorouter.engine.deps import Deps
from autorouter.engine.router import Routed, session_key
from autorouter.engine.trace import Attempt, Trace, price_usage
from autorouter.upstream.failures import Verdict

ESTIMATED = "estimated, the upstream reported none"
CUT = "estimated, the answer was cut"


def failed(attempt: Attempt, verdict: Verdict, tokens: int, routed: Routed, deps: Deps) -> None:
    """An attempt gave no answer; `tokens` came of one that broke before the client got any of it."""
    attempt.close(verdict.kind, deps.timer())
    if tokens:
        _estimate(attempt, tokens, CUT, routed, deps)
    attempt.retry_after_s = verdict.error.retry_after_s
    if verdict.cools:
        outcome = Outcome(ok=False, reason=verdict.kind, retry_after_s=attempt.retry_after_s)
        deps.state.observe(attempt.candidate, outcome, deps.clock())


def broke(attempt: Attempt, kind: str, tokens: int, routed: Routed, deps: Deps) -> None:
    """An answer began and didn't end: it is paid for as far as it came, and it speaks against the candidate."""
    attempt.close(kind, deps.timer())
    _estimate(attempt, tokens, CUT, routed, deps)
    deps.state.observe(attempt.candidate, Outcome(ok=False, reason=kind), deps.clock())


def left(trace: Trace, opened: Opened | None, routed: Routed, deps: Deps) -> None:
    """What is still open is stopped, by the client's hang-up or because nobody waits for it: paid for as far as it came,
    and nobody's fault."""
    for attempt in trace.attempts:
        if attempt.result == "open":
            own = opened is not None and opened.attempt is attempt
            stopped(attempt, opened.tap.events if own and opened is not None else attempt.events, routed, deps)


def stopped(attempt: Attempt, tokens: int, routed: Routed, deps: Deps, *, result: str = "client_gone") -> None:
    """We ended this call ourselves."""
    attempt.close(result, deps.timer())
    if attempt.status == 200:
        _estimate(attempt, tokens, CUT, routed, deps)


def answered(attempt: Attempt, usage: Usage | None, tokens: int, routed: Routed, deps: Deps) -> None:
    """A complete answer. `tokens` is our count of its output, used where the upstream reports no usage."""
    attempt.close("answered", deps.timer())
    if usage is None:
        _estimate(attempt, tokens, ESTIMATED, routed, deps)
    else:
        attempt.usage, attempt.usage_source = usage, "reported by the upstream"
        price_usage(attempt, deps.by_id[attempt.candidate])
    streamed = attempt.ttft_s is not None and attempt.seconds is not None
    outcome = Outcome(
        ok=True,
        ttft_s=attempt.ttft_s,
        stream_s=(attempt.seconds or 0.0) - (attempt.ttft_s or 0.0) if streamed else None,
        output_tokens=usage.output_tokens if usage else None,
        input_tokens=usage.input_tokens if usage else None,
        estimated_input_tokens=routed.features.input_tokens + attempt.added_tokens,
    )
    deps.state.observe(attempt.candidate, outcome, deps.clock())


def settle(routed: Routed, trace: Trace, reserved_usd: float, deps: Deps) -> None:
    """Exchange the reservation for what was spent, and fold the step into its session."""
    now_s = deps.clock()
    cost_usd = trace.cost_usd or 0.0
    deps.state.settle(reserved_usd, cost_usd, now_s)
    key = session_key(routed.task)
    last = _keeper(routed, trace)
    if key is None or last is None or last.usage is None:
        return
    phase = routed.features.phase
    folded = sessions.step(
        deps.state.session(key),
        candidate=last.candidate,
        input_tokens=last.usage.input_tokens,
        cost_usd=cost_usd,
        fresh=phase == "first",
        # A title moves no pin, and nor does an answer that broke off: its candidate has just shown that it is in trouble.
        pins=phase != "housekeeping" and last.result == "answered",
        now_s=now_s,
    )
    deps.state.keep_session(key, folded)


def _keeper(routed: Routed, trace: Trace) -> Attempt | None:
    """The attempt that the session is kept by: whose words went out; but of a panel the lead, which keeps the tool loop and
    its cache, whosever proposal was picked."""
    plan = routed.decision.plan
    if plan is not None and plan.strategy is not Strategy.SINGLE:
        own = [a for a in trace.attempts if a.candidate == plan.primary and a.result == "answered"]
        if own:
            return own[0]
    return trace.answer or (trace.attempts[-1] if trace.attempts else None)


def _estimate(attempt: Attempt, tokens: int, source: str, routed: Routed, deps: Deps) -> None:
    attempt.usage = Usage(input_tokens=round(routed.features.input_tokens + attempt.added_tokens), output_tokens=tokens)
    attempt.usage_source = source
    price_usage(attempt, deps.by_id[attempt.candidate])
