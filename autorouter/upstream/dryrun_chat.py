"""The chat wire of the dry run: an `Answer` -> `chat.completion` or its chunks.

data: {..."delta":{"role":"assistant","content":""}...}                            the role
data: {..."delta":{"content":"This "}...}                                          a word each
data: {..."delta":{"tool_calls":[{"index":0,"id":...,"function":{"name":...}}]}}   id and name, then the arguments
data: {..."delta":{},"finish_reason":"stop"}                                       the finish
data: {..."choices":[],"usage":{...}}                                              only if asked for
data: [DONE]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from autorouter.core.types import Usage
from autorouter.upstream.flow import Flow
from autorouter.upstream.script import Answer, Refused, Text, arguments_json
from autorouter.upstream.toolfill import ToolUse

EPOCH_S: Final = 1_750_000_000
YEAR_S: Final = 31_536_000
"""`created` lies within the year after `EPOCH_S`, as the seed has it: no clock, so that the bytes repeat."""
FAILED: Final = ("server_error", "server_error", "The answer failed (dry-run fault).")
"""Code, type and message of an error inside an answer."""
_WORDS: Final = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a stream cuts a tool call's arguments. `cumulative`: each piece repeats all before it."""

    argument_chars: int = 16
    cumulative: bool = False


PLAIN: Final = Style()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who answers. `seed` gives ids and time; `usage` None is not told."""

    model: str
    seed: bytes
    usage: Usage | None
    style: Style = PLAIN

    @property
    def created_s(self) -> int:
        """Unix time within the year after `EPOCH_S`."""
        return EPOCH_S + int.from_bytes(self.seed[12:16], "big") % YEAR_S

    @property
    def call_id(self) -> str:
        return f"call_{self.seed[16:28].hex()}"


def _encode_chat(answer: Answer, stamp: Stamp, *, stream: bool, include_usage: bool) -> Flow:
    """The answer's bytes. `include_usage` is for streams: a whole answer tells its usage anyway."""
    return _chat_stream(answer, stamp, include_usage) if stream else _chat_document(answer, stamp)


def error_document(code: str, error_type: str, message: str) -> bytes:
    """An error in OpenAI's shape."""
    return orjson.dumps({"error": {"message": message, "type": error_type, "param": None, "code": code}})


def words(text: str) -> list[str]:
    """A text in the pieces that it is streamed in."""
    return _WORDS.findall(text)


def pieces(arguments: str, style: Style) -> list[str]:
    """A call's arguments in the pieces that they are streamed in."""
    size = style.argument_chars
    ends = range(size, len(arguments) + size, size)
    return [arguments[0 if style.cumulative else end - size : end] for end in ends]


def _chat_document(answer: Answer, stamp: Stamp) -> Flow:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text if isinstance(answer, Text) else None}
    if isinstance(answer, Refused):
        message["refusal"] = answer.text
    if isinstance(answer, ToolUse):
        function = {"name": answer.name, "arguments": arguments_json(answer)}
        message["tool_calls"] = [{"id": stamp.call_id, "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    document = _head(stamp, "chat.completion") | {"choices": [choice]}
    if stamp.usage is not None:
        document["usage"] = _usage(stamp.usage)
    return Flow(pieces=(orjson.dumps(document),), stream=False, error=error_document(*FAILED))


def _chat_stream(answer: Answer, stamp: Stamp, include_usage: bool) -> Flow:
    head = _head(stamp, "chat.completion.chunk")
    choices = [_choice(delta) for delta in _deltas(answer, stamp)]
    choices.append(_choice({}, _finish(answer)))
    events = [head | {"choices": [choice]} for choice in choices]
    if include_usage and stamp.usage is not None:
        events.append(head | {"choices": [], "usage": _usage(stamp.usage)})
    data = (*(_chat_event(orjson.dumps(event)) for event in events), _chat_event(b"[DONE]"))
    return Flow(pieces=data, stream=True, error=_chat_event(error_document(*FAILED)))


def _deltas(answer: Answer, stamp: Stamp) -> list[dict[str, Any]]:
    if isinstance(answer, Text):
        return [{"role": "assistant", "content": ""}, *({"content": word} for word in words(answer.text))]
    if isinstance(answer, Refused):
        return [{"role": "assistant", "content": ""}, *({"refusal": word} for word in words(answer.text))]
    arguments = arguments_json(answer)
    function = {"name": answer.name, "arguments": ""}
    first = {"index": 0, "id": stamp.call_id, "type": "function", "function": function}
    rest = ({"index": 0, "function": {"arguments": piece}} for piece in pieces(arguments, stamp.style))
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
        "created": stamp.created_s,
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


def _chat_event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
