"""Messages' request documents -> `Conversation`.

    {"role": "system", "content": "# Environment ..."}         inside `messages`: a system message in its place
    {"type": "thinking", "thinking": "...", "signature": "Eq"}  Reasoning(shape="messages")
    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {...}}        Call; `input` may be JSON text
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "..."}          Result; `content` may be blocks

Results stand in user messages there: they become a `tool` message of their own, the user's words another behind it.
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
    Text,
)
from autorouter.wire.portable import unstamp

_READ = (
    "model messages system tools tool_choice max_tokens temperature top_p stop_sequences stream metadata thinking "
    "output_config output_format cache_control context_management service_tier openfusion"
)
READ = frozenset(_READ.split())
"""Members that the neutral form holds, or that mean nothing elsewhere."""
BILLING = "x-anthropic-billing-header:"
"""How a system block begins that is for Anthropic's accounts and not for a model."""
BUDGETS = ((4_096, "low"), (16_384, "medium"))
"""A thinking budget up to so many tokens, as a word; a larger one is `high`."""


def to_neutral(document: Mapping[str, Any]) -> Conversation:
    """Read a Messages request that `messages.parse` let pass."""
    losses = [Loss("field", name, "unknown outside Messages") for name in document if name not in READ]
    messages: list[Message] = []
    for message in loose.objects(document.get("messages")):
        messages.extend(_message(message, losses))
    system = tuple(part for part in blocks(document.get("system"), losses) if isinstance(part, Text))
    tools, hosted = _tools(document.get("tools"))
    choice = loose.an_object(document.get("tool_choice"))
    single = loose.flag(choice.get("disable_parallel_tool_use"))
    return Conversation(
        system=tuple(part for part in system if not part.text.startswith(BILLING)),
        messages=tuple(messages),
        tools=tools,
        hosted=hosted,
        choice=_choice(choice),
        parallel=None if single is None else not single,
        max_output_tokens=loose.count(document.get("max_tokens")) or None,
        temperature=loose.number(document.get("temperature")),
        top_p=loose.number(document.get("top_p")),
        stop=loose.texts(document.get("stop_sequences")),
        effort=effort_of(document),
        format=_format(document),
        stream=document.get("stream") is True,
        user=loose.text(loose.an_object(document.get("metadata")).get("user_id")) or None,
        losses=tuple(losses),
    )


def effort_of(document: Mapping[str, Any]) -> str | None:
    """How hard to think: the word, or one for the thinking budget; `none` where thinking is switched off."""
    effort = loose.text(loose.an_object(document.get("output_config")).get("effort"))
    if effort:
        return effort
    thinking = loose.an_object(document.get("thinking"))
    if thinking.get("type") == "disabled":
        return "none"
    budget = loose.count(thinking.get("budget_tokens"))
    return next((word for limit, word in BUDGETS if budget <= limit), "high") if budget else None


def _message(message: dict[str, Any], losses: list[Loss]) -> Iterator[Message]:
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


def blocks(content: Any, losses: list[Loss]) -> Iterator[Text | Image]:
    """Words and images of a content value; results, calls and thoughts are passed over."""
    if isinstance(content, str):
        if content:
            yield Text(content)
        return
    for block in loose.objects(content):
        kind = block.get("type")
        if kind == "text":
            if words := loose.text(block.get("text")):
                yield Text(words)
        elif kind == "image":
            url = _image_url(loose.an_object(block.get("source")))
            if url:
                yield Image(url)
            else:
                losses.append(Loss("image", "image", "kept at its provider"))
                yield Text("[an image was left out]")
        elif kind == "document" and loose.text(loose.an_object(block.get("source")).get("data")):
            source = loose.an_object(block["source"])
            if source.get("type") == "text":
                yield Text(loose.text(source["data"]))
            else:
                losses.append(Loss("file", "document", "no such part in the neutral form"))
                yield Text("[a document was left out]")
        elif kind not in ("tool_result", "tool_use", "thinking", "redacted_thinking"):
            losses.append(Loss("file", str(kind), "no such part in the neutral form"))
            yield Text(f"[a part of the kind {kind} was left out]")


def _image_url(source: dict[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{loose.text(source.get('media_type'))};base64,{loose.text(source.get('data'))}"
    return loose.text(source.get("url"))


def _results(content: Any, losses: list[Loss]) -> Iterator[Result]:
    for block in loose.objects(content):
        if block.get("type") == "tool_result":
            yield Result(
                call_id=loose.text(block.get("tool_use_id")),
                parts=tuple(blocks(block.get("content"), losses)),
                is_error=block.get("is_error") is True,
            )


def _said(content: Any, losses: list[Loss]) -> Iterator[Part]:
    if isinstance(content, str):
        yield from blocks(content, losses)
        return
    for block in loose.objects(content):
        kind = block.get("type")
        if kind == "thinking":
            thoughts = loose.text(block.get("thinking"))
            yield unstamp(loose.text(block.get("signature")), (thoughts,) if thoughts else (), shape="messages")
        elif kind == "redacted_thinking":
            yield unstamp(loose.text(block.get("data")), (), shape="redacted")
        elif kind == "tool_use":
            given = block.get("input")
            yield Call(
                id=loose.text(block.get("id")), name=loose.text(block.get("name")), arguments=loose.as_json(given)
            )
        else:
            yield from blocks([block], losses)


def _tools(found: Any) -> tuple[tuple[Function, ...], tuple[str, ...]]:
    """Declared tools. A tool with a type other than `custom` is one that Anthropic runs or trained."""
    tools: list[Function] = []
    hosted: list[str] = []
    for tool in loose.objects(found):
        name = loose.text(tool.get("name"))
        if tool.get("type") not in (None, "custom") or "input_schema" not in tool:
            hosted.append(name or str(tool.get("type")))
            continue
        tools.append(
            Function(
                name=name,
                description=loose.text(tool.get("description")),
                schema=loose.an_object(tool.get("input_schema")),
                strict=loose.flag(tool.get("strict")),
            )
        )
    return tuple(tools), tuple(hosted)


def _choice(found: dict[str, Any]) -> Choice | None:
    kind = found.get("type")
    if kind == "auto" or kind == "none":
        return kind  # type: ignore[no-any-return]
    if kind == "any":
        return "required"
    return Named(loose.text(found.get("name"))) if kind == "tool" else None


def _format(document: Mapping[str, Any]) -> Format | None:
    found = loose.an_object(loose.an_object(document.get("output_config")).get("format"))
    found = found or loose.an_object(document.get("output_format"))
    if found.get("type") != "json_schema":
        return None
    return Format(kind="json_schema", schema=loose.an_object(found.get("schema")))
