"""Responses' request documents -> `Conversation`.

    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are ..."}]}     system
    {"type": "reasoning", "id": "rs_1", "summary": [...], "encrypted_content": "gAAAA..."}                 Reasoning
    {"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": "*** Begin Patch"}   Call(custom)
    {"type": "namespace", "name": "multi_agent_v1", "tools": [{"type": "function", "name": "spawn_agent"}]}

Consecutive items of one speaker are one message: a model's thoughts, words and calls belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autorouter.wire import loose
from autorouter.wire.neutral import (
    Call,
    Choice,
    Conversation,
    Format,
    Function,
    Image,
    Loss,
    Message,
    Named,
    Part,
    Result,
    Role,
    Text,
)
from autorouter.wire.portable import unstamp

_READ = (
    "model input instructions tools tool_choice parallel_tool_calls max_output_tokens temperature top_p reasoning text "
    "stream stream_options prompt_cache_key safety_identifier user metadata client_metadata openfusion store include "
    "background"
)
READ = frozenset(_READ.split())
"""Members that the neutral form holds, or that mean nothing elsewhere."""


def input_items(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`input` as items: a text is the user's."""
    found = document.get("input")
    return [{"role": "user", "content": found}] if isinstance(found, str) else loose.objects(found)


def to_neutral(document: Mapping[str, Any]) -> Conversation:
    """Read a Responses request that `responses.parse` let pass."""
    losses = [Loss("field", name, "unknown outside Responses") for name in document if name not in READ]
    tools = Tools()
    tools.add(document.get("tools"))
    system = [Text(words)] if (words := loose.text(document.get("instructions"))) else []
    messages: list[Message] = []
    for item in input_items(document):
        if item.get("type") == "additional_tools":
            tools.add(item.get("tools"))
            continue
        role, parts = _item(item, losses)
        if role == "system" and not messages:
            system.extend(part for part in parts if isinstance(part, Text))
        elif messages and messages[-1].role == role and role in ("assistant", "tool"):
            messages[-1] = Message(role, messages[-1].parts + parts)
        elif parts:
            messages.append(Message(role, parts))
    return Conversation(
        system=tuple(system),
        messages=tuple(messages),
        tools=tuple(tools.functions),
        hosted=tuple(tools.hosted),
        namespaces=tuple(tools.namespaces.items()),
        choice=_choice(document.get("tool_choice"), losses),
        parallel=loose.flag(document.get("parallel_tool_calls")),
        max_output_tokens=loose.count(document.get("max_output_tokens")) or None,
        temperature=loose.number(document.get("temperature")),
        top_p=loose.number(document.get("top_p")),
        effort=loose.text(loose.an_object(document.get("reasoning")).get("effort")) or None,
        format=_format(loose.an_object(loose.an_object(document.get("text")).get("format"))),
        stream=document.get("stream") is True,
        cache_key=loose.text(document.get("prompt_cache_key")) or None,
        user=loose.text(document.get("safety_identifier")) or loose.text(document.get("user")) or None,
        losses=tuple(losses),
    )


def _item(item: dict[str, Any], losses: list[Loss]) -> tuple[Role, tuple[Part, ...]]:
    kind = item.get("type") or "message"
    if kind == "message":
        role = item.get("role")
        parts = tuple(content(item.get("content"), losses))
        return ("system" if role in ("system", "developer") else "assistant" if role == "assistant" else "user"), parts
    if kind == "reasoning":
        summary = tuple(loose.text(part.get("text")) for part in loose.objects(item.get("summary")))
        if not any(summary):
            summary = tuple(loose.text(part.get("text")) for part in loose.objects(item.get("content")))
        payload, ident = loose.text(item.get("encrypted_content")), loose.text(item.get("id"))
        return "assistant", (unstamp(payload, summary, shape="responses", ident=ident),)
    if kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        call = Call(
            id=loose.text(item.get("call_id")),
            name=loose.text(item.get("name")),
            arguments=loose.as_json(item.get("input" if custom else "arguments")),
            namespace=loose.text(item.get("namespace")) or None,
            custom=custom,
        )
        return "assistant", (call,)
    if kind in ("function_call_output", "custom_tool_call_output"):
        shown = tuple(content(item.get("output"), losses))
        custom = kind == "custom_tool_call_output"
        return "tool", (Result(call_id=loose.text(item.get("call_id")), parts=shown, custom=custom),)
    losses.append(Loss("field", f"input:{kind}", "no such item in the neutral form"))
    return "user", ()


def content(found: Any, losses: list[Loss]) -> Iterator[Text | Image]:
    """The parts of a message's content or a call's output."""
    if isinstance(found, str):
        if found:
            yield Text(found)
        return
    for part in loose.objects(found):
        kind, url = part.get("type"), loose.text(part.get("image_url"))
        words = loose.text(part.get("text")) or loose.text(part.get("refusal"))
        if kind == "input_image" and url:
            yield Image(url, loose.text(part.get("detail")) or None)
        elif words:
            yield Text(words)
        elif kind not in ("input_text", "output_text", "refusal", "text"):
            losses.append(Loss("image" if kind == "input_image" else "file", str(kind), "kept at its provider"))
            yield Text(f"[a part of the kind {kind} was left out]")


class Tools:
    """Collects declared tools: functions and free-form ones, flat or in namespaces; and those that a provider hosts."""

    def __init__(self) -> None:
        self.functions: list[Function] = []
        self.hosted: list[str] = []
        self.namespaces: dict[str, str] = {}

    def add(self, found: Any, namespace: str | None = None) -> None:
        """Take in a list of declarations."""
        for tool in loose.objects(found):
            kind, name = tool.get("type"), loose.text(tool.get("name"))
            if kind == "namespace" and namespace is None:
                self.namespaces[name] = loose.text(tool.get("description"))
                self.add(tool.get("tools"), name)
            elif kind in ("function", "custom"):
                self.functions.append(_function(tool, name, namespace))
            else:
                self.hosted.append(name or str(kind))


def _function(tool: dict[str, Any], name: str, namespace: str | None) -> Function:
    custom = tool.get("type") == "custom"
    return Function(
        name=name,
        description=loose.text(tool.get("description")),
        schema=loose.an_object(tool.get("parameters")),
        strict=loose.flag(tool.get("strict")),
        namespace=namespace,
        custom=custom,
        grammar=(loose.an_object(tool.get("format")) or None) if custom else None,
    )


def _choice(found: Any, losses: list[Loss]) -> Choice | None:
    if found == "auto" or found == "none" or found == "required":
        return found  # type: ignore[no-any-return]
    named = loose.an_object(found)
    if named.get("type") in ("function", "custom"):
        return Named(loose.text(named.get("name")), loose.text(named.get("namespace")) or None)
    if named:
        losses.append(
            Loss("field", f"tool_choice:{named.get('type')}", "only some tools allowed: no other wire says so")
        )
    return "required" if named.get("mode") == "required" else "auto" if named else None


def _format(found: dict[str, Any]) -> Format | None:
    if found.get("type") == "json_object":
        return Format(kind="json_object")
    if found.get("type") != "json_schema":
        return None
    return Format(
        kind="json_schema",
        name=loose.text(found.get("name")) or "answer",
        schema=loose.an_object(found.get("schema")),
        strict=loose.flag(found.get("strict")),
    )
