import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.wire import translate
from autorouter.wire.common.ir import StreamFailed, StreamFinished, collect_events
from autorouter.wire.common.stream_repair import ArgumentAccumulator
from autorouter.wire.common.tool_names import ToolNameMap, unwrap_custom_input
from autorouter.wire.translate import DECODERS, ResponseMetadata, StreamTranslator
from tests.wire.fixtures import PAIRS, WIRES, decode, load, parts_of, stream, usage_of

ANSWERS, TRAPS, CROSSINGS = load("answers"), load("traps"), load("crossings")
HEADING = ResponseMetadata(seed="s1", model="openfusion/auto", origin="up/m", created_s=1)
TERMINAL = {
    "chat": (b"data: [DONE]\n\n", b'data: {"error":'),
    "responses": (b"event: response.completed\n", b"event: response.incomplete\n", b"event: response.failed\n"),
    "messages": (b"event: message_stop\n", b"event: error\n"),
}


def across(data, client, upstream, *, size=None, names=None):
    """(what the client gets, the translation) for an upstream's bytes."""
    translation = StreamTranslator(client=client, upstream=upstream, names=names or ToolNameMap(), heading=HEADING)
    size = size or len(data) or 1
    out = b"".join(translation.feed(data[at : at + size]) for at in range(0, len(data), size))
    return out + translation.end(), translation


def terminals(out, wire):
    """How many terminal events there are, and that the last event is one."""
    last = out.rstrip(b"\n").rsplit(b"\n\n", 1)[-1] + b"\n\n"
    assert last.startswith(TERMINAL[wire])
    return sum(block.startswith(TERMINAL[wire]) for block in (part + b"\n\n" for part in out.split(b"\n\n")))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_says_the_same_on_the_other_side(name, client, upstream):
    case = ANSWERS[name]
    out, translation = across(stream(case[upstream], upstream), client, upstream)
    assert terminals(out, client) == 1
    answer = collect_events(decode(out, client))
    assert (answer.failed, answer.finished.reason) == (None, case["reason"])
    assert [part for part in parts_of(answer) if part != {"summary": ""}] == case["parts"]
    assert answer.usage.input_tokens == 120
    assert answer.usage.cached_tokens == 100
    assert answer.usage.output_tokens == 30
    assert translation.usage == usage_of(case["usage"])
    assert (translation.served_model, translation.complete) == ("served", True)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_of_any_size_give_the_same_bytes(name, client, upstream, size):
    data = stream(ANSWERS[name][upstream], upstream)
    assert across(data, client, upstream, size=size)[0] == across(data, client, upstream)[0]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_other_line_ends_and_comments_change_nothing(wire, ending):
    data = stream(ANSWERS["parallel_calls"][wire], wire)
    other = b": hold\n\n" + data.replace(b"\n\n", b"\n\n: keep-alive\n\n")
    assert decode(other.replace(b"\n", ending), wire, 5) == decode(data, wire)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", ANSWERS)
def test_a_whole_answer_says_what_its_stream_says(name, client, upstream):
    events = decode(stream(ANSWERS[name][upstream], upstream), upstream)
    body = json.loads(translate.encode_answer(collect_events(events), upstream, HEADING))
    answer = translate.decode_answer(body, upstream, ToolNameMap())
    document = json.loads(translate.encode_answer(answer, client, HEADING))
    back = translate.decode_answer(document, client, ToolNameMap())
    assert back.finished.reason == ANSWERS[name]["reason"]
    expected = ANSWERS[name]["parts"]
    if name == "cut_by_length" and "messages" in (client, upstream):
        assert back.parts[0].id == "c1"  # a block's input is an object: what was cut stands inside it
    else:
        found = [part for part in parts_of(back) if part not in ({"text": ""}, {"summary": ""})]
        assert [normal(part) for part in found] == [normal(part) for part in expected]


