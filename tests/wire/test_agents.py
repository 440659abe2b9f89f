"""The requests of Codex and Claude Code, as their wires' modules read them; the taps on their streams; their errors."""

import json

import pytest

from autorouter.core.signals.task_kind import phase_of
from autorouter.core.types import ToolCall, ToolResult, Usage
from autorouter.errors import LocalAuthError, RequestError
from autorouter.wire.common import request_body
from autorouter.wire.common.ir import UsageEvent
from autorouter.wire.errors import messages_error, responses_error
from autorouter.wire.messages import request as messages_request
from autorouter.wire.messages.passthrough import MessagesObserver
from autorouter.wire.responses import request as responses_request
from autorouter.wire.responses.passthrough import ResponsesObserver
from tests.wire.fixtures import decode, load, stream

CODEX = load("crossings")["codex_to_chat"]["document"]
CLAUDE = load("crossings")["claude_to_chat"]["document"]
HEADERS = {"originator": "codex_exec", "thread-id": "t1", "authorization": "Bearer secret"}


def codex(document=CODEX, **headers):
    return responses_request.parse(json.dumps(document).encode(), HEADERS | headers)


def claude(document=CLAUDE):
    headers = {"user-agent": "claude-cli/2.1.329 (external, sdk-cli)", "x-claude-code-session-id": "s"}
    return messages_request.parse(json.dumps(document).encode(), headers)


def test_codex_is_read():
    task = codex().task
    assert (task.wire, task.label, task.stream, task.client) == ("responses", "openfusion/auto", True, "codex")
    assert (task.prompt, task.is_new_turn, task.first_prompt) == ("Add hello.txt", False, "Add hello.txt")
    assert task.system == "You are a coding agent."
    assert [step.name for step in task.tool_history if isinstance(step, ToolCall)] == ["apply_patch", "spawn_agent"]
    assert task.tool_history[2] == ToolResult("Success.")
    assert task.tools == ("exec_command", "apply_patch", "spawn_agent", "web_search")
    assert "secret" not in repr(task.headers)


def test_codexs_first_step_is_fresh_though_an_environment_stands_before_it():
    task = codex(CODEX | {"input": CODEX["input"][:3]}).task
    assert (task.prompt, task.is_new_turn, task.tool_history) == ("Add hello.txt", True, ())


def test_a_text_as_input_is_the_humans():
    request = codex({"model": "m", "input": "hi", "openfusion": {"dial": 1}})
    assert (request.task.prompt, request.task.is_new_turn, request.task.stream) == ("hi", True, False)
    assert json.loads(request_body.with_model(request, "up")) == {
        "model": "up",
        "input": "hi",
    }


def test_codexs_compaction_is_known_by_its_metadata():
    turn = json.dumps({"turn_id": "u1", "request_kind": "turn"})
    assert phase_of(codex(**{"x-codex-turn-metadata": turn}).task) != "housekeeping"
    compaction = json.dumps({"turn_id": "u2", "request_kind": "compaction"})
    asked = {"role": "user", "content": "You are performing a CONTEXT CHECKPOINT COMPACTION. Sum up."}
    document = {"model": "m", "input": [*CODEX["input"], asked]}
    in_body = codex(document | {"client_metadata": {"x-codex-turn-metadata": compaction}})
    in_header = codex(document, **{"x-codex-turn-metadata": compaction})
    with_tools = document | {"input": [asked, *CODEX["input"][4:]], "tools": CODEX["tools"]}
    odd = codex(with_tools, **{"x-codex-turn-metadata": compaction})
    for request in (in_body, in_header, odd):
        assert phase_of(request.task) == "housekeeping"


def test_after_a_compaction_the_summary_is_not_the_ask():
    summary = {"role": "user", "content": "Another language model started to solve this problem. It did x."}
    task = codex(CODEX | {"input": [*CODEX["input"][:3], summary]}).task
    assert task.prompt == "Add hello.txt"


def test_a_sub_agent_of_codex_has_its_own_session():
    main, sub = codex().task, codex(**{"thread-id": "t2", "x-codex-parent-thread-id": "t1"}).task
    assert main.agent is None
    assert sub.agent is not None
    assert main.session != sub.session


def test_claude_code_is_read():
    task = claude().task
    assert (task.wire, task.client, task.max_output_tokens) == ("messages", "claude-code", 32_000)
    assert task.system == "You are an agent."
    assert (task.prompt, task.is_new_turn, task.first_prompt) == ("and hurry", True, "Show shot.png")
    assert (task.images, task.reasoning_effort, task.tools) == (1, "max", ("Read", "web_search"))


