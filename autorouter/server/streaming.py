"""Sends a step's answer to the client, whole or as a stream, with the headers and the summary that describe it.

    : openfusion panel: 2 of 3 members          keep-alive comments while nothing can be streamed yet
    data: {...}                                  then the answer

Before the first byte an error has its own status. After the first comment it is an error event, and the connection is closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from autorouter.clients.registry import profile_named
from autorouter.core.codec import to_plain
from autorouter.core.decision.explain import explain_decision
from autorouter.core.types import Strategy
from autorouter.engine.call import StreamReply
from autorouter.engine.receipt import phases_record
from autorouter.engine.step import Step, StreamBroken
from autorouter.engine.trace import Attempt
from autorouter.errors import AutorouterError
from autorouter.observe.request_context import CURRENT_REQUEST
from autorouter.server.asgi import EVENT_STREAM_HEADERS, JSON_CONTENT_TYPE, RawHeaders, Send, send_bytes, send_error
from autorouter.wire import errors
from autorouter.wire.common import request_body
from autorouter.wire.overrides import PROGRESS_HEADER

FIRST_KEEPALIVE_S = 5.0
"""Until then an error can still have its own status, which agents check before anything else."""
KEEPALIVE_INTERVAL_S = 8.0
"""Proxies and clients give up after 30 to 60 s of silence; some want a byte every 10 s."""


async def send_response(step: Step, send: Send) -> None:
    """Send an answer that isn't streamed, with its summary."""
    try:
        body = await step.answer()
    except AutorouterError as error:
        await send_error(send, error, response_headers(step), wire=step.routed.task.wire)
        return
    step.finish()
    body = request_body.with_member(body, request_body.EXTENSION, response_summary(step))
    await send_bytes(send, 200, body, (JSON_CONTENT_TYPE, *response_headers(step), *_cost_headers(step)))


async def send_stream(step: Step, send: Send) -> None:
    """Send a streamed answer."""
    client_stream = _ClientStream(step, send)
    try:
        single = step.strategy in (None, Strategy.SINGLE)
        reply = await (step.open() if single else _open_with_keepalive(step, client_stream))
    except AutorouterError as error:
        if client_stream.started:
            await send(
                {
                    "type": "http.response.body",
                    "body": client_stream.pending_events() + error_event(step, error),
                    "more_body": True,
                }
            )
        else:
            await _send_stream_error(step, send, error)
        return
    await client_stream.start()
    await send({"type": "http.response.body", "body": client_stream.pending_events() + reply.first, "more_body": True})
    try:
        async for chunk in step.chunks(reply):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except StreamBroken:
        # Return without an end of the body: the server then closes the connection, which every client takes for an error.
        return
    # The client may send its next request as soon as it sees the end, so the session must be updated before.
    step.finish()
    await send({"type": "http.response.body", "body": client_stream.final_event()})


class _ClientStream:
    """The client's side of a stream: whether the response has started, and how much of the progress has been sent."""

    def __init__(self, step: Step, send: Send) -> None:
        self.started = False
        self.wants_events = dict(step.routed.task.headers).get(PROGRESS_HEADER) == "events"
        self.stages_sent = 0
        self._step, self._send = step, send

    async def start(self) -> None:
        """Send status and headers, once."""
        if not self.started:
            self.started = True
            headers = [*EVENT_STREAM_HEADERS, *response_headers(self._step)]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_comment(self) -> None:
        """Send a keep-alive comment, with the new stages as events for a client that asked for them."""
        await self.start()
        comment = f": openfusion {self._step.progress.status_text()}\n\n".encode() + self.pending_events()
        await self._send({"type": "http.response.body", "body": comment, "more_body": True})

    def pending_events(self) -> bytes:
        """Events for the stages that haven't been sent yet; empty unless the client asked for events."""
        stages = self._step.progress.stages[self.stages_sent :] if self.wants_events else []
        self.stages_sent += len(stages)
        return b"".join(_event("progress", stage) for stage in stages)

    def final_event(self) -> bytes:
        """The summary after the end, for a client that asked for events."""
        return _event("summary", response_summary(self._step)) if self.wants_events else b""


