"""Tools on the other two wires, streamed as their agents ask: call -> result -> answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from autorouter.probe.bench import ANSWER_TOKENS, SYSTEM, Bench
from autorouter.probe.check_tools import ASK, NAME, RESULT, TOOL
from autorouter.probe.check_wires import VERSION, decoded, missing
from autorouter.probe.probes import Probe
from autorouter.probe.report import Finding, quoted
from autorouter.wire import decode_messages, decode_responses, loose
from autorouter.wire.events import CallDelta, CallStarted, Event, Failed, Finished, TextDelta

_FUNCTION: Final = loose.an_object(TOOL["function"])
_ASKED: Final = {"role": "user", "content": ASK}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as an agent keeps it."""

    id: str
    arguments: dict[str, Any]
    text: str


async def responses_tools(bench: Bench) -> Finding:
    """`function_call` and `function_call_output`."""
    tool = {"type": "function", **_FUNCTION, "strict": True}
    body: dict[str, Any] = {"model": bench.model, "instructions": SYSTEM, "tools": [tool], "stream": True}
    body |= {"max_output_tokens": ANSWER_TOKENS, "store": False}
    seen = await bench.post("/responses", body | {"input": [_ASKED], "tool_choice": "required"})
    if problem := missing(bench, seen):
        return problem
    call = _tool_call(decoded(decode_responses.ResponsesDecoder(), seen))
    if isinstance(call, Finding):
        return call
    said = {"type": "function_call", "call_id": call.id, "name": NAME, "arguments": call.text}
    result = {"type": "function_call_output", "call_id": call.id, "output": RESULT}
    seen = await bench.post("/responses", body | {"input": [_ASKED, said, result]})
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", f"the result isn't taken: {bench.said(seen)}")
    return _tool_result_finding(decoded(decode_responses.ResponsesDecoder(), seen))


async def messages_tools(bench: Bench) -> Finding:
    """`tool_use` and `tool_result`."""
    tool = {"name": NAME, "description": _FUNCTION["description"], "input_schema": _FUNCTION["parameters"]}
    body: dict[str, Any] = {"model": bench.model, "system": SYSTEM, "tools": [tool], "stream": True}
    body |= {"max_tokens": ANSWER_TOKENS}
    seen = await bench.post("/messages", body | {"messages": [_ASKED], "tool_choice": {"type": "any"}}, headers=VERSION)
    if problem := missing(bench, seen):
        return problem
    call = _tool_call(decoded(decode_messages.MessagesDecoder(), seen))
    if isinstance(call, Finding):
        return call
    said = {"type": "tool_use", "id": call.id, "name": NAME, "input": call.arguments}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    history = [_ASKED, {"role": "assistant", "content": [said]}, {"role": "user", "content": [result]}]
    seen = await bench.post("/messages", body | {"messages": history}, headers=VERSION)
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", f"the result isn't taken: {bench.said(seen)}")
    return _tool_result_finding(decoded(decode_messages.MessagesDecoder(), seen))


def _tool_call(events: list[Event]) -> _Call | Finding:
    """The call, whole and with an id; else what is wrong."""
    if failed := [event for event in events if isinstance(event, Failed)]:
        return Finding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    begun = next((event for event in events if isinstance(event, CallStarted)), None)
    if begun is None:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        return Finding("fail", f"tools are ignored: no call, but {quoted(text)}")
    text = "".join(event.text for event in events if isinstance(event, CallDelta) and event.index == begun.index)
    arguments = loose.loads(text)
    if not begun.id or begun.name != NAME:
        return Finding("fail", f"a call with the id {quoted(begun.id)} and the name {quoted(begun.name)}")
    if arguments is None or not isinstance(arguments.get("city"), str):
        return Finding("fail", f"arguments don't fit the schema: {quoted(text, 60)}")
    return _Call(begun.id, arguments, text)


def _tool_result_finding(events: list[Event]) -> Finding:
    if failed := [event for event in events if isinstance(event, Failed)]:
        return Finding("fail", f"behind the result: {quoted(failed[0].code)}: {quoted(failed[0].message)}")
    answered = any(isinstance(event, TextDelta | CallStarted) for event in events)
    if not answered or not any(isinstance(event, Finished) for event in events):
        return Finding("fail", "no answer to the tool's result")
    return Finding("pass", "called, id kept, result taken")


TOOL_CHECKS = (
    Probe("responses.tools", "Codex works by tools alone", responses_tools),
    Probe("messages.tools", "Claude Code works by tools alone", messages_tools),
)