def test_claude_codes_words_stand_before_a_system_message_and_after_reminders():
    task = claude(CLAUDE | {"messages": CLAUDE["messages"][:2]}).task
    assert (task.prompt, task.is_new_turn) == ("Show shot.png", True)


def test_results_alone_leave_the_earlier_ask_and_keep_the_mark_of_failure():
    *earlier, last = CLAUDE["messages"]
    task = claude(CLAUDE | {"messages": [*earlier, {"role": "user", "content": last["content"][:2]}]}).task
    assert (task.prompt, task.is_new_turn) == ("Show shot.png", False)
    assert task.tool_history[-1] == ToolResult("no such file", is_error=True)
    assert [type(step) for step in task.tool_history] == [ToolCall, ToolCall, ToolResult, ToolResult]


def test_on_the_same_wire_only_the_models_name_changes():
    body = json.dumps(CLAUDE).encode()
    request = messages_request.parse(body, {})
    sent = request_body.with_model(request, "claude-x")
    assert sent == body.replace(b'"model": "openfusion/auto"', b'"model": "claude-x"')
    body = json.dumps({"input": [{"role": "user", "content": "x", "model": "y"}], "model": "a"}).encode()
    request = responses_request.parse(body, {})
    assert request_body.with_model(request, "b") == body.replace(b'"model": "a"', b'"model": "b"')


@pytest.mark.parametrize(
    ("parse", "document", "param"),
    [
        (responses_request.parse, {"input": "x"}, "model"),
        (responses_request.parse, {"model": "m"}, "input"),
        (responses_request.parse, {"model": "m", "input": []}, "input"),
        (responses_request.parse, {"model": "m", "input": "x", "stream": "yes"}, "stream"),
        (responses_request.parse, {"model": "m", "input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        (responses_request.parse, {"model": "m", "input": "x", "previous_response_id": "r"}, "previous_response_id"),
        (messages_request.parse, {"model": "m", "messages": []}, "messages"),
        (messages_request.parse, {"model": "m", "messages": [{"content": "x"}]}, "messages[0]"),
        (messages_request.parse, {"model": "m", "messages": [{"role": "user"}], "max_tokens": True}, "max_tokens"),
        (messages_request.parse, [], None),
    ],
)
def test_what_cant_be_served_names_its_field(parse, document, param):
    with pytest.raises(RequestError) as caught:
        parse(json.dumps(document).encode(), {})
    assert (caught.value.param, caught.value.http_status) == (param, 400)


@pytest.mark.parametrize("size", [1, 50, 10_000])
@pytest.mark.parametrize(("wire", "tap"), [("responses", ResponsesObserver), ("messages", MessagesObserver)])
@pytest.mark.parametrize("name", ["text", "parallel_calls", "reasoning"])
def test_a_tap_sees_model_usage_and_end_and_changes_nothing(name, wire, tap, size):
    case = load("answers")[name]
    data = stream(case[wire], wire)
    tapped = tap()
    assert b"".join(tapped.feed(data[at : at + size]) for at in range(0, len(data), size)) == data
    assert tapped.flush() == b""
    assert (tapped.served_model, tapped.complete, tapped.error) == ("served", True, None)
    assert tapped.usage == Usage(**case["usage"])
    assert tapped.events == len(case[wire])


def test_a_count_of_nothing_at_the_end_doesnt_replace_the_one_at_the_start():
    case = load("answers")["text"]["messages"]
    frames = [f | {"usage": f["usage"] | {"input_tokens": 0}} if f["type"] == "message_delta" else f for f in case]
    tapped = MessagesObserver()
    tapped.feed(stream(frames, "messages"))
    counted = next(e.usage for e in decode(stream(frames, "messages"), "messages") if isinstance(e, UsageEvent))
    assert tapped.usage.input_tokens == counted.input_tokens == 120


@pytest.mark.parametrize(
    ("tap", "data"),
    [
        (ResponsesObserver, b'data: {"type":"response.failed","response":{"error":{"message":"no"}}}\n\n'),
        (ResponsesObserver, b'event: error\ndata: {"type":"error","message":"no"}\n\n'),
        (
            MessagesObserver,
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n',
        ),
    ],
)
def test_a_tap_sees_an_error_and_no_end(tap, data):
    tapped = tap()
    tapped.feed(data)
    assert tapped.error["message"] == "no"
    assert not tapped.complete


def test_errors_in_each_clients_shape():
    error = LocalAuthError("wrong key")
    assert json.loads(responses_error(error))["error"]["code"] == "invalid_api_key"
    found = json.loads(messages_error(error))
    assert (found["type"], found["error"]["type"]) == ("error", "authentication_error")
    assert "wrong key" in found["error"]["message"]
