"""`POST /v1/chat/completions`: the client's bytes -> `Task`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autorouter.clients.registry import profile_of
from autorouter.core.types import EXCERPT_CHARS, Task, ToolCall, ToolEvent, ToolResult
from autorouter.errors import RequestError
from autorouter.wire.common import human_text, request_body
from autorouter.wire.common.prompt_reader import MessageReader, read_prompt
from autorouter.wire.common.session_identity import session_digests
from autorouter.wire.overrides import parse_overrides

if TYPE_CHECKING:
    from autorouter.wire.common.ir import RequestIR


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
    reading = read_prompt(messages, _CHAT_READER)
    client = profile_of(headers, system).name
    session, agent = session_digests(headers, document, client=client, system=system, opening=reading.first_prompt)
    task = Task(
        wire="chat",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - reading.image_bytes,
        prompt=reading.prompt,
        is_new_turn=reading.is_new_turn,
        system=system[:EXCERPT_CHARS],
        first_prompt=reading.first_prompt,
        tool_history=reading.tool_history,
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
        # The document isn't kept: most requests pass through, and it weighs several times the bytes.
        request_body.ParsedBody(body, _to_ir),
        isinstance(options, dict) and options.get("include_usage") is True,
        "stream_options" in document,
    )


def _to_ir(document: Mapping[str, Any]) -> RequestIR:
    from autorouter.wire.chat import to_ir

    return to_ir.to_ir(document)


def _check_options(document: Mapping[str, Any]) -> None:
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise RequestError("`stream_options` must be an object", param="stream_options")


def _role(message: Mapping[str, Any]) -> Literal["user", "assistant", "tool"] | None:
    match message["role"]:
        case "tool" | "function":
            return "tool"
        case "user":
            return "user"
        case "assistant":
            return "assistant"
    return None


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _tool_events(message: Mapping[str, Any]) -> Iterator[ToolEvent]:
    """The message's tool calls, latest first; or the result that it is."""
    if _role(message) == "tool":
        yield ToolResult(human_text.excerpt(human_text.text_of(message.get("content"))))
        return
    calls = message.get("tool_calls")
    for call in reversed(calls) if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = function.get("arguments")
            text = arguments if isinstance(arguments, str) else ""
            yield ToolCall(str(function.get("name", "")), human_text.excerpt(text))


def _image_urls(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image"):
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            yield url if isinstance(url, str) else ""


_CHAT_READER = MessageReader(role=_role, texts=_texts, tool_events=_tool_events, image_urls=_image_urls)


def _system(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in messages:
        if message["role"] in ("system", "developer"):
            return human_text.text_of(message.get("content"))
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
