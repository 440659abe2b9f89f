"""`budget.per_session_usd` where a session's requests run at the same time, and where nobody answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from autorouter.core.policy import Budget
from autorouter.core.state.session import Session
from autorouter.engine.accounting import carry_out
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import session_key
from autorouter.engine.router import route
from autorouter.errors import AutorouterError, BudgetExceeded
from autorouter.wire.parse import parse_request
from tests.server.panel_scripts import TOOLS
from tests.server.scripted_models import (
    ConnectionBroken,
    DelayedAnswer,
    ScriptedAnswer,
    ScriptedCall,
    ScriptedTransport,
    SimulatedToolCall,
    TextAnswer,
    deps_for,
    local_context,
    request_document,
    run,
)

NAMED = {"x-session-id": "s1"}


async def asked(deps: Deps, label: str, **more: object) -> AutorouterError | None:
    body = orjson.dumps(request_document("explain the design of the cache", model=label, **more))
    request = parse_request("chat", body, NAMED)
    context = local_context(request, deps)
    with carry_out(context, route(request.task, deps, context.session_key), deps) as step:
        try:
            await step.answer()
        except AutorouterError as error:
            return error
    return None


def session(deps: Deps) -> Session:
    task = parse_request("chat", orjson.dumps(request_document("hi")), NAMED).task
    return deps.state.session(session_key(task))


def found_usd(deps: Deps) -> float:
    """What a request of this session would find spent."""
    task = parse_request("chat", orjson.dumps(request_document("hi")), NAMED).task
    return route(task, deps, session_key(task)).snapshot.session.spent_usd


def test_requests_at_the_same_time_share_what_their_session_may_spend(tmp_path: Path) -> None:
    def play(_: ScriptedCall) -> ScriptedAnswer:
        return DelayedAnswer(lambda: asyncio.sleep(1), TextAnswer("A cache."))

    cap_usd = 0.02
    deps, _ = deps_for(
        ScriptedTransport(play), tmp_path, names=("m0", "m1", "m2"), budget=Budget(per_session_usd=cap_usd)
    )

    async def many() -> list[AutorouterError | None]:
        return await asyncio.gather(*(asked(deps, "openfusion/fusion") for _ in range(12)))

    errors = run(many())
    assert 0.0 < session(deps).spent_usd <= cap_usd
    assert any(isinstance(error, BudgetExceeded) for error in errors)
    assert any(error is None for error in errors)
    assert found_usd(deps) == session(deps).spent_usd, "nothing stays held"


def test_what_a_panel_spent_counts_though_nobody_answered(tmp_path: Path) -> None:
    """The lead failed, and the last call of all used nothing; the other members were paid."""

    def play(heard: ScriptedCall) -> ScriptedAnswer:
        paid = heard.role == "member" and heard.candidate_id != "m0"
        return SimulatedToolCall("destroy", {"path": "/"}) if paid else ConnectionBroken("reset")

    deps, receipts = deps_for(ScriptedTransport(play), tmp_path, names=("m0", "m1", "m2", "m3"))
    error = run(asked(deps, "openfusion/fusion", tools=TOOLS))
    assert error is not None
    cost_usd = receipts.completed[-1].trace.cost_usd
    assert cost_usd > 0.0
    assert abs(session(deps).spent_usd - cost_usd) < 1e-8
    assert session(deps).incumbent is None
