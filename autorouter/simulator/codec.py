"""The wire formats of the dry run: a request body -> `SimulatedRequest`, and a `SimulatedAnswer` -> the bytes of a response.

Chat is read and written here. Responses and Messages go through the neutral form and the encoders of `wire/`, which
clients get too.

A chat stream:

data: {..."delta":{"role":"assistant","content":""}...}                            the role
data: {..."delta":{"content":"This "}...}                                          a word each
data: {..."delta":{"tool_calls":[{"index":0,"id":...,"function":{"name":...}}]}}   id and name, then the arguments
data: {..."delta":{},"finish_reason":"stop"}                                       the finish
data: {..."choices":[],"usage":{...}}                                              only if asked for
data: [DONE]

The other two as neutral events:

    text "Hi there"    StreamStarted  TextDelta("Hi ")  TextDelta("there")  UsageEvent  StreamFinished("stop")
    call of ls         StreamStarted  ToolCallStarted(0, ...)  ToolCallDelta(0, "{}")  ToolCallEnded(0)  UsageEvent  ...

A provider does three things that a translation never needs, so they are added afterwards: a Messages stream reports the
input tokens at its start, a refusal is a content part of its own in Responses, and usage can be missing altogether.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from autorouter.core.types import PROMPT_CHARS, Usage, Wire
from autorouter.simulator import roles
from autorouter.simulator.model import RefusalAnswer, SimulatedAnswer, SimulatedRequest, TextAnswer, arguments_json
from autorouter.simulator.roles import RoleTask
from autorouter.simulator.tools import DeclaredTool, SimulatedToolCall
from autorouter.wire import translate
from autorouter.wire.common import human_text, sse
from autorouter.wire.common.encoder import ResponseMetadata
from autorouter.wire.common.ir import (
    RequestIR,
    StreamEvent,
    StreamFailed,
    StreamFinished,
    StreamStarted,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallStarted,
    ToolResultPart,
    UsageEvent,
    collect_events,
)
from autorouter.wire.common.usage import format_messages_usage
from autorouter.wire.errors import MESSAGES_TYPES

PATHS: Final[Mapping[str, Wire]] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/messages": "messages",
}
"""The end of a path -> the wire that is served there."""
_CONVERSATION_FIELDS: Final[Mapping[Wire, str]] = {"chat": "messages", "responses": "input", "messages": "messages"}
"""The field of a request body that holds the conversation."""
_JSON_OBJECT: Final = {"required": ["dry_run"], "properties": {"dry_run": {"const": True}}}
"""What `response_format: json_object` asks for, as a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRequest:
    """`prompt_parts` is the prompt in the order in which a provider's cache sees it: the tools, then each message.
    `include_usage`: a stream reports its usage; on chat only if the client asked for it."""

    request: SimulatedRequest
    prompt_parts: tuple[bytes, ...]
    include_usage: bool


def wire_of(path: str) -> Wire | None:
    """The wire of a path, None for a path that no wire has."""
    plain = path.partition("?")[0].rstrip("/")
    return next((wire for end, wire in PATHS.items() if plain.endswith(end)), None)


