"""A draft: an answer for the client that is held until it is whole, so that it can be judged, and then goes out byte for byte.

A streamed draft is given free at the first sign that nobody needs to look at it: nobody looks at any, the call of a harmless
tool has begun, or a call has ended whose arguments are plain. Once a risky call has begun it stays; a risky call behind a
plain one, in the same answer, passes with it.
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
    """`final` is what goes out if it does. `live`: it is being streamed already, and `answer` is not all of it."""

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
        """Whether it deserves a second look."""
        return draft_risk.draft_kind(self.calls)


async def whole(caller: Caller, attempt: Attempt, number: int) -> DraftReply:
    """A draft that isn't streamed. Raises Failed."""
    found = await caller.whole(attempt, number)
    answer = read_answer(found.body, caller.request.task.wire, stream=False)
    return DraftReply(attempt, found, answer)


async def held(caller: Caller, attempt: Attempt, number: int, care: VerifyScope | None = None) -> DraftReply:
    """A streamed draft. `care`: give it free as soon as it turns out to need no second look. Raises Failed."""
    opened = await caller.begin(attempt, number)
    wire: Wire = caller.request.task.wire
    watch = PlainCallDetector(wire) if care in ("final", "risky") else None
    bytes_held = bytearray(opened.first)
    try:
        if care == "off" or (care == "risky" and not caller.request.task.tools):
            return DraftReply(attempt, opened, ResponseIR(), live=True)
        if watch is not None and watch.plain(opened.first):
            return DraftReply(attempt, opened, ResponseIR(), live=True)
        async for chunk in opened.source:
            passed = opened.tap.feed(chunk)
            attempt.events = opened.tap.events
            bytes_held += passed
            if opened.tap.error is not None and opened.call is not None:
                raise CallFailed(errors.classify_error_event(opened.call, opened.tap.error), opened.tap.events)
            if len(bytes_held) > caller.deps.max_answer_bytes:
                raise TransportError("too_large", f"an answer of more than {caller.deps.max_answer_bytes} bytes")
            if watch is not None and watch.plain(passed):
                freed = StreamReply(bytes(bytes_held), opened.reply, opened.source, opened.tap, attempt)
                return DraftReply(attempt, freed, ResponseIR(), live=True)
        bytes_held += opened.tap.flush()
        if not opened.tap.complete:
            raise TransportError("cut", f"`{attempt.candidate}`: the answer ended before its end")
    except TransportError as failure:
        opened.reply.close()
        raise CallFailed(errors.classify_transport_error(failure), opened.tap.events) from failure
    except ValueError as exc:
        opened.reply.close()
        raise CallFailed(
            errors.classify_transport_error(TransportError("protocol", str(exc))), opened.tap.events
        ) from exc
    except BaseException:
        opened.reply.close()
        raise
    opened.reply.close()
    data = bytes(bytes_held)
    replay = StreamReply(data, opened.reply, _nothing(), opened.tap, attempt)
    return DraftReply(attempt, replay, read_answer(data, wire, stream=True))


async def _nothing() -> AsyncIterator[bytes]:
    never: tuple[bytes, ...] = ()
    for chunk in never:
        yield chunk


class PlainCallDetector:
    """Looks for the first call of a stream in the client's wire."""

    __slots__ = ("_arguments", "_decoder", "_doubtful", "_names")

    def __init__(self, wire: Wire) -> None:
        self._decoder = translate.DECODERS[wire]()
        self._names: dict[int, str] = {}
        self._arguments: dict[int, str] = {}
        self._doubtful: set[int] = set()

    def plain(self, chunk: bytes) -> bool:
        """Whether a plain call is certain by now, and none that came before it is risky."""
        found = False
        for event in self._decoder.feed(chunk):
            if isinstance(event, ToolCallStarted):
                self._names[event.index] = event.name
                if draft_risk.is_harmless_tool(event.name):
                    found = True
                else:
                    self._doubtful.add(event.index)
            elif isinstance(event, ToolCallDelta):
                self._arguments[event.index] = self._arguments.get(event.index, "") + event.text
            elif isinstance(event, ToolCallEnded) and event.index in self._doubtful:
                call = ToolCall(self._names[event.index], self._arguments.get(event.index, ""))
                if not draft_risk.is_risky(call):
                    self._doubtful.discard(event.index)
                    found = True
        return found and not self._doubtful
