"""Spans as a collector gets them: who is whose parent, what stands on them, and that a dead collector disturbs nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from autorouter.config.schema import TelemetryConfig
from autorouter.errors import ConfigError
from autorouter.observe import otel
from autorouter.observe.otel import otlp_endpoint
from tests.fakes import WAIT_S, Relay, completion, refuse, whole
from tests.observe.conftest import scraped, value
from tests.server.conftest import KEY_ONE, KEY_TWO, Router, body

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "zebra-prompt"
ASK = [{"role": "user", "content": PROMPT}]


@dataclass
class Span:
    """What a test looks at."""

    name: str
    kind: int
    status: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """A small OTLP/HTTP collector."""

    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    got: threading.Event = field(default_factory=threading.Event)

    def spans(self) -> list[Span]:
        """All spans up to now, after at least one request has come."""
        assert self.got.wait(WAIT_S)
        spans = []
        for data in self.raw:
            for group in ExportTraceServiceRequest.FromString(data).resource_spans:
                resource = {a.key: _plain(a.value) for a in group.resource.attributes}
                spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
        return spans


def _plain(given: Any) -> Any:
    return getattr(given, given.WhichOneof("value"))


def _span(span: Any, resource: dict[str, Any]) -> Span:
    attributes = {a.key: _plain(a.value) for a in span.attributes}
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    times = (span.start_time_unix_nano, span.end_time_unix_nano)
    return Span(span.name, span.kind, span.status.code, *ids, *times, attributes, resource)


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            found.raw.append(data)
            found.paths.append(self.path)
            self.send_response(found.status)
            self.send_header("content-length", "0")
            self.end_headers()
            found.got.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join(WAIT_S)
    server.server_close()


@pytest.fixture
def exporting(
    route: Callable[..., Router], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Router]:
    """A router that exports to the collector at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    return lambda **env: route(more=f'[telemetry]\notlp_endpoint = "{collector.url}"', **env)


def test_a_step_is_a_span_with_a_child_for_each_call(
    exporting: Callable[..., Router], collector: Collector, relay: Relay
) -> None:
    router = exporting()
    relay.play(refuse(401), to="vendor/first")
    answer = router.post(body(ASK), traceparent=f"00-{TRACE}-{PARENT}-01")
    scraped(router)
    step, failed, answered = collector.spans()
    assert collector.paths[0] == "/v1/traces"
    assert (step.name, failed.name, answered.name) == (
        "route openfusion/auto",
        "chat vendor/first",
        "chat vendor/second",
    )
    assert {span.trace_id for span in (step, failed, answered)} == {TRACE}
    assert step.parent_id == PARENT
    assert f"00-{TRACE}-{step.span_id}-01" == answer.headers["traceparent"]
    assert failed.parent_id == answered.parent_id == step.span_id
    assert (step.kind, failed.kind) == (2, 3), "SERVER and CLIENT"
    assert (step.status, failed.status, answered.status) == (0, 2, 0)
    assert (
        step.start_ns <= failed.start_ns < failed.end_ns <= answered.start_ns < answered.end_ns <= step.end_ns + 10**6
    )
    assert step.resource["service.name"] == "autorouter"
    receipt = router.receipt(answer)
    assert step.attributes["autorouter.receipt"] == receipt["id"]
    assert step.attributes["autorouter.cost_usd"] == pytest.approx(receipt["outcome"]["cost_usd"], abs=1e-7)
    assert not [name for name in step.attributes if name.startswith("gen_ai.usage.")]
    assert failed.attributes["error.type"] == receipt["attempts"][0]["result"] == "auth"
    assert failed.attributes["http.response.status_code"] == 401