def decode(body: bytes, candidate_id: str, wire: Wire = "chat") -> DecodedRequest:
    """Read a request. Raises ValueError with the reason for which a provider would refuse it."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"The body is not valid JSON: {exc}") from exc
    member = _CONVERSATION_FIELDS[wire]
    conversation_items = document.get(member) if isinstance(document, dict) else None
    if wire == "responses" and isinstance(conversation_items, str) and conversation_items:
        conversation_items = [{"role": "user", "content": conversation_items}]
    if (
        not isinstance(conversation_items, list)
        or not all(isinstance(one, dict) for one in conversation_items)
        or not conversation_items
    ):
        raise ValueError(f"`{member}` must be a non-empty list of objects")
    seed = hashlib.sha256(body).digest()
    if wire == "chat":
        request, leading_parts = _request_of_chat(document, conversation_items, candidate_id, seed), []
    else:
        request = _request_of_ir(translate.to_ir(document, wire), candidate_id, seed)
        leading_parts = [document.get("instructions"), document.get("system")]
    options = document.get("stream_options")
    return DecodedRequest(
        request=request,
        prompt_parts=tuple(orjson.dumps(part) for part in (document.get("tools"), *leading_parts, *conversation_items)),
        include_usage=wire != "chat" or (isinstance(options, dict) and options.get("include_usage") is True),
    )


def _request_of_chat(
    document: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], candidate_id: str, seed: bytes
) -> SimulatedRequest:
    role_task, messages_without_task = _take_role_task(messages)
    prompt, raw_message, tool_results = _latest_prompt(messages_without_task)
    system = "\n".join(
        human_text.text_of(one.get("content")) for one in messages if one.get("role") in ("system", "developer")
    )
    return SimulatedRequest(
        candidate_id=candidate_id,
        prompt=prompt,
        seed=seed,
        system=system,
        format_instructions=f"{system}\n{raw_message}",
        tools=_chat_tools(document),
        tool_results=tool_results,
        forced_tool=_chat_forced_tool(document.get("tool_choice")),
        schema=_chat_schema(document.get("response_format")),
        role_task=role_task,
    )


def _request_of_ir(conversation: RequestIR, candidate_id: str, seed: bytes) -> SimulatedRequest:
    messages = list(_chat_messages(conversation))
    role_task, messages_without_task = _take_role_task(messages)
    prompt, raw_message, tool_results = _latest_prompt(messages_without_task)
    system = "\n".join(
        [*(part.text for part in conversation.system)]
        + [human_text.text_of(one["content"]) for one in messages if one["role"] == "system"]
    )
    choice, response_format = conversation.tool_choice, conversation.response_format
    tools = (
        DeclaredTool(tool.name, tool.schema, tool.namespace, tool.custom)
        for tool in (conversation.tools if choice != "none" else ())
    )
    forced_tool = "" if choice == "required" else None if choice is None or isinstance(choice, str) else choice.name
    return SimulatedRequest(
        candidate_id=candidate_id,
        prompt=prompt,
        seed=seed,
        system=system,
        format_instructions=f"{system}\n{raw_message}",
        tools=tuple(tools),
        tool_results=tool_results,
        forced_tool=forced_tool,
        schema=None
        if response_format is None
        else _JSON_OBJECT
        if response_format.kind == "json_object"
        else response_format.schema,
        role_task=role_task,
    )


def _chat_messages(conversation: RequestIR) -> Iterator[dict[str, Any]]:
    """Chat messages with only their texts, and one message for each tool result."""
    for message in conversation.messages:
        if message.role == "tool":
            yield from ({"role": "tool"} for part in message.parts if isinstance(part, ToolResultPart))
        else:
            texts = [{"text": part.text} for part in message.parts if isinstance(part, TextPart)]
            yield {"role": message.role, "content": texts}


def _take_role_task(messages: Sequence[Mapping[str, Any]]) -> tuple[RoleTask | None, Sequence[Mapping[str, Any]]]:
    """The inner role's task in the user's last message, and the messages without it."""
    position = next((n for n in reversed(range(len(messages))) if messages[n].get("role") == "user"), None)
    if position is None:
        return None, messages
    role_task, messages_without_task = roles.take_role_task(messages[position])
    return role_task, [*messages[:position], messages_without_task, *messages[position + 1 :]]


def _latest_prompt(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str, int]:
    """The human's latest prompt, the raw message that holds it, and the number of tool results since."""
    tool_results = 0
    for message in reversed(messages):
        if message.get("role") in ("tool", "function"):
            tool_results += 1
        elif message.get("role") == "user":
            prompt, raw_message = (
                human_text.human_text(message.get("content")),
                human_text.text_of(message.get("content")),
            )
            if prompt and not human_text.is_client_text(prompt):
                # `human_text` cuts long prompts, and a file task is often named at their end.
                return (
                    (f"{prompt}\n{raw_message[-PROMPT_CHARS:]}" if len(prompt) >= PROMPT_CHARS else prompt),
                    raw_message,
                    tool_results,
                )
    return "", "", tool_results


def _chat_tools(document: Mapping[str, Any]) -> tuple[DeclaredTool, ...]:
    tools = document.get("tools")
    if not isinstance(tools, list) or document.get("tool_choice") == "none":
        return ()
    declared = []
    for tool in tools:
        inner = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            schema = inner.get("parameters")
            declared.append(DeclaredTool(inner["name"], schema if isinstance(schema, dict) else {}))
    return tuple(declared)


