"""The three wires through a live router: answers in the client's own shape, whoever gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.fakes import Relay, completion, refuse, stream, whole
from tests.server.conftest import Router, body

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
ASK: dict[str, dict[str, Any]] = {
    RESPONSES: {"model": "openfusion/auto", "input": "fix the bug"},
    MESSAGES: {
        "model": "openfusion/auto",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "fix the bug"}],
    },
}
TOOL_NAME = "edit"
CALLS = [{"id": "call_1", "type": "function", "function": {"name": TOOL_NAME, "arguments": '{"path": "a.py"}'}}]
TOOLS = {
    RESPONSES: [{"type": "function", "name": TOOL_NAME, "parameters": {"type": "object", "properties": {}}}],
    MESSAGES: [{"name": TOOL_NAME, "input_schema": {"type": "object", "properties": {}}}],
}


def events(text: str) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_responses_client_gets_its_own_answer_from_a_chat_upstream(router: Router, relay: Relay) -> None:
    relay.play(whole(completion("Hello")))
    answer = router.post(ASK[RESPONSES], RESPONSES)
    document = answer.json()
    assert document["object"] == "response"
    assert document["status"] == "completed"
    assert document["output"][0]["content"][0]["text"] == "Hello"
    assert document["usage"]["input_tokens"] == 120
    assert document["openfusion"]["candidate"] == "first"
    assert router.receipt(answer)["request"]["wire"] == "responses"


def test_a_messages_client_gets_its_own_answer_from_a_chat_upstream(router: Router, relay: Relay) -> None:
    relay.play(whole(completion(None, tool_calls=CALLS)))  # type: ignore[arg-type]
    document = router.post(ASK[MESSAGES] | {"tools": TOOLS[MESSAGES]}, MESSAGES).json()
    block = next(b for b in document["content"] if b["type"] == "tool_use")
    assert (document["stop_reason"], block["name"], block["input"]) == ("tool_use", TOOL_NAME, {"path": "a.py"})
    assert block["id"] == "call_1"


def test_a_responses_stream_is_ordered_and_ends_once(router: Router, relay: Relay) -> None:
    relay.play(stream())
    found = events(router.post(ASK[RESPONSES] | {"stream": True}, RESPONSES).text)
    assert [e["sequence_number"] for e in found] == list(range(len(found)))
    assert found[0]["type"] == "response.created"
    assert [e["type"] for e in found].count("response.completed") == 1
    assert found[-1]["type"] == "response.completed"


def test_a_messages_stream_is_ordered_and_ends_once(router: Router, relay: Relay) -> None:
    relay.play(stream())
    kinds = [e["type"] for e in events(router.post(ASK[MESSAGES] | {"stream": True}, MESSAGES).text)]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_stop") == 1


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES])
def test_a_failure_before_the_first_byte_is_absorbed_on_every_wire(router: Router, relay: Relay, path: str) -> None:
    relay.play(refuse(503), to="vendor/first")
    relay.always(whole(completion("Good")), to="vendor/second")
    answer = router.post(ASK[path], path)
    assert answer.status_code == 200
    assert router.attempts(answer) == [("first", "overloaded"), ("second", "answered")]


def test_errors_have_the_shape_of_the_clients_wire(router: Router, relay: Relay) -> None:
    for path in (RESPONSES, MESSAGES):
        answer = router.post(ASK[path] | {"model": "openfusion/nope"}, path)
        document = answer.json()
        assert answer.status_code == 404
        assert ("type" in document) == (path == MESSAGES)
        assert "openfusion/" in document["error"]["message"]
    relay.always(refuse(429))
    answer = router.post(ASK[MESSAGES], MESSAGES)
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.headers["retry-after"]


def test_the_small_requests_of_agents_are_answered_at_once(router: Router) -> None:
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    assert router.client.get(RESPONSES, headers=upgrade).status_code == 426
    assert router.post({"model": "x"}, "/v1/responses/compact").json()["error"]["code"] == "not_supported"
    assert router.post(ASK[MESSAGES], "/v1/messages/count_tokens").json()["input_tokens"] > 0
    assert router.client.head("/api/hello").status_code == 404
    kept = router.post(ASK[RESPONSES] | {"previous_response_id": "resp_1"}, RESPONSES)
    assert (kept.status_code, kept.json()["error"]["code"]) == (400, "previous_response_not_found")


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES])
def test_a_preview_knows_the_wire_by_the_body(router: Router, path: str) -> None:
    preview = router.post(ASK[path], "/debug/route", anthropic_version="2023-06-01").json()
    executed = router.receipt(router.post(ASK[path], path))
    assert preview["decision"] == executed["decision"]


SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAB-of-another-maker"}
HISTORY = [{"role": "user", "content": "fix the bug"}, SEALED, {"role": "user", "content": "go on"}]
WHOLE_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "vendor/first",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}],
}


def test_reasoning_that_its_target_refuses_is_left_out_and_the_same_target_asked_once_more(
    route: Callable[..., Router], relay: Relay
) -> None:
    router = route(limits='wire = "responses"')
    said = {"message": "The encrypted content gAAA could not be verified.", "code": "invalid_encrypted_content"}
    relay.play(refuse(400, said), whole(WHOLE_RESPONSE), to="vendor/first")
    answer = router.post({"model": "openfusion/auto", "input": HISTORY}, RESPONSES)
    assert answer.status_code == 200
    assert router.attempts(answer) == [("first", "reasoning"), ("first", "answered")]
    assert b"gAAAAB" in relay.seen[0].body
    assert b"gAAAAB" not in relay.seen[1].body
    assert "reasoning_foreign" in [loss["code"] for loss in router.receipt(answer)["degraded"]]


def test_on_the_same_wire_only_the_models_name_changes(route: Callable[..., Router], relay: Relay) -> None:
    router = route(limits='wire = "messages"')
    relay.play(whole({"id": "m", "type": "message", "model": "vendor/first", "content": [], "stop_reason": "end_turn"}))
    sent = ASK[MESSAGES] | {"unknown": {"kept": [1, 2.50]}, "thinking": {"type": "adaptive"}}
    router.post(sent, MESSAGES, anthropic_beta="one-2026-01-01")
    assert relay.seen[0].document == sent | {"model": "vendor/first"}
    assert relay.seen[0].path.endswith("/v1/messages")
    assert relay.seen[0].headers["anthropic-beta"] == "one-2026-01-01"
    assert relay.seen[0].headers["anthropic-version"] == "2023-06-01"


def test_what_a_provider_refuses_is_not_sent_and_the_receipt_says_so(
    route: Callable[..., Router], relay: Relay
) -> None:
    router = route(limits='profile = "mistral"')
    relay.play(stream(), whole(completion("ok")), whole(completion("ok")), to="vendor/first")
    asked: dict[str, Any] = {
        "stream_options": {"include_usage": True},
        "store": False,
        "max_completion_tokens": 50,
        "top_p": 0.5,
    }
    answer = router.post(body(stream=True, **asked))
    sent = relay.seen[0].document
    assert sent == body(stream=True, model="vendor/first") | {"max_tokens": 50, "top_p": 0.5}
    losses = [(loss["code"], loss["params"]) for loss in router.receipt(answer)["degraded"]]
    assert ("field_refused", {"name": "stream_options", "provider": "mistral"}) in losses
    renamed = {"name": "max_completion_tokens", "renamed": "max_tokens", "provider": "mistral"}
    assert ("field_renamed", renamed) in losses
    translated = router.post(ASK[RESPONSES] | {"max_output_tokens": 50}, RESPONSES, x_autorouter_strategy="single")
    assert translated.status_code == 200
    assert relay.seen[1].document["max_tokens"] == 50
    plain = router.post(body(max_tokens=50), x_autorouter_strategy="single")
    assert relay.seen[2].document == body(model="vendor/first") | {"max_tokens": 50}
    assert router.receipt(plain)["degraded"] == []
