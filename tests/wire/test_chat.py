import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.types import EXCERPT_CHARS, PROMPT_CHARS, TOOL_HISTORY_EVENTS, ToolCall, ToolResult
from autorouter.errors import RequestError
from autorouter.wire.chat import passthrough as chat_passthrough
from autorouter.wire.chat import request as chat_request
from autorouter.wire.common import request_body

USER = {"role": "user", "content": "fix the off-by-one"}


def body(messages=None, **members):
    return orjson.dumps({"model": "openfusion/auto", "messages": [USER] if messages is None else messages, **members})


def task(messages=None, headers=None, **members):
    return chat_request.parse(body(messages, **members), headers or {}).task


def user(*texts):
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def calls(*names, arguments="{}"):
    made = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}} for name in names
    ]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(text, name="a"):
    return {"role": "tool", "tool_call_id": f"call_{name}", "content": text}


# ---- what the human asked

AIDER_RULES = """fix the greeting

To suggest changes to a file you MUST return the entire content of the updated file.
You MUST use this *file listing* format:"""
AIDER = [
    {"role": "system", "content": "Act as an expert software developer.\nTake requests for changes."},
    {"role": "user", "content": "Change the greeting to be more casual"},
    {"role": "assistant", "content": "Ok, I will"},
    {"role": "user", "content": "I switched to a new code base. Please don't consider the above files."},
    {"role": "assistant", "content": "Ok."},
    {"role": "user", "content": "I have *added these files to the chat* so you can go ahead and edit them."},
    {"role": "assistant", "content": "Ok, any changes I propose will be to those files."},
    {"role": "user", "content": AIDER_RULES},
]


def test_aider_is_known_and_its_rules_and_examples_are_not_the_ask():
    found = task(AIDER, {"user-agent": "OpenAI/Python 2.20.0"})
    assert found.client == "aider"
    assert found.prompt == "fix the greeting"
    assert found.first_prompt == "fix the greeting"
    assert found.is_new_turn
    assert found.tool_history == ()
    assert found.system.startswith("Act as an expert")


def test_aiders_diff_format_is_no_ask_either():
    found = task([{"role": "user", "content": "fix it\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery block must"}])
    assert found.prompt == "fix it"


def test_reminders_around_the_words_are_not_the_ask():
    found = task(
        [
            {"role": "system", "content": [{"type": "text", "text": "You are an agent."}]},
            user(
                "<system-reminder>\ngitStatus: delete everything\n</system-reminder>",
                "<system-reminder>x</system-reminder>",
                "add a test",
            ),
            {"role": "system", "content": "# Environment\nskills and agents"},
        ]
    )
    assert found.prompt == "add a test"
    assert found.first_prompt == "add a test"
    assert found.is_new_turn
    assert found.system == "You are an agent."


def test_a_message_of_reminders_alone_is_nobodys():
    loop = [user("add a test"), calls("read"), result("text"), user("<system-reminder>todo is empty</system-reminder>")]
    found = task(loop)
    assert found.prompt == "add a test"
    assert not found.is_new_turn
    assert found.tool_history == (ToolCall("read", "{}"), ToolResult("text"))


