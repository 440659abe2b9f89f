"""`POST /v1/responses`: the client's bytes -> Task, and what goes upstream on the same wire. Codex speaks nothing else.

x-codex-turn-metadata   {"turn_id": "...", "request_kind": "turn" | "compaction", "thread_source": "user", ...}
thread-id               the session; a sub-agent has its own, and `x-codex-parent-thread-id` besides
input                   developer items, <environment_context> and tool results are not the human's words

Responses' request documents -> `RequestIR`.

    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are ..."}]}     system
    {"type": "reasoning", "id": "rs_1", "summary": [...], "encrypted_content": "gAAAA..."}                 Reasoning
    {"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": "*** Begin Patch"}   ToolCallPart(custom)
    {"type": "namespace", "name": "multi_agent_v1", "tools": [{"type": "function", "name": "spawn_agent"}]}

Consecutive items of one speaker are one message: a model's thoughts, words and calls belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autorouter.clients.codex import TURN_METADATA_HEADER
from autorouter.clients.registry import profile_of
from autorouter.core.reasons import ReasonCode
from autorouter.core.types import EXCERPT_CHARS, Task
from autorouter.errors import RequestError
from autorouter.wire.common import lenient_json, request_body
from autorouter.wire.common.history import read_stamped
from autorouter.wire.common.ir import (
    ImagePart,
    Message,
    MessagePart,
    MessageRole,
    NamedToolChoice,
    RequestIR,
    ResponseFormat,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolResultPart,
    TranslationLoss,
)
from autorouter.wire.common.ir_reader import IR_READER, declared_tool_names
from autorouter.wire.common.prompt_reader import read_prompt
from autorouter.wire.common.session_identity import session_digests
from autorouter.wire.overrides import parse_overrides


def parse(body: bytes, headers: Mapping[str, str]) -> request_body.ClientRequest:
    """Read and check a request. Raises RequestError (400) that names the field. `headers` are lower-case."""
    document = request_body.parse_document(body)
    label, stream = request_body.label_of(document), request_body.stream_of(document)
    found = document.get("input")
    if not isinstance(found, str | list) or not found:
        raise RequestError("`input` must be a text or a non-empty list", param="input")
    if document.get("previous_response_id"):
        raise RequestError(
            "`previous_response_id` refers to a response that is not kept here",
            hint="send the whole conversation in `input`",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    max_output_tokens = request_body.max_output_of(document, "max_output_tokens")
    conversation = to_ir(document)
    read = read_prompt(conversation.messages, IR_READER)
    chore = _turn(document, headers).get("request_kind") == "compaction"
    system = conversation.system[0].text if conversation.system else ""
    client = profile_of(headers, system).name
    session, agent = session_digests(headers, document, client=client, system=system, opening=read.first_prompt)
    task = Task(
        wire="responses",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - read.image_bytes,
        prompt=read.prompt,
        is_new_turn=read.is_new_turn,
        system=system[:EXCERPT_CHARS],
        first_prompt=read.first_prompt,
        # A compaction is known by its shape downstream: no tools, no trail.
        tool_history=() if chore else read.tool_history,
        tools=() if chore else declared_tool_names(conversation),
        images=read.images,
        json_schema=conversation.response_format is not None and conversation.response_format.kind == "json_schema",
        reasoning_effort=conversation.reasoning_effort,
        max_output_tokens=max_output_tokens,
        messages=len(conversation.messages) + bool(conversation.system),
        client=client,
        session=session,
        agent=agent,
        headers=request_body.policy_headers(headers),
        overrides=parse_overrides(document.get(request_body.EXTENSION), headers),
    )
    parsed = request_body.ParsedBody(body, to_ir, ir=conversation)
    return request_body.ClientRequest(task, request_body.find_model_span(body, document), parsed)


def _turn(document: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Codex's own words about the turn: from its header, else from the body, where the same stands."""
    metadata = lenient_json.as_object(document.get("client_metadata"))
    said = headers.get(TURN_METADATA_HEADER) or lenient_json.as_text(metadata.get(TURN_METADATA_HEADER))
    return lenient_json.parse_object(said) or {} if said else {}


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
    return [{"role": "user", "content": found}] if isinstance(found, str) else lenient_json.as_objects(found)


def to_ir(document: Mapping[str, Any]) -> RequestIR:
    """Read a Responses request that `responses.parse` let pass."""
    losses = [
        TranslationLoss("field", name, ReasonCode.FIELD_UNKNOWN, "Responses") for name in document if name not in READ
    ]
    tools = Tools()
    tools.add(document.get("tools"))
    system = [TextPart(words)] if (words := lenient_json.as_text(document.get("instructions"))) else []
    messages: list[Message] = []
    for item in input_items(document):
        if item.get("type") == "additional_tools":
            tools.add(item.get("tools"))
            continue
        role, parts = _item(item, losses)
        if role == "system" and not messages:
            system.extend(part for part in parts if isinstance(part, TextPart))
        elif messages and messages[-1].role == role and role in ("assistant", "tool"):
            messages[-1] = Message(role, messages[-1].parts + parts)
        elif parts:
            messages.append(Message(role, parts))
    return RequestIR(
        system=tuple(system),
        messages=tuple(messages),
        tools=tuple(tools.functions),
        hosted_tools=tuple(tools.hosted),
        namespaces=tuple(tools.namespaces.items()),
        tool_choice=_choice(document.get("tool_choice"), losses),
        parallel_tool_calls=lenient_json.as_bool(document.get("parallel_tool_calls")),
        max_output_tokens=lenient_json.as_count(document.get("max_output_tokens")) or None,
        temperature=lenient_json.as_number(document.get("temperature")),
        top_p=lenient_json.as_number(document.get("top_p")),
        reasoning_effort=lenient_json.as_text(lenient_json.as_object(document.get("reasoning")).get("effort")) or None,
        response_format=_format(lenient_json.as_object(lenient_json.as_object(document.get("text")).get("format"))),
        stream=document.get("stream") is True,
        cache_key=lenient_json.as_text(document.get("prompt_cache_key")) or None,
        user=lenient_json.as_text(document.get("safety_identifier"))
        or lenient_json.as_text(document.get("user"))
        or None,
        losses=tuple(losses),
    )


