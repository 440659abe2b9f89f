"""The other two wires: Responses (Codex speaks nothing else) and Messages (Claude Code). Not offered is degraded: a router
translates.

Tools on the other two wires, streamed as their agents ask: call -> result -> answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from autorouter.probe.check_tools import ASK, NAME, RESULT, TOOL
from autorouter.probe.relay_client import Seen
from autorouter.probe.relay_session import ANSWER_TOKENS, PROMPT, SYSTEM, Bench, Probe, refuses
from autorouter.probe.report import Finding, quoted
from autorouter.probe.stream_inspection import split
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


async def responses_whole(bench: Bench) -> Finding:
    """`POST /responses`."""
    seen = await bench.post("/responses", _responses(bench, stream=False))
    if problem := missing(bench, seen):
        return problem
    if words := bench.unusable(seen):
        return Finding("fail", words)
    if seen.document.get("object") != "response":
        return Finding("fail", f"object is {quoted(seen.document.get('object'))}")
    return _read(decode_responses.whole(seen.document))


async def responses_stream(bench: Bench) -> Finding:
    """The same as typed events, ended by `response.completed`."""
    seen = await bench.post("/responses", _responses(bench, stream=True))
    if problem := missing(bench, seen):
        return problem
    frames = [
        (frame.name, lenient_json.parse_object(frame.data) or {})
        for frame in split(seen)
        if frame.data.strip() != b"[DONE]"
    ]
    kinds = [lenient_json.as_text(document.get("type")) for _, document in frames]
    if not frames:
        return Finding("fail", f"no events ({quoted(seen.kind)})")
    if kinds[-1] not in RESPONSES_ENDS:
        return Finding("fail", f"it ends with {quoted(kinds[-1])} and not with `response.completed`")
    numbers = [n for _, document in frames if isinstance(n := document.get("sequence_number"), int)]
    wrong = []
    if kinds[0] != "response.created":
        wrong.append(f"it begins with {quoted(kinds[0])}")
    if any(name and name != kind for (name, _), kind in zip(frames, kinds, strict=True)):
        wrong.append("names of events differ from their types")
    if any(b <= a for a, b in pairwise(numbers)):
        wrong.append("sequence numbers don't rise")
    read = _read(decoded(decode_responses.ResponsesDecoder(), seen))
    return Finding("degraded", ", ".join(wrong)) if wrong and read.result == "pass" else read


async def messages_whole(bench: Bench) -> Finding:
    """`POST /messages`."""
    seen = await bench.post("/messages", _messages(bench, stream=False), headers=VERSION)
    if problem := missing(bench, seen):
        return problem
    if words := bench.unusable(seen):
        return Finding("fail", words)
    if seen.document.get("type") != "message":
        return Finding("fail", f"type is {quoted(seen.document.get('type'))}")
    return _read(decode_messages.whole(seen.document))


async def messages_stream(bench: Bench) -> Finding:
    """The same as events, from `message_start` to `message_stop`, each block closed."""
    seen = await bench.post("/messages", _messages(bench, stream=True), headers=VERSION)
    if problem := missing(bench, seen):
        return problem
    kinds = [lenient_json.as_text((lenient_json.parse_object(frame.data) or {}).get("type")) for frame in split(seen)]
    if not kinds:
        return Finding("fail", f"no events ({quoted(seen.kind)})")
    if kinds[-1] != "message_stop":
        return Finding("fail", f"it ends with {quoted(kinds[-1])} and not with `message_stop`")
    begun, ended = kinds.count("content_block_start"), kinds.count("content_block_stop")
    if begun != ended:
        return Finding("fail", f"{begun} blocks begin and {ended} end")
    read = _read(decoded(decode_messages.MessagesDecoder(), seen))
    if read.result == "pass" and kinds[0] != "message_start":
        return Finding("degraded", f"it begins with {quoted(kinds[0])}")
    return read


def _responses(bench: Bench, *, stream: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"model": bench.model, "instructions": SYSTEM, "input": PROMPT, "stream": stream}
    return document | {"max_output_tokens": ANSWER_TOKENS, "store": False}


def _messages(bench: Bench, *, stream: bool) -> dict[str, Any]:
    said = [{"role": "user", "content": PROMPT}]
    return {"model": bench.model, "max_tokens": ANSWER_TOKENS, "system": SYSTEM, "messages": said, "stream": stream}


def missing(bench: Bench, seen: Seen) -> Finding | None:
    """Not offered, or no answer."""
    if refuses(seen):
        return Finding("degraded", f"not offered: {bench.said(seen)}")
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", bench.said(seen))
    return None


def decoded(decoder: Any, seen: Seen) -> list[StreamEvent]:
    """As the router reads it."""
    events: list[StreamEvent] = []
    for _, chunk in seen.chunks:
        events += decoder.feed(chunk)
    return events + list(decoder.end())


def _read(events: list[StreamEvent]) -> Finding:
    failed = [event for event in events if isinstance(event, StreamFailed)]
    if failed:
        return Finding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    if not text:
        return Finding("fail", "no text")
    if not any(isinstance(event, StreamFinished) for event in events):
        return Finding("fail", "it doesn't say how it ended")
    used = next((event.usage for event in reversed(events) if isinstance(event, UsageEvent)), None)
    if used is None or not used.input_tokens or not used.output_tokens:
        return Finding("degraded", f"{len(text)} characters, but no usage")
    return Finding("pass", f"{len(text)} characters, {used.input_tokens:,} + {used.output_tokens:,} tokens")


PROBES = (
    Probe(
        "responses.whole", "Codex speaks only this; where it isn't offered, a router must translate", responses_whole
    ),
    Probe("responses.stream", "Codex reads the typed events, and retries what doesn't end", responses_stream),
    Probe(
        "messages.whole",
        "Claude Code speaks only this; where it isn't offered, a router must translate",
        messages_whole,
    ),
    Probe("messages.stream", "an unclosed block or a missing end makes the client ask again", messages_stream),
)


_FUNCTION: Final = lenient_json.as_object(TOOL["function"])
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


def _tool_call(events: list[StreamEvent]) -> _Call | Finding:
    """The call, whole and with an id; else what is wrong."""
    if failed := [event for event in events if isinstance(event, StreamFailed)]:
        return Finding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    begun = next((event for event in events if isinstance(event, ToolCallStarted)), None)
    if begun is None:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        return Finding("fail", f"tools are ignored: no call, but {quoted(text)}")
    text = "".join(event.text for event in events if isinstance(event, ToolCallDelta) and event.index == begun.index)
    arguments = lenient_json.parse_object(text)
    if not begun.id or begun.name != NAME:
        return Finding("fail", f"a call with the id {quoted(begun.id)} and the name {quoted(begun.name)}")
    if arguments is None or not isinstance(arguments.get("city"), str):
        return Finding("fail", f"arguments don't fit the schema: {quoted(text, 60)}")
    return _Call(begun.id, arguments, text)


def _tool_result_finding(events: list[StreamEvent]) -> Finding:
    if failed := [event for event in events if isinstance(event, StreamFailed)]:
        return Finding("fail", f"behind the result: {quoted(failed[0].code)}: {quoted(failed[0].message)}")
    answered = any(isinstance(event, TextDelta | ToolCallStarted) for event in events)
    if not answered or not any(isinstance(event, StreamFinished) for event in events):
        return Finding("fail", "no answer to the tool's result")
    return Finding("pass", "called, id kept, result taken")


TOOL_CHECKS = (
    Probe("responses.tools", "Codex works by tools alone", responses_tools),
    Probe("messages.tools", "Claude Code works by tools alone", messages_tools),
)
