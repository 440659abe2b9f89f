"""One request and the API of one upstream: what is sent, how the stream that comes back is read, what the client gets.

    exchange = open_exchange(request, "responses", "gpt-6", origin="openai/gpt-6", seed="ar_...", stream_usage=True, ...)
    exchange.body                    the upstream's request
    exchange.observer()              watches the upstream's stream and returns the bytes for the client
    exchange.read_complete(body)     an answer that isn't streamed, for the client

With the same API on both sides the bytes pass through; otherwise everything is translated through the intermediate form. The
modules that translate are imported when they are first needed: they would add a tenth of a second to each start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from autorouter.core.reasons import Reason
from autorouter.core.types import Usage, Wire
from autorouter.wire.chat import passthrough as chat_passthrough
from autorouter.wire.chat.request import ChatRequest
from autorouter.wire.common import lenient_json
from autorouter.wire.common.observer import StreamObserver
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.common.usage import PARSE_USAGE

if TYPE_CHECKING:
    from autorouter.wire.common.encoder import ResponseMetadata
    from autorouter.wire.common.ir import TranslationLoss
    from autorouter.wire.common.tool_names import ToolNameMap

PATHS: Mapping[Wire, str] = {"chat": "/chat/completions", "responses": "/responses", "messages": "/messages"}
"""Where each wire is spoken, below an upstream's base URL."""
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class CompleteResponse:
    """A complete answer as the client gets it. `tokens` is our count of its output, for where no usage is reported."""

    body: bytes
    usage: Usage | None
    served_model: str | None
    tokens: int


