"""ASGI helpers of all endpoints: headers, bodies, responses, and the client's disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from autorouter.core.types import Wire
from autorouter.errors import AutorouterError, RequestError
from autorouter.wire import errors

Scope = MutableMapping[str, Any]
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

JSON_CONTENT_TYPE = (b"content-type", b"application/json")
EVENT_STREAM_HEADERS: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


SCOPE_PRINCIPAL = "autorouter.principal"
"""ASGI scope key for the `Principal`, set by the guard."""
SCOPE_MAX_BODY_BYTES = "autorouter.max_body_bytes"
"""ASGI scope key for the limit of the body, set by the guard."""
SCOPE_CLIENT_STALLED = "autorouter.stalled"
"""ASGI scope key, set if the connection was closed because the client had stopped reading."""


class ClientDisconnected(Exception):
    """The client hung up."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name; read once, kept in the scope. Of repeated headers the last counts."""
    headers: dict[str, str] | None = scope.get("autorouter.headers")
    if headers is None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope["autorouter.headers"] = headers
    return headers


class StartedSend:
    """`send`, which knows whether a response has begun."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: AsgiMessage) -> None:
        self.started = True
        await self._send(message)


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises RequestError 413 beyond the limit, ClientDisconnected if it is incomplete."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise body_too_large(limit_bytes)
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def body_too_large(limit_bytes: int) -> RequestError:
    return RequestError(
        f"The body is larger than {limit_bytes:,} bytes",
        hint="raise server.max_body_bytes if that is meant",
        http_status=413,
        code="body_too_large",
    )


def response_messages(status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> list[AsgiMessage]:
    """A complete response."""
    head = [(b"content-length", str(len(body)).encode()), *headers]
    return [
        {"type": "http.response.start", "status": status, "headers": head},
        {"type": "http.response.body", "body": body},
    ]


def error_messages(
    error: AutorouterError, headers: Iterable[tuple[bytes, bytes]] = (), *, wire: Wire = "chat"
) -> list[AsgiMessage]:
    """An error before the first byte, in the shape of the client's wire."""
    all_headers = [JSON_CONTENT_TYPE, *headers]
    retry_after = errors.retry_after_header(error)
    if retry_after is not None:
        all_headers.append((b"retry-after", retry_after.encode()))
    return response_messages(error.http_status, errors.ERROR_ENCODERS[wire](error), all_headers)


async def send_bytes(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a complete response."""
    for message in response_messages(status, body, headers):
        await send(message)


async def send_json(send: Send, document: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a JSON response."""
    await send_bytes(send, status, orjson.dumps(document), (JSON_CONTENT_TYPE, *headers))


async def send_error(
    send: Send, error: AutorouterError, headers: Iterable[tuple[bytes, bytes]] = (), *, wire: Wire = "chat"
) -> None:
    """Send an error before the first byte."""
    for message in error_messages(error, headers, wire=wire):
        await send(message)


class DisconnectWatcher:
    """Cancels the current task when the client disconnects; `disconnected` then tells it from other cancellations.

    with DisconnectWatcher(receive) as watcher: ...     only after the body has been read

    Needed because ASGI servers cancel nothing: the disconnect is a message that somebody has to receive.
    """

    __slots__ = ("_receive", "_task", "_watch", "disconnected")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.disconnected = False

    def __enter__(self) -> DisconnectWatcher:
        self._task = asyncio.current_task()
        self._watch = asyncio.create_task(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        watch, task = self._watch, self._task
        assert watch is not None
        assert task is not None
        watch.cancel()
        # The cancelled task keeps its frame and so this object. Without these lines each request would be a reference cycle
        # that holds its whole body until the garbage collector runs.
        self._watch = self._task = None
        del self._receive
        if self.disconnected and kind is asyncio.CancelledError:
            task.uncancel()
            return True
        return False

    async def _listen(self) -> None:
        receive = self._receive
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected = True
        if self._task is not None:
            self._task.cancel()


async def wait_or_disconnect(receive: Receive, wait: Awaitable[object]) -> None:
    """Wait. Raises ClientDisconnected if the client hangs up first."""
    with DisconnectWatcher(receive) as watcher:
        await wait
    if watcher.disconnected:
        raise ClientDisconnected
