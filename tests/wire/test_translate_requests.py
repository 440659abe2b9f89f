import json

import pytest

from autorouter.wire import translate
from autorouter.wire.common import history
from autorouter.wire.common.ir import (
    Message,
    NamedToolChoice,
    ReasoningEnded,
    ReasoningPart,
    RequestIR,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)
from autorouter.wire.translate import ResponseMetadata
from tests.wire.fixtures import PAIRS, WIRES, load, meaning

CONVERSATIONS, CROSSINGS = load("conversations"), load("crossings")


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_conversation_means_the_same_on_each_wire(name, one, other):
    case = CONVERSATIONS[name]
    assert meaning(translate.to_ir(case[one], one)) == meaning(translate.to_ir(case[other], other))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_crossing_and_the_way_back_lose_no_meaning(name, client, upstream):
    document = CONVERSATIONS[name][client]
    sent = translate.translate_request(translate.to_ir(document, client), upstream, "m")
    assert sent.losses == ()
    assert meaning(translate.to_ir(sent.document, upstream)) == meaning(translate.to_ir(document, client))


@pytest.mark.parametrize("name", CROSSINGS)
def test_a_real_clients_request_crosses_as_written_down(name):
    case = CROSSINGS[name]
    sent = translate.translate_request(translate.to_ir(case["document"], case["client"]), case["upstream"], "up")
    assert sent.document == case["sent"]
    assert [[loss.what, loss.name] for loss in sent.losses] == case["losses"]


def test_ids_cross_byte_for_byte_where_the_target_takes_them():
    document = {
        "input": [
            {"type": "function_call", "call_id": "functions.ls:0", "name": "ls", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "functions.ls:0", "output": "a"},
        ]
    }
    body = json.dumps(document).encode()
    chat = translate.translate_request(translate.to_ir(json.loads(body), "responses"), "chat", "m").document["messages"]
    assert (chat[0]["tool_calls"][0]["id"], chat[1]["tool_call_id"]) == ("functions.ls:0", "functions.ls:0")
    messages = translate.translate_request(translate.to_ir(json.loads(body), "responses"), "messages", "m").document[
        "messages"
    ]
    sent = messages[1]["content"][0]["id"]
    assert sent == messages[2]["content"][0]["tool_use_id"]
    assert sent.replace("_", "").isalnum()


def test_names_are_flattened_with_their_namespace_only_where_they_clash():
    tools = tuple(
        ToolDefinition(name=name, namespace=space) for space, name in (("a", "read"), ("b", "read"), ("a", "only"))
    )
    names = translate.chat_out.from_ir(RequestIR(tools=tools), "m").names
    assert [names.upstream_name(tool.name, tool.namespace) for tool in tools] == ["a__read", "b__read", "only"]
    assert {
        name: (names.declared[name].namespace, names.declared[name].name) for name in ("a__read", "only", "a__only")
    } == {
        "a__read": ("a", "read"),
        "only": ("a", "only"),
        "a__only": ("a", "only"),
    }


def test_names_that_other_wires_refuse_are_changed_and_found_again():
    tools = (ToolDefinition(name="mcp.x/read"), ToolDefinition(name="mcp_x_read"), ToolDefinition(name="n" * 90))
    names = translate.chat_out.from_ir(RequestIR(tools=tools), "m").names
    sent = [names.upstream_name(tool.name, None) for tool in tools]
    assert len(set(sent)) == 3
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in sent)
    assert [names.declared[name].name for name in sent] == [tool.name for tool in tools]


def test_the_choice_of_a_tool_follows_its_name():
    tool = ToolDefinition(name="f", namespace="a")
    conversation = RequestIR(
        tools=(tool, ToolDefinition(name="f", namespace="b")), tool_choice=NamedToolChoice("f", "a")
    )
    sent = translate.chat_out.from_ir(conversation, "m").document["tool_choice"]
    assert sent == {"type": "function", "function": {"name": "a__f"}}


HISTORY = (
    Message("user", (TextPart("go"),)),
    Message(
        "assistant",
        (ReasoningPart(summary=("I think.",), payload="SIG", shape="messages", origin="a/claude"), TextPart("Done.")),
    ),
)


@pytest.mark.parametrize("wire", WIRES)
def test_reasoning_of_another_origin_becomes_text_and_a_loss(wire):
    sent = getattr(translate, f"{wire}_out").from_ir(RequestIR(messages=HISTORY), "m", origin="b/gpt")
    assert "SIG" not in json.dumps(sent.document)
    assert "I think." in json.dumps(sent.document)
    assert [(loss.what, loss.name) for loss in sent.losses] == [("reasoning", "a/claude")]


def test_reasoning_comes_home_whole():
    sent = translate.messages_out.from_ir(RequestIR(messages=HISTORY), "m", origin="a/claude")
    block = sent.document["messages"][1]["content"][0]
    assert block == {"type": "thinking", "thinking": "I think.", "signature": "SIG"}
    assert sent.losses == ()


@pytest.mark.parametrize("shape", ["responses", "messages", "redacted", "chat"])
@pytest.mark.parametrize("origin", ["relay/claude", "a:b/ü %3A", ""])
def test_a_stamp_is_read_as_it_was_written(shape, origin):
    heading = ResponseMetadata(seed="s", model="m", origin=origin)
    found = history.read_stamped(
        heading.stamped_payload(ReasoningEnded("a:b=:", shape, "rs:1")), ("s",), shape="responses"
    )
    assert found == ReasoningPart(summary=("s",), payload="a:b=:", shape=shape, origin=origin, id="rs:1")


@pytest.mark.parametrize("payload", ["", "gAAAA", "ar1:", "ar1:a:b:c", "ar1:a:nothing:c:d"])
def test_what_is_no_stamp_is_a_payload_of_unknown_origin(payload):
    found = history.read_stamped(payload, (), shape="responses")
    assert (found.payload, found.origin) == (payload, None)


def call(ident):
    return ToolCallPart(id=ident, name="f", arguments="{}")


def result(ident, text):
    return ToolResultPart(call_id=ident, parts=(TextPart(text),))


def test_calls_and_results_are_paired_for_wires_that_insist_on_it():
    losses = []
    messages = history.pair_tool_calls(
        [
            Message("tool", (result("a", "old"),)),
            Message("assistant", (call("a"), call("b"))),
            Message("user", (TextPart("wait"),)),
            Message("tool", (result("a", "1"),)),
            Message("assistant", (call("a"),)),
            Message("tool", (result("a", "2"),)),
        ],
        losses,
    )
    assert [message.role for message in messages] == ["user", "assistant", "tool", "user", "assistant", "tool"]
    assert messages[0].parts[1] == TextPart("old")
    assert [part.parts[0].text for part in messages[2].parts] == ["1", history.NO_RESULT]
    assert messages[5].parts == (result("a", "2"),)
    assert [(loss.what, loss.name) for loss in losses] == [("result", "a"), ("call", "b")]


def test_stream_options_are_for_streams_only():
    body = json.dumps({"input": "x", "stream": True}).encode()
    streamed = translate.translate_request(translate.to_ir(json.loads(body), "responses"), "chat", "m").document
    whole = translate.translate_request(
        translate.to_ir(json.loads(body), "responses"), "chat", "m", stream=False
    ).document
    assert streamed["stream_options"] == {"include_usage": True}
    assert (whole["stream"], "stream_options" in whole) == (False, False)
