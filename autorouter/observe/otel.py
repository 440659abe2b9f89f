"""Whether spans are exported to an OpenTelemetry collector, and where to. Off by default.

The libraries are the extra `otel`, and take a third of a second to import: `otel_export` and `otel_spans` are imported only
where export is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from autorouter.config.schema import TelemetryConfig
from autorouter.errors import ConfigError
from autorouter.upstream.transport import UpstreamTarget

if TYPE_CHECKING:
    from autorouter.observe.otel_export import OtelExporter

TRACES_PATH = "/v1/traces"
LIBRARY = "opentelemetry.exporter.otlp.proto.http"


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


def make_exporter(endpoint: str, targets: Mapping[str, UpstreamTarget]) -> OtelExporter:
    """An exporter to this endpoint. Imports the SDK."""
    from autorouter.observe.otel_export import OtelExporter

    return OtelExporter(endpoint, targets)
