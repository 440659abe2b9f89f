"""The chat wire of the dry run: a body -> `DryRequest`, and an `Answer` -> `chat.completion` or its chunks.

data: {..."delta":{"role":"assistant","content":""}...}                            the role
data: {..."delta":{"content":"This "}...}                                          a word each
data: {..."delta":{"tool_calls":[{"index":0,"id":...,"function":{"name":...}}]}}   id and name, then the arguments
data: {..."delta":{},"finish_reason":"stop"}                                       the finish
data: {..."choices":[],"usage":{...}}                                              only if asked for
data: [DONE]
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from autorouter.core.values import ASK_CHARS, Usage
from autorouter.upstream import roles
from autorouter.upstream.flow import Flow
from autorouter.upstream.script import Answer, DryRequest, Refused, Text, arguments_json
from autorouter.upstream.toolfill import DryTool, ToolUse
from autorouter.wire import human

PATH: Final = "/chat/completions"
ARGUMENT_CHARS: Final = 16
"""Length of the pieces that a tool call's arguments come in."""
EPOCH_S: Final = 1_750_000_000
YEAR_S: Final = 31_536_000
"""`created` lies within the year after `EPOCH_S`, as the seed has it: no clock, so that the bytes repeat."""
_WORDS: Final = re.compile(r"\S+\s*|\s+")
_JSON_OBJECT: Final = {"required": ["dry_run"], "properties": {"dry_run": {"const": True}}}
"""What `response_format: json_object` asks for, as a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """`parts` is the prompt in the order that a provider's cache sees it: the tools, then each message."""

    request: DryRequest
    parts: tuple[bytes, ...]
    include_usage: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who answers. `seed` gives ids and time; `usage` None is not told."""

    model: str
    seed: bytes
    usage: Usage | None


def decode(body: bytes, candidate_id: str) -> Decoded:
    """Read a request; raises ValueError that says what a provider would refuse."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"The body is not valid JSON: {exc}") from exc
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages) or not messages:
        raise ValueError("`messages` must be a non-empty list of objects")
    task, last = roles.take(messages[-1])
    ask, raw, results = _latest([*messages[:-1], last])
    system = "\n".join(
        human.text_of(one.get("content")) for one in messages if one.get("role") in ("system", "developer")
    )
    options = document.get("stream_options")
    request = DryRequest(
        candidate_id=candidate_id,
        ask=ask,
        seed=hashlib.sha256(body).digest(),
        system=system,
        rules=f"{system}\n{raw}",
        tools=_tools(document),
        results=results,
        must_call=_must_call(document.get("tool_choice")),
        schema=_schema(document.get("response_format")),
        task=task,
    )
    parts = tuple(orjson.dumps(part) for part in (document.get("tools"), *messages))
    return Decoded(
        request=request,
        parts=parts,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def encode(answer: Answer, stamp: Stamp, *, stream: bool, include_usage: bool) -> Flow:
    """The answer's bytes. `include_usage` is for streams: a whole answer tells its usage anyway."""
    return _events(answer, stamp, include_usage) if stream else _document(answer, stamp)


def refusal(code: str, error_type: str, message: str) -> bytes:
    """An error in the wire's own shape."""
    return orjson.dumps({"error": {"message": message, "type": error_type, "param": None, "code": code}})


def _latest(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str, int]:
    """The human's latest words, the message that holds them as it came, and how many tool results came since."""
    results = 0
    for message in reversed(messages):
        if message.get("role") in ("tool", "function"):
            results += 1
        elif message.get("role") == "user":
            ask, raw = human.human_text(message.get("content")), human.text_of(message.get("content"))
            if ask and not human.is_example(ask):
                # Long words are cut for the core's sake; an errand may stand at their end.
                return (f"{ask}\n{raw[-ASK_CHARS:]}" if len(ask) >= ASK_CHARS else ask), raw, results
    return "", "", results


def _tools(document: Mapping[str, Any]) -> tuple[DryTool, ...]:
    tools = document.get("tools")
    if not isinstance(tools, list) or document.get("tool_choice") == "none":
        return ()
    found = []
    for tool in tools:
        inner = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            schema = inner.get("parameters")
            found.append(DryTool(inner["name"], schema if isinstance(schema, dict) else {}))
    return tuple(found)


def _must_call(choice: Any) -> str | None:
    if choice == "required":
        return ""
    inner = choice.get("function") if isinstance(choice, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def _schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return _JSON_OBJECT
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None


def _document(answer: Answer, stamp: Stamp) -> Flow:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text if isinstance(answer, Text) else None}
    if isinstance(answer, Refused):
        message["refusal"] = answer.text
    if isinstance(answer, ToolUse):
        function = {"name": answer.name, "arguments": arguments_json(answer)}
        message["tool_calls"] = [{"id": _call_id(stamp), "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    document = _head(stamp, "chat.completion") | {"choices": [choice]}
    if stamp.usage is not None:
        document["usage"] = _usage(stamp.usage)
    error = refusal("server_error", "server_error", "The answer failed (dry-run fault).")
    return Flow(pieces=(orjson.dumps(document),), stream=False, error=error)


def _events(answer: Answer, stamp: Stamp, include_usage: bool) -> Flow:
    head = _head(stamp, "chat.completion.chunk")
    choices = [_choice(delta) for delta in _deltas(answer, stamp)]
    choices.append(_choice({}, _finish(answer)))
    events = [head | {"choices": [choice]} for choice in choices]
    if include_usage and stamp.usage is not None:
        events.append(head | {"choices": [], "usage": _usage(stamp.usage)})
    pieces = (*(_event(orjson.dumps(event)) for event in events), _event(b"[DONE]"))
    error = _event(refusal("server_error", "server_error", "The stream failed (dry-run fault)."))
    return Flow(pieces=pieces, stream=True, error=error)


def _deltas(answer: Answer, stamp: Stamp) -> list[dict[str, Any]]:
    if isinstance(answer, Text):
        return [{"role": "assistant", "content": ""}, *({"content": word} for word in _WORDS.findall(answer.text))]
    if isinstance(answer, Refused):
        return [{"role": "assistant", "content": ""}, *({"refusal": word} for word in _WORDS.findall(answer.text))]
    arguments = arguments_json(answer)
    function = {"name": answer.name, "arguments": ""}
    first = {"index": 0, "id": _call_id(stamp), "type": "function", "function": function}
    pieces = (arguments[at : at + ARGUMENT_CHARS] for at in range(0, len(arguments), ARGUMENT_CHARS))
    rest = ({"index": 0, "function": {"arguments": piece}} for piece in pieces)
    return [{"role": "assistant", "content": None}, *({"tool_calls": [call]} for call in (first, *rest))]


def _choice(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(answer: Answer) -> str:
    match answer:
        case Text():
            return "stop"
        case ToolUse():
            return "tool_calls"
        case Refused():
            return "content_filter"


def _head(stamp: Stamp, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{stamp.seed[:12].hex()}",
        "object": kind,
        "created": EPOCH_S + int.from_bytes(stamp.seed[12:16], "big") % YEAR_S,
        "model": stamp.model,
        "system_fingerprint": "dry-run",
    }


def _call_id(stamp: Stamp) -> str:
    return f"call_{stamp.seed[16:28].hex()}"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
