"""Sends a step's answer to the client, whole or as a stream, with the headers and the summary that describe it.

    : openfusion panel: 2 of 3 members          keep-alive comments while nothing can be streamed yet
    data: {...}                                  then the answer

Before the first byte an error has its own status. After the first comment it is an error event, and the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from autorouter.clients.registry import profile_named
from autorouter.core.codec import to_plain
from autorouter.core.reasons import Reason
from autorouter.core.types import Strategy
from autorouter.engine.call import StreamReply
from autorouter.engine.receipt import phases_record
from autorouter.engine.step import Step, StreamBroken
from autorouter.engine.trace import Attempt
from autorouter.errors import AutorouterError
from autorouter.receipts.explain import explain_decision
from autorouter.receipts.messages import USAGE_SOURCES, sentences
from autorouter.server.asgi import (
    EVENT_STREAM_HEADERS,
    JSON_CONTENT_TYPE,
    AsgiMessage,
    RawHeaders,
    Send,
    error_messages,
    response_messages,
)
from autorouter.wire import errors
from autorouter.wire.common import request_body
from autorouter.wire.overrides import wants_progress_events

FIRST_KEEPALIVE_S = 5.0
"""Until then an error can still have its own status, which agents check before anything else."""
KEEPALIVE_INTERVAL_S = 8.0
"""Proxies and clients give up after 30 to 60 s of silence; some want a byte every 10 s."""


async def respond(step: Step, send: Send, headers: RawHeaders) -> Sequence[AsgiMessage]:
    """Carry out the step and send the response but for its last messages. These are returned, because they must not leave before
    the step is accounted for; none if a stream broke: without an end the server closes the connection, which every client
    takes for an error. `headers`: more of them for the response."""
    client_stream = _ClientStream(step, send, headers)
    body = b""
    try:
        if step.context.task.stream:
            await _pass_on(step, client_stream)
        else:
            body = await step.answer()
    except AutorouterError as error:
        return client_stream.error_messages(error)
    except StreamBroken:
        return ()
    finally:
        step.close()
    if step.context.task.stream:
        return [{"type": "http.response.body", "body": client_stream.final_event()}]
    body = request_body.with_member(body, request_body.EXTENSION, response_summary(step))
    return response_messages(200, body, (JSON_CONTENT_TYPE, *response_headers(step), *headers, *_cost_headers(step)))


async def _pass_on(step: Step, client_stream: _ClientStream) -> None:
    """Send a stream as it arrives."""
    single = step.strategy in (None, Strategy.SINGLE)
    reply = await (step.open() if single else _open_with_keepalive(step, client_stream))
    await client_stream.start()
    await client_stream.send_body(client_stream.pending_events() + reply.first)
    async for chunk in step.chunks(reply):
        await client_stream.send_body(chunk)


class _ClientStream:
    """The client's side of a stream: whether the response has started, and how much of the progress has been sent."""

    def __init__(self, step: Step, send: Send, headers: RawHeaders) -> None:
        self.started = False
        self.wants_events = wants_progress_events(dict(step.context.task.headers))
        self.stages_sent = 0
        self._step, self._send, self._headers = step, send, headers

    async def start(self) -> None:
        """Send status and headers, once."""
        if not self.started:
            self.started = True
            await self._send(self._start_message())

    async def send_body(self, data: bytes) -> None:
        """Send bytes of the stream; more follow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def send_comment(self) -> None:
        """Send a keep-alive comment, with the new stages as events for a client that asked for them."""
        await self.start()
        comment = f": openfusion {self._step.calls.progress.status_text()}\n\n".encode()
        await self.send_body(comment + self.pending_events())

    def pending_events(self) -> bytes:
        """Events for the stages that haven't been sent yet; empty unless the client asked for events."""
        stages = self._step.calls.progress.stages[self.stages_sent :] if self.wants_events else []
        self.stages_sent += len(stages)
        return b"".join(_event("progress", stage) for stage in stages)

    def final_event(self) -> bytes:
        """The summary after the end, for a client that asked for events."""
        return _event("summary", response_summary(self._step)) if self.wants_events else b""

    def error_messages(self, error: AutorouterError) -> list[AsgiMessage]:
        """An error instead of the answer, in the wire's shape: with its status or, once the stream has started, as an event.
        Some clients compact their conversation only on one event of a stream with status 200, not on a 400."""
        step, task = self._step, self._step.context.task
        if self.started:
            body = self.pending_events() + error_event(step, error)
            return [{"type": "http.response.body", "body": body, "more_body": True}]
        as_event = task.wire == "responses" and profile_named(task.client).overflow_as_stream_event
        if task.stream and error.code == errors.TOO_LONG and as_event:
            return [self._start_message(), {"type": "http.response.body", "body": error_event(step, error)}]
        return error_messages(error, (*response_headers(step), *self._headers), wire=task.wire)

    def _start_message(self) -> AsgiMessage:
        headers = [*EVENT_STREAM_HEADERS, *response_headers(self._step), *self._headers]
        return {"type": "http.response.start", "status": 200, "headers": headers}


