import json

import pytest

from autorouter.wire.common.history import stamp_payload
from autorouter.wire.messages import passthrough as messages_passthrough
from autorouter.wire.responses import passthrough as responses_passthrough

FILTERS = {"responses": responses_passthrough.filter_reasoning, "messages": messages_passthrough.filter_reasoning}


def item(payload, **members):
    return {"type": "reasoning", "id": "rs_ours", "summary": [{"type": "summary_text", "text": "Plan."}]} | (
        {"encrypted_content": payload} | members
    )


def thinking(signature):
    return {"type": "thinking", "thinking": "Plan.", "signature": signature}


def body(wire, part):
    if wire == "responses":
        return json.dumps({"model": "m", "x": 1, "input": [{"role": "user", "content": "go"}, part]}).encode()
    said = {"role": "assistant", "content": [part, {"type": "text", "text": "Done."}]}
    return json.dumps({"model": "m", "x": 1, "messages": [{"role": "user", "content": "go"}, said]}).encode()


def part_of(sent, wire):
    document = json.loads(sent)
    assert (document["model"], document["x"]) == ("m", 1)
    return document["input"][1] if wire == "responses" else document["messages"][1]["content"][0]


CASES = [("responses", item), ("messages", thinking)]
TEXT = "<reasoning_summary>\nPlan.\n</reasoning_summary>"


@pytest.mark.parametrize(("wire", "make"), CASES)
def test_a_body_without_a_stamp_is_the_same_bytes(wire, make):
    sent = body(wire, make("gAAAA"))
    assert FILTERS[wire](sent, origin="up/m") == (sent, ())


@pytest.mark.parametrize(("wire", "make"), CASES)
def test_the_maker_gets_its_own_back(wire, make):
    sealed = stamp_payload("gAAAA", origin="up/m", shape=wire, ident="rs_theirs" if wire == "responses" else "")
    sent, losses = FILTERS[wire](body(wire, make(sealed)), origin="up/m")
    assert part_of(sent, wire) == (make("gAAAA", id="rs_theirs") if wire == "responses" else make("gAAAA"))
    assert losses == ()


@pytest.mark.parametrize(("wire", "make"), CASES)
@pytest.mark.parametrize(("origin", "shape"), [("other/m", None), ("up/m", "chat")])
def test_anyone_else_gets_the_summary(wire, make, origin, shape):
    sealed = stamp_payload("gAAAA", origin=origin, shape=shape or wire)
    sent, losses = FILTERS[wire](body(wire, make(sealed)), origin="up/m")
    part = part_of(sent, wire)
    assert (part["content"][0] if wire == "responses" else part)["text"] == TEXT
    assert b"gAAAA" not in sent
    assert [(loss.what, loss.name) for loss in losses] == [("reasoning", origin)]


@pytest.mark.parametrize(("wire", "make"), CASES)
def test_what_the_target_refused_is_stripped_once_asked(wire, make):
    sent, losses = FILTERS[wire](body(wire, make("gAAAA")), origin="up/m", strip=True)
    assert b"gAAAA" not in sent
    assert b"Plan." in sent
    assert [loss.name for loss in losses] == ["unknown"]


def test_a_message_of_nothing_but_foreign_secrets_is_left_out():
    block = {"type": "redacted_thinking", "data": stamp_payload("x", origin="other/m", shape="redacted")}
    document = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}]}
    sent, losses = FILTERS["messages"](json.dumps(document).encode(), origin="up/m")
    assert json.loads(sent)["messages"] == document["messages"][:1]
    assert len(losses) == 1


@pytest.mark.parametrize("raw", [b"[]", b'{"input":"ar1:"}', b'{"messages":[1,{"role":"assistant"}]}', b"no"])
@pytest.mark.parametrize("wire", ["responses", "messages"])
def test_what_is_no_conversation_passes(raw, wire):
    assert FILTERS[wire](raw, origin="up/m", strip=True) == (raw, ())
