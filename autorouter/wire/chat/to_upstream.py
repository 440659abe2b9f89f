"""`RequestIR` -> a chat request, for upstreams that speak nothing else: the most wanted crossing.

developer items     system messages              namespaces        flattened, with a table to restore them
free-form tools     functions with one `input`   hosted tools      left out, with a loss
images of results   a user's message behind      reasoning         the target's own only
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autorouter.core.reasons import ReasonCode
from autorouter.wire.chat.to_ir import reasoning_member
from autorouter.wire.common import tool_names as naming
from autorouter.wire.common.history import keep_own_reasoning, pair_tool_calls
from autorouter.wire.common.ir import (
    ImagePart,
    Message,
    NamedToolChoice,
    ReasoningPart,
    RequestIR,
    ResponseFormat,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    TranslationLoss,
)
from autorouter.wire.common.tool_names import ToolNameMap

EFFORTS = {"max": "xhigh"}
"""Words for effort that other wires have and chat hasn't."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request for an upstream: its document, the table that leads tool names back, and all that was lost."""

    document: dict[str, Any]
    names: ToolNameMap
    losses: tuple[TranslationLoss, ...]


def from_ir(conversation: RequestIR, model: str, *, origin: str | None = None) -> UpstreamRequest:
    """The chat request. `origin` is the target as stamped on reasoning: `upstream/model`."""
    names = naming.map_tool_names(conversation.tools)
    losses = list(conversation.losses)
    losses.extend(TranslationLoss("tool", tool, ReasonCode.HOSTED_TOOL) for tool in conversation.hosted_tools)
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": "\n\n".join(part.text for part in conversation.system)})
    settled = keep_own_reasoning(conversation.messages, origin=origin, formats=("chat",), losses=losses)
    for message in pair_tool_calls(settled, losses):
        _add(messages, message, names, losses)
    document: dict[str, Any] = {"model": model, "messages": messages, "stream": conversation.stream}
    if conversation.stream:
        document["stream_options"] = {"include_usage": True}
    if conversation.tools:
        document["tools"] = [_tool(tool, names) for tool in conversation.tools]
        if conversation.tool_choice is not None:
            document["tool_choice"] = _choice(conversation.tool_choice, names)
        if conversation.parallel_tool_calls is not None:
            document["parallel_tool_calls"] = conversation.parallel_tool_calls
    document |= _options(conversation)
    return UpstreamRequest(document, names, tuple(losses))


def _options(conversation: RequestIR) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_tokens": conversation.max_output_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop) or None,
        "reasoning_effort": EFFORTS.get(conversation.reasoning_effort or "", conversation.reasoning_effort),
        "response_format": _format(conversation.response_format) if conversation.response_format else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _add(messages: list[dict[str, Any]], message: Message, names: ToolNameMap, losses: list[TranslationLoss]) -> None:
    if message.role == "assistant":
        messages.append(_assistant(message, names))
        return
    if message.role != "tool":
        messages.append({"role": message.role, "content": _content(message)})
        return
    images: list[ImagePart] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            if part.is_error:
                losses.append(TranslationLoss("field", "is_error", ReasonCode.ERROR_MARK_DROPPED))
            words = "\n".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
            found = [inner for inner in part.parts if isinstance(inner, ImagePart)]
            images.extend(found)
            messages.append({"role": "tool", "tool_call_id": part.call_id, "content": words or _stand_in(found)})
    if images:
        messages.append({"role": "user", "content": [_image(image) for image in images]})


def _stand_in(images: list[ImagePart]) -> str:
    return "[the image follows]" if images else ""


def _assistant(message: Message, names: ToolNameMap) -> dict[str, Any]:
    words = [part.text for part in message.parts if isinstance(part, TextPart)]
    calls = [_call(part, names) for part in message.parts if isinstance(part, ToolCallPart)]
    out: dict[str, Any] = {"role": "assistant", "content": "\n\n".join(words) if words or not calls else None}
    for part in message.parts:
        if isinstance(part, ReasoningPart) and part.summary:
            out |= reasoning_member(part)
    if calls:
        out["tool_calls"] = calls
    return out


def _call(call: ToolCallPart, names: ToolNameMap) -> dict[str, Any]:
    arguments = naming.wrap_custom_input(call.arguments) if call.custom else call.arguments or "{}"
    function = {"name": names.upstream_name(call.name, call.namespace), "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _content(message: Message) -> str | list[dict[str, Any]]:
    """Words alone go as one text, which every server takes."""
    if not any(isinstance(part, ImagePart) for part in message.parts):
        return "\n\n".join(part.text for part in message.parts if isinstance(part, TextPart))
    return [
        _image(part) if isinstance(part, ImagePart) else {"type": "text", "text": part.text}
        for part in message.parts
        if isinstance(part, ImagePart | TextPart)
    ]


def _image(image: ImagePart) -> dict[str, Any]:
    inner = {"url": image.url} | ({"detail": image.detail} if image.detail else {})
    return {"type": "image_url", "image_url": inner}


def _tool(tool: ToolDefinition, names: ToolNameMap) -> dict[str, Any]:
    schema = naming.custom_input_schema(tool) if tool.custom else tool.schema or {"type": "object", "properties": {}}
    function: dict[str, Any] = {"name": names.upstream_name(tool.name, tool.namespace), "parameters": schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None and not tool.custom:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice, names: ToolNameMap) -> Any:
    if isinstance(choice, NamedToolChoice):
        return {"type": "function", "function": {"name": names.upstream_name(choice.name, choice.namespace)}}
    return choice


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    inner: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.strict is not None:
        inner["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": inner}
