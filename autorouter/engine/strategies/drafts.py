"""Drafts: an answer for the client that is buffered until it is complete, so that it can be reviewed, and then sent unchanged.

A streamed draft is released early if no review is needed: none is configured, the call of a harmless tool has started, or a
call has ended whose arguments are plain. Once a risky call has started, the draft stays buffered. A risky call after a plain
one in the same answer passes with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from autorouter.core.review import draft_risk
from autorouter.core.review.draft_risk import DraftKind
from autorouter.core.types import ToolCall, VerifyScope, Wire
from autorouter.engine.call import Caller, CallFailed, ClientReply, StreamReply
from autorouter.engine.trace import Attempt
from autorouter.upstream import errors
from autorouter.upstream.transport import TransportError
from autorouter.wire import translate
from autorouter.wire.common.ir import ResponseIR, ToolCallDelta, ToolCallEnded, ToolCallStarted
from autorouter.wire.inner_request import answer_text, answer_tool_calls, read_answer


@dataclass(frozen=True, slots=True)
class DraftReply:
    """`final` is what goes out if the draft is released. `live`: it is streaming already, and `answer` is incomplete."""

    attempt: Attempt
    final: ClientReply
    answer: ResponseIR
    live: bool = False

    @property
    def text(self) -> str:
        return answer_text(self.answer)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(call.name, call.arguments) for call in answer_tool_calls(self.answer))

    @property
    def weight(self) -> DraftKind:
        """What the draft does, which decides whether it needs a review."""
        return draft_risk.draft_kind(self.calls)


async def complete_draft(caller: Caller, attempt: Attempt) -> DraftReply:
    """A draft that isn't streamed. Raises CallFailed."""
    reply = await caller.complete(attempt)
    answer = read_answer(reply.body, caller.request.task.wire, stream=False)
    return DraftReply(attempt, reply, answer)


async def buffer_draft(caller: Caller, attempt: Attempt, scope: VerifyScope | None = None) -> DraftReply:
    """A streamed draft. `scope`: release it as soon as it turns out to need no review. Raises CallFailed."""
    stream_reply = await caller.open_stream(attempt)
    wire: Wire = caller.request.task.wire
    detector = PlainCallDetector(wire) if scope in ("final", "risky") else None
    bytes_held = bytearray(stream_reply.first)
    try:
        if scope == "off" or (scope == "risky" and not caller.request.task.tools):
            return DraftReply(attempt, stream_reply, ResponseIR(), live=True)
        if detector is not None and detector.feed(stream_reply.first):
            return DraftReply(attempt, stream_reply, ResponseIR(), live=True)
        async for chunk in stream_reply.source:
            passed = stream_reply.observer.feed(chunk)
            attempt.events = stream_reply.observer.events
            bytes_held += passed
            if stream_reply.observer.error is not None and stream_reply.call is not None:
                raise CallFailed(
                    errors.classify_error_event(stream_reply.call, stream_reply.observer.error),
                    stream_reply.observer.events,
                )
            if len(bytes_held) > caller.deps.max_answer_bytes:
                raise TransportError("too_large", f"an answer of more than {caller.deps.max_answer_bytes} bytes")
            if detector is not None and detector.feed(passed):
                streaming = StreamReply(
                    bytes(bytes_held), stream_reply.reply, stream_reply.source, stream_reply.observer, attempt
                )
                return DraftReply(attempt, streaming, ResponseIR(), live=True)
        bytes_held += stream_reply.observer.flush()
        if not stream_reply.observer.complete:
            raise TransportError("cut", f"`{attempt.candidate}`: the answer ended before its end")
    except TransportError as failure:
        stream_reply.reply.close()
        raise CallFailed(errors.classify_transport_error(failure), stream_reply.observer.events) from failure
    except ValueError as exc:
        stream_reply.reply.close()
        raise CallFailed(
            errors.classify_transport_error(TransportError("protocol", str(exc))), stream_reply.observer.events
        ) from exc
    except BaseException:
        stream_reply.reply.close()
        raise
    stream_reply.reply.close()
    data = bytes(bytes_held)
    replay = StreamReply(data, stream_reply.reply, _nothing(), stream_reply.observer, attempt)
    return DraftReply(attempt, replay, read_answer(data, wire, stream=True))


async def _nothing() -> AsyncIterator[bytes]:
    never: tuple[bytes, ...] = ()
    for chunk in never:
        yield chunk


class PlainCallDetector:
    """Finds out from a stream in the client's wire whether its tool calls need a review."""

    __slots__ = ("_arguments", "_decoder", "_doubtful", "_names")

    def __init__(self, wire: Wire) -> None:
        self._decoder = translate.DECODERS[wire]()
        self._names: dict[int, str] = {}
        self._arguments: dict[int, str] = {}
        self._doubtful: set[int] = set()

    def feed(self, chunk: bytes) -> bool:
        """Whether a plain call is certain by now, and no call before it is risky."""
        is_plain = False
        for event in self._decoder.feed(chunk):
            if isinstance(event, ToolCallStarted):
                self._names[event.index] = event.name
                if draft_risk.is_harmless_tool(event.name):
                    is_plain = True
                else:
                    self._doubtful.add(event.index)
            elif isinstance(event, ToolCallDelta):
                self._arguments[event.index] = self._arguments.get(event.index, "") + event.text
            elif isinstance(event, ToolCallEnded) and event.index in self._doubtful:
                call = ToolCall(self._names[event.index], self._arguments.get(event.index, ""))
                if not draft_risk.is_risky(call):
                    self._doubtful.discard(event.index)
                    is_plain = True
        return is_plain and not self._doubtful
