"""Tools: call -> result -> answer, whole and streamed. What agents do all day."""

from __future__ import annotations

from typing import Any, Final

from autorouter.probe.relay_client import RelayResponse
from autorouter.probe.relay_session import SYSTEM, RelayCheck, RelaySession, finish_of, is_unsupported, message_of
from autorouter.probe.report import CheckFinding, quoted
from autorouter.probe.stream_inspection import StreamedToolCall, trace_stream
from autorouter.wire.common import lenient_json

NAME: Final = "probe_weather"
TOOL: Final = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Tells the weather of one city. It is the only way to know it.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city's name."}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ASK: Final = f"Call the tool {NAME} for the city Oslo. Don't answer before you have its result."
ASK_TWO: Final = f"Call the tool {NAME} twice in one go, in parallel: for Oslo and for Rome. Don't answer before."
RESULT: Final = "17 degrees, light rain"


async def whole(session: RelaySession) -> CheckFinding:
    """A call, and its result taken back."""
    response = await _ask_for_call(session, ASK)
    calls, problem = _tool_calls(session, response)
    if problem is not None:
        return problem
    wrong = _call_problems(calls[0])
    if wrong:
        return CheckFinding("fail", f"the call: {', '.join(wrong)}")
    answered = await _result_finding(session, ASK, message_of(response), calls)
    if answered.result != "pass":
        return answered
    if finish_of(response) not in ("tool_calls", "function_call"):
        return CheckFinding("degraded", f"called, but finish_reason is {quoted(finish_of(response))}")
    return CheckFinding("pass", f"called {quoted(NAME)}, result taken: {answered.evidence}")


async def streamed(session: RelaySession) -> CheckFinding:
    """The same as a stream: deltas with an index, an id that stays, arguments in pieces."""
    if session.stream_response.status != 200 or not session.stream_trace.frames:
        return CheckFinding("skipped", "there is no stream to look at")
    response = await _ask_for_call(session, ASK, **session.stream_options)
    if response.failure is not None or response.status != 200:
        return CheckFinding("fail", session.describe(response))
    trace = trace_stream(response)
    if trace.errors or trace.unparsed:
        return CheckFinding("fail", f"{len(trace.errors)} error events, {len(trace.unparsed)} malformed ones")
    if not trace.calls:
        return CheckFinding("fail", f"tools are ignored: no call, but {quoted(trace.text)}")
    call = next(iter(trace.calls.values()))
    if fault := _stream_problem(call):
        return CheckFinding("fail", fault)
    if call.unusual:
        return CheckFinding("degraded", ", ".join(sorted(set(call.unusual))))
    finish = trace.finishes[-1][1] if trace.finishes else "none"
    if finish != "tool_calls":
        return CheckFinding("degraded", f"called, but finish_reason is {quoted(finish)}")
    calls = [_rebuild_call(call)]
    assistant_message = {"role": "assistant", "content": None, "tool_calls": calls}
    answered = await _result_finding(session, ASK, assistant_message, calls, stream=True)
    if answered.result != "pass":
        return answered
    return CheckFinding("pass", f"{len(call.pieces)} pieces, id kept, result taken as a stream")


async def parallel(session: RelaySession) -> CheckFinding:
    """Two calls at once, both results taken back."""
    response = await _ask_for_call(session, ASK_TWO)
    calls, problem = _tool_calls(session, response)
    if problem is not None:
        return CheckFinding("skipped", f"no call to be seen: {problem.evidence}")
    if len(calls) < 2:
        return CheckFinding("degraded", "one call a turn, though two were asked for")
    ids = [lenient_json.as_text(call.get("id")) for call in calls]
    if len(set(ids)) < len(ids):
        return CheckFinding("fail", f"{len(ids)} calls share an id")
    answered = await _result_finding(session, ASK_TWO, message_of(response), calls)
    return CheckFinding("pass", f"{len(calls)} calls, results taken") if answered.result == "pass" else answered


async def _ask_for_call(session: RelaySession, ask: str, **members: Any) -> RelayResponse:
    """With a call insisted on; where that is refused, without."""
    response = await session.chat(ask, tools=[TOOL], tool_choice="required", **members)
    return await session.chat(ask, tools=[TOOL], **members) if response.status in (400, 422) else response


