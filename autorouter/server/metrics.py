"""`GET /metrics` for Prometheus, and the record of requests that were rejected before they became a step.

The values are read in the event loop, so that they are consistent; the text is rendered in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType

from autorouter.engine.request_context import request_id_of
from autorouter.errors import AutorouterError
from autorouter.observe import logs
from autorouter.observe.metrics import GaugeValue
from autorouter.observe.recorder import RejectedRequest
from autorouter.runtime import Runtime
from autorouter.server.asgi import Receive, Scope, Send, headers_of, send_bytes
from autorouter.server.concurrency import ConcurrencyLimiter

WIRE_BY_PATH = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}


class MetricsEndpoint:
    """The scrape."""

    def __init__(self, runtime: Runtime, limiter: ConcurrencyLimiter) -> None:
        self._runtime = runtime
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(_load)
        from autorouter.observe import prometheus

        runtime = self._runtime
        runtime.recorder.drain()
        now = tuple(runtime_gauges(runtime, self._limiter))
        all_families = [*prometheus.request_families(runtime.metrics), *prometheus.state_families(runtime.deps, now)]
        body, kind = await asyncio.to_thread(prometheus.render, all_families, headers_of(scope).get("accept", ""))
        await send_bytes(send, 200, body, [(b"content-type", kind.encode()), (b"cache-control", b"no-store")])


class RejectionRecorder:
    """Records requests that were rejected before they became a step. The guard calls it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __call__(self, scope: Scope, error: AutorouterError) -> None:
        wire = WIRE_BY_PATH.get(scope["path"], "other")
        request_id, now_s = request_id_of(headers_of(scope)), self._runtime.deps.clock()
        self._runtime.recorder.reject(RejectedRequest(wire, error.code, error.http_status, request_id, now_s))


def runtime_gauges(runtime: Runtime, limiter: ConcurrencyLimiter) -> Iterator[GaugeValue]:
    """Current values that other modules keep."""
    yield GaugeValue("in_flight", "Requests being carried out.", limiter.in_flight)
    yield GaugeValue("queued", "Requests that wait for a slot.", limiter.queued)
    yield GaugeValue("open_streams", "Streams among those in flight.", limiter.open_streams)
    yield GaugeValue("held_bytes", "Bodies in hand, all together.", limiter.held_bytes)
    writer = runtime.writer
    if writer is not None:
        yield GaugeValue(
            "receipts_backlog", "Receipts that wait to be built.", runtime.recorder.backlog + writer.backlog
        )
        yield GaugeValue("receipts_dropped", "Receipts that couldn't be written.", writer.dropped, counter=True)
    yield GaugeValue("log_lines_dropped", "Log lines that nobody took.", logs.dropped_lines(), counter=True)
    exporter = runtime.otel_exporter
    if exporter is not None:
        yield GaugeValue("spans_exported", "Spans that the collector took.", exporter.exported, counter=True)
        yield GaugeValue(
            "spans_dropped", "Spans that it didn't, or that found no room.", exporter.dropped, counter=True
        )


def _load() -> ModuleType:
    """Import the library in a thread, because it takes 70 ms, and only with the first scrape."""
    from autorouter.observe import prometheus

    return prometheus
