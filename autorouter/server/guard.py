"""The door: who may speak to us at all. Plain ASGI, in front of every route.

Host       loopback, or named in server.allowed_hosts      else 403 (DNS rebinding)
Origin     none, or named in server.allowed_origins        else 403 (a web page may not spend the user's money)
key        only when server.api_key_env is set             else 401; compared in constant time
POST       application/json                                else 415 (a form or text/plain needs no preflight)
body       at most server.max_body_bytes                   else 413
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from autorouter.core.values import Wire
from autorouter.errors import AutorouterError, LocalAuthError, RequestError
from autorouter.server.http import ClientGone, Receive, Scope, Send, headers_of, send_error, too_large

log = logging.getLogger("autorouter")
OPEN_PATHS = ("/livez", "/readyz")
"""Answered without a key: a supervisor has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The guard's settings; `key` None lets everybody on this machine in."""

    hosts: frozenset[str]
    origins: frozenset[str]
    key: str | None
    max_body_bytes: int


class Guard:
    """ASGI middleware. Errors that escape the application end here too: no request can stop the process."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        door: Door,
        refused: Callable[[Scope, AutorouterError], None] = lambda scope, error: None,
    ) -> None:
        self._app = app
        self._door = door
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: dict[str, object]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._check(scope)
            scope["autorouter.max_body_bytes"] = self._door.max_body_bytes
            await self._app(scope, receive, watched)  # type: ignore[arg-type]
        except ClientGone:
            return
        except AutorouterError as error:
            if not started:
                self._refused(scope, error)
                await send_error(send, error, wire=_wire(scope))
        except Exception as exc:
            # Names and places only: an exception's text may hold a prompt.
            log.error(
                "internal error in %s %s: %s",
                scope["method"],
                scope["path"],
                type(exc).__name__ + " at " + _places(exc),
            )
            if not started:
                await send_error(
                    send, AutorouterError("Internal error", hint="the log names the place"), wire=_wire(scope)
                )

    def _check(self, scope: Scope) -> None:
        headers = headers_of(scope)
        door = self._door
        host = _host_name(headers.get("host", ""))
        if host not in door.hosts and not _loopback(host):
            raise _forbidden(f"Host `{host[:80]}` is not served here", "add it to server.allowed_hosts", "host_refused")
        origin = headers.get("origin")
        if origin is not None and origin not in door.origins:
            raise _forbidden(
                "Requests from web pages are refused", "add the origin to server.allowed_origins", "origin_refused"
            )
        if door.key is not None and scope["path"] not in OPEN_PATHS and not _knows(headers, door.key):
            raise LocalAuthError("The local key is missing or wrong", hint="send `Authorization: Bearer <server key>`")
        if scope["method"] == "POST":
            self._check_body(headers)

    def _check_body(self, headers: dict[str, str]) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(
                f"The content type is `{kind[:60]}`",
                hint="send application/json",
                http_status=415,
                code="unsupported_media_type",
            )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._door.max_body_bytes:
            raise too_large(self._door.max_body_bytes)


def _wire(scope: Scope) -> Wire:
    """Whose shape an error takes, where no endpoint has read the request yet."""
    return "messages" if scope["path"].startswith("/v1/messages") else "chat"


def _forbidden(message: str, hint: str, code: str) -> RequestError:
    return RequestError(message, hint=hint, http_status=403, code=code)


def _host_name(host: str) -> str:
    """`localhost:8787` -> `localhost`, `[::1]:8787` -> `::1`."""
    if host.startswith("["):
        return host[1 : host.find("]")] if "]" in host else host
    return host.rsplit(":", 1)[0].lower() if host.count(":") == 1 else host.lower()


def _loopback(host: str) -> bool:
    if host == "127.0.0.1" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _knows(headers: dict[str, str], key: str) -> bool:
    given = headers.get("authorization", "")
    given = given[7:] if given[:7].lower() == "bearer " else headers.get("x-api-key", "")
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())


def _places(exc: BaseException) -> str:
    """Where it happened, innermost last: `chat.py:41 < router.py:33`."""
    frames = traceback.extract_tb(exc.__traceback__)[-6:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
