"""The inference endpoints: `POST /v1/chat/completions`, `/v1/responses` and `/v1/messages`. `POST /debug/route` shares their code
up to the decision. Also the small endpoints that clients of these APIs expect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from autorouter.clients.codex import WEBSOCKET_REFUSED
from autorouter.core.signals.features import IMAGE_TOKENS, extract_features
from autorouter.core.types import Task, Wire
from autorouter.engine.deps import Deps
from autorouter.engine.retry import reroute_delay_s
from autorouter.engine.router import RoutedRequest, preview_record, session_key
from autorouter.engine.step import Step
from autorouter.errors import RequestError
from autorouter.observe.request_context import CURRENT_REQUEST, new_request_context
from autorouter.server import streaming
from autorouter.server.admission import Admission, AdmittedRequest
from autorouter.server.asgi import (
    SCOPE_CLIENT_STALLED,
    ClientDisconnected,
    DisconnectWatcher,
    Receive,
    Scope,
    Send,
    headers_of,
    read_body,
    send_error,
    send_json,
)
from autorouter.server.concurrency import AdmissionRequest, ConcurrencyLimiter, Lease
from autorouter.wire import exchange
from autorouter.wire.common import request_body
from autorouter.wire.common.request_body import ClientRequest

FAULT_HEADER = "x-autorouter-fault"
"""Names a fault for the dry run to play, so that users can test their own clients. Ignored outside the dry run."""
SCOPE_KEY_NAME = "autorouter.client"
"""ASGI scope key for the name of the client's local key, set by the guard."""
CurrentDeps = Callable[[], Deps]


class InferenceEndpoint:
    """The endpoint of one wire. `deps` is called per request, so that a changed configuration applies from the next one on."""

    def __init__(self, wire: Wire, deps: CurrentDeps, limiter: ConcurrencyLimiter, admission: Admission) -> None:
        self._wire = wire
        self._deps = deps
        self._limiter = limiter
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deps = self._deps()
        began_s = deps.timer()
        headers = begin_request_context(scope, deps)
        limit_bytes = scope["autorouter.max_body_bytes"]
        with self._limiter.open_lease(headers, limit_bytes) as lease:
            body = await read_body(lease.count_bytes(receive), limit_bytes)
            admitted = self._admission.admit(scope, deps, body)
            request = exchange.parse(self._wire, admitted.body, headers)
            admission_request = admission_request_of(request.task, scope, deps)
            if not lease.try_acquire(admission_request):
                await _wait_or_disconnect(receive, lease.wait(admission_request))
            await self._run_step(request, admitted, began_s, lease, scope, receive, send)

    async def _run_step(
        self,
        request: ClientRequest,
        admitted: AdmittedRequest,
        began_s: float,
        lease: Lease,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        deps = admitted.deps
        receipt_id = deps.new_id()
        routed = admitted.route(request.task)
        waited_s = reroute_delay_s(routed.decision.refusal, deps.retry, receipt_id)
        if waited_s is not None:
            await _wait_or_disconnect(receive, asyncio.sleep(waited_s))
            routed = admitted.route(request.task)
        context = CURRENT_REQUEST.get()
        step = Step(
            request,
            routed,
            deps,
            receipt_id=receipt_id,
            began_s=began_s,
            fault=headers_of(scope).get(FAULT_HEADER) if deps.dry_run else None,
            trace_id=context.trace.trace_id if context is not None else None,
            key=scope.get(SCOPE_KEY_NAME),
        )
        if waited_s is not None:
            step.trace.degraded.append(f"waited {waited_s:.2f} s: all who could serve had asked for a pause")
        try:
            refused, send = admitted.check_secrets(step), admitted.with_secrets_header(send)
            if refused is not None:
                await send_error(send, refused, streaming.response_headers(step), wire=request.task.wire)
                return
            with DisconnectWatcher(receive):
                await (streaming.send_stream if request.task.stream else streaming.send_response)(step, send)
        except TypeError as exc:
            # orjson refuses to write a body that is nested too deep. Whether it has to be rewritten at all, for another wire or
            # for a panel, is known only here.
            refused = request_body.nesting_error(request.task.body)
            if refused is None:
                raise
            step.trace.result, step.trace.status, step.trace.error = "refused", refused.http_status, refused.code
            raise refused from exc
        finally:
            # The receipt says who cut the answer short.
            if lease.cancelled or SCOPE_CLIENT_STALLED in scope:
                step.trace.error = step.trace.error or ("router_stopped" if lease.cancelled else "client_stalled")
            step.finish()
            admitted.settle(step)


async def _wait_or_disconnect(receive: Receive, wait: Awaitable[object]) -> None:
    """Wait. Raises ClientDisconnected if the client hangs up first."""
    with DisconnectWatcher(receive) as watcher:
        await wait
    if watcher.disconnected:
        raise ClientDisconnected


def begin_request_context(scope: Scope, deps: Deps) -> dict[str, str]:
    """Set the request's context. Returns its headers, with the trace for upstreams if `trace_upstream` is on: the engine reads
    it from there only."""
    headers = headers_of(scope)
    context = new_request_context(headers, scope["headers"], sampled=deps.trace_sampled)
    CURRENT_REQUEST.set(context)
    if deps.trace_upstream:
        trace_headers = {
            "x-autorouter-traceparent": context.trace.traceparent,
            "x-autorouter-tracestate": context.trace.state,
        }
        # Replaced or removed, so that no client can set them.
        headers = {
            name: value for name, value in (headers | trace_headers).items() if value or name not in trace_headers
        }
    return headers


def admission_request_of(task: Task, scope: Scope, deps: Deps) -> AdmissionRequest:
    """The request as the limits see it. Its client is the local key's name, else the address."""
    tokens = task.prompt_bytes / deps.policy.tuning.bytes_per_token + IMAGE_TOKENS * task.images
    peer = scope.get("client")
    client = scope.get(SCOPE_KEY_NAME) or (peer[0] if peer else "local")
    return AdmissionRequest(client=client, session=session_key(task), stream=task.stream, input_tokens=tokens)


class RoutePreviewEndpoint:
    """The decision on a request, without carrying it out: the same code, the same session, the same headers. The wire is
    trace_headers by the body: `input` is Responses', `max_tokens` with `system` or an Anthropic header Messages', else Chat."""

    def __init__(self, deps: CurrentDeps, admission: Admission) -> None:
        self._deps = deps
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, preview_record(*await decide_only(scope, receive, self._deps(), self._admission)))