async def _open_with_keepalive(step: Step, client_stream: _ClientStream) -> StreamReply:
    """Open the step's stream, and send keep-alive comments until it is open."""
    work = asyncio.create_task(step.open())
    progress: asyncio.Task[None] | None = None
    try:
        while not work.done():
            progress = (
                asyncio.create_task(step.progress.wait_for_more(client_stream.stages_sent))
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
    task = step.routed.task
    if task.wire == "responses":
        return errors.failed_response(error, step.receipt_id, int(step.routed.snapshot.now_s))
    name = b"event: error\n" if task.wire == "messages" else b""
    return name + b"data: " + errors.ERROR_ENCODERS[task.wire](error) + b"\n\n"


def _event(name: str, document: dict[str, Any]) -> bytes:
    return f"event: openfusion.{name}\n".encode() + b"data: " + orjson.dumps(document) + b"\n\n"


def _cost_headers(step: Step) -> RawHeaders:
    cost_usd = step.trace.cost_usd
    return [] if cost_usd is None else [(b"x-openfusion-cost-usd", f"{cost_usd:.8f}".encode())]


async def _send_stream_error(step: Step, send: Send, error: AutorouterError) -> None:
    """Send an error instead of a stream, in the wire's shape. Some clients compact their conversation only on one event of a
    stream with status 200, not on a 400."""
    task = step.routed.task
    as_event = task.wire == "responses" and profile_named(task.client).overflow_as_stream_event
    if error.code != errors.TOO_LONG or not as_event:
        await send_error(send, error, response_headers(step), wire=task.wire)
        return
    event = errors.failed_response(error, step.receipt_id, int(step.routed.snapshot.now_s))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM_HEADERS, *response_headers(step)]}
    )
    await send({"type": "http.response.body", "body": event})


def response_headers(step: Step) -> RawHeaders:
    """The headers of every answer: which model answered, by which decision."""
    plan, context = step.routed.decision.plan, CURRENT_REQUEST.get()
    request_id = context.request_id if context is not None else None
    headers = [
        (b"x-autorouter-receipt", step.receipt_id.encode()),
        (b"x-request-id", (request_id or step.receipt_id).encode()),
    ]
    if context is not None:
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
MAX_SUMMARY_BYTES = 2_000
SUMMARY_DROP_ORDER = ("panel", "phases", "notes", "why")
"""Members left out, in this order, of a summary that would be longer; the receipt has them all."""


def response_summary(step: Step) -> dict[str, Any]:
    """The `openfusion` member of an answer that isn't streamed, at most 2 kB."""
    decision, trace = step.routed.decision, step.trace
    last = trace.answer or trace.attempts[-1]
    document: dict[str, Any] = {
        "receipt": step.receipt_id,
        "strategy": str(decision.plan.strategy) if decision.plan else None,
        "candidate": last.candidate,
        "model": last.model,
        "why": explain_decision(decision, step.routed.features),
        "notes": [note[:200] for note in decision.notes[:MAX_SUMMARY_NOTES]],
        "attempts": len(trace.attempts),
        "cost_usd": None if trace.cost_usd is None else round(trace.cost_usd, 8),
        "usage_source": last.usage_source,
    }
    if step.strategy is not Strategy.SINGLE:
        document |= {"usage": to_plain(trace.usage), "phases": phases_record(trace)}
        document |= {"panel": trace.panel, "degraded": [text[:200] for text in trace.degraded[:MAX_SUMMARY_NOTES]]}
        for name in SUMMARY_DROP_ORDER:
            if len(orjson.dumps(document)) > MAX_SUMMARY_BYTES:
                del document[name]
    return document
