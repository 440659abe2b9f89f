"""A client's request with more said behind it, for the inner calls of a panel or a verifier; and what came back, read.

    composed(request, "<autorouter-task ...>...", Shape(stream=False, tools="none", options=False))

The conversation stays the client's own, message for message: the prompt's prefix is in the provider's cache, images and
tool results survive, and nothing is flattened into one text. The addition stands at its end as a text of the user: a
`system` message there is refused by some providers, and one at the front would cost the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from autorouter.core.types import Wire
from autorouter.wire import translate
from autorouter.wire.chat.request import ChatRequest
from autorouter.wire.common import lenient_json, request_body
from autorouter.wire.common.ir import ResponseIR, TextPart, ToolCallPart, ToolDefinition, collect_events
from autorouter.wire.common.request_body import ClientRequest

OUTPUT_OPTIONS: Mapping[Wire, tuple[str, ...]] = {
    "chat": (
        *("response_format", "stop", "max_tokens", "max_completion_tokens", "n", "logprobs", "top_logprobs"),
        *("prediction", "logit_bias", "audio", "modalities"),
    ),
    "responses": ("text", "max_output_tokens", "top_logprobs", "include"),
    "messages": ("stop_sequences", "output_format"),
}
"""What a client says about the form of its answer: that is the final phase's business, not an inner call's."""
EFFORT = ("thinking", "reasoning", "reasoning_effort", "verbosity")
"""How long a client wants its own answer to be thought about."""
LIMIT: Mapping[Wire, str] = {"chat": "max_tokens", "responses": "max_output_tokens", "messages": "max_tokens"}
INNER_MAX_TOKENS = 16_000
"""Where the wire demands a limit and the client's own doesn't hold: room for reasoning and a long answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerRequestOptions:
    """How an inner request differs from the client's. `options`: the client's wishes about the answer's form stay.
    `tools` "none": declared, for the history speaks of them, but not to be called."""

    stream: bool
    keep_output_options: bool = True
    tools: Literal["as_sent", "none"] = "as_sent"
    temperature: float | None = None
    max_tokens: int | None = None


def compose(request: ClientRequest, addition: str, shape: InnerRequestOptions) -> ClientRequest:
    """The request with `addition` said behind its last message (none where it is empty), in the client's wire."""
    task = request.task
    document = request_body.own_members(request.parsed.document)
    if not shape.keep_output_options:
        _strip(document, task.wire)
    if shape.max_tokens is not None:
        document.pop("max_completion_tokens", None)
        document[LIMIT[task.wire]] = shape.max_tokens
        # A short word needs no more thought than its model gives by itself; and a budget for thoughts above the limit is refused.
        for name in EFFORT:
            document.pop(name, None)
    if shape.temperature is not None and not _thinks(document):
        document["temperature"] = shape.temperature
    if shape.tools == "none" and document.get("tools"):
        document["tool_choice"] = {"type": "none"} if task.wire == "messages" else "none"
    document["stream"] = shape.stream
    if not shape.stream:
        document.pop("stream_options", None)
    if addition:
        _add(document, task.wire, addition)
    # The model first: so its place is found at once.
    document = {"model": document.pop("model"), **document}
    body = lenient_json.dumps_bytes(document)
    changed = replace(task, body=body, stream=shape.stream)
    span, parsed = request_body.find_model_span(body, document), request.parsed.with_document(body, document)
    if isinstance(request, ChatRequest):
        wants = request.wants_usage and shape.stream
        return replace(
            request,
            task=changed,
            model_span=span,
            parsed=parsed,
            wants_usage=wants,
            has_stream_options="stream_options" in document,
        )
    return replace(request, task=changed, model_span=span, parsed=parsed)


def _thinks(document: Mapping[str, Any]) -> bool:
    """Whether the client asks for thoughts: Messages and reasoning models refuse a temperature beside them."""
    thinking, reasoning = document.get("thinking"), document.get("reasoning")
    if isinstance(thinking, dict) and thinking.get("type") != "disabled":
        return True
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else document.get("reasoning_effort")
    return effort not in (None, "none")


def _strip(document: dict[str, Any], wire: Wire) -> None:
    for name in OUTPUT_OPTIONS[wire]:
        document.pop(name, None)
    if wire == "messages":
        if isinstance(document.get("output_config"), dict):
            document["output_config"] = {k: v for k, v in document["output_config"].items() if k != "format"}
        asked = document.get("max_tokens")
        document["max_tokens"] = max(asked if isinstance(asked, int) else 0, INNER_MAX_TOKENS)


def _add(document: dict[str, Any], wire: Wire, text: str) -> None:
    if wire == "responses":
        said = document["input"]
        items = said if isinstance(said, list) else [{"type": "message", "role": "user", "content": said}]
        part = {"type": "input_text", "text": text}
        document["input"] = [*items, {"type": "message", "role": "user", "content": [part]}]
        return
    messages = list(document["messages"])
    last = messages[-1]
    if wire == "messages" and last.get("role") == "user":
        # Two user messages in a row are one for this wire, and behind tool results nothing else may stand.
        content = last.get("content")
        parts = list(content) if isinstance(content, list) else [{"type": "text", "text": content}]
        messages[-1] = {**last, "content": [*parts, {"type": "text", "text": text}]}
    else:
        messages.append({"role": "user", "content": text})
    document["messages"] = messages


def has_output_options(request: ClientRequest) -> bool:
    """Whether the client says anything about its answer's form: what was drafted without that can't go out as it is."""
    task = request.task
    document = request.parsed.document
    if task.wire == "messages" and isinstance(asked := document.get("max_tokens"), int):
        return asked < INNER_MAX_TOKENS or any(name in document for name in OUTPUT_OPTIONS["messages"])
    return any(document.get(name) is not None for name in OUTPUT_OPTIONS[task.wire] if name != "include")


# ---- what came back


def read_answer(body: bytes, wire: Wire, *, stream: bool) -> ResponseIR:
    """An answer in the client's wire, read: a whole document, or all bytes of a stream."""
    if not stream:
        document = orjson.loads(body)
        return collect_events(translate.ANSWER_DECODERS[wire](document))
    decoder = translate.DECODERS[wire]()
    return collect_events([*decoder.feed(body), *decoder.end()])


def answer_text(answer: ResponseIR) -> str:
    """The words of an answer, without its thoughts."""
    return "".join(part.text for part in answer.parts if isinstance(part, TextPart))


def answer_tool_calls(answer: ResponseIR) -> tuple[ToolCallPart, ...]:
    """The tool calls of an answer."""
    return tuple(part for part in answer.parts if isinstance(part, ToolCallPart))


def declared_tools(request: ClientRequest) -> tuple[ToolDefinition, ...]:
    """The tools that the client declares, with their schemas."""
    return request.parsed.ir.tools
