"""`RequestIR` -> a Messages request, for upstreams that speak it.

What Anthropic insists on: `max_tokens`; speakers in turn; all results of a step in one user message, first in it; ids of
letters, digits, `_` and `-`; no empty text. Without marks nothing would be cached there, so the last block of the system
text and of the conversation get one.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

from autorouter.core.reasons import ReasonCode
from autorouter.wire.chat.to_upstream import UpstreamRequest
from autorouter.wire.common import lenient_json
from autorouter.wire.common import tool_names as naming
from autorouter.wire.common.history import keep_own_reasoning, pair_tool_calls
from autorouter.wire.common.ir import (
    ImagePart,
    Message,
    MessagePart,
    NamedToolChoice,
    ReasoningPart,
    RequestIR,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    TranslationLoss,
)
from autorouter.wire.common.tool_names import ToolNameMap

MAX_TOKENS = 16_000
"""Asked for where the client didn't say: Messages has no default."""
EFFORTS = {"minimal": "low", "xhigh": "max"}
"""Words for effort that other wires have and Messages hasn't."""
_CACHED = {"type": "ephemeral"}
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_DATA_URL = re.compile(r"data:([^;,]*);base64,")


def from_ir(
    conversation: RequestIR, model: str, *, origin: str | None = None, max_tokens: int = MAX_TOKENS
) -> UpstreamRequest:
    """The Messages request. `origin` is the target as stamped on reasoning: `upstream/model`."""
    names = naming.map_tool_names(conversation.tools)
    losses = list(conversation.losses)
    losses.extend(TranslationLoss("tool", tool, ReasonCode.HOSTED_TOOL) for tool in conversation.hosted_tools)
    settled = keep_own_reasoning(conversation.messages, origin=origin, formats=("messages", "redacted"), losses=losses)
    document: dict[str, Any] = {
        "model": model,
        "max_tokens": conversation.max_output_tokens or max_tokens,
        "messages": _messages(pair_tool_calls(settled, losses), names),
        "stream": conversation.stream,
    }
    system = [{"type": "text", "text": part.text} for part in conversation.system]
    if system:
        document["system"] = [*system[:-1], system[-1] | {"cache_control": _CACHED}]
    if conversation.tools:
        document["tools"] = [_tool(tool, names) for tool in conversation.tools]
        if conversation.tool_choice is not None or conversation.parallel_tool_calls is False:
            document["tool_choice"] = _choice(conversation, names)
    document |= _options(conversation, losses)
    return UpstreamRequest(document, names, tuple(losses))


def _options(conversation: RequestIR, losses: list[TranslationLoss]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    output: dict[str, Any] = {}
    if conversation.temperature is not None:
        options["temperature"] = min(conversation.temperature, 1.0)
    if conversation.top_p is not None:
        options["top_p"] = conversation.top_p
    if conversation.stop:
        options["stop_sequences"] = list(conversation.stop)
    if conversation.reasoning_effort == "none":
        options["thinking"] = {"type": "disabled"}
    elif conversation.reasoning_effort:
        output["effort"] = EFFORTS.get(conversation.reasoning_effort, conversation.reasoning_effort)
    if conversation.response_format is not None and conversation.response_format.schema is not None:
        output["format"] = {"type": "json_schema", "schema": conversation.response_format.schema}
    elif conversation.response_format is not None:
        losses.append(TranslationLoss("field", "response_format", ReasonCode.FIELD_UNSUPPORTED, "Messages"))
    return options | ({"output_config": output} if output else {})


def _messages(messages: list[Message], names: ToolNameMap) -> list[dict[str, Any]]:
    """Speakers in turn; a system message inside the conversation is a block of the user's, marked as a reminder."""
    out: list[dict[str, Any]] = []
    for message in messages:
        role: Literal["assistant", "user"] = "assistant" if message.role == "assistant" else "user"
        blocks = [_block(part, names, message.role == "system") for part in message.parts]
        if out and out[-1]["role"] == role:
            out[-1]["content"].extend(blocks)
        elif blocks:
            out.append({"role": role, "content": blocks})
    if out and out[0]["role"] == "assistant":
        out.insert(
            0, {"role": "user", "content": [{"type": "text", "text": "[the conversation's beginning is missing]"}]}
        )
    if out and out[-1]["role"] == "user":
        out[-1]["content"][-1] |= {"cache_control": _CACHED}
    return out


def _block(part: MessagePart, names: ToolNameMap, is_system: bool) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "text": f"<system-reminder>\n{text}\n</system-reminder>" if is_system else text}
        case ImagePart():
            return _image(part)
        case ToolCallPart():
            given = {"input": part.arguments} if part.custom else lenient_json.parse_object(part.arguments or "{}")
            called = {
                "type": "tool_use",
                "id": valid_call_id(part.id),
                "name": names.upstream_name(part.name, part.namespace),
            }
            return called | {"input": {"arguments": part.arguments} if given is None else given}
        case ToolResultPart():
            return _result(part, names)
        case ReasoningPart():
            if part.shape == "redacted":
                return {"type": "redacted_thinking", "data": part.payload}
            return {"type": "thinking", "thinking": "\n\n".join(part.summary), "signature": part.payload}


def _result(part: ToolResultPart, names: ToolNameMap) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": valid_call_id(part.call_id)}
    if len(part.parts) == 1 and isinstance(part.parts[0], TextPart):
        block["content"] = part.parts[0].text
    elif part.parts:
        block["content"] = [_block(inner, names, False) for inner in part.parts]
    return block | ({"is_error": True} if part.is_error else {})


def valid_call_id(ident: str) -> str:
    """A call's id as Messages takes it: the same one wherever it can be."""
    if ident and not _REFUSED.search(ident):
        return ident
    mark = hashlib.sha256(ident.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_REFUSED.sub('_', ident)}_{mark}"


def _image(image: ImagePart) -> dict[str, Any]:
    match = _DATA_URL.match(image.url)
    if match is None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": match[1], "data": image.url[match.end() :]}
    return {"type": "image", "source": source}


def _tool(tool: ToolDefinition, names: ToolNameMap) -> dict[str, Any]:
    schema = naming.custom_input_schema(tool) if tool.custom else tool.schema
    out: dict[str, Any] = {"name": names.upstream_name(tool.name, tool.namespace)}
    if tool.description:
        out["description"] = tool.description
    out["input_schema"] = {"type": "object", **schema} if schema else {"type": "object", "properties": {}}
    return out


_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def _choice(conversation: RequestIR, names: ToolNameMap) -> dict[str, Any]:
    choice: ToolChoice = conversation.tool_choice or "auto"
    if isinstance(choice, NamedToolChoice):
        out: dict[str, Any] = {"type": "tool", "name": names.upstream_name(choice.name, choice.namespace)}
    else:
        out = {"type": _CHOICES[choice]}
    if conversation.parallel_tool_calls is False and choice != "none":
        out["disable_parallel_tool_use"] = True
    return out
