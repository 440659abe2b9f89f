"""The other two wires: Responses (Codex speaks nothing else) and Messages (Claude Code). Not offered is degraded: a router
translates.

Tools on the other two wires, streamed as their agents ask: call -> result -> answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from autorouter.probe.check_tools import ASK, NAME, RESULT, TOOL
from autorouter.probe.relay_client import RelayResponse
from autorouter.probe.relay_session import ANSWER_TOKENS, PROMPT, SYSTEM, RelayCheck, RelaySession, is_unsupported
from autorouter.probe.report import CheckFinding, quoted
from autorouter.probe.stream_inspection import split_events
from autorouter.wire.common import lenient_json
from autorouter.wire.common.ir import (
    StreamEvent,
    StreamFailed,
    StreamFinished,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageEvent,
)
from autorouter.wire.messages import decode as decode_messages
from autorouter.wire.responses import decode as decode_responses

VERSION: Final = {"anthropic-version": "2023-06-01"}
RESPONSES_ENDS: Final = ("response.completed", "response.incomplete")


async def responses_whole(session: RelaySession) -> CheckFinding:
    """`POST /responses`."""
    response = await session.post("/responses", _responses(session, stream=False))
    if problem := no_answer_finding(session, response):
        return problem
    if words := session.response_problem(response):
        return CheckFinding("fail", words)
    if response.document.get("object") != "response":
        return CheckFinding("fail", f"object is {quoted(response.document.get('object'))}")
    return _events_finding(decode_responses.whole(response.document))


async def responses_stream(session: RelaySession) -> CheckFinding:
    """The same as typed events, ended by `response.completed`."""
    response = await session.post("/responses", _responses(session, stream=True))
    if problem := no_answer_finding(session, response):
        return problem
    frames = [
        (frame.name, lenient_json.parse_object(frame.data) or {})
        for frame in split_events(response)
        if frame.data.strip() != b"[DONE]"
    ]
    kinds = [lenient_json.as_text(document.get("type")) for _, document in frames]
    if not frames:
        return CheckFinding("fail", f"no events ({quoted(response.media_type)})")
    if kinds[-1] not in RESPONSES_ENDS:
        return CheckFinding("fail", f"it ends with {quoted(kinds[-1])} and not with `response.completed`")
    numbers = [n for _, document in frames if isinstance(n := document.get("sequence_number"), int)]
    wrong = []
    if kinds[0] != "response.created":
        wrong.append(f"it begins with {quoted(kinds[0])}")
    if any(name and name != kind for (name, _), kind in zip(frames, kinds, strict=True)):
        wrong.append("names of events differ from their types")
    if any(b <= a for a, b in pairwise(numbers)):
        wrong.append("sequence numbers don't rise")
    read = _events_finding(decode_events(decode_responses.ResponsesDecoder(), response))
    return CheckFinding("degraded", ", ".join(wrong)) if wrong and read.result == "pass" else read


async def messages_whole(session: RelaySession) -> CheckFinding:
    """`POST /messages`."""
    response = await session.post("/messages", _messages(session, stream=False), headers=VERSION)
    if problem := no_answer_finding(session, response):
        return problem
    if words := session.response_problem(response):
        return CheckFinding("fail", words)
    if response.document.get("type") != "message":
        return CheckFinding("fail", f"type is {quoted(response.document.get('type'))}")
    return _events_finding(decode_messages.whole(response.document))


async def messages_stream(session: RelaySession) -> CheckFinding:
    """The same as events, from `message_start` to `message_stop`, each block closed."""
    response = await session.post("/messages", _messages(session, stream=True), headers=VERSION)
    if problem := no_answer_finding(session, response):
        return problem
    kinds = [
        lenient_json.as_text((lenient_json.parse_object(frame.data) or {}).get("type"))
        for frame in split_events(response)
    ]
    if not kinds:
        return CheckFinding("fail", f"no events ({quoted(response.media_type)})")
    if kinds[-1] != "message_stop":
        return CheckFinding("fail", f"it ends with {quoted(kinds[-1])} and not with `message_stop`")
    begun, ended = kinds.count("content_block_start"), kinds.count("content_block_stop")
    if begun != ended:
        return CheckFinding("fail", f"{begun} blocks begin and {ended} end")
    read = _events_finding(decode_events(decode_messages.MessagesDecoder(), response))
    if read.result == "pass" and kinds[0] != "message_start":
        return CheckFinding("degraded", f"it begins with {quoted(kinds[0])}")
    return read


def _responses(session: RelaySession, *, stream: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"model": session.model, "instructions": SYSTEM, "input": PROMPT, "stream": stream}
    return document | {"max_output_tokens": ANSWER_TOKENS, "store": False}


def _messages(session: RelaySession, *, stream: bool) -> dict[str, Any]:
    said = [{"role": "user", "content": PROMPT}]
    return {"model": session.model, "max_tokens": ANSWER_TOKENS, "system": SYSTEM, "messages": said, "stream": stream}


def no_answer_finding(session: RelaySession, response: RelayResponse) -> CheckFinding | None:
    """Not offered, or no answer."""
    if is_unsupported(response):
        return CheckFinding("degraded", f"not offered: {session.describe(response)}", "not_offered")
    if response.failure is not None or response.status != 200:
        return CheckFinding("fail", session.describe(response))
    return None


def decode_events(decoder: Any, response: RelayResponse) -> list[StreamEvent]:
    """As the router reads it."""
    events: list[StreamEvent] = []
    for _, chunk in response.chunks:
        events += decoder.feed(chunk)
    return events + list(decoder.end())


def _events_finding(events: list[StreamEvent]) -> CheckFinding:
    failed = [event for event in events if isinstance(event, StreamFailed)]
    if failed:
        return CheckFinding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    if not text:
        return CheckFinding("fail", "no text")
    if not any(isinstance(event, StreamFinished) for event in events):
        return CheckFinding("fail", "it doesn't say how it ended")
    used = next((event.usage for event in reversed(events) if isinstance(event, UsageEvent)), None)
    if used is None or not used.input_tokens or not used.output_tokens:
        return CheckFinding("degraded", f"{len(text)} characters, but no usage")
    return CheckFinding("pass", f"{len(text)} characters, {used.input_tokens:,} + {used.output_tokens:,} tokens")


CHECKS = (
    RelayCheck(
        "responses.whole", "Codex speaks only this; where it isn't offered, a router must translate", responses_whole
    ),
    RelayCheck("responses.stream", "Codex reads the typed events, and retries what doesn't end", responses_stream),
    RelayCheck(
        "messages.whole",
        "Claude Code speaks only this; where it isn't offered, a router must translate",
        messages_whole,
    ),
    RelayCheck("messages.stream", "an unclosed block or a missing end makes the client ask again", messages_stream),
)


_FUNCTION: Final = lenient_json.as_object(TOOL["function"])
_ASKED: Final = {"role": "user", "content": ASK}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as an agent keeps it."""

    id: str
    arguments: dict[str, Any]
    text: str


