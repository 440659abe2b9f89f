"""`GET /metrics` for Prometheus, behind the guard as every other path; and the note of a request that was refused at the door.

The numbers are taken in the event loop, all of one moment; the text is made in a thread. The library is loaded with the first
scrape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType

from autorouter.errors import AutorouterError
from autorouter.observe import logging_setup
from autorouter.observe.events import RejectedRequest
from autorouter.observe.metrics import GaugeValue
from autorouter.observe.request_context import request_id_of
from autorouter.runtime import Runtime
from autorouter.server.asgi import Receive, Scope, Send, headers_of, send_bytes
from autorouter.server.concurrency import ConcurrencyLimiter

WIRE_BY_PATH = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}


class MetricsEndpoint:
    """The scrape."""

    def __init__(self, runtime: Runtime, gate: ConcurrencyLimiter) -> None:
        self._runtime = runtime
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(_load)
        from autorouter.observe import prometheus

        runtime = self._runtime
        runtime.dispatcher.drain()
        now = tuple(runtime_gauges(runtime, self._gate))
        found = [*prometheus.request_families(runtime.metrics), *prometheus.state_families(runtime.deps, now)]
        body, kind = await asyncio.to_thread(prometheus.render, found, headers_of(scope).get("accept", ""))
        await send_bytes(send, 200, body, [(b"content-type", kind.encode()), (b"cache-control", b"no-store")])


class RejectionRecorder:
    """Notes requests that were refused before they became a step; the guard calls it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __call__(self, scope: Scope, error: AutorouterError) -> None:
        wire = WIRE_BY_PATH.get(scope["path"], "other")
        request_id, now_s = request_id_of(headers_of(scope)), self._runtime.deps.clock()
        self._runtime.dispatcher.reject(RejectedRequest(wire, error.code, error.http_status, request_id, now_s))


def runtime_gauges(runtime: Runtime, gate: ConcurrencyLimiter) -> Iterator[GaugeValue]:
    """Numbers of the moment that others keep."""
    yield GaugeValue("in_flight", "Requests being carried out.", gate.in_flight)
    yield GaugeValue("queued", "Requests that wait for a slot.", gate.queued)
    yield GaugeValue("open_streams", "Streams among those in flight.", gate.open_streams)
    yield GaugeValue("held_bytes", "Bodies in hand, all together.", gate.held_bytes)
    writer = runtime.writer
    if writer is not None:
        yield GaugeValue("receipts_backlog", "Receipts that wait to be built.", writer.backlog)
        yield GaugeValue("receipts_dropped", "Receipts that couldn't be written.", writer.dropped, counter=True)
    yield GaugeValue("log_lines_dropped", "Log lines that nobody took.", logging_setup.dropped_lines(), counter=True)
    exporter = runtime.otel_exporter
    if exporter is not None:
        yield GaugeValue("spans_exported", "Spans that the collector took.", exporter.exported, counter=True)
        yield GaugeValue(
            "spans_dropped", "Spans that it didn't, or that found no room.", exporter.dropped, counter=True
        )


def _load() -> ModuleType:
    """In a thread, for it takes 70 ms; who doesn't scrape doesn't need it."""
    from autorouter.observe import prometheus

    return prometheus
