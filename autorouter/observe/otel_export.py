"""Spans to an OpenTelemetry collector, by OTLP over HTTP, from a thread of its own. Off unless the configuration asks for it.

    saw(seen) -> waiting, at most 2,048 -> thread, once a second -> spans -> POST ENDPOINT/v1/traces

What finds no room, and what the collector doesn't take, is dropped and counted; one warning a minute says so. No request
waits for any of it. The libraries are the extra `otel`, and are loaded in the thread.
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
from autorouter.errors import ConfigError
from autorouter.observe.events import CompletedRequest, RejectedRequest
from autorouter.observe.places import place_of
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
    """Where spans go, in full; None where nothing is exported. ConfigError where it is wanted and can't be done."""
    wanted = telemetry.otlp_endpoint is not None if telemetry.enabled is None else telemetry.enabled
    if not wanted:
        return None
    if not _installed():
        hint = "pip install 'autorouter[otel]', or set telemetry.enabled = false"
        raise ConfigError("telemetry is on, and OpenTelemetry is not installed", hint=hint)
    whole = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if telemetry.otlp_endpoint is None and whole:
        return whole
    base = telemetry.otlp_endpoint or env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
    return base if base.endswith(TRACES_PATH) else base.rstrip("/") + TRACES_PATH


def _installed() -> bool:
    try:
        return find_spec(LIBRARY) is not None
    except ModuleNotFoundError:
        return False


class OtelExporter:
    """An observer that exports. `exported` and `dropped` count spans; of what found no room, steps."""

    def __init__(self, endpoint: str, targets: Mapping[str, UpstreamTarget]) -> None:
        self.exported = 0
        self.dropped = 0
        self._endpoint, self._targets = endpoint, targets
        self._waiting: deque[CompletedRequest] = deque()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._exporter: OTLPSpanExporter | None = None
        self._warned_s = -WARN_EVERY_S

    def saw(self, seen: CompletedRequest) -> None:
        """A finished step; one that isn't sampled goes nowhere."""
        if seen.mark is None or not seen.mark.trace.sampled:
            return
        if len(self._waiting) >= MAX_QUEUED_STEPS:
            self.dropped += 1
            return
        self._waiting.append(seen)
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
                self._thread.start()

    def rejected(self, rejected: RejectedRequest) -> None:
        """No step, no span."""

    def close(self) -> None:
        """Send what waits; a collector that doesn't answer is waited for `CLOSE_S`, and then given up."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _run(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        from autorouter.observe import otel_spans

        # It logs whole answers of the collector, for every try: ours is one line a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = self._exporter = OTLPSpanExporter(endpoint=self._endpoint)
        resource, places = otel_spans.resource(), otel_spans.places(self._targets)
        while not self._closing or self._waiting:
            self._wake.wait()
            self._hurry.wait(BATCH_DELAY_S)
            self._wake.clear()
            while self._waiting:
                steps = [self._waiting.popleft() for _ in range(min(BATCH_STEPS, len(self._waiting)))]
                made = [span for step in steps for span in otel_spans.request_spans(step, places, resource)]
                try:
                    taken = exporter.export(made) is SpanExportResult.SUCCESS
                    reason = "the collector doesn't take them"
                except Exception as exc:
                    taken, reason = False, place_of(exc)
                if taken:
                    self.exported += len(made)
                else:
                    self.dropped += len(made)
                    self._warn(reason)

    def _warn(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            log.warning("%d spans dropped so far: %s", self.dropped, reason)