async def responses_tools(session: RelaySession) -> CheckFinding:
    """`function_call` and `function_call_output`."""
    tool = {"type": "function", **_FUNCTION, "strict": True}
    body: dict[str, Any] = {"model": session.model, "instructions": SYSTEM, "tools": [tool], "stream": True}
    body |= {"max_output_tokens": ANSWER_TOKENS, "store": False}
    response = await session.post("/responses", body | {"input": [_ASKED], "tool_choice": "required"})
    if problem := no_answer_finding(session, response):
        return problem
    call = _tool_call(decode_events(decode_responses.ResponsesDecoder(), response))
    if isinstance(call, CheckFinding):
        return call
    said = {"type": "function_call", "call_id": call.id, "name": NAME, "arguments": call.text}
    result = {"type": "function_call_output", "call_id": call.id, "output": RESULT}
    response = await session.post("/responses", body | {"input": [_ASKED, said, result]})
    if response.failure is not None or response.status != 200:
        return CheckFinding("fail", f"the result isn't taken: {session.describe(response)}")
    return _tool_result_finding(decode_events(decode_responses.ResponsesDecoder(), response))


async def messages_tools(session: RelaySession) -> CheckFinding:
    """`tool_use` and `tool_result`."""
    tool = {"name": NAME, "description": _FUNCTION["description"], "input_schema": _FUNCTION["parameters"]}
    body: dict[str, Any] = {"model": session.model, "system": SYSTEM, "tools": [tool], "stream": True}
    body |= {"max_tokens": ANSWER_TOKENS}
    response = await session.post(
        "/messages", body | {"messages": [_ASKED], "tool_choice": {"type": "any"}}, headers=VERSION
    )
    if problem := no_answer_finding(session, response):
        return problem
    call = _tool_call(decode_events(decode_messages.MessagesDecoder(), response))
    if isinstance(call, CheckFinding):
        return call
    said = {"type": "tool_use", "id": call.id, "name": NAME, "input": call.arguments}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    history = [_ASKED, {"role": "assistant", "content": [said]}, {"role": "user", "content": [result]}]
    response = await session.post("/messages", body | {"messages": history}, headers=VERSION)
    if response.failure is not None or response.status != 200:
        return CheckFinding("fail", f"the result isn't taken: {session.describe(response)}")
    return _tool_result_finding(decode_events(decode_messages.MessagesDecoder(), response))


def _tool_call(events: list[StreamEvent]) -> _Call | CheckFinding:
    """The call, whole and with an id; else what is wrong."""
    if failed := [event for event in events if isinstance(event, StreamFailed)]:
        return CheckFinding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    begun = next((event for event in events if isinstance(event, ToolCallStarted)), None)
    if begun is None:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        return CheckFinding("fail", f"tools are ignored: no call, but {quoted(text)}")
    text = "".join(event.text for event in events if isinstance(event, ToolCallDelta) and event.index == begun.index)
    arguments = lenient_json.parse_object(text)
    if not begun.id or begun.name != NAME:
        return CheckFinding("fail", f"a call with the id {quoted(begun.id)} and the name {quoted(begun.name)}")
    if arguments is None or not isinstance(arguments.get("city"), str):
        return CheckFinding("fail", f"arguments don't fit the schema: {quoted(text, 60)}")
    return _Call(begun.id, arguments, text)


def _tool_result_finding(events: list[StreamEvent]) -> CheckFinding:
    if failed := [event for event in events if isinstance(event, StreamFailed)]:
        return CheckFinding("fail", f"behind the result: {quoted(failed[0].code)}: {quoted(failed[0].message)}")
    answered = any(isinstance(event, TextDelta | ToolCallStarted) for event in events)
    if not answered or not any(isinstance(event, StreamFinished) for event in events):
        return CheckFinding("fail", "no answer to the tool's result")
    return CheckFinding("pass", "called, id kept, result taken")


TOOL_CHECKS = (
    RelayCheck("responses.tools", "Codex works by tools alone", responses_tools),
    RelayCheck("messages.tools", "Claude Code works by tools alone", messages_tools),
)
