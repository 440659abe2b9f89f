"""One call to one upstream, up to the point from which its answer is the client's.

`whole` returns a complete answer that is known to be one, `begin` a stream whose first event is here and is no error.
Everything else raises `Failed` with its verdict. Both fill in the attempt's times, status and served model.

A stream of which a break is to be feared is held: its bytes wait here until the answer is whole, or `HOLD_S` have passed.
What breaks meanwhile has promised nothing, so the next candidate can take over. Held are answers of a candidate whose
last one broke off, and those for a client that gives up at a break instead of asking again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from autorouter.core.state.health import UNKNOWN_HEALTH
from autorouter.core.types import Wire
from autorouter.engine import web
from autorouter.engine.deps import Deps
from autorouter.engine.trace import Attempt
from autorouter.upstream import errors
from autorouter.upstream.errors import FailureVerdict
from autorouter.upstream.profiles import adjust_body, profile_of
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamReply, read_all
from autorouter.wire import exchange
from autorouter.wire.chat.passthrough import MAX_EVENT_BYTES
from autorouter.wire.exchange import (
    PATHS,
    ClientRequest,
    CompleteResponse,
    Exchange,
    InvalidAnswerError,
    StreamObserver,
)

ERROR_BODY_BYTES = 64 * 1024
"""So much of an error's body is read for its code and message."""
MAX_BUFFER_S = 20.0
"""So long a stream is held at most: silence beyond it is what users and clients take for a hang."""
MAX_BUFFER_BYTES = 1024 * 1024
STREAM_BREAK_KINDS = frozenset({"cut", "reset", "timeout", "protocol", "early_end", "error_event"})
"""Reasons of a cooldown that say: an answer had begun and did not end."""
CLIENTS_WITHOUT_STREAM_RETRY = frozenset({"cline"})
"""Measured: Cline tries again when a request fails, and ends its run when an answer breaks off."""
PHASES_WITH_FALLBACKS = frozenset({"answer", "draft"})
"""Phases in which another candidate is the better choice than a wait."""
PROTOCOL_HEADERS = ("anthropic-version", "anthropic-beta")
TRACE_HEADERS = {"x-autorouter-traceparent": "traceparent", "x-autorouter-tracestate": "tracestate"}
"""As the server sets them on a task -> as they go upstream, where `trace_upstream` is on."""


class CallFailed(Exception):
    """An attempt that gave no answer. `events`: so many came of one that broke while it was held; they are paid for."""

    def __init__(self, verdict: FailureVerdict, events: int = 0) -> None:
        super().__init__(verdict.kind)
        self.verdict = verdict
        self.events = events


@dataclass(frozen=True, slots=True)
class StreamReply:
    """A stream whose first bytes are here. `first` goes out first, then what `source` yields."""

    first: bytes
    reply: UpstreamReply
    source: AsyncIterator[bytes]
    observer: StreamObserver
    attempt: Attempt
    call: UpstreamCall | None = None