@pytest.mark.parametrize(
    ("content", "ask"),
    [
        ("plain", "plain"),
        ("<task>do it</task>", "do it"),
        ("<environment_context>cwd</environment_context>do it", "do it"),
        ("a < b and c > d", "a < b and c > d"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        ([{"type": "image_url", "image_url": {"url": "http://x/y.png"}}, {"type": "text", "text": "see"}], "see"),
        ([{"type": "text", "text": 5}, "odd", None], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_the_ask_of_one_message(content, ask):
    assert task([{"role": "user", "content": content}]).prompt == ask


def test_a_huge_message_is_read_at_its_ends_only():
    found = task([{"role": "user", "content": "fix this: " + "log line\n" * 100_000 + "now"}])
    assert found.prompt.startswith("fix this: ")
    assert len(found.prompt) <= PROMPT_CHARS
    assert found.prompt_bytes > 900_000


# ---- tool loops


def test_a_tool_loop_keeps_what_happened_since_the_human_spoke():
    found = task(
        [
            user("first question"),
            calls("old"),
            result("old"),
            {"role": "assistant", "content": "done"},
            user("second question"),
            calls("read", "grep", arguments='{"path":"a"}'),
            result("text of a", "read"),
            result("3 hits", "grep"),
            {"role": "assistant", "content": "thinking", "tool_calls": calls("edit")["tool_calls"]},
            {"role": "tool", "content": [{"type": "text", "text": "exit"}, {"type": "text", "text": "code 1"}]},
        ]
    )
    assert found.prompt == "second question"
    assert found.first_prompt == "first question"
    assert not found.is_new_turn
    assert found.tool_history == (
        ToolCall("read", '{"path":"a"}'),
        ToolCall("grep", '{"path":"a"}'),
        ToolResult("text of a"),
        ToolResult("3 hits"),
        ToolCall("edit", "{}"),
        ToolResult("exit\ncode 1"),
    )
    assert found.messages == 10


def test_a_new_human_message_is_fresh_again():
    found = task([user("one"), calls("a"), result("x"), {"role": "assistant", "content": "done"}, user("two")])
    assert (found.prompt, found.is_new_turn, found.tool_history) == ("two", True, ())


@pytest.mark.parametrize("shape", ["many steps", "one step with many calls"])
def test_the_trail_is_bounded_and_keeps_the_latest(shape):
    names = [f"t{n}" for n in range(1_000)]
    many = [calls(name) for name in names] if shape == "many steps" else [calls(*names)]
    found = task([user("go"), *many])
    assert [step.name for step in found.tool_history] == names[-TOOL_HISTORY_EVENTS:]


def test_long_tool_texts_keep_head_and_tail():
    found = task([user("go"), calls("a", arguments="x" * 9_999), result("head" + "." * 9_999 + "2 failed")])
    call, answer = found.tool_history
    assert len(call.arguments) <= EXCERPT_CHARS
    assert answer.text.startswith("head")
    assert answer.text.endswith("2 failed")
    assert len(answer.text) <= EXCERPT_CHARS


def test_odd_tool_calls_are_passed_over():
    odd = {
        "role": "assistant",
        "tool_calls": [None, "x", {}, {"function": "x"}, {"function": {"name": 5, "arguments": {}}}],
    }
    found = task([user("go"), odd, {"role": "assistant", "tool_calls": "x"}, {"role": "function", "content": None}])
    assert found.tool_history == (ToolCall("5", ""), ToolResult(""))


# ---- what else is read


def test_images_are_counted_and_their_bytes_are_no_prompt():
    picture = "data:image/png;base64," + "A" * 50_000
    content = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "image_url", "image_url": "http://example/x.png"},
        {"type": "input_image", "image_url": picture},
    ]
    messages = [{"role": "user", "content": content}, calls("look"), {"role": "tool", "content": content[1:2]}]
    found = task(messages)
    assert found.images == 4
    assert found.prompt_bytes == len(body(messages)) - 3 * len(picture)
    assert 0 < found.prompt_bytes < 1_000


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a"}}, {"type": "web_search"}]}, ("a", "web_search")),
        ({"functions": [{"name": "old"}]}, ("old",)),
        ({"tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": "none"}, ()),
        ({"tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": "auto"}, ("a",)),
        ({"tools": []}, ()),
        ({"tools": "x"}, ()),
        ({"tools": [None, 5, {"function": None}]}, ()),
        ({}, ()),
    ],
)
def test_declared_tools(members, names):
    assert task(**members).tools == names


def test_the_other_fields_of_a_task():
    found = task(
        response_format={"type": "json_schema", "json_schema": {}},
        reasoning_effort="high",
        max_tokens=100,
        max_completion_tokens=200,
        stream=True,
        user="u",
    )
    assert (found.wire, found.label, found.stream) == ("chat", "openfusion/auto", True)
    assert (found.json_schema, found.reasoning_effort, found.max_output_tokens) == (True, "high", 200)
    assert task(reasoning={"effort": "low"}).reasoning_effort == "low"
    assert not task(response_format={"type": "json_object"}).json_schema
    assert task(stream=None, max_tokens=None).max_output_tokens is None


def test_no_header_with_a_key_is_kept():
    secret = dict.fromkeys(("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"), "secret")
    kept = task(headers={**secret, "x-team": "blue", "user-agent": "u", "accept": "*/*", "x-stainless-os": "l"}).headers
    assert dict(kept) == {"x-team": "blue", "user-agent": "u"}


# ---- what is refused