def normal(part):
    """ArgumentAccumulator as values: a whole message has them as an object."""
    return (
        part | {"arguments": json.loads(part["arguments"])}
        if part.get("name") and part["arguments"][-1] == "}"
        else part
    )


@pytest.mark.parametrize("name", TRAPS)
def test_traps(name):
    case = TRAPS[name]
    for size in (None, 1, 13):
        answer = collect_events(decode(stream(case["frames"], case["wire"]), case["wire"], size))
        assert parts_of(answer) == case["parts"]
        assert answer.finished == StreamFinished(case["reason"])


@pytest.mark.parametrize("client", WIRES)
@pytest.mark.parametrize("name", TRAPS)
def test_traps_reach_each_client_with_one_end(name, client):
    case = TRAPS[name]
    out, translation = across(stream(case["frames"], case["wire"]), client, case["wire"])
    assert terminals(out, client) == 1
    assert translation.complete
    answer = collect_events(decode(out, client))
    calls = [part for part in answer.parts if getattr(part, "name", None)]
    assert all(call.id for call in calls)
    assert [call.name for call in calls] == [part["name"] for part in case["parts"] if "name" in part]


def documents(out):
    return [json.loads(line[6:]) for line in out.decode().split("\n") if line.startswith("data: {")]


def codex_answer(upstream):
    case = CROSSINGS[f"codex_to_{upstream}"]
    names = translate.translate_request(translate.to_ir(case["document"], "responses"), upstream, "m").names
    patch = json.dumps({"input": "*** Begin Patch\n+ü\n"})
    calls = [("call_1", "apply_patch", patch), ("call_2", "multi_agent_v1__spawn_agent", '{"message":"x"}')]
    calls.append(("call_3", "spawn_agent", "{}"))
    if upstream == "chat":
        pieces = [
            {"index": n, "id": i, "function": {"name": f, "arguments": a[:5]}} for n, (i, f, a) in enumerate(calls)
        ]
        rest = [{"index": n, "function": {"arguments": a[5:]}} for n, (_, _, a) in enumerate(calls)]
        frames = [{"choices": [{"delta": {"tool_calls": pieces + rest}, "finish_reason": "tool_calls"}]}]
    else:
        frames = []
        for place, (ident, name, arguments) in enumerate(calls):
            block = {"type": "tool_use", "id": ident, "name": name, "input": {}}
            frames.append({"type": "content_block_start", "index": place, "content_block": block})
            delta = {"type": "input_json_delta", "partial_json": arguments}
            frames.append({"type": "content_block_delta", "index": place, "delta": delta})
            frames.append({"type": "content_block_stop", "index": place})
        frames.append({"type": "message_stop"})
    return across(stream(frames, upstream), "responses", upstream, names=names, size=9)[0]


@pytest.mark.parametrize("upstream", ["chat", "messages"])
def test_codex_gets_its_own_tools_back(upstream):
    done = [d["item"] for d in documents(codex_answer(upstream)) if d["type"] == "response.output_item.done"]
    patch, *spawned = done
    assert (patch["type"], patch["call_id"], patch["name"]) == ("custom_tool_call", "call_1", "apply_patch")
    assert patch["input"] == "*** Begin Patch\n+ü\n"
    assert [(c["type"], c["namespace"], c["name"]) for c in spawned] == [
        ("function_call", "multi_agent_v1", "spawn_agent")
    ] * 2
    assert [c["arguments"] for c in spawned] == ['{"message":"x"}', "{}"]


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("name", ANSWERS)
def test_responses_events_are_numbered_and_each_item_is_opened_and_closed_once(name, upstream):
    events = documents(across(stream(ANSWERS[name][upstream], upstream), "responses", upstream)[0])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    opened = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    closed = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert opened == sorted(closed) == list(range(len(opened)))
    assert len(events[-1]["response"]["output"]) == len(opened)


