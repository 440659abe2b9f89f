"""What a request may wish for, over a live router: carried out, on the receipt, and made again to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from autorouter.core.types import Strategy
from autorouter.engine.receipt import context_record
from autorouter.receipts.chain import canonical_json
from autorouter.receipts.messages import with_text
from autorouter.receipts.replay import replay_decision
from autorouter.receipts.verify import check_directory
from tests.fakes import Relay
from tests.server.conftest import POOL, Router, body

ASK = [{"role": "user", "content": "plan the migration of the cache"}]
PATHS = {"/v1/chat/completions": "messages", "/v1/responses": "input", "/v1/messages": "messages"}


def wished(router: Router, path: str = "/v1/chat/completions", **wishes: Any) -> httpx.Response:
    document = {"model": "openfusion/auto", PATHS[path]: ASK, "max_tokens": 20_000, "openfusion": wishes}
    if path == "/v1/responses":
        del document["max_tokens"]
    return router.post(document, path)


def made_again(router: Router, receipt: dict[str, Any]) -> bool:
    deps = router.runtime.deps
    again = replay_decision(receipt, context_record(deps.policy, deps.candidates))
    # Over HTTP each reason has its sentence beside its code.
    return canonical_json(with_text(again)) == canonical_json(receipt["decision"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("strategy", Strategy)
def test_a_strategy_is_carried_out_and_decided_again(strategy: Strategy, path: str, router: Router) -> None:
    answer = wished(router, path, strategy=strategy)
    assert answer.status_code == 200, answer.text
    receipt = router.receipt(answer)
    assert receipt["decision"]["plan"]["strategy"] == strategy
    assert receipt["features"]["wishes"]["strategy"] == strategy
    assert answer.headers["x-autorouter-strategy"] == strategy
    assert made_again(router, receipt)


def test_members_judge_and_synthesizer_are_those_that_were_asked_for(router: Router) -> None:
    answer = wished(
        router, models=["second", "second", "first"], judge="first", synthesizer="second", dial=0, max_usd=5
    )
    plan = router.receipt(answer)["decision"]["plan"]
    assert (plan["members"], plan["judge"], plan["synthesizer"]) == (["second", "second", "first"], "first", "second")
    assert [who for who, _ in router.attempts(answer)][-2:] == ["first", "second"]
    assert made_again(router, router.receipt(answer))


def test_headers_wish_as_the_body_does_and_go_before_it(router: Router) -> None:
    document = body(ASK) | {"openfusion": {"strategy": "single", "dial": 1}}
    answer = router.post(document, x_autorouter_strategy="verify", x_autorouter_dial="9")
    receipt = router.receipt(answer)
    assert (receipt["decision"]["plan"]["strategy"], receipt["decision"]["dial"]) == ("verify", 9.0)
    assert made_again(router, receipt)


def test_a_preview_knows_the_wishes(router: Router) -> None:
    document = body(ASK) | {"openfusion": {"models": ["first", "second"], "dial": 2}}
    preview = router.post(document, "/debug/route").json()
    assert preview["decision"] == router.receipt(router.post(document))["decision"]


REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "unknown": ({"strateggy": "fusion"}, 400, "openfusion.strateggy", "did you mean `strategy`?"),
    "url": ({"url": "http://127.0.0.1:1/v1"}, 400, "openfusion.url", "come from the configuration only"),
    "api-key": ({"api_key": "sk-not-a-key"}, 400, "openfusion.api_key", "come from the configuration only"),
    "value": ({"strategy": "everything"}, 400, "openfusion.strategy", "must be one of"),
    "model": ({"models": ["first", "secnd"]}, 404, "openfusion.models", "second"),
    "judge": ({"judge": "nobody"}, 404, "openfusion.judge", "does not exist here"),
    "panel": ({"panel": "qualty"}, 404, "openfusion.panel", "quality"),
    "poor": ({"max_usd": 0.0}, 402, "", "budget"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wish_that_cannot_be_is_one_clear_error(case: str, router: Router, relay: Relay) -> None:
    wishes, status, param, words = REFUSED[case]
    answer = wished(router, **wishes)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert not param or error["param"] == param
    assert words in error["message"]
    assert "sk-not" not in answer.text
    assert relay.seen == []


def test_a_wish_only_lowers_a_cap(route: Callable[..., Router]) -> None:
    router = route(more="[budget]\nper_request_usd = 0.02\n")
    for wish, cap in ((5.0, 0.02), (0.01, 0.01)):
        receipt = router.receipt(wished(router, max_usd=wish))
        assert receipt["decision"]["allowance"] == {"cap": "per_request_usd", "left_usd": cap}
        assert receipt["outcome"]["cost_usd"] <= cap


def test_wishes_that_are_switched_off_are_refused(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more="[fusion]\nallow_overrides = false\n")
    answer = wished(router, dial=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "overrides_not_allowed")
    assert router.post(body(ASK), x_autorouter_strategy="fusion").status_code == 403
    assert relay.seen == []
    assert router.post(body(ASK), x_autorouter_progress="events").status_code == 200, "to be told more is no wish"


# ---- the receipt


def test_plans_stand_side_by_side_and_auto_does_the_best(router: Router) -> None:
    receipt = router.receipt(router.post(body(ASK)))
    plans = receipt["decision"]["plans"]
    assert sorted(plan["strategy"] for plan in plans) == ["fusion", "single", "verify"]
    assert receipt["decision"]["plan"] == max(plans, key=lambda plan: plan["total"])
    for plan in plans:
        assert plan["total"] == pytest.approx(sum(plan["points"].values()), abs=1e-5)
        assert all(call["usd"] > 0 for call in plan["calls"])


LABELS = ["openfusion/auto", "openfusion/verify", "openfusion/fusion", "openfusion/panel/code", "openfusion/panel/self"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_receipts_of_every_strategy_are_verified(streamed: bool, dry: Router) -> None:
    for label in LABELS:
        assert dry.post(body(ASK, model=label, stream=streamed)).status_code == 200
    assert dry.post(body(ASK, stream=streamed) | {"openfusion": {"strategy": "fusion", "dial": 1}}).status_code == 200
    assert dry.client.get("/debug/receipts").status_code == 200, "this writes them all"
    report = check_directory(dry.receipts, lambda lines, *_: lines)
    assert (report.ok, report.receipts, report.decided) == (True, 6, 6), report.problems


LONG = [f"some-vendor-of-models-with-very-long-names-{n}-preview-2026" for n in range(8)]
CANDIDATE = """[[candidates]]
id = "{name}"
upstream = "two"
model = "vendor/{name}"
price_usd_per_mtok = {{ input = 1.0, output = 4.0 }}
"""


@pytest.mark.parametrize(("way", "most"), [("judge", 8), ("ranked", 8), ("debate", 7)])
@pytest.mark.parametrize("fault", ["", "500@" + LONG[0] + ",empty@" + LONG[3]], ids=["well", "degraded"])
def test_a_summary_is_small_whatever_there_is_to_say(
    way: str, most: int, fault: str, start: Callable[..., Router]
) -> None:
    own = "\n".join(CANDIDATE.format(name=name) for name in LONG)
    own += f'[panels.long]\nmethod = "{way}"\nmembers = {json.dumps(LONG[:most])}\n'
    own += "[dry_run]\ntime_scale = 0\n"
    router = start(POOL.format(url="http://127.0.0.1:9/v1", limits="", more=own), dry_run=True)
    document = body(ASK, model="openfusion/panel/long")
    answer = router.post(document, x_autorouter_fault=fault) if fault else router.post(document)
    said = answer.json()["openfusion"]
    assert said["strategy"] == "fusion"
    assert len(json.dumps(said, separators=(",", ":"))) <= 2_048, said
    assert bool(said["degraded"]) == bool(fault)
