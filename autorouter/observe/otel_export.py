"""Exports spans to an OpenTelemetry collector, by OTLP over HTTP, with the SDK's own batch processor.

    on_request -> spans -> BatchSpanProcessor: a queue and a thread -> POST ENDPOINT/v1/traces

OTEL_BSP_SCHEDULE_DELAY and OTEL_BSP_MAX_EXPORT_BATCH_SIZE set its pace. Spans that don't fit into the queue, or that the
collector rejects, are dropped and counted, with at most one warning a minute. Imports the extra `otel`: see `otel`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from autorouter.engine.receipt import CompletedRequest
from autorouter.errors import exception_site
from autorouter.observe import otel_spans
from autorouter.observe.recorder import RejectedRequest
from autorouter.upstream.transport import UpstreamTarget

MAX_QUEUED_SPANS = 2_048
"""The SDK's own default."""
CLOSE_TIMEOUT_S = 2.0
WARN_EVERY_S = 60.0
log = logging.getLogger("autorouter.telemetry")


class CountingSpanExporter(SpanExporter):
    """Passes spans on, and counts what became of them. Used by the processor's thread."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exported = 0
        self.failed = 0
        self._exporter = exporter
        self._warned_s = -WARN_EVERY_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        reason = "the collector doesn't take them"
        try:
            result = self._exporter.export(spans)
        except Exception as exc:
            result, reason = SpanExportResult.FAILURE, exception_site(exc)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
            self._warn(reason)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def _warn(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning("%d spans dropped so far: %s", self.failed, reason)


class OtelExporter:
    """An observer that exports. `exported` and `dropped` count spans."""

    def __init__(self, endpoint: str, targets: Mapping[str, UpstreamTarget]) -> None:
        # The library logs the collector's whole response for every attempt; we warn once a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = CountingSpanExporter(OTLPSpanExporter(endpoint=endpoint))
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=MAX_QUEUED_SPANS)
        self._resource = otel_spans.resource()
        self._addresses = otel_spans.upstream_addresses(targets)
        self._queued = 0
        self._rejected = 0

    @property
    def exported(self) -> int:
        return self._exporter.exported

    @property
    def dropped(self) -> int:
        return self._rejected + self._exporter.failed

    def on_request(self, completed: CompletedRequest) -> None:
        """Queue the spans of a finished step, if it is sampled."""
        if completed.trace_context is None or not completed.trace_context.sampled:
            return
        spans = list(otel_spans.request_spans(completed, self._addresses, self._resource))
        # The processor would drop the oldest span without counting it, and tear a step apart: it fits as a whole or not at all.
        waiting = self._queued - self._exporter.exported - self._exporter.failed
        if waiting + len(spans) > MAX_QUEUED_SPANS:
            self._rejected += len(spans)
            return
        self._queued += len(spans)
        for span in spans:
            self._processor.on_end(span)

    def on_rejected(self, rejected: RejectedRequest) -> None:
        """A rejected request has no span."""

    def close(self) -> None:
        """Send what is queued, for at most `CLOSE_TIMEOUT_S`: the processor's own shutdown may wait for 30 s."""
        closing = threading.Thread(target=self._processor.shutdown, name="telemetry-close", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)
        if closing.is_alive():
            self._exporter.shutdown()
