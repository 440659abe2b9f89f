"""`POST /v1/messages`: the client's bytes -> Task, and what goes upstream on the same wire. Claude Code speaks nothing else.

messages[-1]   may be `{"role": "system", ...}`: the environment, behind the human's message
user content   <system-reminder> blocks come first, the human's words last; on later turns only tool results stand there

Messages' request documents -> `RequestIR`.

    {"role": "system", "content": "# Environment ..."}         inside `messages`: a system message in its place
    {"type": "thinking", "thinking": "...", "signature": "Eq"}  ReasoningPart(shape="messages")
    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {...}}        Call; `input` may be JSON text
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "..."}          Result; `content` may be blocks

Results stand in user messages there: they become a `tool` message of their own, the user's words another behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autorouter.clients.registry import merged, profile_of
from autorouter.core.reasons import ReasonCode
from autorouter.core.types import EXCERPT_CHARS, Task
from autorouter.wire.common import lenient_json, request_body
from autorouter.wire.common.history import read_stamped
from autorouter.wire.common.ir import (
    ImagePart,
    Message,
    MessagePart,
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
    messages = request_body.messages_of(document)
    max_output_tokens = request_body.max_output_of(document, "max_tokens")
    conversation = to_ir(document)
    read = read_prompt(conversation.messages, IR_READER)
    system = conversation.system[0].text if conversation.system else ""
    client = profile_of(headers, system).name
    session, agent = session_digests(headers, document, client=client, system=system, opening=read.first_prompt)
    task = Task(
        wire="messages",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - read.image_bytes,
        prompt=read.prompt,
        is_new_turn=read.is_new_turn,
        system=system[:EXCERPT_CHARS],
        first_prompt=read.first_prompt,
        tool_history=read.tool_history,
        tools=declared_tool_names(conversation),
        images=read.images,
        json_schema=conversation.response_format is not None,
        reasoning_effort=conversation.reasoning_effort,
        max_output_tokens=max_output_tokens,
        messages=len(messages),
        client=client,
        session=session,
        agent=agent,
        headers=request_body.policy_headers(headers),
        overrides=parse_overrides(document.get(request_body.EXTENSION), headers),
    )
    parsed = request_body.ParsedBody(body, to_ir, ir=conversation)
    return request_body.ClientRequest(task, request_body.find_model_span(body, document), parsed)


_READ = (
    "model messages system tools tool_choice max_tokens temperature top_p stop_sequences stream metadata thinking "
    "output_config output_format cache_control context_management service_tier openfusion"
)
READ = frozenset(_READ.split())
"""Members that the neutral form holds, or that mean nothing elsewhere."""
DROPPED_BLOCKS = merged(lambda profile: profile.dropped_system_blocks)
BUDGETS = ((4_096, "low"), (16_384, "medium"))
"""A thinking budget up to so many tokens, as a word; a larger one is `high`."""


def to_ir(document: Mapping[str, Any]) -> RequestIR:
    """Read a Messages request that `messages.parse` let pass."""
    losses = [
        TranslationLoss("field", name, ReasonCode.FIELD_UNKNOWN, "Messages") for name in document if name not in READ
    ]
    messages: list[Message] = []
    for message in lenient_json.as_objects(document.get("messages")):
        messages.extend(_message(message, losses))
    system = tuple(part for part in blocks(document.get("system"), losses) if isinstance(part, TextPart))
    tools, hosted = _tools(document.get("tools"))
    choice = lenient_json.as_object(document.get("tool_choice"))
    single = lenient_json.as_bool(choice.get("disable_parallel_tool_use"))
    return RequestIR(
        system=tuple(part for part in system if not part.text.startswith(DROPPED_BLOCKS)),
        messages=tuple(messages),
        tools=tools,
        hosted_tools=hosted,
        tool_choice=_choice(choice),
        parallel_tool_calls=None if single is None else not single,
        max_output_tokens=lenient_json.as_count(document.get("max_tokens")) or None,
        temperature=lenient_json.as_number(document.get("temperature")),
        top_p=lenient_json.as_number(document.get("top_p")),
        stop=lenient_json.as_texts(document.get("stop_sequences")),
        reasoning_effort=effort_of(document),
        response_format=_format(document),
        stream=document.get("stream") is True,
        user=lenient_json.as_text(lenient_json.as_object(document.get("metadata")).get("user_id")) or None,
        losses=tuple(losses),
    )


def effort_of(document: Mapping[str, Any]) -> str | None:
    """How hard to think: the word, or one for the thinking budget; `none` where thinking is switched off."""
    effort = lenient_json.as_text(lenient_json.as_object(document.get("output_config")).get("effort"))
    if effort:
        return effort
    thinking = lenient_json.as_object(document.get("thinking"))
    if thinking.get("type") == "disabled":
        return "none"
    budget = lenient_json.as_count(thinking.get("budget_tokens"))
    return next((word for limit, word in BUDGETS if budget <= limit), "high") if budget else None


def _message(message: dict[str, Any], losses: list[TranslationLoss]) -> Iterator[Message]:
    role, content = message.get("role"), message.get("content")
    if role == "assistant":
        parts = tuple(_said(content, losses))
        if parts:
            yield Message("assistant", parts)
        return
    results = tuple(_results(content, losses))
    if results:
        yield Message("tool", results)
    words = tuple(blocks(content, losses))
    if words:
        yield Message("system" if role == "system" else "user", words)


def blocks(content: Any, losses: list[TranslationLoss]) -> Iterator[TextPart | ImagePart]:
    """Words and images of a content value; results, calls and thoughts are passed over."""
    if isinstance(content, str):
        if content:
            yield TextPart(content)
        return
    for block in lenient_json.as_objects(content):
        kind = block.get("type")
        if kind == "text":
            if words := lenient_json.as_text(block.get("text")):
                yield TextPart(words)
        elif kind == "image":
            url = _image_url(lenient_json.as_object(block.get("source")))
            if url:
                yield ImagePart(url)
            else:
                losses.append(TranslationLoss("image", "image", ReasonCode.PART_AT_PROVIDER))
                yield TextPart("[an image was left out]")
        elif kind == "document" and lenient_json.as_text(lenient_json.as_object(block.get("source")).get("data")):
            source = lenient_json.as_object(block["source"])
            if source.get("type") == "text":
                yield TextPart(lenient_json.as_text(source["data"]))
            else:
                losses.append(TranslationLoss("file", "document", ReasonCode.PART_UNSUPPORTED))
                yield TextPart("[a document was left out]")
        elif kind not in ("tool_result", "tool_use", "thinking", "redacted_thinking"):
            losses.append(TranslationLoss("file", str(kind), ReasonCode.PART_UNSUPPORTED))
            yield TextPart(f"[a part of the kind {kind} was left out]")


def _image_url(source: dict[str, Any]) -> str:
    if source.get("type") == "base64":
        return (
            f"data:{lenient_json.as_text(source.get('media_type'))};base64,{lenient_json.as_text(source.get('data'))}"
        )
    return lenient_json.as_text(source.get("url"))


def _results(content: Any, losses: list[TranslationLoss]) -> Iterator[ToolResultPart]:
    for block in lenient_json.as_objects(content):
        if block.get("type") == "tool_result":
            yield ToolResultPart(
                call_id=lenient_json.as_text(block.get("tool_use_id")),
                parts=tuple(blocks(block.get("content"), losses)),
                is_error=block.get("is_error") is True,
            )


def _said(content: Any, losses: list[TranslationLoss]) -> Iterator[MessagePart]:
    if isinstance(content, str):
        yield from blocks(content, losses)
        return
    for block in lenient_json.as_objects(content):
        kind = block.get("type")
        if kind == "thinking":
            thoughts = lenient_json.as_text(block.get("thinking"))
            yield read_stamped(
                lenient_json.as_text(block.get("signature")), (thoughts,) if thoughts else (), shape="messages"
            )
        elif kind == "redacted_thinking":
            yield read_stamped(lenient_json.as_text(block.get("data")), (), shape="redacted")
        elif kind == "tool_use":
            given = block.get("input")
            yield ToolCallPart(
                id=lenient_json.as_text(block.get("id")),
                name=lenient_json.as_text(block.get("name")),
                arguments=lenient_json.as_json_text(given),
            )
        else:
            yield from blocks([block], losses)


def _tools(found: Any) -> tuple[tuple[ToolDefinition, ...], tuple[str, ...]]:
    """Declared tools. A tool with a type other than `custom` is one that Anthropic runs or trained."""
    tools: list[ToolDefinition] = []
    hosted: list[str] = []
    for tool in lenient_json.as_objects(found):
        name = lenient_json.as_text(tool.get("name"))
        if tool.get("type") not in (None, "custom") or "input_schema" not in tool:
            hosted.append(name or str(tool.get("type")))
            continue
        tools.append(
            ToolDefinition(
                name=name,
                description=lenient_json.as_text(tool.get("description")),
                schema=lenient_json.as_object(tool.get("input_schema")),
                strict=lenient_json.as_bool(tool.get("strict")),
            )
        )
    return tuple(tools), tuple(hosted)


def _choice(found: dict[str, Any]) -> ToolChoice | None:
    kind = found.get("type")
    if kind == "auto" or kind == "none":
        return kind  # type: ignore[no-any-return]
    if kind == "any":
        return "required"
    return NamedToolChoice(lenient_json.as_text(found.get("name"))) if kind == "tool" else None


def _format(document: Mapping[str, Any]) -> ResponseFormat | None:
    found = lenient_json.as_object(lenient_json.as_object(document.get("output_config")).get("format"))
    found = found or lenient_json.as_object(document.get("output_format"))
    if found.get("type") != "json_schema":
        return None
    return ResponseFormat(kind="json_schema", schema=lenient_json.as_object(found.get("schema")))
