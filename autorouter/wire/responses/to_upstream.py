"""`RequestIR` -> a Responses request, for upstreams that speak it.

Namespaces and free-form tools go as they are. The conversation is whole in each request, so nothing is stored there and
reasoning comes back encrypted: `"store": false, "include": ["reasoning.encrypted_content"]`.
"""

from __future__ import annotations

from typing import Any

from autorouter.core.reasons import ReasonCode
from autorouter.wire.chat.to_upstream import UpstreamRequest
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
"""Words for effort that other wires have and Responses hasn't."""


def from_ir(conversation: RequestIR, model: str, *, origin: str | None = None) -> UpstreamRequest:
    """The Responses request. `origin` is the target as stamped on reasoning: `upstream/model`."""
    names = naming.map_tool_names(conversation.tools, wraps_custom=False)
    losses = list(conversation.losses)
    losses.extend(TranslationLoss("tool", tool, ReasonCode.HOSTED_TOOL) for tool in conversation.hosted_tools)
    if conversation.stop:
        losses.append(TranslationLoss("field", "stop", ReasonCode.FIELD_UNSUPPORTED, "Responses"))
    settled = keep_own_reasoning(conversation.messages, origin=origin, formats=("responses",), losses=losses)
    messages = pair_tool_calls(settled, losses)
    for message in messages:
        failed = [part for part in message.parts if isinstance(part, ToolResultPart) and part.is_error]
        losses.extend(TranslationLoss("field", "is_error", ReasonCode.ERROR_MARK_DROPPED) for _ in failed)
    items = [item for message in messages for item in _items(message)]
    document: dict[str, Any] = {
        "model": model,
        "input": items,
        "stream": conversation.stream,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if conversation.system:
        document["instructions"] = "\n\n".join(part.text for part in conversation.system)
    if conversation.tools:
        document["tools"] = _tools(conversation, names)
        if conversation.tool_choice is not None:
            document["tool_choice"] = _choice(conversation.tool_choice, conversation)
        if conversation.parallel_tool_calls is not None:
            document["parallel_tool_calls"] = conversation.parallel_tool_calls
    document |= _options(conversation)
    return UpstreamRequest(document, names, tuple(losses))


def _options(conversation: RequestIR) -> dict[str, Any]:
    effort = EFFORTS.get(conversation.reasoning_effort or "", conversation.reasoning_effort)
    options: dict[str, Any] = {
        "max_output_tokens": conversation.max_output_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "reasoning": {"effort": effort, "summary": "auto"} if effort else None,
        "text": {"format": _format(conversation.response_format)} if conversation.response_format else None,
        "prompt_cache_key": conversation.cache_key,
    }
    return {name: value for name, value in options.items() if value is not None}


def _items(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [_output(part) for part in message.parts if isinstance(part, ToolResultPart)]
    role = "developer" if message.role == "system" else message.role
    items: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            items.append(_call(part))
        elif isinstance(part, ReasoningPart):
            items.append(_reasoning(part))
        elif isinstance(part, TextPart | ImagePart):
            shown = _shown(part, "output_text" if role == "assistant" else "input_text")
            if items and items[-1].get("role") == role:
                items[-1]["content"].append(shown)
            else:
                items.append({"type": "message", "role": role, "content": [shown]})
    return items


def _shown(part: TextPart | ImagePart, text_type: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": text_type, "text": part.text}
    return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}


def _call(call: ToolCallPart) -> dict[str, Any]:
    kind, member = ("custom_tool_call", "input") if call.custom else ("function_call", "arguments")
    item = {"type": kind, "call_id": call.id, "name": call.name}
    if call.namespace:
        item["namespace"] = call.namespace
    return item | {member: call.arguments if call.custom else call.arguments or "{}"}


def _output(result: ToolResultPart) -> dict[str, Any]:
    kind = "custom_tool_call_output" if result.custom else "function_call_output"
    words = [part.text for part in result.parts if isinstance(part, TextPart)]
    output: Any = "\n".join(words)
    if len(words) < len(result.parts):
        output = [_shown(part, "input_text") for part in result.parts]
    return {"type": kind, "call_id": result.call_id, "output": output}


def _reasoning(part: ReasoningPart) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in part.summary]}
    if part.id:
        item["id"] = part.id
    return item | ({"encrypted_content": part.payload} if part.payload else {})


def _tools(conversation: RequestIR, names: ToolNameMap) -> list[dict[str, Any]]:
    about = dict(conversation.namespaces)
    groups: dict[str, dict[str, Any]] = {}
    tools: list[dict[str, Any]] = []
    for tool in conversation.tools:
        declared = _tool(tool, names)
        if not tool.namespace:
            tools.append(declared)
            continue
        if tool.namespace not in groups:
            groups[tool.namespace] = {
                "type": "namespace",
                "name": tool.namespace,
                "description": about.get(tool.namespace, ""),
                "tools": [],
            }
            tools.append(groups[tool.namespace])
        groups[tool.namespace]["tools"].append(declared)
    return tools


def _tool(tool: ToolDefinition, names: ToolNameMap) -> dict[str, Any]:
    name = tool.name if tool.namespace else names.upstream_name(tool.name, None)
    out: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": name}
    if tool.description:
        out["description"] = tool.description
    if tool.custom:
        return out | ({"format": tool.grammar} if tool.grammar else {})
    out["parameters"] = tool.schema or {"type": "object", "properties": {}}
    out["strict"] = bool(tool.strict)
    return out


def _choice(choice: ToolChoice, conversation: RequestIR) -> Any:
    if not isinstance(choice, NamedToolChoice):
        return choice
    custom = any(tool.custom and tool.name == choice.name for tool in conversation.tools)
    out = {"type": "custom" if custom else "function", "name": choice.name}
    return out | ({"namespace": choice.namespace} if choice.namespace else {})


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    out: dict[str, Any] = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema}
    return out | ({"strict": wanted.strict} if wanted.strict is not None else {})