class InvalidAnswerError(Exception):
    """An upstream's 200 that holds no answer: its error object where it has one."""

    def __init__(self, what: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(what)
        self.error = error


class Exchange(Protocol):
    """What one call needs to know of its two wires. `losses`: what couldn't be carried over."""

    body: bytes
    losses: tuple[Reason, ...]

    def observer(self) -> StreamObserver: ...

    def read_complete(self, body: bytes) -> CompleteResponse: ...


def open_exchange(
    request: ClientRequest,
    upstream: Wire,
    model: str,
    *,
    origin: str,
    seed: str,
    created_s: int,
    stream_usage: bool,
    strip_reasoning: bool = False,
) -> Exchange:
    """The exchange between a client's request and an upstream.

    origin: `upstream/model`, which stamps reasoning. seed: makes ids. created_s: Unix time. stream_usage: the upstream knows
    how to report usage in a chat stream. strip_reasoning: without any reasoning, as the target has just refused it.
    """
    if request.task.wire == upstream:
        return PassthroughExchange(
            request, model, origin=origin, stream_usage=stream_usage and request.task.stream, strip=strip_reasoning
        )
    heading = (origin, seed, created_s)
    return TranslatedExchange(request, upstream, model, origin=None if strip_reasoning else origin, heading=heading)


class PassthroughExchange:
    """Bytes through, with only the model's name exchanged."""

    losses: tuple[Reason, ...] = ()

    def __init__(self, request: ClientRequest, model: str, *, origin: str, stream_usage: bool, strip: bool) -> None:
        self._wire = request.task.wire
        self._drop_usage = False
        if isinstance(request, ChatRequest):
            self.body = chat_passthrough.upstream_body(request, model, stream_usage=stream_usage)
            self._drop_usage = stream_usage and not request.wants_usage
        else:
            if self._wire == "responses":
                from autorouter.wire.responses.passthrough import upstream_body
            else:
                from autorouter.wire.messages.passthrough import upstream_body

            self.body, losses = upstream_body(request, model, origin=origin, strip=strip)
            self.losses = _reasons(losses)

    def observer(self) -> StreamObserver:
        if self._wire == "chat":
            return chat_passthrough.ChatObserver(drop_usage=self._drop_usage)
        if self._wire == "responses":
            from autorouter.wire.responses.passthrough import ResponsesObserver

            return ResponsesObserver()
        from autorouter.wire.messages.passthrough import MessagesObserver

        return MessagesObserver()

    def read_complete(self, body: bytes) -> CompleteResponse:
        document = _answer(body, self._wire)
        usage, served = document.get("usage"), document.get("model")
        return CompleteResponse(
            body,
            PARSE_USAGE[self._wire](usage) if isinstance(usage, dict) else None,
            served if isinstance(served, str) else None,
            len(body) // BYTES_PER_TOKEN,
        )


ANSWER_MEMBER: Mapping[Wire, str] = {"chat": "choices", "responses": "output", "messages": "content"}
"""The list that makes a document an answer of its wire."""


class TranslatedExchange:
    """Between two wires, through the neutral form."""

    def __init__(
        self, request: ClientRequest, upstream: Wire, model: str, *, origin: str | None, heading: tuple[str, str, int]
    ) -> None:
        from autorouter.wire import translate
        from autorouter.wire.common.encoder import ResponseMetadata

        task = request.task
        sent = translate.translate_request(request.parsed.ir, upstream, model, origin=origin)
        self.body = lenient_json.dumps_bytes(sent.document)
        self.losses = _reasons(sent.losses)
        self._client, self._upstream, self._names = task.wire, upstream, sent.names
        wants_usage = not isinstance(request, ChatRequest) or request.wants_usage
        stamped, seed, created_s = heading
        self._heading = ResponseMetadata(
            seed=seed, model=model, origin=stamped, created_s=created_s, wants_usage=wants_usage
        )

    def observer(self) -> StreamObserver:
        return TranslatingObserver(self._client, self._upstream, self._names, self._heading)

    def read_complete(self, body: bytes) -> CompleteResponse:
        from autorouter.wire import translate

        document = _answer(body, self._upstream)
        answer = translate.decode_answer(document, self._upstream, self._names)
        if answer.failed is not None:
            failed = answer.failed
            raise InvalidAnswerError("an answer that failed", {"message": failed.message, "code": failed.code})
        try:
            encoded = translate.encode_answer(answer, self._client, self._heading)
        except lenient_json.TooDeepError as exc:
            raise InvalidAnswerError("JSON that is nested too deeply") from exc
        return CompleteResponse(encoded, answer.usage, answer.model or None, len(encoded) // BYTES_PER_TOKEN)


class TranslatingObserver:
    """Translates a stream. An upstream's failure isn't passed on as an event: the connection is cut, as on the same wire. What is
    malformed can't be translated and counts as a failure, so `malformed` stays 0."""

    def __init__(self, client: Wire, upstream: Wire, names: ToolNameMap, heading: ResponseMetadata) -> None:
        from autorouter.wire.translate import StreamTranslator

        self._translation = StreamTranslator(client=client, upstream=upstream, names=names, heading=heading)
        self.served_model: str | None = None
        self.usage: Usage | None = None
        self.error: dict[str, Any] | None = None
        self.events = 0
        self.malformed = 0

    @property
    def complete(self) -> bool:
        return self._translation.complete

    @property
    def done(self) -> bool:
        return self._translation.complete

    def feed(self, chunk: bytes) -> bytes:
        return self._seen(self._translation.feed(chunk))

    def flush(self) -> bytes:
        return self._seen(self._translation.end())

    def _seen(self, out: bytes) -> bytes:
        translation = self._translation
        self.events, self.usage, self.served_model = translation.events, translation.usage, translation.served_model
        if translation.failed is not None:
            self.error = {"message": translation.failed.message, "code": translation.failed.code}
            return b""
        return out


def _reasons(losses: Iterable[TranslationLoss]) -> tuple[Reason, ...]:
    return tuple(loss.as_reason() for loss in dict.fromkeys(losses))


def _answer(body: bytes, wire: Wire) -> dict[str, Any]:
    """The document of a whole answer. One that says of itself that it failed is none, whatever else it holds."""
    document = _object(body)
    failed = wire == "responses" and document.get("status") == "failed"
    if failed or document.get("error") or not isinstance(document.get(ANSWER_MEMBER[wire]), list):
        raise _no_answer(document)
    return document


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidAnswerError("what is not JSON") from exc
    if not isinstance(document, dict):
        raise InvalidAnswerError("JSON that is no answer")
    return document


def _no_answer(document: dict[str, Any]) -> InvalidAnswerError:
    error = document.get("error")
    return InvalidAnswerError("JSON that is no answer", error if isinstance(error, dict) else None)
