"""`GET /metrics` for Prometheus, behind the guard as every other path; and the note of a request that was refused at the door.

The numbers are taken in the event loop, all of one moment; the text is made in a thread. The library is loaded with the first
scrape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType

from autorouter.errors import AutorouterError
from autorouter.observe import logs
from autorouter.observe.mark import request_id_of
from autorouter.observe.seen import Rejected
from autorouter.observe.tally import Gauge
from autorouter.runtime import Runtime
from autorouter.server.http import Receive, Scope, Send, headers_of, send_bytes
from autorouter.server.limits import Gate

WIRES = {"/v1/chat/completions": "chat", "/v1/responses": "responses", "/v1/messages": "messages"}


class MetricsEndpoint:
    """The scrape."""

    def __init__(self, runtime: Runtime, gate: Gate) -> None:
        self._runtime = runtime
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(_load)
        from autorouter.observe import families

        runtime = self._runtime
        runtime.observed.drain()
        now = tuple(gauges(runtime, self._gate))
        found = [*families.of_tally(runtime.tally), *families.of_state(runtime.deps, now)]
        body, kind = await asyncio.to_thread(families.text, found, headers_of(scope).get("accept", ""))
        await send_bytes(send, 200, body, [(b"content-type", kind.encode()), (b"cache-control", b"no-store")])


class Refusals:
    """Notes requests that were refused before they became a step; the guard calls it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __call__(self, scope: Scope, error: AutorouterError) -> None:
        wire = WIRES.get(scope["path"], "other")
        request_id, now_s = request_id_of(headers_of(scope)), self._runtime.deps.clock()
        self._runtime.observed.reject(Rejected(wire, error.code, error.http_status, request_id, now_s))


def gauges(runtime: Runtime, gate: Gate) -> Iterator[Gauge]:
    """Numbers of the moment that others keep."""
    yield Gauge("in_flight", "Requests being carried out.", gate.in_flight)
    yield Gauge("queued", "Requests that wait for a slot.", gate.queued)
    yield Gauge("open_streams", "Streams among those in flight.", gate.open_streams)
    yield Gauge("held_bytes", "Bodies in hand, all together.", gate.held_bytes)
    writer = runtime.writer
    if writer is not None:
        yield Gauge("receipts_backlog", "Receipts that wait to be built.", writer.backlog)
        yield Gauge("receipts_dropped", "Receipts that couldn't be written.", writer.dropped, counter=True)
    yield Gauge("log_lines_dropped", "Log lines that nobody took.", logs.dropped(), counter=True)
    spans = runtime.spans
    if spans is not None:
        yield Gauge("spans_exported", "Spans that the collector took.", spans.exported, counter=True)
        yield Gauge("spans_dropped", "Spans that it didn't, or that found no room.", spans.dropped, counter=True)


def _load() -> ModuleType:
    """In a thread, for it takes 70 ms; who doesn't scrape doesn't need it."""
    from autorouter.observe import families

    return families
