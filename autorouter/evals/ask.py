"""Asks the router one question, the way a client's request goes: parsed, routed, executed, recorded.

    answer = await ask(deps, "openfusion/verify", "How many …?", session="gsm8k-3/verify")

Every question starts from a state of its own, so that neither a session pin nor an earlier question's measurements influence
a later one. Spending is shared, because caps hold for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from autorouter.engine.accounting import carry_out
from autorouter.engine.deps import Deps, RouterState
from autorouter.engine.request_context import RequestContext
from autorouter.engine.router import route
from autorouter.engine.trace import Trace
from autorouter.errors import AutorouterError, UnknownModel
from autorouter.receipts.messages import sentences
from autorouter.upstream.transport import Transport
from autorouter.wire.parse import parse_request

EvalOutcome = Literal["answered", "degraded", "failed"]
"""`degraded`: answered, but not as requested or planned; `EvalAnswer.degraded` says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalAnswer:
    """The result of a question. `cost_usd` None: a price is unknown. `phases`: every call, as receipts name them."""

    label: str
    text: str
    outcome: EvalOutcome
    receipt: str
    strategy: str | None
    candidate: str | None
    cost_usd: float | None
    seconds: float
    degraded: tuple[str, ...] = ()
    error: str | None = None
    phases: tuple[dict[str, Any], ...] = field(default=())


class IsolatedState(RouterState):
    """Health and sessions of its own, money shared with `shared_budget`."""

    def __init__(self, shared_budget: RouterState) -> None:
        super().__init__()
        self._shared_budget = shared_budget

    def spent_today_usd(self, now_s: float) -> float:
        return self._shared_budget.spent_today_usd(now_s)

    def reserve(self, usd: float) -> None:
        self._shared_budget.reserve(usd)

    def settle(self, reserved_usd: float, spent_usd: float, now_s: float | None) -> None:
        self._shared_budget.settle(reserved_usd, spent_usd, now_s)


def chat_body(label: str, prompt: str, max_tokens: int | None = None) -> bytes:
    """A chat request."""
    document: dict[str, Any] = {"model": label, "messages": [{"role": "user", "content": prompt}]}
    if max_tokens is not None:
        document["max_tokens"] = max_tokens
    return orjson.dumps(document)


async def ask(deps: Deps, label: str, prompt: str, *, session: str, max_tokens: int | None = None) -> EvalAnswer:
    """Ask. A failure is an outcome, not an exception; only an unknown label raises UnknownModel."""
    isolated_deps = replace(deps, state=IsolatedState(deps.state), transport=_fresh_transport(deps))
    began_s = deps.timer()
    request = parse_request("chat", chat_body(label, prompt, max_tokens), {"x-session-id": session})
    context = RequestContext(
        request=request, receipt_id=deps.new_id(), began_s=began_s, deadline_s=began_s + deps.retry.deadline_s
    )
    routed = route(request.task, isolated_deps, context.session_key)
    text, error = "", None
    with carry_out(context, routed, isolated_deps) as step:
        try:
            text = answer_text(await step.answer())
        except UnknownModel:
            raise
        except AutorouterError as failed:
            error = f"{failed.code}: {failed.message}"
    decision, trace = routed.decision, step.trace
    return EvalAnswer(
        label=label,
        text=text,
        outcome="failed" if error is not None else "degraded" if trace.degraded else "answered",
        receipt=context.receipt_id,
        strategy=str(decision.plan.strategy) if decision.plan else None,
        candidate=_candidate(trace),
        cost_usd=trace.cost_usd,
        seconds=trace.seconds or 0.0,
        degraded=tuple(sentences(trace.degraded)),
        error=error,
        phases=tuple(_phases(trace)),
    )


def _fresh_transport(deps: Deps) -> Transport:
    """A dry run gets a transport of its own: a shared prompt cache would favour the entrant that asks the same text later."""
    if not deps.dry_run:
        return deps.transport
    from autorouter.simulator.transport import DryRunTransport

    return DryRunTransport(time_scale=0.0) if isinstance(deps.transport, DryRunTransport) else deps.transport


def answer_text(body: bytes) -> str:
    """The text of a complete chat answer; empty if it has none."""
    choices = orjson.loads(body).get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else ""


def _candidate(trace: Trace) -> str | None:
    if trace.answer is not None:
        return trace.answer.candidate
    return None


def _phases(trace: Trace) -> list[dict[str, Any]]:
    return [
        {
            "phase": attempt.phase,
            "candidate": attempt.candidate,
            "result": attempt.result,
            "seconds": attempt.seconds,
            "cost_usd": attempt.cost_usd,
        }
        for attempt in trace.attempts
    ]
