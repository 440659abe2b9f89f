"""`POST /v1/estimate`: the figures of the decision, before anything is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.conftest import HI, Router, body

HARD = [{"role": "user", "content": "design a lock-free MPSC queue in C++ and prove its memory ordering"}]
WIRES: dict[str, dict[str, Any]] = {
    "chat": {"messages": HARD},
    "responses": {"input": "design a lock-free queue"},
    "messages": {"messages": HARD, "system": "s", "max_tokens": 100},
}


def estimate(router: Router, document: dict[str, Any]) -> dict[str, Any]:
    answer = router.post({"model": "openfusion/auto", **document}, "/v1/estimate")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_of_any_wire_has_an_estimate(dry: Router, wire: str) -> None:
    found = estimate(dry, WIRES[wire])
    assert found["object"] == "autorouter.estimate"
    assert 0 < found["usd"]["low"] <= found["usd"]["likely"] <= found["usd"]["high"]
    assert found["calls"] == sum(len(phase["calls"]) for phase in found["phases"]) >= 1


@pytest.mark.parametrize("label", ["auto", "verify", "fusion", "fast"])
def test_its_figures_are_those_of_the_decision(dry: Router, label: str) -> None:
    asked = {"model": f"openfusion/{label}", "messages": HARD}
    found, plan = estimate(dry, asked), dry.post(asked, "/debug/route").json()["decision"]["plan"]
    assert found["strategy"] == plan["strategy"]
    assert found["usd"]["likely"] == plan["step_usd"]
    assert found["usd"]["high"] == plan["reserve_usd"]
    calls = [call["candidate"] for phase in found["phases"] for call in phase["calls"]]
    assert calls == [call["candidate"] for call in plan["calls"]] or calls == [plan["primary"]]


def test_all_phases_at_their_upper_end_are_what_is_held_back(dry: Router) -> None:
    for label in ("fast", "verify", "fusion"):
        found = estimate(dry, {"model": f"openfusion/{label}", "messages": HARD})
        assert sum(phase["usd"]["high"] for phase in found["phases"]) == pytest.approx(found["usd"]["high"], rel=1e-6)


def test_what_may_be_spared_is_not_certain(dry: Router) -> None:
    found = estimate(dry, {"model": "openfusion/verify", "messages": HARD})
    assert [phase["certain"] for phase in found["phases"]] == [True, True, False]
    certain = sum(phase["usd"]["low"] for phase in found["phases"] if phase["certain"])
    assert found["usd"]["low"] == pytest.approx(certain, rel=1e-6)


def test_nothing_is_called_or_recorded(dry: Router) -> None:
    estimate(dry, {"messages": HI})
    assert dry.client.get("/debug/receipts").json()["data"] == []


def test_a_refusal_is_an_answer(route: Callable[..., Router]) -> None:
    found = estimate(route(more="[budget]\nper_request_usd = 0.0000001\n"), {"messages": HARD})
    assert found["refusal"]["code"] == "budget_exceeded"
    assert (found["usd"], found["phases"], found["calls"]) == (None, [], 0)


def test_what_is_no_request_is_refused(dry: Router) -> None:
    assert dry.post({"model": "openfusion/auto"}, "/v1/estimate").json()["error"]["param"] == "messages"
    assert dry.post(body(model="nobody"), "/v1/estimate").status_code == 404
