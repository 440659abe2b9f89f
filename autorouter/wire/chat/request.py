"""`POST /v1/chat/completions`: the client's bytes -> Task, and what goes upstream on the same wire.

A request body is parsed once. What we don't know is sent on; what is changed is `model`, and `stream_options` where the
client didn't ask for usage that the receipt needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autorouter.clients import human_text, identity
from autorouter.core.types import EXCERPT_CHARS, TOOL_HISTORY_EVENTS, Task, ToolCall, ToolEvent, ToolResult
from autorouter.errors import RequestError
from autorouter.wire.common import request_body
from autorouter.wire.overrides import parse_overrides


@dataclass(frozen=True, slots=True)
class ChatRequest(request_body.ClientRequest):
    """`wants_usage`: the client asked for a usage chunk at the end of its stream. `has_stream_options`: it sent
    `stream_options` at all, even as null."""

    wants_usage: bool
    has_stream_options: bool


def parse(body: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Read and check a request. Raises RequestError (400) that names the field."""
    document = request_body.parse_document(body)
    messages = request_body.messages_of(document)
    label, stream = request_body.label_of(document), request_body.stream_of(document)
    _check_options(document)
    system = _system(messages)
    reading = _read(messages)
    opening = _opening(messages)
    client = identity.client_name(headers, system)
    session, agent = identity.session_digests(headers, document, client=client, system=system, opening=opening)
    task = Task(
        wire="chat",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - reading.image_bytes,
        prompt=reading.ask,
        is_new_turn=reading.fresh,
        system=system[:EXCERPT_CHARS],
        first_prompt=opening,
        tool_history=reading.trail,
        tools=_tools(document),
        images=reading.images,
        json_schema=_json_schema(document),
        reasoning_effort=_effort(document),
        max_output_tokens=(
            request_body.max_output_of(document, "max_completion_tokens")
            or request_body.max_output_of(document, "max_tokens")
        ),
        messages=len(messages),
        client=client,
        session=session,
        agent=agent,
        headers=request_body.policy_headers(headers),
        overrides=parse_overrides(document.get(request_body.EXTENSION), headers),
    )
    options = document.get("stream_options")
    return ChatRequest(
        task,
        request_body.find_model_span(body, document),
        isinstance(options, dict) and options.get("include_usage") is True,
        "stream_options" in document,
    )


def _check_options(document: Mapping[str, Any]) -> None:
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise RequestError("`stream_options` must be an object", param="stream_options")


@dataclass(slots=True)
class _Reading:
    ask: str = ""
    fresh: bool = True
    trail: tuple[ToolEvent, ...] = ()
    images: int = 0
    image_bytes: int = 0


def _read(messages: Sequence[Mapping[str, Any]]) -> _Reading:
    """Walk back to the human's last words, and collect what tools did since; then count the images."""
    reading = _Reading()
    steps: list[ToolEvent] = []
    for message in reversed(messages):
        role = message["role"]
        if role in ("tool", "function"):
            reading.fresh = False
            if len(steps) < TOOL_HISTORY_EVENTS:
                steps.append(ToolResult(human_text.excerpt(human_text.text_of(message.get("content")))))
        elif role == "assistant":
            reading.fresh = False
            if len(steps) < TOOL_HISTORY_EVENTS:
                steps.extend(_calls(message))
        elif role == "user":
            reading.ask = human_text.human_text(message.get("content"))
            if reading.ask:
                break
    reading.trail = tuple(reversed(steps[:TOOL_HISTORY_EVENTS]))
    for message in messages:
        if isinstance(message.get("content"), list):
            _count_images(message["content"], reading)
    return reading


def _calls(message: Mapping[str, Any]) -> list[ToolEvent]:
    """The message's tool calls, latest first."""
    found: list[ToolEvent] = []
    calls = message.get("tool_calls")
    for call in reversed(calls) if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            text = arguments if isinstance(arguments, str) else ""
            found.append(ToolCall(str(function.get("name", "")), human_text.excerpt(text)))
    return found


def _count_images(content: Sequence[Any], reading: _Reading) -> None:
    for part in content:
        if isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image"):
            reading.images += 1
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            if isinstance(url, str) and url.startswith("data:"):
                reading.image_bytes += len(url)


def _system(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in messages:
        if message["role"] in ("system", "developer"):
            return human_text.text_of(message.get("content"))
    return ""


def _opening(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in messages:
        if message["role"] == "user":
            text = human_text.human_text(message.get("content"))
            if text and not human_text.is_client_text(text):
                return text
    return ""


def _tools(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the declared tools; empty where the client forbids their use. Old `functions` count as tools."""
    tools = document.get("tools") or document.get("functions")
    if not isinstance(tools, list) or document.get("tool_choice") == "none":
        return ()
    names = []
    for tool in tools:
        inner = tool.get("function", tool) if isinstance(tool, dict) else None
        names.append(str(inner.get("name") or inner.get("type") or "")) if isinstance(inner, dict) else None
    return tuple(names)


def _json_schema(document: Mapping[str, Any]) -> bool:
    response_format = document.get("response_format")
    return isinstance(response_format, dict) and response_format.get("type") == "json_schema"


def _effort(document: Mapping[str, Any]) -> str | None:
    effort = document.get("reasoning_effort")
    if effort is None and isinstance(document.get("reasoning"), dict):
        effort = document["reasoning"].get("effort")
    return effort if isinstance(effort, str) else None
