import asyncio
import dataclasses

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorouter.core.types import Candidate
from autorouter.simulator.cache import PrefixCache
from autorouter.simulator.faults.catalog import FAULTS, PLACEHOLDER_KEY, TOLERATED
from autorouter.simulator.transport import CACHED_PROMPTS, DryRunTransport
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamTarget, read_all
from autorouter.wire.chat.passthrough import ChatObserver

MODEL = Candidate(id="up/m", upstream="up", model="vendor/m", ttft_s=2.0, throughput_tokens_per_s=10.0)
TARGET = UpstreamTarget(
    name="up", base_url="http://unused", wire="chat", profile="openai", headers={}, key=None, key_env=None
)
WRITE = {
    "type": "function",
    "function": {
        "name": "write_file",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
}
ERRAND = [{"role": "user", "content": "Do it. PROBE_FILE=/tmp/ä.txt PROBE_TEXT=ok"}]
HI = [{"role": "user", "content": "Explain λ and é, please"}]


def call(messages=HI, *, stream=False, candidate=MODEL, path="/chat/completions", attempt=1, fault=None, **members):
    body = orjson.dumps({"model": "m", "messages": messages, "stream": stream, **members})
    return UpstreamCall(
        target=TARGET,
        candidate=candidate,
        path=path,
        body=body,
        stream=stream,
        request_id="r",
        attempt=attempt,
        fault=fault,
    )


async def fetch(transport, one):
    """Status, headers and the chunks as they came."""
    reply = await transport.send(one)
    return reply.status, reply.headers, [chunk async for chunk in reply.chunks()]


def run(one, transport=None):
    return asyncio.run(fetch(transport or DryRunTransport(time_scale=0), one))


def document(one, transport=None):
    status, _, chunks = run(one, transport)
    assert status == 200
    return orjson.loads(b"".join(chunks))


def events(chunks):
    """An own, strict reading of the stream: every event is `data:` and JSON, the last one is [DONE]."""
    blocks = b"".join(chunks).decode().replace("\r\n", "\n").split("\n\n")
    assert blocks.pop() == ""
    data = [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]
    assert data.pop() == "[DONE]"
    return [orjson.loads(one) for one in data]


def folded(found):
    """What a client makes of the chunks: text, tool calls, finish reason, usage."""
    text, calls, finish, usage = "", [], None, None
    for event in found:
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            finish = choice["finish_reason"] or finish
            for piece in delta.get("tool_calls", ()):
                if "id" in piece:
                    calls.append([piece["id"], piece["function"]["name"], ""])
                calls[piece["index"]][2] += piece["function"]["arguments"]
    return text, calls, finish, usage


def test_a_whole_answer_is_a_chat_completion():
    one = call()
    found = document(one)
    assert found["object"] == "chat.completion"
    assert found["model"] == "vendor/m"
    assert found["system_fingerprint"] == "dry-run"
    choice = found["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "up/m" in choice["message"]["content"]
    usage = found["usage"]
    assert usage["prompt_tokens"] == len(one.body) // 4
    assert usage["completion_tokens"] == len(choice["message"]["content"].encode()) // 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


def test_a_stream_tells_the_same_as_a_whole_answer():
    status, headers, chunks = run(call(stream=True))
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    found = events(chunks)
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len({event["id"] for event in found}) == 1
    text, calls, finish, usage = folded(found)
    assert (calls, finish, usage) == ([], "stop", None)
    assert text.split(":", 1)[1].strip()
    assert "λ and é" in text
    assert len(chunks) > 8


def test_usage_comes_in_a_stream_only_when_asked_for():
    asked = events(run(call(stream=True, stream_options={"include_usage": True}))[2])
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["completion_tokens"] > 0
    assert all("usage" not in event for event in asked[:-1])


def test_a_tool_call_comes_in_pieces_with_id_and_name_first():
    found = events(run(call(ERRAND, stream=True, tools=[WRITE]))[2])
    pieces = [
        piece for event in found for choice in event["choices"] for piece in choice["delta"].get("tool_calls", ())
    ]
    assert len(pieces) > 2
    assert pieces[0]["function"] == {"name": "write_file", "arguments": ""}
    assert all("id" not in piece and "name" not in piece["function"] for piece in pieces[1:])
    _, [[_, _, arguments]], finish, _ = folded(found)
    assert orjson.loads(arguments) == {"path": "/tmp/ä.txt", "content": "ok\n"}
    assert finish == "tool_calls"


def test_an_agents_conversation_comes_to_its_end():
    transport, messages, seen = DryRunTransport(time_scale=0), list(ERRAND), []
    bash = {"name": "bash", "parameters": {"properties": {"command": {"type": "string"}}, "required": ["command"]}}
    tools = [WRITE, {"type": "function", "function": bash}]
    for _ in range(5):
        message = document(call(messages, tools=tools), transport)["choices"][0]["message"]
        if "tool_calls" not in message:
            break
        [made] = message["tool_calls"]
        seen.append((made["id"], made["function"]["name"], orjson.loads(made["function"]["arguments"])))
        messages += [message, {"role": "tool", "tool_call_id": made["id"], "content": "done"}]
    assert [name for _, name, _ in seen] == ["write_file", "bash"]
    assert seen[1][2] == {"command": "cat '/tmp/ä.txt'"}
    assert seen[0][0] != seen[1][0]
    assert message["content"] == "PROBE_DONE wrote /tmp/ä.txt"


def test_results_and_errands_of_earlier_turns_do_not_count():
    old = [*ERRAND, {"role": "assistant", "content": None}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    again = [*old, {"role": "user", "content": "NEXT_FILE=/b NEXT_TEXT=z"}]
    made = document(call(again, tools=[WRITE]))["choices"][0]["message"]["tool_calls"][0]["function"]
    assert orjson.loads(made["arguments"]) == {"path": "/b", "content": "z\n"}
    thanks = [*old, {"role": "user", "content": "thanks"}]
    assert "tool_calls" not in document(call(thanks, tools=[WRITE]))["choices"][0]["message"]
    wrapped = [*old, {"role": "user", "content": "<system-reminder>be quick</system-reminder>"}]
    assert document(call(wrapped, tools=[WRITE]))["choices"][0]["message"]["content"].startswith("PROBE_DONE")


def test_an_errand_behind_a_long_paste_is_found():
    long = [{"role": "user", "content": "log line\n" * 3000 + ERRAND[0]["content"]}]
    assert document(call(long, tools=[WRITE]))["choices"][0]["finish_reason"] == "tool_calls"


def test_an_edit_format_among_few_shot_examples_gets_its_block():
    messages = [
        {"role": "system", "content": "Every *file listing* MUST use this format"},
        {"role": "user", "content": "Change the greeting to be more casual"},
        {"role": "assistant", "content": "Ok."},
        {
            "role": "user",
            "content": ERRAND[0]["content"] + "\n\nTo suggest changes to a file you MUST return a file listing",
        },
    ]
    assert document(call(messages))["choices"][0]["message"]["content"] == "ä.txt\n```\nok\n```\n"


def test_json_formats_and_tool_choice_are_obeyed():
    wanted = {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": wanted}}
    assert document(call(response_format=asked))["choices"][0]["message"]["content"] == '{"ok":false}'
    assert (
        document(call(response_format={"type": "json_object"}))["choices"][0]["message"]["content"]
        == '{"dry_run":true}'
    )
    named = {"type": "function", "function": {"name": "write_file"}}
    assert document(call(tools=[WRITE], tool_choice=named))["choices"][0]["finish_reason"] == "tool_calls"
    assert document(call(tools=[WRITE], tool_choice="required"))["choices"][0]["finish_reason"] == "tool_calls"
    assert document(call(ERRAND, tools=[WRITE], tool_choice="none"))["choices"][0]["finish_reason"] == "stop"


contents = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.builds(lambda text: {"type": "text", "text": text}, st.text('aé漢\n<>{}"\\', max_size=20)), max_size=2),
    st.just(ERRAND[0]["content"]),
)
messages = st.lists(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        contents,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60)
@given(messages, st.booleans(), st.booleans())
def test_the_same_body_gets_the_same_bytes_and_streams_always_parse(conversation, with_tools, include_usage):
    members = {"tools": [WRITE]} if with_tools else {}
    one = call(conversation, stream=True, stream_options={"include_usage": include_usage}, **members)
    chunks = run(one)[2]
    assert chunks == run(one)[2]
    _, calls, finish, usage = folded(events(chunks))
    assert (usage is not None) == include_usage
    assert finish == ("tool_calls" if calls else "stop")
    for _, name, arguments in calls:
        assert name == "write_file"
        assert set(orjson.loads(arguments)) == {"path", "content"}


def test_ids_differ_by_candidate_attempt_and_body():
    other = Candidate(id="up/n", upstream="up", model="vendor/m")
    ids = {document(one)["id"] for one in (call(), call(attempt=2), call(candidate=other), call(ERRAND))}
    assert len(ids) == 4


def test_cached_tokens_follow_the_longest_prefix_seen_by_the_same_candidate():
    transport = DryRunTransport(time_scale=0)

    def cached(conversation, **more):
        found = document(call(conversation, **more), transport)["usage"]
        assert found["prompt_tokens_details"]["cached_tokens"] <= found["prompt_tokens"]
        return found["prompt_tokens_details"]["cached_tokens"]

    system = {"role": "system", "content": "s" * 4000}
    first = [system, {"role": "user", "content": "u" * 400}]
    assert cached(first) == 0
    assert 1100 <= cached([*first, {"role": "assistant", "content": "a" * 400}]) < 1140
    assert 1000 <= cached([system, {"role": "user", "content": "other"}]) < 1040
    assert cached([{"role": "user", "content": "x"}, system]) < 2
    assert cached(first, tools=[WRITE]) == 0
    assert cached(first, candidate=Candidate(id="b", upstream="up", model="b")) == 0


def test_what_is_remembered_of_prompts_is_bounded():
    memory = PrefixCache(CACHED_PROMPTS)
    for number in range(CACHED_PROMPTS + 1):
        assert memory.cached_bytes("a", [b"%d" % number]) == 0
    assert memory.cached_bytes("a", [b"256"]) == 3
    assert memory.cached_bytes("a", [b"0"]) == 0


def test_pace_follows_the_candidate_and_the_scale():
    naps = []

    async def sleep(seconds):
        naps.append(seconds)

    one = call(stream=True)
    chunks = run(one, DryRunTransport(time_scale=0.5, sleep=sleep))[2]
    tokens = len(folded(events(chunks))[0].encode()) // 4
    jitter = naps[0] / (2.0 * 0.5)
    assert 0.8 <= jitter <= 1.2
    writing_s = tokens / 10.0 * 0.5 * jitter
    assert sum(naps[1:]) == pytest.approx(writing_s * (len(chunks) - 1) / len(chunks))
    naps.clear()
    document(call(), DryRunTransport(time_scale=0.5, sleep=sleep))
    assert len(naps) == 1
    assert naps[0] > 2.0 * 0.5 * 0.8


def test_scale_zero_never_sleeps_but_lets_others_run():
    async def sleep(_):
        raise AssertionError("slept")

    async def follow(transport, note):
        reply = await transport.send(call(stream=True))
        async for chunk in reply.chunks():
            note(chunk)

    async def scene():
        transport, turns = DryRunTransport(time_scale=0, sleep=sleep), []
        await asyncio.gather(*(follow(transport, lambda _, name=name: turns.append(name)) for name in "ab"))
        return turns

    assert set(asyncio.run(scene())[:4]) == {"a", "b"}


def test_many_calls_at_once_get_their_own_answers():
    async def scene():
        transport = DryRunTransport(time_scale=0)
        calls = [call([{"role": "user", "content": f"number {n}."}], stream=True) for n in range(50)]
        return await asyncio.gather(*(fetch(transport, one) for one in calls))

    for number, (_, _, chunks) in enumerate(asyncio.run(scene())):
        assert f"number {number}." in folded(events(chunks))[0]


@pytest.mark.parametrize("fault", [None, "cut-stream", "stall"])
def test_a_closed_reply_says_nothing_more(fault):
    async def scene():
        reply = await DryRunTransport(time_scale=0).send(call(stream=True, fault=fault))
        seen = []
        async for chunk in reply.chunks():
            seen.append(chunk)
            if len(seen) == 2:
                reply.close()
        return seen

    assert len(asyncio.run(scene())) == 2


def test_what_a_provider_would_refuse_is_refused():
    assert run(call(path="/embeddings"))[0] == 404
    assert run(call([]))[0] == 400
    assert run(call(["x"]))[0] == 400
    status, _, chunks = run(call(fault="cutstream"))
    assert status == 400
    assert "`cut-stream`" in orjson.loads(chunks[0])["error"]["message"]


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.error_response])
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_is_an_error_document(name, stream):
    transport = DryRunTransport(time_scale=0, clock=lambda: 1_750_000_000.0)
    status, headers, chunks = run(call(stream=stream, fault=name), transport)
    wanted = FAULTS[name].error_response
    assert status == wanted.status
    waits = {"429-retry-after": "2", "429-retry-after-date": "Sun, 15 Jun 2025 15:06:42 GMT"}
    assert headers.get("retry-after") == waits.get(name)
    if wanted.html_page:
        assert headers["content-type"] == "text/html"
        assert chunks[0].startswith(b"<html>")
    else:
        assert orjson.loads(b"".join(chunks))["error"]["code"] == wanted.code