async def decide_only(scope: Scope, receive: Receive, deps: Deps, admission: Admission) -> tuple[RoutedRequest, Deps]:
    """The decision on a request, and the dependencies restricted to its key. Nothing is reserved, called or recorded."""
    headers = headers_of(scope)
    body = await read_body(receive, scope["autorouter.max_body_bytes"])
    admitted = admission.admit(scope, deps, body)
    request = exchange.parse(detect_wire(body, headers), admitted.body, headers)
    return admitted.route(request.task, reserve=False), admitted.deps


def detect_wire(body: bytes, headers: dict[str, str]) -> Wire:
    """`input` without `messages` is Responses; `system` or an Anthropic header is Messages; anything else is Chat."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "chat"
    if isinstance(document, dict) and "messages" not in document and "input" in document:
        return "responses"
    if isinstance(document, dict) and ("anthropic-version" in headers or "system" in document):
        return "messages"
    return "chat"


class CountTokensEndpoint:
    """`POST /v1/messages/count_tokens`: the estimate that decisions use. No upstream is called."""

    def __init__(self, deps: CurrentDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, scope["autorouter.max_body_bytes"])
        task = exchange.parse("messages", body, headers_of(scope)).task
        policy = self._deps().policy
        await send_json(send, {"input_tokens": max(1, round(extract_features(task, policy).input_tokens))})


async def reject_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /v1/responses`: some clients try a WebSocket first, and fall back to HTTP at once only on this status."""
    error = RequestError(
        "WebSockets are not served here", hint="use POST", http_status=WEBSOCKET_REFUSED, code="upgrade_required"
    )
    await send_error(send, error, [(b"upgrade", b"HTTP/1.1"), (b"connection", b"Upgrade")])


async def reject_compaction(scope: Scope, receive: Receive, send: Send) -> None:
    """`POST /v1/responses/compact`: a service that only the provider can offer."""
    raise RequestError(
        "Remote compaction is not served here",
        hint="the client compacts by an ordinary request",
        http_status=404,
        code="not_supported",
    )
