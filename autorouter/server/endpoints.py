"""The inference endpoints: `POST /v1/chat/completions`, `/v1/responses` and `/v1/messages`. `POST /debug/route` shares their code
up to the decision. Also the small endpoints that clients of these APIs expect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from autorouter.clients.codex import WEBSOCKET_REFUSED
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.features import IMAGE_TOKENS, extract_features
from autorouter.core.types import Wire
from autorouter.engine.accounting import account
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import RequestContext, request_id_of, session_key, trace_of
from autorouter.engine.router import RoutedRequest, preview_record
from autorouter.engine.step import Step
from autorouter.errors import RequestError
from autorouter.privacy import secrets
from autorouter.server.asgi import (
    SCOPE_CLIENT_STALLED,
    SCOPE_MAX_BODY_BYTES,
    SCOPE_PRINCIPAL,
    AsgiMessage,
    DisconnectWatcher,
    Receive,
    Scope,
    Send,
    headers_of,
    read_body,
    send_error,
    send_json,
    wait_or_disconnect,
)
from autorouter.server.concurrency import AdmissionRequest, ConcurrencyLimiter, Lease
from autorouter.server.decision import RequestDecider
from autorouter.server.streaming import respond
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.parse import detect_wire, parse_request

FAULT_HEADER = "x-autorouter-fault"
"""Names a fault for the dry run to play, so that users can test their own clients. Ignored outside the dry run."""
CurrentDeps = Callable[[], Deps]


class InferenceEndpoint:
    """The endpoint of one wire. `deps` is called per request, so that a changed configuration applies from the next one on."""

    def __init__(self, wire: Wire, deps: CurrentDeps, limiter: ConcurrencyLimiter, decider: RequestDecider) -> None:
        self._wire: Wire = wire
        self._deps = deps
        self._limiter = limiter
        self._decider = decider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole life of a request: admit, decide, reserve, execute, account, record."""
        deps = self._deps()
        began_s, headers, limit_bytes = deps.timer(), headers_of(scope), scope[SCOPE_MAX_BODY_BYTES]
        with self._limiter.open_lease(headers, limit_bytes) as lease:
            # Admit. There is memory for the body, it can be read, and its client has a slot.
            body = await read_body(lease.count_bytes(receive), limit_bytes)
            body, masked = mask_secrets(body) if self._decider.secrets_policy == "mask" else (body, {})
            context = request_context(parse_request(self._wire, body, headers), scope, deps, began_s)
            await lease.acquire(admission_request(context, deps), receive)

            # Decide. Once more if all who could serve have asked for a short pause: a 429 would end the run of some agents.
            decided = self._decider.decide(context, deps, masked=masked)
            wait_s = decided.wait_s
            if wait_s is not None:
                await wait_or_disconnect(receive, asyncio.sleep(wait_s))
                decided = self._decider.decide(context, deps, masked=masked)

            # Reserve. Leaving the block releases what wasn't settled in it.
            end: Sequence[AsgiMessage] = ()
            with self._decider.reserve(decided, context) as reservation:
                step = Step(context, decided.routed, decided.deps, refusal=decided.refusal)
                step.trace.degraded += [*waited_note(wait_s), *decided.notes]
                try:
                    # Execute. Everything but the end of the response is sent.
                    with DisconnectWatcher(receive):
                        end = await respond(step, send, decided.headers)
                finally:
                    # Account, then record. Both are synchronous: this task may be cancelled.
                    completed = account(step, reservation, cut_off=cut_off_by(lease, scope))
                    deps.receipts.record(completed)
            # The client may send its next request as soon as it sees the end, so its session had to be updated before.
            for message in end:
                await send(message)


def request_context(request: ClientRequest, scope: Scope, deps: Deps, began_s: float) -> RequestContext:
    """The context of a parsed request."""
    headers = headers_of(scope)
    return RequestContext(
        request=request,
        receipt_id=deps.new_id(),
        began_s=began_s,
        deadline_s=began_s + deps.retry.deadline_s,
        principal=scope[SCOPE_PRINCIPAL],
        trace=trace_of(headers, scope["headers"], sampled=deps.trace_sampled),
        request_id=request_id_of(headers),
        fault=headers.get(FAULT_HEADER) if deps.dry_run else None,
    )


def admission_request(context: RequestContext, deps: Deps) -> AdmissionRequest:
    """The request as the limits see it."""
    task = context.task
    tokens = task.prompt_bytes / deps.policy.tuning.bytes_per_token + IMAGE_TOKENS * task.images
    return AdmissionRequest(
        client=context.principal.name, session=context.session_key, stream=task.stream, input_tokens=tokens
    )


def mask_secrets(body: bytes) -> tuple[bytes, dict[str, int]]:
    """The body with its secrets replaced, and how many there were, by rule."""
    matches = secrets.scan(body)
    return (secrets.mask(body, matches) if matches else body), secrets.count_by_rule(matches)


def waited_note(wait_s: float | None) -> Sequence[Reason]:
    """For the receipt."""
    return () if wait_s is None else (Reason.of(ReasonCode.WAITED_FOR_COOLDOWN, wait_s=wait_s),)


def cut_off_by(lease: Lease, scope: Scope) -> str | None:
    """Who cut the answer short, if neither the client hung up nor an upstream failed."""
    if lease.cancelled:
        return "router_stopped"
    return "client_stalled" if SCOPE_CLIENT_STALLED in scope else None


class RoutePreviewEndpoint:
    """The decision on a request, without carrying it out: the same code, the same session, the same headers. The body
    tells the wire: `input` is Responses', `max_tokens` with `system` or an Anthropic header Messages', else Chat."""

    def __init__(self, deps: CurrentDeps, decider: RequestDecider) -> None:
        self._deps = deps
        self._decider = decider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, preview_record(*await decide_only(scope, receive, self._deps(), self._decider)))


async def decide_only(
    scope: Scope, receive: Receive, deps: Deps, decider: RequestDecider
) -> tuple[RoutedRequest, Deps]:
    """The decision on a request, and the dependencies restricted to its key. Nothing is reserved, called or recorded."""
    headers = headers_of(scope)
    body = await read_body(receive, scope[SCOPE_MAX_BODY_BYTES])
    wire = detect_wire(body, headers)
    if decider.secrets_policy == "mask":
        body, _ = mask_secrets(body)
    task = parse_request(wire, body, headers).task
    return decider.route(task, deps, scope[SCOPE_PRINCIPAL].grant, session_key(task))


class CountTokensEndpoint:
    """`POST /v1/messages/count_tokens`: the estimate that decisions use. No upstream is called."""

    def __init__(self, deps: CurrentDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, scope[SCOPE_MAX_BODY_BYTES])
        task = parse_request("messages", body, headers_of(scope)).task
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