ClientReply = CompleteResponse | StreamReply
"""What goes to the client: an answer that is whole, or a stream that has begun."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes the calls of one step."""

    deps: Deps
    request: ClientRequest
    request_id: str
    fault: str | None
    created_s: int
    strip_reasoning: bool = False
    """Send no reasoning: the target has refused what the history carries."""
    added_tokens: float = 0.0
    """Input tokens beyond the client's own request, by our estimate: panel texts, instructions."""

    async def complete(self, attempt: Attempt, number: int) -> CompleteResponse:
        """The whole answer, parsed to make sure that it is one."""
        call, wire_exchange = self._build_call(attempt, number)
        reply = await self._send(call, attempt)
        try:
            async with asyncio.timeout(call.target.timeouts.total_s):
                body = await read_all(reply, self.deps.max_answer_bytes)
            complete = wire_exchange.read_complete(body)
        except TransportError as error:
            raise CallFailed(errors.classify_transport_error(error)) from error
        except TimeoutError as exc:
            raise _call_failed(call, "timeout", f"no whole answer within {call.target.timeouts.total_s:g} s") from exc
        except InvalidAnswerError as exc:
            if exc.error is not None:
                raise CallFailed(errors.classify_error_event(call, exc.error)) from exc
            raise _call_failed(call, "protocol", f"answered 200 with {exc}") from exc
        finally:
            reply.close()
        attempt.served_model = complete.served_model
        return complete

    async def open_stream(self, attempt: Attempt, number: int) -> StreamReply:
        """The stream up to its first event, within the first-byte limit; as far as it is held, if it is."""
        call, wire_exchange = self._build_call(attempt, number)
        reply = await self._send(call, attempt)
        observer = wire_exchange.observer()
        source = reply.chunks()
        buffered = False
        try:
            async with asyncio.timeout(call.target.timeouts.first_byte_s):
                first = await _read_first_event(source, observer)
            if observer.error is None and observer.served_model is not None:
                attempt.ttft_s = self.deps.timer() - attempt.began_s
                if self._should_buffer(attempt.candidate):
                    buffered = True
                    first += await self._buffer(call, source, observer)
        except TransportError as error:
            reply.close()
            raise CallFailed(errors.classify_transport_error(error), observer.events if buffered else 0) from error
        except TimeoutError as exc:
            reply.close()
            raise _call_failed(call, "timeout", f"no event within {call.target.timeouts.first_byte_s:g} s") from exc
        except ValueError as exc:
            reply.close()
            raise _call_failed(call, "protocol", str(exc)) from exc
        except BaseException:
            reply.close()
            raise
        if observer.error is not None or observer.served_model is None:
            reply.close()
            if observer.error is not None:
                raise CallFailed(errors.classify_error_event(call, observer.error), observer.events if buffered else 0)
            raise _call_failed(call, "protocol", "answered 200 with what is no event stream")
        attempt.served_model = observer.served_model or None
        return StreamReply(first, reply, source, observer, attempt, call)

    def _should_buffer(self, candidate: str) -> bool:
        """Whether a break is to be feared."""
        health = self.deps.state.health.get(candidate, UNKNOWN_HEALTH)
        suspect = health.failures_in_row > 0 and health.cooldown_reason in STREAM_BREAK_KINDS
        return suspect or self.request.task.client in CLIENTS_WITHOUT_STREAM_RETRY

    async def _buffer(self, call: UpstreamCall, source: AsyncIterator[bytes], observer: StreamObserver) -> bytes:
        """The bytes up to the end of the answer, or as many as may be held. Raises Failure where it breaks."""
        until_s = self.deps.timer() + MAX_BUFFER_S
        buffered = bytearray()
        while (
            not observer.done
            and observer.error is None
            and len(buffered) < MAX_BUFFER_BYTES
            and self.deps.timer() < until_s
        ):
            chunk = await anext(source, None)
            if chunk is None:
                if not observer.complete:
                    raise TransportError("cut", f"upstream `{call.target.name}`: the answer ended before its end")
                break
            buffered += observer.feed(chunk)
        return bytes(buffered)

    def _build_call(self, attempt: Attempt, number: int) -> tuple[UpstreamCall, Exchange]:
        """The call, and what lies between the client's wire and the upstream's."""
        candidate = self.deps.by_id[attempt.candidate]
        target = self.deps.targets[candidate.upstream]
        profile = profile_of(target.profile)
        wire_exchange = exchange.open_exchange(
            self.request,
            target.wire,
            candidate.model,
            origin=f"{target.name}/{candidate.model}",
            seed=self.request_id,
            stream_usage=profile.stream_usage,
            created_s=self.created_s,
            strip_reasoning=self.strip_reasoning,
        )
        body, changes = adjust_body(wire_exchange.body, profile) if target.wire == "chat" else (wire_exchange.body, ())
        attempt.losses = (*wire_exchange.losses, *changes)
        server_tools = web.server_tools_for(self.deps.web, self.deps.policy, target, attempt.phase, self.request.task)
        body = web.add_server_tools(body, server_tools)
        call = UpstreamCall(
            target=target,
            candidate=candidate,
            path=PATHS[target.wire],
            body=body,
            stream=self.request.task.stream,
            request_id=self.request_id,
            attempt=number,
            fault=self.fault,
            headers=self._forwarded_headers(target.wire),
            # Nobody can stand in for a member or a judge, so that they wait for a slot as long as a member may take.
            slot_timeout_s=None if attempt.phase in PHASES_WITH_FALLBACKS else self.deps.policy.fusion.member_s,
            on_slot_acquired=attempt.queued,
        )
        return call, wire_exchange

    def _forwarded_headers(self, wire: Wire) -> Mapping[str, str]:
        """The client's headers that belong to the wire's protocol, where both sides speak it; the trace, where it is told."""
        names = dict(TRACE_HEADERS) if self.deps.trace_upstream else {}
        if wire == "messages" and self.request.task.wire == "messages":
            names |= {name: name for name in PROTOCOL_HEADERS}
        if not names:
            return {}
        return {names[name]: value for name, value in self.request.task.headers if name in names}

    async def _send(self, call: UpstreamCall, attempt: Attempt) -> UpstreamReply:
        """Send, and return a reply whose status is a success; any other one is judged."""
        try:
            reply = await self.deps.transport.send(call)
        except TransportError as error:
            raise CallFailed(errors.classify_transport_error(error)) from error
        attempt.status = reply.status
        attempt.headers_s = self.deps.timer() - attempt.began_s
        if reply.status == 200:
            return reply
        try:
            body = await read_all(reply, ERROR_BODY_BYTES)
        except TransportError:
            body = b""
        finally:
            reply.close()
        raise CallFailed(errors.classify_status(call, reply.status, reply.headers, body))


async def _read_first_event(source: AsyncIterator[bytes], observer: StreamObserver) -> bytes:
    """Bytes up to and with the first data event; comments before it are held back with it."""
    buffered = b""
    while observer.served_model is None and observer.error is None:
        chunk = await anext(source, None)
        if chunk is None:
            return buffered + observer.flush()
        buffered += observer.feed(chunk)
        if len(buffered) > MAX_EVENT_BYTES:
            raise ValueError(f"no event among {MAX_EVENT_BYTES} bytes")
    return buffered


def _call_failed(call: UpstreamCall, kind: str, reason: str) -> CallFailed:
    return CallFailed(errors.classify_transport_error(TransportError(kind, f"upstream `{call.target.name}`: {reason}")))