def test_a_calls_span_speaks_the_genai_conventions(
    exporting: Callable[..., Router], collector: Collector, relay: Relay
) -> None:
    router = exporting()
    used = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 600}}
    relay.always(whole(completion() | {"usage": used}))
    router.post(body(ASK, max_tokens=77))
    _, call, *_ = collector.spans()
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "one",
        "gen_ai.request.model": "vendor/first",
        "gen_ai.response.model": "served/model",
        "gen_ai.request.max_tokens": 77,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 600,
        "server.address": "127.0.0.1",
        "server.port": relay.port,
    }
    assert {name: call.attributes.get(name) for name in expected} == expected


def test_spans_have_no_content_and_no_key(exporting: Callable[..., Router], collector: Collector, relay: Relay) -> None:
    router = exporting()
    router.post(body(ASK), authorization=f"Bearer {PROMPT}", x_note=PROMPT)
    collector.spans()
    for secret in (PROMPT, KEY_ONE, KEY_TWO, "Good."):
        assert secret.encode() not in b"".join(collector.raw)


def test_a_trace_whose_caller_does_not_sample_it_is_not_exported(
    exporting: Callable[..., Router], collector: Collector
) -> None:
    router = exporting()
    router.post(body(ASK), traceparent=f"00-{TRACE}-{PARENT}-00")
    answer = router.post(body(ASK))
    assert answer.headers["traceparent"].endswith("-01"), "a trace that begins here is recorded"
    assert TRACE not in {span.trace_id for span in collector.spans()}


@pytest.mark.parametrize("how", ["refused", "nobody"])
def test_a_dead_collector_disturbs_no_request_and_no_stop(
    how: str, route: Callable[..., Router], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    if how == "nobody":
        monkeypatch.setattr("autorouter.observe.otel_export.CLOSE_TIMEOUT_S", 0.2)
    collector.status = 400
    url = collector.url if how == "refused" else "http://127.0.0.1:9"
    router = route(more=f'[telemetry]\notlp_endpoint = "{url}"')
    assert [router.post(body(ASK)).status_code for _ in range(20)] == [200] * 20
    found = scraped(router)
    assert value(found, "spans_exported_total") == 0
    if how == "refused":
        assert collector.got.wait(WAIT_S)
    spans = router.runtime.otel_exporter
    assert spans is not None
    spans.close()
    assert spans.exported == 0
    if how == "refused":
        assert spans.dropped == 40


def test_what_finds_no_room_is_dropped_and_counted(
    exporting: Callable[..., Router], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = exporting()
    monkeypatch.setattr("autorouter.observe.otel_export.MAX_QUEUED_SPANS", 1)
    router.post(body(ASK))
    counted = scraped(router)
    assert value(counted, "spans_dropped_total") == 2, "the step's span and its call's: a step goes as a whole"
    assert value(counted, "spans_exported_total") == 0


URL = "http://127.0.0.1:4318"
ENV = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:4318/"}


@pytest.mark.parametrize(
    ("telemetry", "env", "endpoint"),
    [
        (TelemetryConfig(), ENV, None),
        (TelemetryConfig(enabled=False, otlp_endpoint=URL), ENV, None),
        (TelemetryConfig(otlp_endpoint=URL), ENV, f"{URL}/v1/traces"),
        (TelemetryConfig(otlp_endpoint=f"{URL}/v1/traces"), {}, f"{URL}/v1/traces"),
        (TelemetryConfig(enabled=True), ENV, "http://env:4318/v1/traces"),
        (TelemetryConfig(enabled=True), ENV | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
        (TelemetryConfig(enabled=True), {}, "http://localhost:4318/v1/traces"),
    ],
)
def test_nothing_is_exported_unless_the_configuration_asks_for_it(
    telemetry: TelemetryConfig, env: dict[str, str], endpoint: str | None
) -> None:
    assert otlp_endpoint(telemetry, env) == endpoint


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "LIBRARY", "opentelemetry_that_is_not_there.exporter")
    with pytest.raises(ConfigError, match=r"pip install 'autorouter\[otel\]'"):
        otlp_endpoint(TelemetryConfig(otlp_endpoint=URL), {})
    assert otlp_endpoint(TelemetryConfig(), {}) is None