def test_the_dry_run_never_echoes_a_true_key():
    one = dataclasses.replace(call(fault="key-echo"), target=dataclasses.replace(TARGET, key="sk-true"))
    assert b"sk-true" not in run(one)[2][0]
    assert PLACEHOLDER_KEY.encode() in run(one)[2][0]


@pytest.mark.parametrize("name", ["reset", "timeout"])
def test_a_failure_comes_before_an_answer(name):
    with pytest.raises(TransportError) as caught:
        run(call(fault=name))
    assert caught.value.kind == name


@pytest.mark.parametrize(("name", "kind"), [("stall", "timeout"), ("cut-stream", "cut")])
@pytest.mark.parametrize("stream", [True, False])
def test_a_broken_answer_begins_and_then_fails(name, kind, stream):
    seen = []

    async def scene():
        reply = await DryRunTransport(time_scale=0).send(call(stream=stream, fault=name))
        async for chunk in reply.chunks():
            seen.append(chunk)  # noqa: PERF401  the chunks before the failure are wanted

    with pytest.raises(TransportError) as caught:
        asyncio.run(scene())
    assert caught.value.kind == kind
    assert seen
    assert b"[DONE]" not in b"".join(seen)


@pytest.mark.parametrize("conversation", [HI, ERRAND])
@pytest.mark.parametrize("name", ["clean-eof", "half-body", "error-event"])
def test_a_stream_without_its_end_is_seen_as_broken_by_the_tap(name, conversation):
    tap = ChatObserver()
    for chunk in run(call(conversation, stream=True, fault=name, tools=[WRITE]))[2]:
        tap.feed(chunk)
    assert not tap.complete
    assert tap.served_model == "vendor/m"


