"""The dry run on the Responses and Messages wires: what it says there is what it says on chat."""

import asyncio

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.core.types import Candidate
from autorouter.simulator.faults.catalog import FAULTS
from autorouter.simulator.transport import DryRunTransport
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamTarget
from autorouter.wire.common.decoder import StreamDecoder
from autorouter.wire.common.ir import collect_events
from autorouter.wire.translate import ANSWER_DECODERS, DECODERS
from tests.simulator.test_roles import block

PATHS = {"chat": "/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages?beta=true"}
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}
TOOL = {
    "chat": {"type": "function", "function": {"name": "write_file", "parameters": SCHEMA}},
    "responses": {"type": "function", "name": "write_file", "parameters": SCHEMA},
    "messages": {"name": "write_file", "input_schema": SCHEMA},
}
ERRAND = "Do it. PROBE_FILE=/tmp/ä.txt PROBE_TEXT=ok"
HI = "Explain λ and é, please"
WIRES = pytest.mark.parametrize("wire", PATHS)
NATIVE = pytest.mark.parametrize("wire", ["responses", "messages"])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def body(wire, talk, *, stream=False, tools=False, **members):
    document = {"model": "m", "stream": stream, **members}
    document["input" if wire == "responses" else "messages"] = (
        [{"role": "user", "content": talk}] if isinstance(talk, str) else talk
    )
    if tools:
        document["tools"] = [TOOL[wire]]
    if wire == "messages":
        document["max_tokens"] = 100
    if wire == "chat" and stream:
        document["stream_options"] = {"include_usage": True}
    return document


def call(wire, document, fault=None, attempt=1):
    target = UpstreamTarget(
        name="up", base_url="http://x", wire=wire, profile="openai", headers={}, key=None, key_env=None
    )
    return UpstreamCall(
        target=target,
        candidate=Candidate(id="up/m", upstream="up", model="vendor/m"),
        path=PATHS[wire],
        body=orjson.dumps(document),
        stream=document.get("stream") is True,
        request_id="r",
        attempt=attempt,
        fault=fault,
    )


def fetch(one):
    async def scene():
        reply = await DryRunTransport(time_scale=0).send(one)
        return reply, [chunk async for chunk in reply.chunks()]

    return asyncio.run(scene())


def answer(wire, talk, *, fault=None, **more):
    """The answer as this project's own decoders read it."""
    document = body(wire, talk, **more)
    reply, chunks = fetch(call(wire, document, fault))
    assert reply.status == 200, chunks
    if not document["stream"]:
        return collect_events(ANSWER_DECODERS[wire](orjson.loads(b"".join(chunks))))
    decoder: StreamDecoder = DECODERS[wire]()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return collect_events([*events, *decoder.end()])


def text(found):
    return "".join(part.text for part in found.parts)


@NATIVE
@STREAMED
def test_a_text_is_the_same_on_every_wire(wire, stream):
    found = answer(wire, HI, stream=stream)
    assert found.model == "vendor/m"
    assert found.finished.reason == "stop"
    assert text(found).partition("Candidate")[2] == text(answer("chat", HI)).partition("Candidate")[2]
    assert found.usage.input_tokens == len(orjson.dumps(body(wire, HI, stream=stream))) // 4
    assert found.usage.output_tokens > 5


@WIRES
@STREAMED
def test_an_errand_is_a_call_on_every_wire(wire, stream):
    found = answer(wire, ERRAND, stream=stream, tools=True)
    (made,) = found.parts
    assert (made.name, orjson.loads(made.arguments)) == ("write_file", {"path": "/tmp/ä.txt", "content": "ok\n"})
    assert made.id
    assert found.finished.reason == "tool_calls"


def test_an_errand_comes_to_its_end_on_every_wire():
    made = {"name": "write_file", "arguments": "{}"}
    used = {"type": "tool_use", "id": "c1", "name": "write_file", "input": {}}
    talks = {
        "chat": [
            {"role": "user", "content": ERRAND},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": made}]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        "responses": [
            {"role": "user", "content": [{"type": "input_text", "text": ERRAND}]},
            {"type": "function_call", "call_id": "c1", **made},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ],
        "messages": [
            {"role": "user", "content": ERRAND},
            {"role": "assistant", "content": [used]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "done"}]},
        ],
    }
    for wire, talk in talks.items():
        assert text(answer(wire, talk, tools=True)) == "PROBE_DONE wrote /tmp/ä.txt", wire


def test_free_form_and_namespaced_tools_of_responses_are_called_as_declared():
    patch = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}
    document = body("responses", ERRAND) | {"tools": [patch]}
    item = orjson.loads(fetch(call("responses", document))[1][0])["output"][0]
    assert (item["type"], item["name"]) == ("custom_tool_call", "apply_patch")
    assert item["input"].startswith("*** Begin Patch\n*** Add File: /tmp/ä.txt")
    document = body("responses", ERRAND) | {
        "tools": [{"type": "namespace", "name": "mcp__fs", "tools": [TOOL["responses"]]}]
    }
    item = orjson.loads(fetch(call("responses", document))[1][0])["output"][0]
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "mcp__fs", "write_file")


@NATIVE
def test_formats_and_choices_are_obeyed(wire):
    wanted = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    asked = {"type": "json_schema", "schema": wanted}
    members = {
        "responses": {"text": {"format": asked | {"name": "n"}}},
        "messages": {"output_config": {"format": asked}},
    }
    assert text(answer(wire, "judge", **members[wire])) == '{"ok":false}'
    must = {"responses": "required", "messages": {"type": "any"}}[wire]
    assert answer(wire, "hi", tools=True, tool_choice=must).finished.reason == "tool_calls"
    never = {"responses": "none", "messages": {"type": "none"}}[wire]
    assert answer(wire, ERRAND, tools=True, tool_choice=never).finished.reason == "stop"