async def _open_with_keepalive(step: Step, client_stream: _ClientStream) -> StreamReply:
    """Open the step's stream, and send keep-alive comments until it is open."""
    work = asyncio.create_task(step.open())
    progress: asyncio.Task[None] | None = None
    try:
        while not work.done():
            progress = (
                asyncio.create_task(step.calls.progress.wait_for_more(client_stream.stages_sent))
                if client_stream.wants_events
                else None
            )
            silence_s = KEEPALIVE_INTERVAL_S if client_stream.started else FIRST_KEEPALIVE_S
            waits: set[asyncio.Task[Any]] = {work} if progress is None else {work, progress}
            done, _ = await asyncio.wait(waits, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED)
            if progress is not None:
                progress.cancel()
            if work not in done:
                await client_stream.send_comment()
        return work.result()
    finally:
        if progress is not None:
            progress.cancel()
        # A disconnect cancels this task only. The work has to end before the step is accounted for.
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


def error_event(step: Step, error: AutorouterError) -> bytes:
    """An error after the response has started, in the form of its wire."""
    task = step.context.task
    if task.wire == "responses":
        return errors.failed_response(error, step.context.receipt_id, int(step.routed.snapshot.now_s))
    name = b"event: error\n" if task.wire == "messages" else b""
    return name + b"data: " + errors.ERROR_ENCODERS[task.wire](error) + b"\n\n"


def _event(name: str, document: dict[str, Any]) -> bytes:
    return f"event: openfusion.{name}\n".encode() + b"data: " + orjson.dumps(document) + b"\n\n"


def _cost_headers(step: Step) -> RawHeaders:
    cost_usd = step.trace.cost_usd
    if cost_usd is None:
        return []
    text = f"{cost_usd:.8f}".encode()
    # Its name up to 0.2 is sent for one more release: scripts read it.
    return [(b"x-autorouter-cost-usd", text), (b"x-openfusion-cost-usd", text)]


def response_headers(step: Step) -> RawHeaders:
    """The headers of every answer: which model answered, by which decision."""
    plan, context = step.routed.decision.plan, step.context
    headers = [
        (b"x-autorouter-receipt", context.receipt_id.encode()),
        (b"x-request-id", (context.request_id or context.receipt_id).encode()),
    ]
    if context.trace is not None:
        headers.append((b"traceparent", context.trace.traceparent.encode()))
    if plan is not None:
        headers.append((b"x-autorouter-strategy", plan.strategy.encode()))
    if (answer := _answering_attempt(step)) is not None:
        headers.append((b"x-autorouter-model", answer.candidate.encode()))
    return headers


def _answering_attempt(step: Step) -> Attempt | None:
    """The attempt whose answer is sent. None for a panel that hasn't chosen yet."""
    trace = step.trace
    if trace.answer is None and step.strategy is Strategy.SINGLE and trace.attempts:
        return trace.attempts[-1]
    return trace.answer


MAX_SUMMARY_NOTES = 4
MAX_NOTE_CHARS = 200
MAX_SUMMARY_BYTES = 2_000
SUMMARY_DROP_ORDER = ("panel", "phases", "notes", "why")
"""Members left out, in this order, of a summary that would be longer; the receipt has them all."""


def response_summary(step: Step) -> dict[str, Any]:
    """The `openfusion` member of an answer that isn't streamed, at most 2 kB."""
    decision, trace = step.routed.decision, step.trace
    last = trace.answer or trace.attempts[-1]
    document: dict[str, Any] = {
        "receipt": step.context.receipt_id,
        "strategy": str(decision.plan.strategy) if decision.plan else None,
        "candidate": last.candidate,
        "model": last.model,
        "why": explain_decision(decision, step.routed.features),
        "notes": _summary_lines(decision.notes),
        "attempts": len(trace.attempts),
        "cost_usd": None if trace.cost_usd is None else round(trace.cost_usd, 8),
        "usage_source": USAGE_SOURCES.get(last.usage_source or ""),
    }
    if step.strategy is not Strategy.SINGLE:
        document |= {"usage": to_plain(trace.usage), "phases": phases_record(trace)}
        document |= {"panel": trace.panel, "degraded": _summary_lines(trace.degraded)}
        for name in SUMMARY_DROP_ORDER:
            if len(orjson.dumps(document)) > MAX_SUMMARY_BYTES:
                del document[name]
    return document


def _summary_lines(reasons: Sequence[Reason]) -> list[str]:
    return [line[:MAX_NOTE_CHARS] for line in sentences(reasons[:MAX_SUMMARY_NOTES])]