def _tool_calls(session: RelaySession, response: RelayResponse) -> tuple[list[dict[str, Any]], CheckFinding | None]:
    if is_unsupported(response):
        return [], CheckFinding("fail", f"tools are refused: {session.describe(response)}")
    if problem := session.message_problem(response):
        return [], CheckFinding("fail", problem)
    calls = lenient_json.as_objects(message_of(response).get("tool_calls"))
    if not calls:
        content = lenient_json.as_text(message_of(response).get("content"))
        return [], CheckFinding("fail", f"tools are ignored: no call, but {quoted(content)}")
    return calls, None


def _call_problems(call: dict[str, Any]) -> list[str]:
    function = lenient_json.as_object(call.get("function"))
    wrong = []
    if not lenient_json.as_text(call.get("id")):
        wrong.append("no id")
    if function.get("name") != NAME:
        wrong.append(f"its name is {quoted(function.get('name'))}")
    if not isinstance(function.get("arguments"), str):
        wrong.append("arguments are no string")
    elif lenient_json.parse_object(function["arguments"]) is None:
        wrong.append(f"arguments are no JSON object: {quoted(function['arguments'], 60)}")
    elif not isinstance(lenient_json.as_object(lenient_json.parse_object(function["arguments"])).get("city"), str):
        wrong.append(f"arguments don't fit the schema: {quoted(function['arguments'], 60)}")
    return wrong


def _stream_problem(call: StreamedToolCall) -> str | None:
    if call.cumulative:
        return "arguments are cumulative: each piece repeats what came before"
    if len(set(call.ids)) > 1:
        return f"the id changes within the call: {quoted(call.ids[0], 40)}, then {quoted(call.ids[-1], 40)}"
    if not call.ids:
        return "no id"
    if "".join(call.names[:1]) != NAME:
        return f"its name is {quoted(''.join(call.names))}"
    if lenient_json.parse_object(call.arguments) is None:
        return f"arguments are no JSON object: {quoted(call.arguments, 60)}"
    return None


def _rebuild_call(call: StreamedToolCall) -> dict[str, Any]:
    return {"id": call.ids[0], "type": "function", "function": {"name": NAME, "arguments": call.arguments}}


async def _result_finding(
    session: RelaySession,
    ask: str,
    assistant_message: dict[str, Any],
    calls: list[dict[str, Any]],
    *,
    stream: bool = False,
) -> CheckFinding:
    """Give the results back, with the tools declared as agents do."""
    kept = {
        name: assistant_message[name]
        for name in ("role", "content", "tool_calls", "reasoning_content")
        if name in assistant_message
    }
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ask}, kept]
    messages += [{"role": "tool", "tool_call_id": call.get("id"), "content": RESULT} for call in calls]
    response = await session.chat(messages, tools=[TOOL], stream=stream or None)
    if stream:
        return _streamed_result_finding(session, response)
    if problem := session.message_problem(response):
        return CheckFinding("fail", f"the result isn't taken: {problem}")
    content = lenient_json.as_text(message_of(response).get("content"))
    if not content and not message_of(response).get("tool_calls"):
        return CheckFinding("fail", "no answer to the tool's result")
    return CheckFinding("pass", quoted(content, 60) if content else "another call")


def _streamed_result_finding(session: RelaySession, response: RelayResponse) -> CheckFinding:
    if response.failure is not None or response.status != 200:
        return CheckFinding("fail", f"the result isn't taken: {session.describe(response)}")
    trace = trace_stream(response)
    if trace.errors or trace.unparsed or not (trace.text or trace.calls):
        return CheckFinding("fail", f"no answer to the tool's result ({len(trace.errors)} error events)")
    return CheckFinding("pass", quoted(trace.text, 60) if trace.text else "another call")


CHECKS = (
    RelayCheck("tools.whole", "without tools there is no agent; a lost id breaks the loop", whole),
    RelayCheck(
        "tools.stream", "agents join the pieces by index: repeated ones make arguments that nothing can read", streamed
    ),
    RelayCheck("tools.parallel", "calls that come one by one cost a step each", parallel),
)