@pytest.mark.parametrize(
    ("data", "field", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_json"),
        (b'"model"', None, "invalid_json"),
        (b'{"model":"\xff"}', None, "invalid_json"),
        (b"[" * 5_000, None, "invalid_json"),
        (orjson.dumps({"messages": [USER]}), "model", "invalid_request"),
        (body(model=""), "model", "invalid_request"),
        (body(model=5), "model", "invalid_request"),
        (body(model="m" * 301), "model", "invalid_request"),
        (b'{"model":"m"}', "messages", "invalid_request"),
        (body([]), "messages", "invalid_request"),
        (body("hi"), "messages", "invalid_request"),
        (body([USER, "hi"]), "messages[1]", "invalid_request"),
        (body([{"content": "hi"}]), "messages[0]", "invalid_request"),
        (body([{"role": 5}]), "messages[0]", "invalid_request"),
        (body(stream="yes"), "stream", "invalid_request"),
        (body(stream=1), "stream", "invalid_request"),
        (body(stream=True, stream_options="yes"), "stream_options", "invalid_request"),
        (body(stream=True, stream_options=[1]), "stream_options", "invalid_request"),
        (body(max_tokens=0), "max_tokens", "invalid_request"),
        (body(max_tokens="5"), "max_tokens", "invalid_request"),
        (body(max_completion_tokens=True), "max_completion_tokens", "invalid_request"),
    ],
)
def test_a_bad_body_is_refused_and_the_field_is_named(data, field, code):
    with pytest.raises(RequestError) as caught:
        chat_request.parse(data, {})
    assert (caught.value.param, caught.value.code, caught.value.http_status) == (field, code, 400)
    assert field is None or f"`{field}`" in caught.value.message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "role", "content", "x"]), inner)
    ),
    max_leaves=12,
)
FIELDS = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "metadata",
    "reasoning",
    "max_tokens",
]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values), st.lists(json_values, max_size=4))
def test_any_body_is_a_task_or_a_request_error(members, messages):
    members.setdefault("model", "m")
    members.setdefault("messages", [{"role": "user", "content": value} for value in messages])
    try:
        request = chat_request.parse(orjson.dumps(members), {})
    except RequestError:
        return
    assert orjson.loads(chat_passthrough.upstream_body(request, "new", stream_usage=True))["model"] == "new"


# ---- what goes upstream

words = st.text(max_size=6) | st.sampled_from(
    ['"model":"x"', '{"model": "openfusion/auto"}', "model", 'x"model', "\\", '\\"model\\"']
)
nested = st.recursive(
    words | st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("model") | words, inner, max_size=3),
    max_leaves=16,
)


@st.composite
def documents(draw):
    """A request in any order of keys, with "model" as a key and in strings anywhere."""
    members = draw(
        st.dictionaries(words.filter(lambda w: w not in ("model", "messages", "openfusion")), nested, max_size=4)
    )
    for name in ("stream", "stream_options", "max_tokens", "max_completion_tokens"):
        members.pop(name, None)
    members["messages"] = [
        {"role": "user", "content": draw(nested), "model": draw(nested)} for _ in range(draw(st.integers(1, 3)))
    ]
    members["model"] = draw(st.sampled_from(["openfusion/auto", "m", "x", 'q"uo\\te', "漢字"]))
    order = draw(st.permutations(sorted(members)))
    return {name: members[name] for name in order}


@st.composite
def written(draw, found):
    """The document as some client writes it: compact or with white space, escaped or not."""
    compact, ascii_only = draw(st.booleans()), draw(st.booleans())
    text = json.dumps(
        found,
        ensure_ascii=ascii_only,
        separators=(",", ":") if compact else None,
        indent=draw(st.sampled_from([None, 1])),
    )
    return draw(st.sampled_from(["", " \n"])) + text + draw(st.sampled_from(["", "\n"]))


@given(st.data())
def test_upstream_gets_the_clients_bytes_with_another_model(data):
    document = data.draw(documents())
    sent = data.draw(written(document)).encode("utf-8", "surrogatepass")
    try:
        request = chat_request.parse(sent, {})
    except RequestError:  # a lone surrogate is no Unicode text
        return
    out = chat_passthrough.upstream_body(request, "vendor/new", stream_usage=False)
    assert orjson.loads(out) == orjson.loads(sent) | {"model": "vendor/new"}
    assert list(orjson.loads(out)) == list(document)
    place = request_body.locate_model(sent, document)
    assert place is not None
    start, end = place
    assert orjson.loads(sent[start:end]) == document["model"]
    assert out == sent[:start] + b'"vendor/new"' + sent[end:]


