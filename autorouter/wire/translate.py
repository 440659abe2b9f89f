"""The way across, for any pair of wires.

    sent = translate_request(request.parsed.ir, "chat", "gpt-oss", origin="relay/gpt-oss")     the upstream's document
    answer = StreamTranslator(client="responses", upstream="chat", names=sent.names, heading=ResponseMetadata(...))
    answer.feed(chunk) -> bytes for the client      ... answer.end() -> the last ones
    encode_answer(decode_answer(document, "chat", sent.names), "responses", heading)     an answer that isn't streamed

`StreamTranslator.failed` is set where the upstream's answer ended in an error: the server then decides whether the client sees
the error event or a cut line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from autorouter.core.types import Usage, Wire
from autorouter.wire.chat import decode as decode_chat
from autorouter.wire.chat import encode as encode_chat
from autorouter.wire.chat import to_ir as neutral_chat
from autorouter.wire.chat import to_upstream as chat_out
from autorouter.wire.chat.to_upstream import UpstreamRequest
from autorouter.wire.common import lenient_json
from autorouter.wire.common.decoder import TOO_DEEP, StreamDecoder
from autorouter.wire.common.encoder import ResponseMetadata, StreamEncoder
from autorouter.wire.common.ir import (
    RequestIR,
    ResponseIR,
    StreamEvent,
    StreamFailed,
    StreamStarted,
    UsageEvent,
    collect_events,
)
from autorouter.wire.common.tool_names import ToolCallRestorer, ToolNameMap
from autorouter.wire.messages import decode as decode_messages
from autorouter.wire.messages import encode as encode_messages
from autorouter.wire.messages import request as messages_request
from autorouter.wire.messages import to_upstream as messages_out
from autorouter.wire.responses import decode as decode_responses
from autorouter.wire.responses import encode as encode_responses
from autorouter.wire.responses import request as responses_request
from autorouter.wire.responses import to_upstream as responses_out

TO_IR = {
    "chat": neutral_chat.to_ir,
    "responses": responses_request.to_ir,
    "messages": messages_request.to_ir,
}
DECODERS: dict[Wire, type[StreamDecoder]] = {
    "chat": decode_chat.ChatDecoder,
    "responses": decode_responses.ResponsesDecoder,
    "messages": decode_messages.MessagesDecoder,
}
ENCODERS: dict[Wire, type[StreamEncoder]] = {
    "chat": encode_chat.ChatEncoder,
    "responses": encode_responses.ResponsesEncoder,
    "messages": encode_messages.MessagesEncoder,
}


def whole_by(read: Callable[[dict[str, Any]], list[StreamEvent]]) -> Callable[[dict[str, Any]], list[StreamEvent]]:
    """A reader of whole answers to which no document is too deep."""

    def safe(document: dict[str, Any]) -> list[StreamEvent]:
        try:
            return read(document)
        except lenient_json.TooDeepError:
            return [TOO_DEEP]

    return safe


ANSWER_DECODERS = {
    "chat": whole_by(decode_chat.whole),
    "responses": whole_by(decode_responses.whole),
    "messages": whole_by(decode_messages.whole),
}
ANSWER_ENCODERS = {"chat": encode_chat.whole, "responses": encode_responses.whole, "messages": encode_messages.whole}


def to_ir(document: Mapping[str, Any], wire: Wire) -> RequestIR:
    """A request as its wire's module reads it."""
    return TO_IR[wire](document)


def translate_request(
    request: RequestIR,
    upstream: Wire,
    model: str,
    *,
    origin: str | None = None,
    stream: bool | None = None,
    max_tokens: int = messages_out.MAX_TOKENS,
) -> UpstreamRequest:
    """A client's request as the upstream's wire has it; the intermediate form itself stays as it is. `origin` is
    `upstream/model`, whose own reasoning is kept. `stream` overrules the client's; `max_tokens` holds where an upstream needs a
    limit and the client set none."""
    conversation = request if stream is None else replace(request, stream=stream)
    match upstream:
        case "chat":
            return chat_out.from_ir(conversation, model, origin=origin)
        case "responses":
            return responses_out.from_ir(conversation, model, origin=origin)
        case "messages":
            return messages_out.from_ir(conversation, model, origin=origin, max_tokens=max_tokens)


class StreamTranslator:
    """An upstream's stream in one wire -> a client's in another. `served_model`, `usage`, `failed` as for an observer; `events`
    counts the events."""

    def __init__(self, *, client: Wire, upstream: Wire, names: ToolNameMap, heading: ResponseMetadata) -> None:
        self._decoder = DECODERS[upstream]()
        self._restorer = ToolCallRestorer(names)
        self._encoder = ENCODERS[client](heading)
        self.served_model: str | None = None
        self.usage: Usage | None = None
        self.failed: StreamFailed | None = None
        self.events = 0

    @property
    def complete(self) -> bool:
        """The answer ended as it should."""
        return self._encoder.ended and self.failed is None

    def feed(self, chunk: bytes) -> bytes:
        """The bytes for the client; empty where a chunk completes no event."""
        return self._pass(self._decoder.feed(chunk))

    def end(self) -> bytes:
        """The upstream's stream has ended: what is left, and an error event where it ended too early."""
        return self._pass(self._decoder.end()) + self._encoder.end()

    def _pass(self, events: list[StreamEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            self.events += 1
            if isinstance(event, StreamStarted):
                self.served_model = event.model
            elif isinstance(event, UsageEvent):
                self.usage = event.usage
            elif isinstance(event, StreamFailed):
                self.failed = event
            out.extend(self._encoder.feed(restored) for restored in self._restorer.feed(event))
        return b"".join(out)


def decode_answer(document: dict[str, Any], upstream: Wire, names: ToolNameMap) -> ResponseIR:
    """An upstream's whole answer, with the client's own tool names; `failed` is set where it is none."""
    restorer = ToolCallRestorer(names)
    return collect_events(
        restored for event in ANSWER_DECODERS[upstream](document) for restored in restorer.feed(event)
    )


def encode_answer(answer: ResponseIR, client: Wire, heading: ResponseMetadata) -> bytes:
    """A whole answer as the client's wire has it."""
    return ANSWER_ENCODERS[client](answer, heading)
