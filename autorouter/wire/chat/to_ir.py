"""Chat's request documents <-> `RequestIR`.

{"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
    "function": {"name": "exec_command", "arguments": "{\\"cmd\\":\\"ls\\"}"}}]}
Message("assistant", (ToolCallPart(id="call_1", name="exec_command", arguments='{"cmd":"ls"}'),))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autorouter.core.reasons import ReasonCode
from autorouter.wire.common import lenient_json
from autorouter.wire.common.history import read_stamped
from autorouter.wire.common.ir import (
    ImagePart,
    Message,
    MessagePart,
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

_READ = (
    "model messages tools functions tool_choice parallel_tool_calls max_tokens max_completion_tokens temperature top_p "
    "stop reasoning_effort reasoning response_format stream stream_options prompt_cache_key user metadata openfusion "
    "store n"
)
READ = frozenset(_READ.split())
"""Members that the neutral form holds, or that mean nothing elsewhere."""


def to_ir(document: Mapping[str, Any]) -> RequestIR:
    """Read a chat request that `chat.parse` let pass."""
    losses = [TranslationLoss("field", name, ReasonCode.FIELD_UNKNOWN, "Chat") for name in document if name not in READ]
    system: list[TextPart] = []
    messages: list[Message] = []
    for message in lenient_json.as_objects(document.get("messages")):
        read = _message(message, losses)
        if read.role == "system" and not messages:
            system.extend(part for part in read.parts if isinstance(part, TextPart))
        elif read.role == "tool" and messages and messages[-1].role == "tool":
            messages[-1] = Message("tool", messages[-1].parts + read.parts)
        elif read.parts:
            messages.append(read)
    tools, hosted = _tools(document)
    return RequestIR(
        system=tuple(system),
        messages=tuple(messages),
        tools=tools,
        hosted_tools=hosted,
        tool_choice=_choice(document.get("tool_choice")),
        parallel_tool_calls=lenient_json.as_bool(document.get("parallel_tool_calls")),
        max_output_tokens=lenient_json.as_count(document.get("max_completion_tokens"))
        or lenient_json.as_count(document.get("max_tokens"))
        or None,
        temperature=lenient_json.as_number(document.get("temperature")),
        top_p=lenient_json.as_number(document.get("top_p")),
        stop=lenient_json.as_texts(document.get("stop")),
        reasoning_effort=lenient_json.as_text(document.get("reasoning_effort"))
        or lenient_json.as_text(lenient_json.as_object(document.get("reasoning")).get("effort"))
        or None,
        response_format=_format(lenient_json.as_object(document.get("response_format"))),
        stream=document.get("stream") is True,
        cache_key=lenient_json.as_text(document.get("prompt_cache_key")) or None,
        user=lenient_json.as_text(document.get("user")) or None,
        losses=tuple(losses),
    )


def _message(message: dict[str, Any], losses: list[TranslationLoss]) -> Message:
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        return Message("system", tuple(_content(content, losses)))
    if role in ("tool", "function"):
        call_id = lenient_json.as_text(message.get("tool_call_id")) or lenient_json.as_text(message.get("name"))
        return Message("tool", (ToolResultPart(call_id=call_id, parts=tuple(_content(content, losses))),))
    if role != "assistant":
        return Message("user", tuple(_content(content, losses)))
    parts: list[MessagePart] = []
    thoughts = lenient_json.as_text(message.get("reasoning_content")) or lenient_json.as_text(message.get("reasoning"))
    if thoughts:
        parts.append(read_stamped(lenient_json.as_text(message.get("reasoning_signature")), (thoughts,), shape="chat"))
    parts.extend(_content(content, losses))
    parts.extend(_calls(message))
    return Message("assistant", tuple(parts))


def _content(content: Any, losses: list[TranslationLoss]) -> Iterator[TextPart | ImagePart]:
    if isinstance(content, str):
        if content:
            yield TextPart(content)
        return
    for part in lenient_json.as_objects(content):
        kind = part.get("type")
        if kind == "image_url":
            image = part.get("image_url")
            inner = image if isinstance(image, dict) else {"url": image}
            yield ImagePart(lenient_json.as_text(inner.get("url")), lenient_json.as_text(inner.get("detail")) or None)
        elif lenient_json.as_text(part.get("text")) or lenient_json.as_text(part.get("refusal")):
            yield TextPart(lenient_json.as_text(part.get("text")) or lenient_json.as_text(part.get("refusal")))
        elif kind not in ("text", "refusal"):
            losses.append(TranslationLoss("file", str(kind), ReasonCode.PART_UNSUPPORTED))
            yield TextPart(f"[a part of the kind {kind} was left out]")


def _calls(message: dict[str, Any]) -> Iterator[ToolCallPart]:
    calls = lenient_json.as_objects(message.get("tool_calls"))
    old = lenient_json.as_object(message.get("function_call"))
    if old:
        calls.append({"id": lenient_json.as_text(old.get("name")), "function": old})
    for call in calls:
        custom = call.get("type") == "custom"
        inner = lenient_json.as_object(call.get("custom" if custom else "function"))
        yield ToolCallPart(
            id=lenient_json.as_text(call.get("id")),
            name=lenient_json.as_text(inner.get("name")),
            arguments=lenient_json.as_json_text(inner.get("input" if custom else "arguments")),
            custom=custom,
        )


def _tools(document: Mapping[str, Any]) -> tuple[tuple[ToolDefinition, ...], tuple[str, ...]]:
    tools: list[ToolDefinition] = []
    hosted: list[str] = []
    declared = lenient_json.as_objects(document.get("tools"))
    for tool in (*declared, *({"function": old} for old in lenient_json.as_objects(document.get("functions")))):
        kind = lenient_json.as_text(tool.get("type")) or "function"
        inner = lenient_json.as_object(tool.get(kind))
        if kind not in ("function", "custom"):
            hosted.append(kind)
            continue
        tools.append(
            ToolDefinition(
                name=lenient_json.as_text(inner.get("name")),
                description=lenient_json.as_text(inner.get("description")),
                schema=lenient_json.as_object(inner.get("parameters")),
                strict=lenient_json.as_bool(inner.get("strict")),
                custom=kind == "custom",
                grammar=_grammar(inner.get("format")) if kind == "custom" else None,
            )
        )
    return tuple(tools), tuple(hosted)


def _grammar(found: Any) -> dict[str, Any] | None:
    """Chat nests a grammar's text, Responses doesn't: the neutral form is that of Responses."""
    inner = lenient_json.as_object(found)
    return {"type": "grammar", **inner["grammar"]} if isinstance(inner.get("grammar"), dict) else inner or None


def _choice(found: Any) -> ToolChoice | None:
    if found == "auto" or found == "none" or found == "required":
        return found  # type: ignore[no-any-return]
    named = lenient_json.as_object(found)
    inner = lenient_json.as_object(named.get("function")) or lenient_json.as_object(named.get("custom"))
    return NamedToolChoice(lenient_json.as_text(inner.get("name"))) if inner else None


def _format(found: dict[str, Any]) -> ResponseFormat | None:
    if found.get("type") == "json_object":
        return ResponseFormat(kind="json_object")
    inner = lenient_json.as_object(found.get("json_schema"))
    if found.get("type") != "json_schema":
        return None
    return ResponseFormat(
        kind="json_schema",
        name=lenient_json.as_text(inner.get("name")) or "answer",
        schema=lenient_json.as_object(inner.get("schema")),
        strict=lenient_json.as_bool(inner.get("strict")),
    )


def reasoning_member(part: ReasoningPart) -> dict[str, str]:
    """What a chat server that made this reasoning wants back."""
    return {"reasoning_content": "\n\n".join(part.summary)}
