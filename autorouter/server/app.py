"""The application: which path goes where. Starlette's router leads to plain ASGI endpoints; the guard stands in front,
and is the one place where errors are rendered: Starlette's own error middleware would only cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.routing import Route, Router

from autorouter.errors import RequestError
from autorouter.runtime import Runtime
from autorouter.server.chat import ChatEndpoint, DebugRoute
from autorouter.server.guard import Door, Guard
from autorouter.server.health import Live, Ready
from autorouter.server.http import Receive, Scope, Send
from autorouter.server.models import ModelsEndpoint
from autorouter.server.receipts import ReceiptsEndpoint

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def build_app(runtime: Runtime, door: Door) -> Guard:
    """The ASGI application on a runtime."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        await runtime.aclose()

    chat, models = ChatEndpoint(lambda: runtime.deps), ModelsEndpoint(lambda: runtime.deps)
    receipts = ReceiptsEndpoint(runtime)
    routes: list[tuple[str, str, Asgi]] = [
        ("POST", "/v1/chat/completions", chat),
        ("GET", "/v1/models", models),
        ("GET", "/v1/models/{name:path}", models),
        ("POST", "/debug/route", DebugRoute(lambda: runtime.deps)),
        ("GET", "/debug/receipts", receipts),
        ("GET", "/debug/receipts/{id}", receipts),
        ("GET", "/livez", Live()),
        ("GET", "/readyz", Ready(runtime)),
    ]
    router = Router(
        [Route(path, Only(method, app)) for method, path, app in routes],
        default=_unknown_path,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    return Guard(router, door)


class Only:
    """An endpoint that answers one method (GET also as HEAD); any other gets 405 in the client's error shape."""

    def __init__(self, method: str, app: Asgi) -> None:
        self._methods = ("GET", "HEAD") if method == "GET" else (method,)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in self._methods:
            hint = f"use {self._methods[0]}"
            raise RequestError(
                f"{scope['method']} is not for this path", hint=hint, http_status=405, code="method_not_allowed"
            )
        await self._app(scope, receive, send)


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        raise RequestError(f"There is nothing at {scope['path'][:200]}", http_status=404, code="not_found")
