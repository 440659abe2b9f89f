"""`privacy.secrets` on a live router: what leaves this machine, what is said of it; the secret itself is said nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from autorouter.receipts import reader
from tests.fakes import Relay, delta, event, refuse, stream
from tests.server.conftest import KEY_ONE, KEY_TWO, POOL, Router, body

SECRET = "gh" + "p_" + "k3J9xQ2mZ7vB1nT5wR8yL4cF6hD0sG2aP9eU"
OTHER = "gh" + "p_" + "Zz9xQ2mZ7vB1nT5wR8yL4cF6hD0sG2aP9eUq"
ASK: list[dict[str, Any]] = [
    {"role": "user", "content": "please look at my settings"},
    {"role": "user", "content": f"GITHUB_TOKEN={SECRET}\nOTHER={OTHER}"},
]
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def privacy(policy: str) -> str:
    return f'[privacy]\nsecrets = "{policy}"\n'


def request(wire: str, streamed: bool = False, model: str = "openfusion/auto") -> dict[str, Any]:
    if wire == "responses":
        return {"model": model, "input": ASK, "stream": streamed}
    return body(ASK, stream=streamed, model=model, **({"max_tokens": 100} if wire == "messages" else {}))


def disk(router: Router) -> str:
    router.client.get("/debug/receipts")
    return "".join(path.read_text("utf-8") for path in router.receipts.iterdir())


def noted(router: Router, answer: Any) -> list[dict[str, Any]]:
    """What the receipt says about secrets."""
    return [note["params"] for note in router.receipt(answer)["degraded"] if note["code"] == "secrets_found"]


@pytest.mark.parametrize("streamed", [False, True])
def test_warned_of_secrets_are_counted_and_sent(streamed: bool, route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=privacy("warn"))
    answer = router.post(body(ASK, stream=streamed))
    assert answer.status_code == 200
    assert answer.headers["x-autorouter-secrets"] == "sent: github-token 2"
    assert SECRET in relay.seen[0].body.decode()
    assert noted(router, answer) == [{"action": "sent", "counts": {"github-token": 2}}]
    assert SECRET not in disk(router)


def test_without_a_secret_nothing_is_said(route: Callable[..., Router]) -> None:
    router = route(more=privacy("warn"))
    answer = router.post(body())
    assert "x-autorouter-secrets" not in answer.headers
    assert router.receipt(answer)["degraded"] == []


def test_by_default_nothing_is_looked_for(router: Router, relay: Relay) -> None:
    answer = router.post(body(ASK))
    assert "x-autorouter-secrets" not in answer.headers
    assert router.receipt(answer)["degraded"] == []
    assert SECRET in relay.seen[0].body.decode()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wire", PATHS)
def test_masked_no_byte_of_a_secret_leaves_on_any_wire(
    wire: str, streamed: bool, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(more=privacy("mask"))
    answer = router.post(request(wire, streamed), PATHS[wire])
    assert answer.status_code == 200
    sent = "".join(seen.body.decode() for seen in relay.seen)
    assert SECRET not in sent
    assert OTHER not in sent
    assert "[github-token-1]" in sent
    assert "[github-token-2]" in sent
    assert answer.headers["x-autorouter-secrets"] == "masked: github-token 2"
    assert noted(router, answer) == [{"action": "masked", "counts": {"github-token": 2}}]


def test_masked_it_stays_masked_in_a_fallback(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more=privacy("mask"))
    relay.play(refuse(500), to="vendor/first")
    answer = router.post(body(ASK))
    assert [name for name, _ in router.attempts(answer)] == ["first", "second"]
    assert [SECRET in seen.body.decode() for seen in relay.seen] == [False, False]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wire", PATHS)
def test_blocked_the_client_is_told_what_and_where_and_nobody_is_asked(
    wire: str, streamed: bool, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(more=privacy("block"))
    answer = router.post(request(wire, streamed), PATHS[wire])
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "secret_found"
    assert ("type" in answer.json()) == (wire == "messages"), "in the client's own shape"
    assert "github-token 2" in error["message"]
    assert ("input[1]" if wire == "responses" else "messages[1]") in error["message"]
    assert SECRET not in answer.text + str(answer.headers) + disk(router)
    assert relay.seen == []
    outcome = router.receipt(answer)["outcome"]
    assert (outcome["result"], outcome["status"], outcome["error"]) == ("refused", 400, "secret_found")


LOCAL = POOL.replace('api_key_env = "TWO_KEY"', "")


@pytest.mark.parametrize("policy", ["warn", "block"])
def test_what_stays_on_this_machine_may_hold_secrets(policy: str, start: Callable[..., Router], relay: Relay) -> None:
    router = start(LOCAL.format(url=relay.url, limits="", more=privacy(policy)), ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO)
    answer = router.post(body(ASK, model="openfusion/auto:private"))
    assert answer.status_code == 200
    assert "x-autorouter-secrets" not in answer.headers
    assert SECRET in relay.seen[0].body.decode()
    # The second is local and the first, its fallback, is not: then something may leave.
    mixed = router.post(body(ASK, model="second"))
    assert mixed.status_code == (400 if policy == "block" else 200)


def test_a_search_takes_what_is_asked_out_of_this_machine(start: Callable[..., Router], relay: Relay) -> None:
    """Though all who answer are here: the question goes to a command, and from there to anybody."""
    web = '[web]\nmode = "local"\ncommand = ["false"]\n[policy]\nallow = ["second"]\n'
    text = LOCAL.format(url=relay.url, limits="", more=privacy("block") + web)
    router = start(text, ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO)
    fused = router.post(body(ASK, model="openfusion/fusion"))
    assert (fused.status_code, fused.json()["error"]["code"]) == (400, "secret_found")
    assert relay.seen == []
    assert router.post(body(ASK)).status_code == 200, "a single answer looks nothing up"


def test_a_preview_masks_as_the_request_does(route: Callable[..., Router]) -> None:
    router = route(more=privacy("mask"))
    shown = router.post(body(ASK), "/debug/route").json()
    done = router.receipt(router.post(body(ASK)))
    assert shown["features"] == done["features"]
    assert SECRET not in json.dumps(shown)


def test_a_stream_passes_untouched_beside_the_mark(router: Router, relay: Relay) -> None:
    secret_answer = delta(content=f"here it is: {SECRET}")
    relay.always(stream(secret_answer, event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})))
    answer: httpx.Response = router.post(body(stream=True))
    assert SECRET in answer.text, "what a model says is the client's"
    assert "x-autorouter-secrets" not in answer.headers


def test_a_blocked_requests_receipt_can_be_decided_again(route: Callable[..., Router]) -> None:
    router = route(more=privacy("block"))
    router.post(body(ASK))
    router.runtime.close()
    from autorouter.receipts.verify import check_directory

    report = check_directory(Path(router.receipts), lambda lines, name, total: lines)
    assert report.ok, report.problems
    assert len(reader.latest_receipts(router.receipts, 5)) == 1
