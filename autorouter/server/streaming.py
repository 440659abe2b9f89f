"""A step's answer on its way to the client: whole, or as a stream; what it says of itself; and signs of life before it begins.

    : openfusion panel: 2 of 3 members          a comment at most every `BETWEEN_S` while nothing can stream yet
    data: {...}                                  then the answer

Where nothing has been said yet an error has its own status. Behind the first comment it is an event, and the line is cut.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

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
"""So long an error can still have its own status; agents look at it before they look at anything else."""
KEEPALIVE_INTERVAL_S = 8.0
"""Comments come at most 10 s apart: proxies and clients give up on silence after 30 to 60."""


async def send_response(step: Step, send: Send) -> None:
    """An answer that isn't streamed, with the summary in it."""
    try:
        body = await step.answer()
    except AutorouterError as error:
        await send_error(send, error, response_headers(step), wire=step.routed.task.wire)
        return
    step.finish()
    body = request_body.with_member(body, request_body.EXTENSION, summary(step))
    await send_bytes(send, 200, body, (JSON_CONTENT_TYPE, *response_headers(step), *_cost(step)))


async def send_stream(step: Step, send: Send) -> None:
    """A streamed answer."""
    line = _Line(step, send)
    try:
        single = step.strategy in (None, Strategy.SINGLE)
        opened = await (step.open() if single else _attended(step, line))
    except AutorouterError as error:
        if line.begun:
            await send(
                {"type": "http.response.body", "body": line.news() + error_event(step, error), "more_body": True}
            )
        else:
            await _refuse_stream(step, send, error)
        return
    await line.begin()
    await send({"type": "http.response.body", "body": line.news() + opened.first, "more_body": True})
    try:
        async for chunk in step.chunks(opened):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except StreamBroken:
        # No end: the server then closes the connection, which every client takes for what it is.
        return
    # The client may act on the end at once: what the session learned must be there before it.
    step.finish()
    await send({"type": "http.response.body", "body": line.last_words()})


class _Line:
    """The client's line: whether its answer has begun, and how much of the progress has been told."""

    def __init__(self, step: Step, send: Send) -> None:
        self.begun = False
        self.events = dict(step.routed.task.headers).get(PROGRESS_HEADER) == "events"
        self.told = 0
        self._step, self._send = step, send

    async def begin(self) -> None:
        """Status and headers, once."""
        if not self.begun:
            self.begun = True
            headers = [*EVENT_STREAM_HEADERS, *response_headers(self._step)]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def comment(self) -> None:
        """A sign of life; every stage as an event of its own for a client that asked for that."""
        await self.begin()
        said = f": openfusion {self._step.progress.status_text()}\n\n".encode() + self.news()
        await self._send({"type": "http.response.body", "body": said, "more_body": True})

    def news(self) -> bytes:
        """The stages that haven't been told yet, for a client that asked for events."""
        stages = self._step.progress.stages[self.told :] if self.events else []
        self.told += len(stages)
        return b"".join(_event("progress", stage) for stage in stages)

    def last_words(self) -> bytes:
        """The summary behind the end, for a client that asked for events."""
        return _event("summary", summary(self._step)) if self.events else b""


async def _attended(step: Step, line: _Line) -> StreamReply:
    """Open, and keep the client's line alive meanwhile."""
    work = asyncio.create_task(step.open())
    news: asyncio.Task[None] | None = None
    try:
        while not work.done():
            news = asyncio.create_task(step.progress.wait_for_more(line.told)) if line.events else None
            silence_s = KEEPALIVE_INTERVAL_S if line.begun else FIRST_KEEPALIVE_S
            waits: set[asyncio.Task[Any]] = {work} if news is None else {work, news}
            done, _ = await asyncio.wait(waits, timeout=silence_s, return_when=asyncio.FIRST_COMPLETED)
            if news is not None:
                news.cancel()
            if work not in done:
                await line.comment()
        return work.result()
    finally:
        if news is not None:
            news.cancel()
        # A hang-up cancels this task only: the work must have ended before the step is accounted for.
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


def error_event(step: Step, error: AutorouterError) -> bytes:
    """An error behind a line that has begun, as its wire knows it."""
    task = step.routed.task
    if task.wire == "responses":
        return errors.failed_response(error, step.receipt_id, int(step.routed.snapshot.now_s))
    name = b"event: error\n" if task.wire == "messages" else b""
    return name + b"data: " + errors.ERROR_ENCODERS[task.wire](error) + b"\n\n"


def _event(name: str, document: dict[str, Any]) -> bytes:
    return f"event: openfusion.{name}\n".encode() + b"data: " + orjson.dumps(document) + b"\n\n"


def _cost(step: Step) -> RawHeaders:
    cost_usd = step.trace.cost_usd
    return [] if cost_usd is None else [(b"x-openfusion-cost-usd", f"{cost_usd:.8f}".encode())]


async def _refuse_stream(step: Step, send: Send, error: AutorouterError) -> None:
    """An error instead of a stream: in the wire's shape, or as the one event that Codex compacts its conversation at."""
    task = step.routed.task
    if error.code != errors.TOO_LONG or (task.wire, task.client) != ("responses", "codex"):
        await send_error(send, error, response_headers(step), wire=task.wire)
        return
    event = errors.failed_response(error, step.receipt_id, int(step.routed.snapshot.now_s))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM_HEADERS, *response_headers(step)]}
    )
    await send({"type": "http.response.body", "body": event})


def response_headers(step: Step) -> RawHeaders:
    """Which model answered, by which decision: the headers of every answer."""
    plan, mark = step.routed.decision.plan, CURRENT_REQUEST.get()
    request_id = mark.request_id if mark is not None else None
    found = [
        (b"x-autorouter-receipt", step.receipt_id.encode()),
        (b"x-request-id", (request_id or step.receipt_id).encode()),
    ]
    if mark is not None:
        found.append((b"traceparent", mark.trace.traceparent.encode()))
    if plan is not None:
        found.append((b"x-autorouter-strategy", plan.strategy.encode()))
    if (answer := _answering(step)) is not None:
        found.append((b"x-autorouter-model", answer.candidate.encode()))
    return found


def _answering(step: Step) -> Attempt | None:
    """Whose words go out; of a panel that is still at work nobody knows."""
    trace = step.trace
    if trace.answer is None and step.strategy is Strategy.SINGLE and trace.attempts:
        return trace.attempts[-1]
    return trace.answer


MAX_SUMMARY_NOTES = 4
MAX_SUMMARY_BYTES = 2_000
SUMMARY_DROP_ORDER = ("panel", "phases", "notes", "why")
"""What is left out of a summary that would be longer, in this order; the receipt has all of it."""


def summary(step: Step) -> dict[str, Any]:
    """What a non-streamed answer says of itself under `openfusion`: at most 2 kB."""
    decision, trace = step.routed.decision, step.trace
    last = trace.answer or trace.attempts[-1]
    said: dict[str, Any] = {
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
        said |= {"usage": to_plain(trace.usage), "phases": phases_record(trace)}
        said |= {"panel": trace.panel, "degraded": [text[:200] for text in trace.degraded[:MAX_SUMMARY_NOTES]]}
        for name in SUMMARY_DROP_ORDER:
            if len(orjson.dumps(said)) > MAX_SUMMARY_BYTES:
                del said[name]
    return said