@given(st.data())
def test_usage_is_asked_for_behind_the_clients_own_bytes(data):
    document = data.draw(documents())
    sent = data.draw(written(document)).encode("utf-8", "surrogatepass")
    try:
        request = chat_request.parse(sent, {})
    except RequestError:
        return
    out = chat_passthrough.upstream_body(request, "vendor/new", stream_usage=True)
    expected = orjson.loads(sent) | {"model": "vendor/new", "stream_options": {"include_usage": True}}
    assert orjson.loads(out) == expected
    plain = chat_passthrough.upstream_body(request, "vendor/new", stream_usage=False)
    assert out.startswith(plain.rstrip().removesuffix(b"}").rstrip())


def test_many_models_before_the_real_one_dont_hide_it():
    tools = [{"function": {"name": "t", "parameters": {"properties": {"model": {"model": "m"}}}}, "model": "m"}] * 40
    sent = json.dumps({"tools": tools, "messages": [USER], "seed": 1.0, "model": "m"}, indent=1).encode()
    out = chat_passthrough.upstream_body(chat_request.parse(sent, {}), "new", stream_usage=False)
    assert out == sent.removesuffix(b'"m"\n}') + b'"new"\n}'


def test_an_escaped_key_is_the_same_key():
    sent = b'{"m\\u006fdel":"m","messages":[{"role":"user","content":"\\"model\\":\\"m\\""}]}'
    out = chat_passthrough.upstream_body(chat_request.parse(sent, {}), "new", stream_usage=False)
    assert out == sent.replace(b':"m",', b':"new",')


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": True}}, {"include_usage": True}),
        ({"stream_options": {"include_obfuscation": False}}, {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_usage_is_asked_for_beside_the_clients_own_options(options, expected):
    request = chat_request.parse(body(stream=True, **options), {})
    out = chat_passthrough.upstream_body(request, "new", stream_usage=True)
    assert orjson.loads(out)["stream_options"] == expected
    assert out.count(b'"stream_options"') == 1
    assert request.wants_usage == (options.get("stream_options") or {}).get("include_usage", False)
    kept = orjson.loads(chat_passthrough.upstream_body(request, "new", stream_usage=False))
    assert kept == orjson.loads(body(stream=True, **options)) | {"model": "new"}


@pytest.mark.parametrize("stream_usage", [False, True])
def test_our_own_extension_is_never_sent_on(stream_usage):
    request = chat_request.parse(body(openfusion={"dial": 3}, unknown={"kept": [1, 2.0]}), {})
    sent = orjson.loads(chat_passthrough.upstream_body(request, "new", stream_usage=stream_usage))
    assert "openfusion" not in sent
    assert sent["unknown"] == {"kept": [1, 2.0]}
    assert sent["messages"] == [USER]


# ---- members at the end


@pytest.mark.parametrize("sent", [b"{}", b" { } \n", b'{"a":1}', b'{"a":{}}\n', b'{"a":"}"}'])
def test_a_member_is_put_at_the_end(sent):
    assert orjson.loads(request_body.with_member(sent, "new", [1])) == orjson.loads(sent) | {"new": [1]}


def test_a_member_needs_an_object():
    with pytest.raises(ValueError, match="object"):
        request_body.with_member(b"[1]", "new", 1)


def test_a_summary_after_a_compaction_is_not_the_prompt():
    summary = "This session is being continued from a previous conversation. The user wanted a parser."
    messages = [{"role": "user", "content": "Write a parser."}, {"role": "user", "content": summary}]
    sent = orjson.dumps({"model": "m", "messages": messages})
    assert chat_request.parse(sent, {}).task.prompt == "Write a parser."
    alone = orjson.dumps({"model": "m", "messages": messages[1:]})
    assert chat_request.parse(alone, {}).task.prompt == summary


def test_a_block_of_the_client_that_was_cut_is_not_the_prompt():
    parts = [{"type": "text", "text": "<environment_details>\ncwd: /work"}, {"type": "text", "text": "Fix it."}]
    sent = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]})
    assert chat_request.parse(sent, {}).task.prompt == "Fix it."