@pytest.mark.parametrize("upstream", WIRES)
def test_a_call_that_the_limit_cut_is_not_called_complete(upstream):
    events = documents(across(stream(ANSWERS["cut_by_length"][upstream], upstream), "responses", upstream)[0])
    item = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    assert (item["status"], item["arguments"]) == ("incomplete", '{"path":"lo')
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_chat_client_gets_usage_only_where_it_asked():
    data = stream(ANSWERS["text"]["chat"], "chat")
    heading = ResponseMetadata(seed="s", model="m", origin="o", wants_usage=False)
    translation = StreamTranslator(client="chat", upstream="chat", names=ToolNameMap(), heading=heading)
    assert b'"usage"' not in translation.feed(data)
    assert b'"usage"' in across(data, "chat", "chat")[0]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ('{"input":"a\\nb"}', "a\nb"),
        ('{"patch":"a"}', "a"),
        ("*** Begin", "*** Begin"),
        ('{"input":1,"x":2}', '{"input":1,"x":2}'),
        ('"a"', '"a"'),
        ("", ""),
    ],
)
def test_free_form_input_is_unwrapped_as_it_was_meant(arguments, meant):
    assert unwrap_custom_input(arguments) == meant


def test_blank_pieces_before_arguments_are_no_snapshots():
    found = ArgumentAccumulator()
    assert "".join([found.feed(" "), found.feed(' {"a":1}'), found.end()]) == '  {"a":1}'


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("name", ANSWERS)
def test_messages_blocks_are_open_one_at_a_time(name, upstream):
    events = documents(across(stream(ANSWERS[name][upstream], upstream), "messages", upstream)[0])
    assert events[0]["type"] == "message_start"
    marks = [(e["type"][14:], e["index"]) for e in events if e["type"].startswith("content_block_")]
    assert [mark for mark in marks if mark[0] != "delta"] == [
        (kind, index) for index in range(marks[-1][1] + 1) for kind in ("start", "stop")
    ]


def test_reasoning_goes_to_a_foreign_client_and_comes_home():
    out, _ = across(stream(ANSWERS["reasoning"]["messages"], "messages"), "responses", "messages")
    item = next(d["item"] for d in documents(out) if d["type"] == "response.output_item.done")
    request = translate.to_ir({"input": [{"role": "user", "content": "go"}, item]}, "responses")
    home = translate.translate_request(request, "messages", "m", origin="up/m").document["messages"][1]["content"][0]
    assert home == {"type": "thinking", "thinking": "Let me think.", "signature": "EqQB"}
    away = translate.translate_request(request, "messages", "m", origin="other/m")
    assert [loss.what for loss in away.losses] == ["reasoning"]


# ---- what breaks


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_stream_that_ends_early_never_ends_well(client, upstream):
    data = stream(ANSWERS["parallel_calls"][upstream][:-2], upstream).removesuffix(b"data: [DONE]\n\n")
    out, translation = across(data, client, upstream)
    assert terminals(out, client) == 1
    assert not translation.complete
    assert translation.failed.code == "early_end"
    assert not any(good in out for good in (b"[DONE]", b"response.completed", b"message_stop"))


@pytest.mark.parametrize(
    ("wire", "data"),
    [
        ("chat", b'data: {"error":{"message":"no","code":"overloaded"}}\n\n'),
        (
            "chat",
            b'data: {"choices":[{"delta":{},"finish_reason":"error","error":{"message":"no","code":"overloaded"}}]}\n\n',
        ),
        (
            "responses",
            b'data: {"type":"response.failed","response":{"error":{"code":"overloaded","message":"no"}}}\n\n',
        ),
        ("responses", b'event: error\ndata: {"type":"error","code":"overloaded","message":"no"}\n\n'),
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":"overloaded","message":"no"}}\n\n'),
        ("messages", b'data: {"error":{"code":"overloaded","message":"no"}}\n\n'),
    ],
)
def test_an_upstreams_error_is_told_once(wire, data):
    events = decode(data * 2, wire)
    assert [(event.code, event.message) for event in events if isinstance(event, StreamFailed)] == [
        ("overloaded", "no")
    ]
    assert not any(isinstance(event, StreamFinished) for event in events)