def _chat_forced_tool(choice: Any) -> str | None:
    if choice == "required":
        return ""
    inner = choice.get("function") if isinstance(choice, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def _chat_schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return _JSON_OBJECT
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None


EPOCH_S: Final = 1_750_000_000
YEAR_S: Final = 31_536_000
"""`created` is derived from the seed, within the year after `EPOCH_S`: a clock would make the bytes differ between runs."""
FAILED: Final = ("server_error", "server_error", "The answer failed (dry-run fault).")
"""Code, type and message of an error inside an answer."""
_WORDS: Final = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentChunking:
    """How a stream cuts a tool call's arguments. `cumulative`: each piece repeats all before it."""

    argument_chars: int = 16
    cumulative: bool = False


DEFAULT_CHUNKING: Final = ArgumentChunking()


BodyEnding = Literal["cut", "rst", "framing", "timeout"]
"""What follows the last piece: a close without an end, RST, bytes that are no HTTP chunk, or silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseBody:
    """The bytes of a response.

    ResponseBody(pieces=(event, event, ...), stream=True)     server-sent events, one per piece
    ResponseBody(pieces=(document,), stream=False)            one JSON document
    ResponseBody(..., ending="cut")                           the connection breaks after the last piece

    `error` is an error in this response's form, `error_body` one that is no event. `ending` None is a clean end.
    """

    pieces: tuple[bytes, ...]
    stream: bool
    error: bytes
    error_body: bytes = b""
    ending: BodyEnding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMetadata:
    """The model that answers. Ids and time follow from `seed`; `usage` None is not reported."""

    model: str
    seed: bytes
    usage: Usage | None
    argument_chunking: ArgumentChunking = DEFAULT_CHUNKING

    @property
    def created_s(self) -> int:
        """Unix time within the year after `EPOCH_S`."""
        return EPOCH_S + int.from_bytes(self.seed[12:16], "big") % YEAR_S

    @property
    def call_id(self) -> str:
        return f"call_{self.seed[16:28].hex()}"


def encode(
    answer: SimulatedAnswer, metadata: AnswerMetadata, wire: Wire, *, stream: bool, include_usage: bool = True
) -> ResponseBody:
    """The bytes of an answer. `include_usage` counts for chat streams; everything else reports its usage anyway."""
    if wire == "chat":
        body = _chat_stream(answer, metadata, include_usage) if stream else _chat_document(answer, metadata)
    else:
        body = _encode_translated(answer, metadata, wire, stream=stream)
    return replace(body, error_body=error_body(wire, 500, *FAILED))


def error_body(wire: Wire, status: int, code: str, error_type: str, message: str) -> bytes:
    """An error in the wire's own shape."""
    if wire != "messages":
        return _openai_error(code, error_type, message)
    inner = {"type": MESSAGES_TYPES.get(status, "api_error"), "message": message}
    return orjson.dumps({"type": "error", "error": inner, "request_id": "req_dry_run"})


def _openai_error(code: str, error_type: str, message: str) -> bytes:
    """An error in OpenAI's shape."""
    return orjson.dumps({"error": {"message": message, "type": error_type, "param": None, "code": code}})


def _split_words(text: str) -> list[str]:
    """The pieces in which a text is streamed."""
    return _WORDS.findall(text)


def _split_arguments(arguments: str, chunking: ArgumentChunking) -> list[str]:
    """The pieces in which a call's arguments are streamed."""
    size = chunking.argument_chars
    ends = range(size, len(arguments) + size, size)
    return [arguments[0 if chunking.cumulative else end - size : end] for end in ends]


def _chat_document(answer: SimulatedAnswer, metadata: AnswerMetadata) -> ResponseBody:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text if isinstance(answer, TextAnswer) else None}
    if isinstance(answer, RefusalAnswer):
        message["refusal"] = answer.text
    if isinstance(answer, SimulatedToolCall):
        function = {"name": answer.name, "arguments": arguments_json(answer)}
        message["tool_calls"] = [{"id": metadata.call_id, "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
    document = _head(metadata, "chat.completion") | {"choices": [choice]}
    if metadata.usage is not None:
        document["usage"] = _usage(metadata.usage)
    return ResponseBody(pieces=(orjson.dumps(document),), stream=False, error=_openai_error(*FAILED))


def _chat_stream(answer: SimulatedAnswer, metadata: AnswerMetadata, include_usage: bool) -> ResponseBody:
    head = _head(metadata, "chat.completion.chunk")
    choices = [_choice(delta) for delta in _deltas(answer, metadata)]
    choices.append(_choice({}, _finish(answer)))
    events = [head | {"choices": [choice]} for choice in choices]
    if include_usage and metadata.usage is not None:
        events.append(head | {"choices": [], "usage": _usage(metadata.usage)})
    data = (*(_chat_event(orjson.dumps(event)) for event in events), _chat_event(b"[DONE]"))
    return ResponseBody(pieces=data, stream=True, error=_chat_event(_openai_error(*FAILED)))


def _deltas(answer: SimulatedAnswer, metadata: AnswerMetadata) -> list[dict[str, Any]]:
    if isinstance(answer, TextAnswer):
        return [{"role": "assistant", "content": ""}, *({"content": word} for word in _split_words(answer.text))]
    if isinstance(answer, RefusalAnswer):
        return [{"role": "assistant", "content": ""}, *({"refusal": word} for word in _split_words(answer.text))]
    arguments = arguments_json(answer)
    function = {"name": answer.name, "arguments": ""}
    leading_parts = {"index": 0, "id": metadata.call_id, "type": "function", "function": function}
    messages_without_task = (
        {"index": 0, "function": {"arguments": piece}}
        for piece in _split_arguments(arguments, metadata.argument_chunking)
    )
    return [
        {"role": "assistant", "content": None},
        *({"tool_calls": [call]} for call in (leading_parts, *messages_without_task)),
    ]


def _choice(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(answer: SimulatedAnswer) -> str:
    match answer:
        case TextAnswer():
            return "stop"
        case SimulatedToolCall():
            return "tool_calls"
        case RefusalAnswer():
            return "content_filter"


def _head(metadata: AnswerMetadata, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{metadata.seed[:12].hex()}",
        "object": kind,
        "created": metadata.created_s,
        "model": metadata.model,
        "system_fingerprint": "dry-run",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _chat_event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


TranslatedWire = Literal["responses", "messages"]
_FAILED_EVENT: Final = StreamFailed(FAILED[2], FAILED[0], FAILED[1])


def _encode_translated(
    answer: SimulatedAnswer, metadata: AnswerMetadata, wire: TranslatedWire, *, stream: bool
) -> ResponseBody:
    """Responses or Messages, by the encoders of `wire/`: one event per piece, or one document."""
    seed = metadata.seed[:12].hex()
    wire_metadata = ResponseMetadata(
        seed=seed, model=metadata.model, origin=f"dry-run/{metadata.model}", created_s=metadata.created_s
    )
    events = list(_events(answer, metadata, wire))
    edit = _document_edit(answer, metadata.usage, wire)
    if not stream:
        document = edit(orjson.loads(translate.encode_answer(collect_events(events), wire, wire_metadata)))
        error = translate.encode_answer(collect_events([_FAILED_EVENT]), wire, wire_metadata)
        return ResponseBody(pieces=(orjson.dumps(document),), stream=False, error=error)
    encoder = translate.ENCODERS[wire](wire_metadata)
    frames = [frame for event in events for frame in _split_events(encoder.feed(event))]
    error = _split_events(translate.ENCODERS[wire](wire_metadata).feed(_FAILED_EVENT))[-1]
    return ResponseBody(pieces=tuple(_edit_event(frame, edit) for frame in frames), stream=True, error=error)


def _events(answer: SimulatedAnswer, metadata: AnswerMetadata, wire: TranslatedWire) -> Iterator[StreamEvent]:
    yield StreamStarted("", metadata.model)
    match answer:
        case TextAnswer(text) | RefusalAnswer(text):
            yield from (TextDelta(word) for word in _split_words(text))
            finished = StreamFinished("refusal" if isinstance(answer, RefusalAnswer) else "stop")
        case _:
            # Id formats differ per wire; for Messages the encoder makes one from an empty id.
            yield ToolCallStarted(
                0, metadata.call_id if wire == "responses" else "", answer.name, answer.namespace, answer.free_form
            )
            yield from (
                ToolCallDelta(0, piece)
                for piece in _split_arguments(
                    arguments_json(answer), replace(metadata.argument_chunking, cumulative=False)
                )
            )
            yield ToolCallEnded(0)
            finished = StreamFinished("tool_calls")
    if metadata.usage is not None:
        yield UsageEvent(metadata.usage)
    yield finished


def _split_events(data: bytes) -> list[bytes]:
    """The events in an encoder's output. JSON escapes its line breaks, so every blank line ends an event."""
    return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]


_DocumentEdit = Callable[[Any], Any]


def _edit_event(frame: bytes, edit: _DocumentEdit) -> bytes:
    return sse.format_event(edit(orjson.loads(frame.partition(b"\ndata: ")[2])))


def _document_edit(answer: SimulatedAnswer, usage: Usage | None, wire: TranslatedWire) -> _DocumentEdit:
    """What a provider's document has and the encoder's lacks."""
    if wire == "messages":
        return lambda document: _adjust_messages(document, usage)
    return _as_refusal if isinstance(answer, RefusalAnswer) else lambda document: document


def _adjust_messages(document: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        document.pop("usage", None)
        if isinstance(document.get("message"), dict):
            document["message"].pop("usage", None)
    elif document["type"] == "message_start":
        document["message"]["usage"] = format_messages_usage(usage) | {"output_tokens": 1}
    return document


def _as_refusal(value: Any) -> Any:
    """The document with each text part as a refusal."""
    if isinstance(value, list):
        return [_as_refusal(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "output_text":
        return {"type": "refusal", "refusal": value["text"]}
    converted = {name: _as_refusal(value) for name, value in value.items()}
    kind = converted.get("type")
    if isinstance(kind, str) and kind.startswith("response.output_text."):
        converted["type"] = kind.replace("output_text", "refusal")
        if "text" in converted:
            converted["refusal"] = converted.pop("text")
    return converted
