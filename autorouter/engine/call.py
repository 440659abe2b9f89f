"""One call to one upstream, up to the point where its answer may go to the client.

`complete` returns a complete answer, `open_stream` a stream whose first event is here and is no error. Anything else raises
`CallFailed` with a verdict. Both fill in the attempt's times, status and served model.

A stream that may well break is buffered until it is complete or `MAX_BUFFER_S` have passed. Until then nothing has been
sent to the client, so the next candidate can take over. This applies to candidates whose last stream broke, and to clients
that give up on a broken stream instead of retrying.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from autorouter.clients.registry import profile_named
from autorouter.core.state.health import UNKNOWN_HEALTH
from autorouter.core.types import Wire
from autorouter.engine import web
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import RequestContext
from autorouter.engine.trace import Attempt
from autorouter.upstream import errors
from autorouter.upstream.errors import FailureVerdict
from autorouter.upstream.profiles import adjust_body, profile_of
from autorouter.upstream.transport import TransportError, UpstreamCall, UpstreamReply, read_all
from autorouter.wire import exchange
from autorouter.wire.common.observer import StreamObserver
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.common.sse import MAX_EVENT_BYTES
from autorouter.wire.exchange import PATHS, CompleteResponse, Exchange, InvalidAnswerError

ERROR_BODY_BYTES = 64 * 1024
"""How much of an error's body is read for its code and message."""
MAX_BUFFER_S = 20.0
"""The longest time a stream is buffered. Users and clients take a longer silence for a hang."""
MAX_BUFFER_BYTES = 1024 * 1024
STREAM_BREAK_KINDS = frozenset({"cut", "reset", "timeout", "protocol", "early_end", "error_event"})
"""Cooldown reasons that mean: an answer had started and did not end."""
PHASES_WITH_FALLBACKS = frozenset({"answer", "draft"})
"""Phases in which another candidate is better than a wait for a slot."""
PROTOCOL_HEADERS = ("anthropic-version", "anthropic-beta")


class CallFailed(Exception):
    """An attempt gave no answer. `events`: received before a buffered stream broke; they are paid for."""

    def __init__(self, verdict: FailureVerdict, events: int = 0) -> None:
        super().__init__(verdict.kind)
        self.verdict = verdict
        self.events = events


@dataclass(frozen=True, slots=True)
class StreamReply:
    """A stream that has started. `first` goes out first, then what `source` yields."""

    first: bytes
    reply: UpstreamReply
    source: AsyncIterator[bytes]
    observer: StreamObserver
    attempt: Attempt
    call: UpstreamCall | None = None


ClientReply = CompleteResponse | StreamReply
"""What goes to the client: a complete answer, or a stream that has started."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes the calls of one request: the client's own, or an inner one. `created_s`: Unix time, for translated answers."""

    deps: Deps
    context: RequestContext
    request: ClientRequest
    created_s: int
    strip_reasoning: bool = False
    """Send no reasoning: the upstream has refused the reasoning in the history."""
    added_tokens: float = 0.0
    """Estimated input tokens on top of the client's own request: proposals, instructions."""

    async def complete(self, attempt: Attempt) -> CompleteResponse:
        """The complete answer, parsed to make sure that it is one. Raises CallFailed."""
        call, wire_exchange = self._build_call(attempt)
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

    async def open_stream(self, attempt: Attempt) -> StreamReply:
        """The stream once its first event is here, or buffered further if it may break. Raises CallFailed."""
        call, wire_exchange = self._build_call(attempt)
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
        """Whether this stream may well break, or a break would end the client's run."""
        health = self.deps.state.health.get(candidate, UNKNOWN_HEALTH)
        suspect = health.failures_in_row > 0 and health.cooldown_reason in STREAM_BREAK_KINDS
        return suspect or not profile_named(self.request.task.client).retries_broken_stream

    async def _buffer(self, call: UpstreamCall, source: AsyncIterator[bytes], observer: StreamObserver) -> bytes:
        """The bytes up to the end of the answer or the limits. Raises TransportError if the stream breaks."""
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

    def _build_call(self, attempt: Attempt) -> tuple[UpstreamCall, Exchange]:
        """The call, and the exchange between the client's wire and the upstream's."""
        candidate = self.deps.by_id[attempt.candidate]
        target = self.deps.targets[candidate.upstream]
        profile = profile_of(target.profile)
        wire_exchange = exchange.open_exchange(
            self.request,
            target.wire,
            candidate.model,
            origin=f"{target.name}/{candidate.model}",
            seed=self.context.receipt_id,
            stream_usage=profile.stream_usage,
            created_s=self.created_s,
            strip_reasoning=self.strip_reasoning,
        )
        body, changes = adjust_body(wire_exchange.body, profile) if target.wire == "chat" else (wire_exchange.body, ())
        attempt.losses = (*wire_exchange.losses, *changes)
        if self.deps.web.mode == "upstream":
            tools = web.server_tools_for(self.deps.web, self.deps.policy, target, attempt.phase, self.request.task)
            body = web.add_server_tools(body, tools)
        call = UpstreamCall(
            target=target,
            candidate=candidate,
            path=PATHS[target.wire],
            body=body,
            stream=self.request.task.stream,
            request_id=self.context.receipt_id,
            attempt=attempt.number,
            fault=self.context.fault,
            headers=self._forwarded_headers(target.wire),
            # A member or a judge has no fallback, so it waits for a slot as long as a member may take.
            slot_timeout_s=None if attempt.phase in PHASES_WITH_FALLBACKS else self.deps.policy.fusion.member_s,
            on_slot_acquired=attempt.queued,
        )
        return call, wire_exchange

    def _forwarded_headers(self, wire: Wire) -> Mapping[str, str]:
        """The client's protocol headers if both sides speak the same wire, and the trace headers if they are sent upstream."""
        headers: dict[str, str] = {}
        if self.deps.trace_upstream and self.context.trace is not None:
            headers |= self.context.trace.upstream_headers
        if wire == "messages" and self.request.task.wire == "messages":
            headers |= {name: value for name, value in self.request.task.headers if name in PROTOCOL_HEADERS}
        return headers

    async def _send(self, call: UpstreamCall, attempt: Attempt) -> UpstreamReply:
        """Send, and return the reply if its status is 200. Raises CallFailed for any other."""
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
    """Bytes up to and including the first data event, with the comments before it."""
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