@NATIVE
@STREAMED
def test_inner_roles_are_played(wire, stream):
    kind = "input_text" if wire == "responses" else "text"
    talk = [{"role": "user", "content": [{"type": kind, "text": ERRAND}, {"type": kind, "text": block("judge")}]}]
    found = orjson.loads(text(answer(wire, talk, stream=stream, tools=True)))
    assert (found["key"], found["best"] in "ABC") == ("k1", True)


@NATIVE
@STREAMED
def test_usage_is_told_wrongly_or_not_at_all_where_a_fault_says_so(wire, stream):
    true = answer(wire, HI, stream=stream).usage
    wrong = answer(wire, HI, stream=stream, fault="wrong-usage").usage
    assert (wrong.input_tokens, wrong.output_tokens) == (true.input_tokens * 1000, true.output_tokens * 1000)
    assert answer(wire, HI, stream=stream, fault="no-usage").usage is None


def test_a_messages_stream_tells_its_input_at_the_beginning():
    first = fetch(call("messages", body("messages", HI, stream=True)))[1][0]
    usage = orjson.loads(first.split(b"data: ")[1])["message"]["usage"]
    assert (usage["input_tokens"] > 5, usage["output_tokens"]) == (True, 1)


@WIRES
@STREAMED
def test_refusals_are_told_as_the_wire_tells_them(wire, stream):
    found = answer(wire, HI, stream=stream, fault="refusal")
    assert found.finished.reason == "refusal"
    assert "dry-run fault" in text(found)


@WIRES
@STREAMED
@pytest.mark.parametrize(
    "name", [name for name, fault in FAULTS.items() if fault.error_response and not fault.error_response.html_page]
)
def test_errors_have_the_wires_own_shape(wire, stream, name):
    reply, chunks = fetch(call(wire, body(wire, HI, stream=stream), name))
    document = orjson.loads(b"".join(chunks))
    assert reply.status == FAULTS[name].error_response.status
    if wire == "messages":
        assert document["type"] == "error"
        assert set(document["error"]) == {"type", "message"}
    else:
        assert document["error"]["code"] == FAULTS[name].error_response.code


@WIRES
@STREAMED
@pytest.mark.parametrize(
    "name",
    ["stall", "cut-stream", "rst-stream", "bad-framing", "clean-eof", "half-body", "error-event", "error-in-200"],
)
def test_no_broken_answer_can_be_taken_for_a_whole_one(wire, stream, name):
    chunks, kinds = [], []

    async def scene():
        reply = await DryRunTransport(time_scale=0).send(call(wire, body(wire, HI, stream=stream), name))
        async for chunk in reply.chunks():
            chunks.append(chunk)  # noqa: PERF401  the chunks before the failure are wanted

    try:
        asyncio.run(scene())
    except TransportError as failure:
        kinds.append(failure.kind)
    broken = {"stall": "timeout", "cut-stream": "cut", "rst-stream": "cut", "bad-framing": "cut"}
    assert kinds == ([broken[name]] if name in broken else [])
    if stream and name != "error-in-200":
        decoder = DECODERS[wire]()
        found = collect_events([event for chunk in chunks for event in decoder.feed(chunk)] + decoder.end())
        assert found.finished is None
        return
    try:
        document = orjson.loads(b"".join(chunks))
    except orjson.JSONDecodeError:
        return
    assert collect_events(ANSWER_DECODERS[wire](document)).failed is not None


@NATIVE
@pytest.mark.parametrize("name", ["crlf", "split-utf8", "comments", "huge-line", "tool-delta-split"])
def test_legal_oddities_change_nothing(wire, name):
    good, odd = (answer(wire, ERRAND, stream=True, tools=True, fault=fault) for fault in (None, name))
    assert odd == good


@NATIVE
def test_an_event_a_piece(wire):
    _, chunks = fetch(call(wire, body(wire, HI, stream=True)))
    for chunk in chunks:
        name, data = chunk.decode().removesuffix("\n\n").split("\n")
        assert name == f"event: {orjson.loads(data.removeprefix('data: '))['type']}"


@settings(max_examples=40)
@given(st.sampled_from(["responses", "messages"]), st.text(max_size=60), st.booleans(), st.booleans())
def test_the_same_body_gets_the_same_bytes(wire, talk, stream, tools):
    one = call(wire, body(wire, talk or "x", stream=stream, tools=tools))
    assert fetch(one)[1] == fetch(one)[1]


@NATIVE
@pytest.mark.parametrize(
    "document", [{}, {"input": [], "messages": []}, {"input": 3, "messages": {}}, [], {"input": [1]}]
)
def test_what_a_provider_would_refuse_is_refused(wire, document):
    one = call(wire, {"model": "m"})
    reply, _ = fetch(
        UpstreamCall(
            target=one.target,
            candidate=one.candidate,
            path=one.path,
            body=orjson.dumps(document),
            stream=False,
            request_id="r",
        )
    )
    assert reply.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "name", "tools", "input", "id"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    st.sampled_from(["responses", "messages"]),
    st.dictionaries(
        st.sampled_from(["input", "messages", "tools", "tool_choice", "text", "system", "stream"]), json_values
    ),
)
def test_any_document_gets_an_answer_or_a_refusal(wire, document):
    reply, chunks = fetch(call(wire, document))
    assert reply.status in (200, 400)
    assert chunks