MEMBERS = (
    "type choices delta content tool_calls function name arguments index id response item output output_index "
    "message content_block usage error finish_reason stop_reason text partial_json call_id summary"
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.text(max_size=4)
    | st.sampled_from(["message", "tool_use", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KINDS = [
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.completed",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
]


def one_end(events):
    ends = [event for event in events if isinstance(event, StreamFinished | StreamFailed)]
    assert len(ends) == 1
    assert events[-1] is ends[0]


@pytest.mark.parametrize("wire", WIRES)
@given(data=st.data())
def test_no_event_of_an_upstream_raises_and_each_stream_has_one_end(wire, data):
    frames = data.draw(
        st.lists(
            st.dictionaries(st.sampled_from(["choices", "delta", "item", "response", "content_block", "index"]), JSON)
            | JSON
        )
    )
    raw = b""
    for frame in frames:
        if isinstance(frame, dict) and data.draw(st.booleans()):
            frame = {"type": data.draw(st.sampled_from(KINDS)), **frame}
        raw += b"data: " + json.dumps(frame).encode() + data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n"]))
    one_end(decode(raw, wire, data.draw(st.integers(1, 40))))
    for client in WIRES:
        assert terminals(across(raw, client, wire)[0], client) == 1


@pytest.mark.parametrize("wire", WIRES)
@given(raw=st.binary(max_size=200))
def test_bytes_without_sense_end_in_one_failure(wire, raw):
    one_end(decode(b"data: " + raw, wire))


@pytest.mark.parametrize("wire", WIRES)
@given(document=st.dictionaries(st.sampled_from(["choices", "output", "content", "error", "usage", "status"]), JSON))
def test_no_whole_answer_raises(wire, document):
    answer = translate.decode_answer(document, wire, ToolNameMap())
    assert (answer.finished is None) != (answer.failed is None)
    for client in WIRES:
        json.loads(translate.encode_answer(answer, client, HEADING))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def cut(data, text):
    """The text in pieces, some of them empty."""
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("client", WIRES)
@given(data=st.data(), value=st.dictionaries(st.sampled_from(["a", '{"', "ü", ""]), VALUES, min_size=1, max_size=3))
def test_arguments_arrive_as_written_whatever_their_split(client, data, value):
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1])))
    pieces = cut(data, text)
    if data.draw(st.booleans()):
        pieces = ["".join(pieces[: n + 1]) for n in range(len(pieces))]
    frames = [{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}}]}]
    frames += [
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}}]} for piece in pieces
    ]
    frames.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    out, _ = across(stream(frames, "chat"), client, "chat")
    assert parts_of(collect_events(decode(out, client))) == [{"id": "c", "name": "f", "arguments": text}]


@given(data=st.data(), thought=st.text(max_size=12), answer=st.text(min_size=1, max_size=12))
def test_thoughts_are_told_from_the_answer_whatever_the_split(data, thought, answer):
    thought, answer = thought.replace("<", "").lstrip("\n"), answer.lstrip("\n") or "x"
    text = f"<think>{thought}</think>\n\n{answer}"
    frames = [{"choices": [{"delta": {"content": piece}}]} for piece in cut(data, text)]
    found = collect_events(decode(stream([*frames, {"choices": [{"finish_reason": "stop"}]}], "chat"), "chat"))
    assert parts_of(found) == ([{"summary": thought}] if thought else []) + [{"text": answer}]


def test_an_event_beyond_all_bounds_is_a_failure():
    decoder = DECODERS["chat"]()
    events = []
    for _ in range(9):
        events += decoder.feed(b"data: " + b"x" * 1024 * 1024)
    assert [event.code for event in events] == ["too_large"]
    assert decoder.feed(b"more") == decoder.end() == []
