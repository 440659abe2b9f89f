"""The application: its routes. Starlette's router leads to plain ASGI endpoints. The guard in front is the only place where
errors are rendered, so Starlette's error middleware isn't used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from starlette.routing import Route, Router

from autorouter.engine.deps import Deps
from autorouter.errors import RequestError
from autorouter.runtime import Runtime
from autorouter.server.asgi import Receive, Scope, Send, send_error
from autorouter.server.concurrency import ConcurrencyLimiter
from autorouter.server.decision import RequestDecider
from autorouter.server.endpoints import (
    CountTokensEndpoint,
    InferenceEndpoint,
    RoutePreviewEndpoint,
    reject_compaction,
    reject_websocket,
)
from autorouter.server.estimate import EstimateEndpoint
from autorouter.server.guard import Guard, GuardConfig, client_wire
from autorouter.server.metrics import MetricsEndpoint, RejectionRecorder
from autorouter.server.models import ModelsEndpoint
from autorouter.server.openapi import OpenApiEndpoint
from autorouter.server.probes import LivenessEndpoint, ReadinessEndpoint
from autorouter.server.receipts import ReceiptsEndpoint
from autorouter.upstream.errors import scrub

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def build_app(runtime: Runtime, guard_config: GuardConfig, limiter: ConcurrencyLimiter | None = None) -> Guard:
    """The ASGI application on a runtime. Pass the limiter if the server's stop depends on it."""
    limiter = limiter or ConcurrencyLimiter(runtime.settings.config.limits)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        await runtime.aclose()

    def deps() -> Deps:
        return runtime.deps

    decider = RequestDecider(runtime, guard_config.keyring)
    models, receipts = ModelsEndpoint(deps), ReceiptsEndpoint(runtime)
    routes: list[tuple[str, str, Asgi]] = [
        ("POST", "/v1/chat/completions", InferenceEndpoint("chat", deps, limiter, decider)),
        ("POST", "/v1/messages", InferenceEndpoint("messages", deps, limiter, decider)),
        ("POST", "/v1/messages/count_tokens", CountTokensEndpoint(deps)),
        ("POST", "/v1/responses", InferenceEndpoint("responses", deps, limiter, decider)),
        ("GET", "/v1/responses", reject_websocket),
        ("POST", "/v1/responses/compact", reject_compaction),
        ("GET", "/v1/models", models),
        ("GET", "/v1/models/{name:path}", models),
        ("POST", "/v1/estimate", EstimateEndpoint(deps, decider)),
        ("POST", "/debug/route", RoutePreviewEndpoint(deps, decider)),
        ("GET", "/debug/receipts", receipts),
        ("GET", "/debug/receipts/{id}", receipts),
        ("GET", "/metrics", MetricsEndpoint(runtime, limiter)),
        ("GET", "/livez", LivenessEndpoint()),
        ("GET", "/readyz", ReadinessEndpoint(runtime, limiter)),
    ]
    served = [*((method, path) for method, path, _ in routes), ("GET", "/openapi.json")]
    routes.append(("GET", "/openapi.json", OpenApiEndpoint(served, lambda: key_required(guard_config))))
    by_path: dict[str, dict[str, Asgi]] = {}
    for method, path, app in routes:
        by_path.setdefault(path, {})[method] = app
    router = Router(
        [Route(path, MethodDispatcher(apps)) for path, apps in by_path.items()],
        default=_unknown_path,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    return Guard(router, guard_config, RejectionRecorder(runtime))


def key_required(guard_config: GuardConfig) -> bool:
    """Whether clients need a key now."""
    return guard_config.key is not None or (guard_config.keyring is not None and guard_config.keyring.key_required())


class MethodDispatcher:
    """An endpoint per method (GET also as HEAD); any other gets 405 in the client's error shape."""

    def __init__(self, apps: Mapping[str, Asgi]) -> None:
        self._apps = dict(apps)
        if "GET" in apps:
            self._apps.setdefault("HEAD", apps["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._apps.get(scope["method"])
        if app is None:
            methods = ", ".join(self._apps)
            error = RequestError(
                f"{scope['method']} is not for this path",
                hint=f"use {methods}",
                http_status=405,
                code="method_not_allowed",
            )
            await send_error(send, error, [(b"allow", methods.encode())], wire=client_wire(scope))
            return
        await app(scope, receive, send)


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        # Scrubbed: it may hold a key that was put into the URL by mistake.
        path = scrub(scope["path"][:200], None)
        raise RequestError(f"There is nothing at {path}", http_status=404, code="not_found")