def _item(item: dict[str, Any], losses: list[TranslationLoss]) -> tuple[MessageRole, tuple[MessagePart, ...]]:
    kind = item.get("type") or "message"
    if kind == "message":
        role = item.get("role")
        parts = tuple(content(item.get("content"), losses))
        return ("system" if role in ("system", "developer") else "assistant" if role == "assistant" else "user"), parts
    if kind == "reasoning":
        summary = tuple(lenient_json.as_text(part.get("text")) for part in lenient_json.as_objects(item.get("summary")))
        if not any(summary):
            summary = tuple(
                lenient_json.as_text(part.get("text")) for part in lenient_json.as_objects(item.get("content"))
            )
        payload, ident = lenient_json.as_text(item.get("encrypted_content")), lenient_json.as_text(item.get("id"))
        return "assistant", (read_stamped(payload, summary, shape="responses", ident=ident),)
    if kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        call = ToolCallPart(
            id=lenient_json.as_text(item.get("call_id")),
            name=lenient_json.as_text(item.get("name")),
            arguments=lenient_json.as_json_text(item.get("input" if custom else "arguments")),
            namespace=lenient_json.as_text(item.get("namespace")) or None,
            custom=custom,
        )
        return "assistant", (call,)
    if kind in ("function_call_output", "custom_tool_call_output"):
        shown = tuple(content(item.get("output"), losses))
        custom = kind == "custom_tool_call_output"
        return "tool", (ToolResultPart(call_id=lenient_json.as_text(item.get("call_id")), parts=shown, custom=custom),)
    losses.append(TranslationLoss("field", f"input:{kind}", ReasonCode.PART_UNSUPPORTED))
    return "user", ()


def content(found: Any, losses: list[TranslationLoss]) -> Iterator[TextPart | ImagePart]:
    """The parts of a message's content or a call's output."""
    if isinstance(found, str):
        if found:
            yield TextPart(found)
        return
    for part in lenient_json.as_objects(found):
        kind, url = part.get("type"), lenient_json.as_text(part.get("image_url"))
        words = lenient_json.as_text(part.get("text")) or lenient_json.as_text(part.get("refusal"))
        if kind == "input_image" and url:
            yield ImagePart(url, lenient_json.as_text(part.get("detail")) or None)
        elif words:
            yield TextPart(words)
        elif kind not in ("input_text", "output_text", "refusal", "text"):
            losses.append(
                TranslationLoss("image" if kind == "input_image" else "file", str(kind), ReasonCode.PART_AT_PROVIDER)
            )
            yield TextPart(f"[a part of the kind {kind} was left out]")


class Tools:
    """Collects declared tools: functions and free-form ones, flat or in namespaces; and those that a provider hosts."""

    def __init__(self) -> None:
        self.functions: list[ToolDefinition] = []
        self.hosted: list[str] = []
        self.namespaces: dict[str, str] = {}

    def add(self, found: Any, namespace: str | None = None) -> None:
        """Take in a list of declarations."""
        for tool in lenient_json.as_objects(found):
            kind, name = tool.get("type"), lenient_json.as_text(tool.get("name"))
            if kind == "namespace" and namespace is None:
                self.namespaces[name] = lenient_json.as_text(tool.get("description"))
                self.add(tool.get("tools"), name)
            elif kind in ("function", "custom"):
                self.functions.append(_function(tool, name, namespace))
            else:
                self.hosted.append(name or str(kind))


def _function(tool: dict[str, Any], name: str, namespace: str | None) -> ToolDefinition:
    custom = tool.get("type") == "custom"
    return ToolDefinition(
        name=name,
        description=lenient_json.as_text(tool.get("description")),
        schema=lenient_json.as_object(tool.get("parameters")),
        strict=lenient_json.as_bool(tool.get("strict")),
        namespace=namespace,
        custom=custom,
        grammar=(lenient_json.as_object(tool.get("format")) or None) if custom else None,
    )


def _choice(found: Any, losses: list[TranslationLoss]) -> ToolChoice | None:
    if found == "auto" or found == "none" or found == "required":
        return found  # type: ignore[no-any-return]
    named = lenient_json.as_object(found)
    if named.get("type") in ("function", "custom"):
        return NamedToolChoice(
            lenient_json.as_text(named.get("name")), lenient_json.as_text(named.get("namespace")) or None
        )
    if named:
        losses.append(
            TranslationLoss("field", f"tool_choice:{named.get('type')}", ReasonCode.FIELD_UNKNOWN, "Responses")
        )
    return "required" if named.get("mode") == "required" else "auto" if named else None


def _format(found: dict[str, Any]) -> ResponseFormat | None:
    if found.get("type") == "json_object":
        return ResponseFormat(kind="json_object")
    if found.get("type") != "json_schema":
        return None
    return ResponseFormat(
        kind="json_schema",
        name=lenient_json.as_text(found.get("name")) or "answer",
        schema=lenient_json.as_object(found.get("schema")),
        strict=lenient_json.as_bool(found.get("strict")),
    )
