"""Tools: call -> result -> answer, whole and streamed. What agents do all day."""

from __future__ import annotations

from typing import Any, Final

from autorouter.probe.relay_client import Seen
from autorouter.probe.relay_session import SYSTEM, Bench, Probe, finish_of, message_of, refuses
from autorouter.probe.report import Finding, quoted
from autorouter.probe.stream_inspection import StreamedCall, look
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


async def whole(bench: Bench) -> Finding:
    """A call, and its result taken back."""
    seen = await _asked(bench, ASK)
    calls, problem = _calls_of(bench, seen)
    if problem is not None:
        return problem
    wrong = _call_faults(calls[0])
    if wrong:
        return Finding("fail", f"the call: {', '.join(wrong)}")
    answered = await _answered(bench, ASK, message_of(seen), calls)
    if answered.result != "pass":
        return answered
    if finish_of(seen) not in ("tool_calls", "function_call"):
        return Finding("degraded", f"called, but finish_reason is {quoted(finish_of(seen))}")
    return Finding("pass", f"called {quoted(NAME)}, result taken: {answered.evidence}")


async def streamed(bench: Bench) -> Finding:
    """The same as a stream: deltas with an index, an id that stays, arguments in pieces."""
    if bench.streaming.status != 200 or not bench.stream.frames:
        return Finding("skipped", "there is no stream to look at")
    seen = await _asked(bench, ASK, **bench.streamed)
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", bench.said(seen))
    found = look(seen)
    if found.errors or found.unparsed:
        return Finding("fail", f"{len(found.errors)} error events, {len(found.unparsed)} malformed ones")
    if not found.calls:
        return Finding("fail", f"tools are ignored: no call, but {quoted(found.text)}")
    call = next(iter(found.calls.values()))
    if fault := _stream_faults(call):
        return Finding("fail", fault)
    if call.unusual:
        return Finding("degraded", ", ".join(sorted(set(call.unusual))))
    finish = found.finishes[-1][1] if found.finishes else "none"
    if finish != "tool_calls":
        return Finding("degraded", f"called, but finish_reason is {quoted(finish)}")
    calls = [_rebuilt(call)]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    answered = await _answered(bench, ASK, said, calls, stream=True)
    if answered.result != "pass":
        return answered
    return Finding("pass", f"{len(call.pieces)} pieces, id kept, result taken as a stream")


async def parallel(bench: Bench) -> Finding:
    """Two calls at once, both results taken back."""
    seen = await _asked(bench, ASK_TWO)
    calls, problem = _calls_of(bench, seen)
    if problem is not None:
        return Finding("skipped", f"no call to be seen: {problem.evidence}")
    if len(calls) < 2:
        return Finding("degraded", "one call a turn, though two were asked for")
    ids = [lenient_json.as_text(call.get("id")) for call in calls]
    if len(set(ids)) < len(ids):
        return Finding("fail", f"{len(ids)} calls share an id")
    answered = await _answered(bench, ASK_TWO, message_of(seen), calls)
    return Finding("pass", f"{len(calls)} calls, results taken") if answered.result == "pass" else answered


async def _asked(bench: Bench, ask: str, **members: Any) -> Seen:
    """With a call insisted on; where that is refused, without."""
    seen = await bench.chat(ask, tools=[TOOL], tool_choice="required", **members)
    return await bench.chat(ask, tools=[TOOL], **members) if seen.status in (400, 422) else seen


def _calls_of(bench: Bench, seen: Seen) -> tuple[list[dict[str, Any]], Finding | None]:
    if refuses(seen):
        return [], Finding("fail", f"tools are refused: {bench.said(seen)}")
    if problem := bench.no_message(seen):
        return [], Finding("fail", problem)
    calls = lenient_json.as_objects(message_of(seen).get("tool_calls"))
    if not calls:
        content = lenient_json.as_text(message_of(seen).get("content"))
        return [], Finding("fail", f"tools are ignored: no call, but {quoted(content)}")
    return calls, None


def _call_faults(call: dict[str, Any]) -> list[str]:
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


def _stream_faults(call: StreamedCall) -> str | None:
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


def _rebuilt(call: StreamedCall) -> dict[str, Any]:
    return {"id": call.ids[0], "type": "function", "function": {"name": NAME, "arguments": call.arguments}}


async def _answered(
    bench: Bench, ask: str, said: dict[str, Any], calls: list[dict[str, Any]], *, stream: bool = False
) -> Finding:
    """Give the results back, with the tools declared as agents do."""
    kept = {name: said[name] for name in ("role", "content", "tool_calls", "reasoning_content") if name in said}
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ask}, kept]
    messages += [{"role": "tool", "tool_call_id": call.get("id"), "content": RESULT} for call in calls]
    seen = await bench.chat(messages, tools=[TOOL], stream=stream or None)
    if stream:
        return _answered_by_stream(bench, seen)
    if problem := bench.no_message(seen):
        return Finding("fail", f"the result isn't taken: {problem}")
    content = lenient_json.as_text(message_of(seen).get("content"))
    if not content and not message_of(seen).get("tool_calls"):
        return Finding("fail", "no answer to the tool's result")
    return Finding("pass", quoted(content, 60) if content else "another call")


def _answered_by_stream(bench: Bench, seen: Seen) -> Finding:
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", f"the result isn't taken: {bench.said(seen)}")
    found = look(seen)
    if found.errors or found.unparsed or not (found.text or found.calls):
        return Finding("fail", f"no answer to the tool's result ({len(found.errors)} error events)")
    return Finding("pass", quoted(found.text, 60) if found.text else "another call")


PROBES = (
    Probe("tools.whole", "without tools there is no agent; a lost id breaks the loop", whole),
    Probe(
        "tools.stream", "agents join the pieces by index: repeated ones make arguments that nothing can read", streamed
    ),
    Probe("tools.parallel", "calls that come one by one cost a step each", parallel),
)