@pytest.mark.parametrize("name", sorted(TOLERATED))
def test_legal_oddities_change_nothing_for_a_strict_reader(name):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    odd = run(call(**asked, fault=name))[2]
    good = run(call(**asked))[2]
    text, calls, finish, usage = folded(events(odd))
    assert (text, calls, finish) == folded(events(good))[:3]
    assert (usage is None) == (name == "no-usage")
    tap = ChatObserver()
    for chunk in odd:
        tap.feed(chunk)
    assert tap.complete
    whole = document(call(fault=name))
    assert whole["choices"] == document(call())["choices"]
    assert ("usage" in whole) == (name != "no-usage")


def test_a_fault_holds_for_its_attempts_and_its_candidate():
    assert [run(call(fault="500*2", attempt=n))[0] for n in (1, 2, 3)] == [500, 500, 200]
    assert run(call(fault="500@up/other", attempt=1))[0] == 200
    assert run(call(fault="500@up/m", attempt=3))[0] == 500


def test_a_wrong_model_and_a_slow_first_byte_are_what_they_say():
    naps = []

    async def sleep(seconds):
        naps.append(seconds)

    assert document(call(fault="wrong-model"))["model"] != "vendor/m"
    run(call(fault="slow-first-byte"), DryRunTransport(time_scale=1, sleep=sleep))
    assert naps[0] > 20
    with pytest.raises(TransportError):
        run(call(fault="stall", stream=True), DryRunTransport(time_scale=1, sleep=sleep))
    assert naps[-1] == TARGET.timeouts.between_bytes_s


def test_read_all_takes_a_dry_reply():
    async def scene():
        return await read_all(await DryRunTransport(time_scale=0).send(call()), 10_000)

    assert orjson.loads(asyncio.run(scene()))["object"] == "chat.completion"
