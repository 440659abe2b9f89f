"""Assembly: the only place that makes transports, clocks and writers. The server and every command call `build`.

runtime = build(settings, env=environment())
runtime.deps          what the engine works with
await runtime.aclose()    inside the loop: the transport;   runtime.close(): the receipts, at the very end
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autorouter.config.load import Settings
from autorouter.config.provider_keys import api_key, key_source
from autorouter.config.schema import UpstreamConfig
from autorouter.engine import prompts
from autorouter.engine.deps import Deps, RouterState
from autorouter.engine.receipt import context_record
from autorouter.engine.retry import HedgeBudget, RetryPolicy
from autorouter.engine.web import WebSettings
from autorouter.observe.logs import AccessLog
from autorouter.observe.metrics import RequestMetrics
from autorouter.observe.otel import make_exporter, otlp_endpoint
from autorouter.observe.recorder import ReceiptListener, RequestListener, RequestRecorder
from autorouter.receipts.chain import digest
from autorouter.receipts.writer import ReceiptWriter
from autorouter.state_file import StateFile
from autorouter.upstream.concurrency import ConcurrencyLimit, ConcurrencyLimitedTransport
from autorouter.upstream.profiles import profile_of
from autorouter.upstream.transport import Timeouts, Transport, UpstreamTarget

if TYPE_CHECKING:
    from autorouter.observe.otel_export import OtelExporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """An assembled router. `writer` is None if receipts are off, `otel_exporter` if nothing is exported."""

    settings: Settings
    deps: Deps
    writer: ReceiptWriter | None
    recorder: RequestRecorder
    metrics: RequestMetrics
    otel_exporter: OtelExporter | None
    health: StateFile | None

    def flush(self) -> None:
        """Write the receipts of all requests that are over. In the loop's thread, and it waits for the disk."""
        self.recorder.drain()
        if self.writer is not None:
            self.writer.flush()

    async def aclose(self) -> None:
        """Close the transport's connections; inside the running loop."""
        await self.deps.transport.aclose()

    def close(self) -> None:
        """Write what is pending. Call it after the loop has ended, when every step has handed over its record."""
        self.recorder.close()
        if self.health is not None:
            self.health.close()
        if self.writer is not None:
            self.writer.close()


def build(
    settings: Settings,
    *,
    env: Mapping[str, str],
    transport: Transport | None = None,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.monotonic,
    new_id: Callable[[], str] | None = None,
    record: bool = True,
) -> Runtime:
    """Put a router together. `record` False leaves the receipts directory alone (previews). Raises ReceiptError when
    another process writes there."""
    config = settings.config
    endpoint = otlp_endpoint(config.telemetry, env) if record else None
    writer = None
    if record and config.receipts.enabled and config.receipts.dir:
        writer = ReceiptWriter(Path(config.receipts.dir).expanduser(), clock=clock)
    context = context_record(settings.policy, settings.candidates)
    context_digest = digest(context)
    if writer is not None:
        writer.register_context(context_digest, context)
    targets = {
        name: target_of(name, upstream, env, dry_run=settings.dry_run) for name, upstream in config.upstreams.items()
    }
    metrics, otel_exporter = RequestMetrics(), make_exporter(endpoint, targets) if endpoint is not None else None
    receipts = ReceiptListener(writer) if writer is not None else None
    listeners: tuple[RequestListener | None, ...] = (receipts, metrics, AccessLog(), otel_exporter)
    recorder = RequestRecorder([listener for listener in listeners if listener is not None])
    state, health = _state(settings, writer, clock)
    deps = Deps(
        candidates=settings.candidates,
        targets=targets,
        policy=settings.policy,
        web=WebSettings(**dict(config.web)),
        prompts=prompts.load(Path(config.fusion.prompts_dir).expanduser() if config.fusion.prompts_dir else None),
        transport=with_slots(transport or make_transport(settings), config.upstreams),
        receipts=recorder,
        state=state,
        clock=clock,
        timer=timer,
        new_id=new_id or (lambda: new_receipt_id(clock())),
        context=context_digest,
        dry_run=settings.dry_run,
        by_id={candidate.id: candidate for candidate in settings.candidates},
        retry=RetryPolicy(deadline_s=config.retry.deadline_s, max_wait_s=config.retry.max_wait_s),
        hedging=HedgeBudget() if config.hedge.enabled else None,
        trace_upstream=config.telemetry.forward_traceparent,
        trace_sampled=otel_exporter is not None,
    )
    return Runtime(
        settings=settings,
        deps=deps,
        writer=writer,
        recorder=recorder,
        metrics=metrics,
        otel_exporter=otel_exporter,
        health=health,
    )


def _state(
    settings: Settings, writer: ReceiptWriter | None, clock: Callable[[], float]
) -> tuple[RouterState, StateFile | None]:
    """What is remembered, with the health and today's spending that were kept where receipts are. The dry run's says nothing
    of a provider."""
    state = RouterState()
    if writer is None or settings.dry_run:
        return state, None
    folder = Path(settings.config.receipts.dir or ".").expanduser()
    health = StateFile(folder, settings.candidates, clock=clock)
    state.health = health.read()
    state.resume(*health.spent)
    health.watch(lambda: state.health, lambda: state.spent)
    return state, health


def make_transport(settings: Settings) -> Transport:
    """The dry run, or the network. Imported here, so that neither costs the other's start."""
    if settings.dry_run:
        from autorouter.simulator.transport import DryRunTransport

        return DryRunTransport(time_scale=settings.config.dry_run.time_scale)
    from autorouter.upstream.http import HttpTransport

    return HttpTransport()


def with_slots(transport: Transport, upstreams: Mapping[str, UpstreamConfig]) -> Transport:
    """The transport with the limits of those upstreams that have one."""
    limits = {
        name: ConcurrencyLimit(upstream.max_parallel_requests, upstream.slot_timeout_s)
        for name, upstream in upstreams.items()
        if upstream.max_parallel_requests is not None
    }
    return ConcurrencyLimitedTransport(transport, limits) if limits else transport


def target_of(name: str, upstream: UpstreamConfig, env: Mapping[str, str], *, dry_run: bool = False) -> UpstreamTarget:
    """An upstream as a target: with its key and its headers. The dry run always speaks chat."""
    has_key_file = upstream.api_key_file is not None or upstream.api_key_keyring is not None
    key = None if dry_run and has_key_file else api_key(upstream, env)
    headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "autorouter"}
    headers |= profile_of(upstream.profile).headers
    if upstream.wire == "messages":
        headers |= {"anthropic-version": "2023-06-01"}
    headers |= upstream.extra_headers
    if key is not None:
        headers |= {"x-api-key": key} if upstream.wire == "messages" else {"authorization": f"Bearer {key}"}
    return UpstreamTarget(
        name=name,
        base_url=upstream.base_url.rstrip("/"),
        wire="chat" if dry_run else upstream.wire,
        profile=upstream.profile,
        headers=headers,
        key=key,
        key_env=key_source(upstream),
        timeouts=Timeouts(
            first_byte_s=upstream.first_byte_timeout_s,
            between_bytes_s=upstream.idle_timeout_s,
            total_s=upstream.request_timeout_s,
        ),
    )


def new_receipt_id(now_s: float) -> str:
    """Sorts by time and is unique: `ar_`, milliseconds, and 40 random bits, in hex."""
    return f"ar_{int(now_s * 1000):011x}{secrets.token_hex(5)}"
