"""A finished step as OpenTelemetry spans: one for the step and, below it, one per attempt. Names and counts, no content.

    route openfusion/auto            SERVER   the client's span is its parent; label, strategy, outcome, cost
      chat gpt-6.1-terra             CLIENT   one call: provider, model asked and served, tokens
      chat claude-opus-5-5           CLIENT

Attributes are those of the GenAI semantic conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/, in development),
and `autorouter.*` for what they don't cover. Tokens are on attempts only, so that a sum over spans counts them once.
Times come from the trace: the wall clock at the decision, and monotonic offsets from there. Imported by the exporter's thread.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from autorouter import __version__
from autorouter.engine.receipt import CompletedRequest
from autorouter.engine.request_context import TraceContext
from autorouter.engine.trace import Attempt
from autorouter.observe.recorder import NOT_FAILURES, final_attempt
from autorouter.upstream.transport import UpstreamTarget

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Profile -> the convention's name; otherwise the upstream's name in the configuration is used."""
SCOPE = InstrumentationScope("autorouter", __version__)
NS = 1_000_000_000
Value = str | bool | int | float


class UpstreamAddress(NamedTuple):
    """An upstream as spans identify it."""

    provider: str
    host: str
    port: int | None


def upstream_addresses(targets: Mapping[str, UpstreamTarget]) -> dict[str, UpstreamAddress]:
    """By the upstreams' names."""
    addresses = {}
    for name, target in targets.items():
        url = urlsplit(target.base_url)
        addresses[name] = UpstreamAddress(PROVIDERS.get(target.profile, name), url.hostname or "", url.port)
    return addresses


def resource() -> Resource:
    """This service. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override it."""
    defaults = Resource.create({"service.name": "autorouter", "service.version": __version__})
    return defaults.merge(OTELResourceDetector().detect())


def request_spans(
    completed: CompletedRequest, addresses: Mapping[str, UpstreamAddress], resource: Resource
) -> Iterator[ReadableSpan]:
    """The spans of a step; none if it isn't sampled."""
    parent, trace = completed.trace_context, completed.trace
    if parent is None or not parent.sampled:
        return
    began_s = completed.snapshot.now_s - (trace.overhead_s or 0.0)
    step = _span_context(parent, parent.span_id)
    yield ReadableSpan(
        name=f"route {completed.shape['label']}",
        context=step,
        parent=_span_context(parent, parent.parent_id, remote=True) if parent.parent_id else None,
        resource=resource,
        attributes=_step_attributes(completed),
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR if trace.result in ("failed", "broken") else StatusCode.UNSET),
        start_time=round(began_s * NS),
        end_time=round((began_s + (trace.seconds or 0.0)) * NS),
        instrumentation_scope=SCOPE,
    )
    for attempt in trace.attempts:
        began_at_s = completed.snapshot.now_s + attempt.began_s - trace.attempts[0].began_s
        yield ReadableSpan(
            name=f"chat {attempt.model}",
            context=_span_context(parent, f"{random.getrandbits(64) or 1:016x}"),
            parent=step,
            resource=resource,
            attributes=_attempt_attributes(completed, attempt, addresses.get(attempt.upstream)),
            kind=SpanKind.CLIENT,
            status=Status(StatusCode.UNSET if attempt.result in NOT_FAILURES else StatusCode.ERROR),
            start_time=round(began_at_s * NS),
            end_time=round((began_at_s + (attempt.seconds or 0.0)) * NS),
            instrumentation_scope=SCOPE,
        )


def _span_context(trace: TraceContext, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED))


def _step_attributes(completed: CompletedRequest) -> dict[str, Value]:
    trace, shape, plan = completed.trace, completed.shape, completed.decision.plan
    final = final_attempt(trace)
    return _without_none(
        {
            "gen_ai.operation.name": "route",
            "gen_ai.request.model": shape["label"],
            "gen_ai.request.stream": shape["stream"],
            "gen_ai.request.max_tokens": shape["max_output_tokens"],
            "gen_ai.response.model": final.served_model if final is not None else None,
            "gen_ai.conversation.id": shape["session"],
            http_attributes.HTTP_RESPONSE_STATUS_CODE: trace.status,
            error_attributes.ERROR_TYPE: trace.error,
            "autorouter.receipt": completed.receipt_id,
            "autorouter.wire": shape["wire"],
            "autorouter.client": shape["client"],
            "autorouter.kind": str(completed.features.kind),
            "autorouter.strategy": str(plan.strategy) if plan is not None else None,
            "autorouter.candidate": final.candidate if final is not None else None,
            "autorouter.result": trace.result,
            "autorouter.attempts": len(trace.attempts),
            "autorouter.overhead_s": trace.overhead_s,
            "autorouter.cost_usd": trace.cost_usd,
            "autorouter.dry_run": completed.dry_run,
        }
    )


def _attempt_attributes(
    completed: CompletedRequest, attempt: Attempt, address: UpstreamAddress | None
) -> dict[str, Value]:
    usage = attempt.usage
    failed = attempt.result not in NOT_FAILURES
    return _without_none(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": address.provider if address is not None else attempt.upstream,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.stream": completed.shape["stream"],
            "gen_ai.request.max_tokens": completed.shape["max_output_tokens"],
            "gen_ai.response.model": attempt.served_model,
            "gen_ai.response.time_to_first_chunk": attempt.ttft_s,
            "gen_ai.usage.input_tokens": usage.input_tokens if usage is not None else None,
            "gen_ai.usage.output_tokens": usage.output_tokens if usage is not None else None,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage is not None else None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens if usage is not None else None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens if usage is not None else None,
            server_attributes.SERVER_ADDRESS: address.host if address is not None else None,
            server_attributes.SERVER_PORT: address.port if address is not None else None,
            http_attributes.HTTP_RESPONSE_STATUS_CODE: attempt.status,
            error_attributes.ERROR_TYPE: attempt.result if failed else None,
            "autorouter.candidate": attempt.candidate,
            "autorouter.upstream": attempt.upstream,
            "autorouter.phase": attempt.phase,
            "autorouter.result": attempt.result,
            "autorouter.cost_usd": attempt.cost_usd,
            "autorouter.usage_source": attempt.usage_source,
        }
    )


def _without_none(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
