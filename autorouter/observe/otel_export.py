"""Exports spans to an OpenTelemetry collector, by OTLP over HTTP, from a thread of its own. Off by default.

    on_request -> queue of at most 2,048 -> thread, once a second -> spans -> POST ENDPOINT/v1/traces

Spans that don't fit into the queue, or that the collector rejects, are dropped and counted, with at most one warning a minute.
No request waits. The libraries are the extra `otel`; the thread loads them, which is why `otel_spans` is a module of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from autorouter.config.schema import TelemetryConfig
from autorouter.errors import ConfigError, exception_site
from autorouter.observe.events import CompletedRequest, RejectedRequest
from autorouter.upstream.transport import UpstreamTarget

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

MAX_QUEUED_STEPS = 2_048
"""Steps; the SDK's own default for spans."""
BATCH_STEPS = 128
"""Steps in one POST: some 300 spans, 200 kB."""
BATCH_DELAY_S = 1.0
CLOSE_TIMEOUT_S = 2.0
WARN_EVERY_S = 60.0
TRACES_PATH = "/v1/traces"
LIBRARY = "opentelemetry.exporter.otlp.proto.http"
log = logging.getLogger("autorouter.telemetry")


def otlp_endpoint(telemetry: TelemetryConfig, env: Mapping[str, str]) -> str | None:
    """The full URL for spans, None if export is off. Raises ConfigError if it is on and OpenTelemetry isn't installed."""
    enabled = telemetry.otlp_endpoint is not None if telemetry.enabled is None else telemetry.enabled
    if not enabled:
        return None
    if not _installed():
        hint = "pip install 'autorouter[otel]', or set telemetry.enabled = false"
        raise ConfigError("telemetry is on, and OpenTelemetry is not installed", hint=hint)
    traces_url = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if telemetry.otlp_endpoint is None and traces_url:
        return traces_url
    base = telemetry.otlp_endpoint or env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
    return base if base.endswith(TRACES_PATH) else base.rstrip("/") + TRACES_PATH


def _installed() -> bool:
    try:
        return find_spec(LIBRARY) is not None
    except ModuleNotFoundError:
        return False


class OtelExporter:
    """An observer that exports. `exported` and `dropped` count spans; for a full queue, `dropped` counts steps."""

    def __init__(self, endpoint: str, targets: Mapping[str, UpstreamTarget]) -> None:
        self.exported = 0
        self.dropped = 0
        self._endpoint, self._targets = endpoint, targets
        self._queue: deque[CompletedRequest] = deque()
        self._wake, self._flush = threading.Event(), threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._exporter: OTLPSpanExporter | None = None
        self._warned_s = -WARN_EVERY_S

    def on_request(self, completed: CompletedRequest) -> None:
        """Queue a finished step, if it is sampled."""
        if completed.context is None or not completed.context.trace.sampled:
            return
        if len(self._queue) >= MAX_QUEUED_STEPS:
            self.dropped += 1
            return
        self._queue.append(completed)
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
                self._thread.start()

    def on_rejected(self, rejected: RejectedRequest) -> None:
        """A rejected request has no span."""

    def close(self) -> None:
        """Send what is queued, for at most `CLOSE_TIMEOUT_S`."""
        self._closing = True
        self._flush.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        from autorouter.observe import otel_spans

        # The library logs the collector's whole response for every attempt; we warn once a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = self._exporter = OTLPSpanExporter(endpoint=self._endpoint)
        resource, addresses = otel_spans.resource(), otel_spans.upstream_addresses(self._targets)
        while not self._closing or self._queue:
            self._wake.wait()
            self._flush.wait(BATCH_DELAY_S)
            self._wake.clear()
            while self._queue:
                steps = [self._queue.popleft() for _ in range(min(BATCH_STEPS, len(self._queue)))]
                spans = [span for step in steps for span in otel_spans.request_spans(step, addresses, resource)]
                try:
                    accepted = exporter.export(spans) is SpanExportResult.SUCCESS
                    reason = "the collector doesn't take them"
                except Exception as exc:
                    accepted, reason = False, exception_site(exc)
                if accepted:
                    self.exported += len(spans)
                else:
                    self.dropped += len(spans)
                    self._warn(reason)

    def _warn(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning("%d spans dropped so far: %s", self.dropped, reason)
