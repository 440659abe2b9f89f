"""A client's request with more said behind it: the conversation stays the client's own."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from autorouter.core.types import Wire
from autorouter.wire import exchange
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import (
    INNER_MAX_TOKENS,
    InnerRequestOptions,
    answer_text,
    answer_tool_calls,
    compose,
    declared_tools,
    has_output_options,
    read_answer,
)
from autorouter.wire.parse import parse_request

WIRES: tuple[Wire, ...] = ("chat", "responses", "messages")
ADDED = "<autorouter-task>x</autorouter-task>"
TOOL: dict[Wire, dict[str, Any]] = {
    "chat": {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}},
    "responses": {"type": "function", "name": "ls", "parameters": {"type": "object"}},
    "messages": {"name": "ls", "input_schema": {"type": "object"}},
}


def parsed(wire: Wire, said: Any = "hi", **more: Any) -> ClientRequest:
    place = "input" if wire == "responses" else "messages"
    talk = said if isinstance(said, list) else [{"role": "user", "content": said}]
    limit = {"max_tokens": 500} if wire == "messages" else {}
    return parse_request(wire, orjson.dumps({"model": "openfusion/auto", place: talk} | limit | more), {})


def sent(request: ClientRequest, shape: InnerRequestOptions, addition: str = ADDED) -> dict[str, Any]:
    """What goes upstream of a composed request, on the same wire."""
    changed = compose(request, addition, shape)
    way = exchange.open_exchange(
        changed, changed.task.wire, "the/model", origin="u/m", seed="s", created_s=0, stream_usage=True
    )
    document: dict[str, Any] = json.loads(way.body)
    assert document["model"] == "the/model"
    return document


def talk_of(document: dict[str, Any]) -> list[Any]:
    found: list[Any] = document.get("messages") or document["input"]
    return found


TALK = [
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "second"},
    {"role": "user", "content": [{"type": "text", "text": "third"}]},
]


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("wire", WIRES)
def test_what_was_read_of_a_request_is_shared_and_changed_by_nobody(wire: Wire, upstream: Wire) -> None:
    tools = [TOOL[wire]]
    shape = InnerRequestOptions(stream=True, keep_output_options=False, tools="none", max_tokens=9)

    def bodies(fresh: bool) -> list[bytes]:
        """The body for a call, a fallback, two inner calls and a call after the answer has begun."""
        one = parsed(wire, TALK, tools=tools)
        made = []
        for inner in (False, False, True, True, False):
            request = parsed(wire, TALK, tools=tools) if fresh else one
            request = compose(request, ADDED, shape) if inner else request
            way = exchange.open_exchange(request, upstream, "m", origin="u/m", seed="s", created_s=0, stream_usage=True)
            made.append(way.body)
            if len(made) == 4:
                one.parsed.release()
        return made

    shared = bodies(fresh=False)
    assert shared == bodies(fresh=True)
    assert shared[0] == shared[1] == shared[4] != shared[2] == shared[3]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
def test_the_conversation_stays_and_the_addition_is_the_users_last_word(wire: Wire, stream: bool) -> None:
    talk = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"role": "user", "content": "third"},
    ]
    document = sent(parsed(wire, talk, stream=not stream), InnerRequestOptions(stream=stream))
    said = talk_of(document)
    if wire == "messages":
        assert said[:2] == talk[:2]
        assert said[2] == {
            "role": "user",
            "content": [{"type": "text", "text": "third"}, {"type": "text", "text": ADDED}],
        }
    else:
        assert said[:3] == talk
        assert len(said) == 4
        assert ADDED in json.dumps(said[3], ensure_ascii=False)
    assert document["stream"] is stream


@pytest.mark.parametrize("wire", WIRES)
def test_nothing_added_leaves_the_conversation(wire: Wire) -> None:
    request = parsed(wire, TALK if wire != "responses" else "hi")
    assert talk_of(sent(request, InnerRequestOptions(stream=False), "")) == talk_of(json.loads(request.task.body))


def test_behind_tool_results_the_addition_is_a_part_of_the_same_message() -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
    talk = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "ls", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    document = sent(parsed("messages", talk, tools=[TOOL["messages"]]), InnerRequestOptions(stream=False))
    assert document["messages"][:2] == talk[:2]
    assert document["messages"][2]["content"] == [result, {"type": "text", "text": ADDED}]


def test_a_text_for_responses_becomes_an_item() -> None:
    request = parse_request("responses", b'{"model": "openfusion/auto", "input": "hi"}', {})
    document = sent(request, InnerRequestOptions(stream=False))
    assert [item["role"] for item in document["input"]] == ["user", "user"]
    assert document["input"][0]["content"] == "hi"


@pytest.mark.parametrize("wire", WIRES)
def test_tools_stay_declared_and_are_not_to_be_called(wire: Wire) -> None:
    document = sent(parsed(wire, tools=[TOOL[wire]]), InnerRequestOptions(stream=False, tools="none"))
    assert document["tools"] == [TOOL[wire]]
    assert document["tool_choice"] == ({"type": "none"} if wire == "messages" else "none")
    assert "tool_choice" not in sent(parsed(wire), InnerRequestOptions(stream=False, tools="none"))


OPTIONS: dict[Wire, dict[str, Any]] = {
    "chat": {"response_format": {"type": "json_object"}, "stop": ["x"], "max_completion_tokens": 9, "n": 2},
    "responses": {"text": {"format": {"type": "json_object"}}, "max_output_tokens": 99},
    "messages": {"stop_sequences": ["x"], "output_config": {"format": {"type": "json_schema"}, "effort": "high"}},
}


@pytest.mark.parametrize("wire", WIRES)
def test_the_answers_form_is_the_last_phases_business(wire: Wire) -> None:
    request = parsed(wire, temperature=0.5, **OPTIONS[wire])
    inner = sent(request, InnerRequestOptions(stream=False, keep_output_options=False))
    assert inner["temperature"] == 0.5
    assert not (OPTIONS[wire].keys() & inner.keys()) - {"output_config"}
    last = sent(request, InnerRequestOptions(stream=False))
    assert {name: last[name] for name in OPTIONS[wire]} == OPTIONS[wire]
    if wire == "messages":
        assert inner["output_config"] == {"effort": "high"}
        assert (inner["max_tokens"], last["max_tokens"]) == (INNER_MAX_TOKENS, 500)


@pytest.mark.parametrize("wire", WIRES)
def test_a_limit_of_ours_is_the_only_one(wire: Wire) -> None:
    more = {
        "chat": {"max_completion_tokens": 5},
        "responses": {},
        "messages": {"thinking": {"type": "enabled", "budget_tokens": 9_000}},
    }
    document = sent(
        parsed(wire, **more[wire]), InnerRequestOptions(stream=False, keep_output_options=False, max_tokens=77)
    )
    assert document["max_output_tokens" if wire == "responses" else "max_tokens"] == 77
    assert not {"max_completion_tokens", "thinking"} & document.keys()


THOUGHTS: dict[Wire, tuple[dict[str, Any], dict[str, Any]]] = {
    "chat": ({"reasoning_effort": "high"}, {"reasoning_effort": "none"}),
    "responses": ({"reasoning": {"effort": "high"}}, {"reasoning": {"effort": "none"}}),
    "messages": ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "disabled"}}),
}


@pytest.mark.parametrize("wire", WIRES)
def test_no_temperature_is_sampled_beside_thoughts(wire: Wire) -> None:
    """Providers refuse the pair with a 400, so that no member would answer."""
    asked, without = THOUGHTS[wire]
    shape = InnerRequestOptions(stream=False, temperature=0.3)
    assert "temperature" not in sent(parsed(wire, **asked), shape)
    assert sent(parsed(wire, **without), shape)["temperature"] == 0.3
    assert sent(parsed(wire), shape)["temperature"] == 0.3


@pytest.mark.parametrize("wire", WIRES)
def test_wishes_stay_behind_on_every_wire(wire: Wire) -> None:
    assert "openfusion" not in sent(parsed(wire, openfusion={"dial": 2}), InnerRequestOptions(stream=False))


def test_wishes_and_stream_options_stay_behind() -> None:
    request = parsed("chat", stream=True, stream_options={"include_usage": True}, openfusion={"dial": 2})
    assert not {"openfusion", "stream_options"} & sent(request, InnerRequestOptions(stream=False)).keys()
    assert sent(request, InnerRequestOptions(stream=True))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("wire", WIRES)
def test_who_says_nothing_of_the_form_is_not_restrained(wire: Wire) -> None:
    assert has_output_options(parsed(wire, **OPTIONS[wire]))
    free = {"max_tokens": INNER_MAX_TOKENS} if wire == "messages" else {"temperature": 0.2, "include": []}
    assert not has_output_options(parsed(wire, **free))


ODD: list[bytes] = [
    b"{}",
    b'{"choices": []}',
    b'{"choices": [null]}',
    b'{"choices": [{"message": null}]}',
    b'{"choices": [{"message": {"content": 7, "tool_calls": [{}, null, {"function": null}]}}]}',
    b'{"choices": 7, "output": [null, {"type": "message", "content": [null, {"type": "output_text"}]}], "content": [null]}',
    b'{"output": [{"type": "function_call"}], "content": [{"type": "tool_use", "input": 5}, {"type": "text"}]}',
]


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("wire", WIRES)
def test_no_answer_however_odd_raises(wire: Wire, body: bytes) -> None:
    answer = read_answer(body, wire, stream=False)
    assert isinstance(answer_text(answer), str)
    assert isinstance(answer_tool_calls(answer), tuple)
    read_answer(b"data: " + body + b"\n\n", wire, stream=True)


@pytest.mark.parametrize("wire", WIRES)
def test_declared_tools_are_read_with_their_schemas(wire: Wire) -> None:
    (tool,) = declared_tools(parsed(wire, tools=[TOOL[wire]]))
    assert (tool.name, tool.schema) == ("ls", {"type": "object"})
