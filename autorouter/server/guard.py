"""The door: who may speak to us at all. Plain ASGI, in front of every route.

Host       one, loopback or in server.allowed_hosts        else 403 (DNS rebinding)
Origin     none, our own, or in server.allowed_origins     else 403 (a web page may not spend the user's money)
Sec-Fetch  cross-site only as a page that a person opens   else 403 (an image or a script needs no Origin)
key        where one is asked for                          else 401; compared in constant time; 403 beyond its scope
POST       application/json                                else 415 (a form or text/plain needs no preflight)
body       at most server.max_body_bytes                   else 413
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from autorouter.core.types import Wire
from autorouter.errors import AutorouterError, LocalAuthError, RequestError, exception_site
from autorouter.observe.request_context import request_id_of
from autorouter.server.access.grants import SCOPE_GRANT, PermissionDenied
from autorouter.server.access.keyring import Keyring
from autorouter.server.asgi import (
    ClientDisconnected,
    RawHeaders,
    Receive,
    Scope,
    Send,
    body_too_large,
    headers_of,
    send_error,
)
from autorouter.server.endpoints import SCOPE_KEY_NAME

log = logging.getLogger("autorouter")
PUBLIC_PATHS = ("/livez", "/readyz")
"""Answered without a key: a supervisor has none."""
UNRESTRICTED_KEY_PATHS = ("/debug/receipts", "/metrics")
"""What tells of everybody's requests: not for keys that are limited to models or to a budget."""
SINGLE_VALUE_HEADERS = frozenset((b"host", b"origin", b"content-type"))
"""Headers of which the first and the last must not be two: who checks one could be told another."""
_HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9_.-]+)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::\d{0,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """The guard's settings; `key` None lets everybody on this machine in."""

    hosts: frozenset[str]
    origins: frozenset[str]
    key: str | None
    max_body_bytes: int
    keys: Keyring | None = None


class Guard:
    """ASGI middleware. Errors that escape the application end here too: no request can stop the process."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        door: GuardConfig,
        refused: Callable[[Scope, AutorouterError], None] = lambda scope, error: None,
    ) -> None:
        self._app = app
        self._door = door
        self._hosts = frozenset(normalize_host(host) for host in door.hosts)
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
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
        except ClientDisconnected:
            return
        except AutorouterError as error:
            if not started:
                self._refused(scope, error)
                await send_error(send, error, _repeated(scope), wire=client_wire(scope))
        except Exception as exc:
            # Type and site only: an exception's text may hold a prompt, and so may the end of a path.
            log.error(
                "internal error in %s %s: %s",
                scope["method"],
                "/".join(scope["path"].split("/")[:3]),
                exception_site(exc),
            )
            if not started:
                await send_error(
                    send,
                    AutorouterError("Internal error", hint="the log names the place"),
                    _repeated(scope),
                    wire=client_wire(scope),
                )

    def _check(self, scope: Scope) -> None:
        headers = headers_of(scope)
        self._check_origin(scope, headers, self._check_host(scope, headers))
        if scope["path"] not in PUBLIC_PATHS:
            self._check_key(scope, headers)
        if scope["method"] == "POST":
            self._check_body(headers)

    def _check_host(self, scope: Scope, headers: dict[str, str]) -> str:
        """The Host as it was sent."""
        single = [pair for pair in scope["headers"] if pair[0] in SINGLE_VALUE_HEADERS]
        if len(single) > len({name for name, _ in single}) and _differ(single):
            raise RequestError("A Host, an Origin or a content type came twice", code="duplicate_header")
        sent = headers.get("host", "")
        host = parse_host(sent)
        if host is None or (host not in self._hosts and not _loopback(host)):
            raise _forbidden(f"Host `{sent[:80]}` is not served here", "add it to server.allowed_hosts", "host_refused")
        return sent

    def _check_origin(self, scope: Scope, headers: dict[str, str], host: str) -> None:
        origin = headers.get("origin")
        if origin is None:
            # A browser sends no Origin with a GET for an image, but says where it came from.
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not foreign or (opened and scope["method"] == "GET"):
                return
        elif origin.lower() in self._door.origins or origin.lower() == f"http://{host.lower()}":
            return
        raise _forbidden(
            "Requests from web pages are refused", "add the origin to server.allowed_origins", "origin_refused"
        )

    def _check_key(self, scope: Scope, headers: dict[str, str]) -> None:
        door = self._door
        named = door.keys is not None and door.keys.key_required()
        if door.key is None and not named:
            return
        given = presented_keys(headers)
        # A key of the file first: it stays limited where it was exported as the server's own as well.
        grant = door.keys.find_grant(given) if door.keys is not None and named else None
        if grant is None:
            if door.key is not None and sum(hmac.compare_digest(key.encode(), door.key.encode()) for key in given):
                return
            raise LocalAuthError("The local key is missing or wrong", hint="send `Authorization: Bearer <local key>`")
        if grant.is_limited and scope["path"].startswith(UNRESTRICTED_KEY_PATHS):
            raise PermissionDenied(f"The key `{grant.name}` may not see this", hint="it is for models only")
        scope[SCOPE_GRANT], scope[SCOPE_KEY_NAME] = grant, grant.name

    def _check_body(self, headers: dict[str, str]) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(
                f"The content type is `{kind[:60]}`" if kind else "There is no content type",
                hint="send `content-type: application/json`",
                http_status=415,
                code="unsupported_media_type",
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._door.max_body_bytes:
            raise body_too_large(self._door.max_body_bytes)


def _repeated(scope: Scope) -> RawHeaders:
    """The client's own id for the request, by which it finds the line in our log."""
    request_id = request_id_of(headers_of(scope))
    return [] if request_id is None else [(b"x-request-id", request_id.encode())]


def client_wire(scope: Scope) -> Wire:
    """Whose shape an error takes, where no endpoint has read the request yet."""
    anthropic = scope["path"].startswith("/v1/messages") or "anthropic-version" in headers_of(scope)
    return "messages" if anthropic else "chat"


def _differ(single: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a header that must be one came with several values; or a Host twice, which no client has a reason for. The same
    content type twice is common: a library's own, and its user's."""
    hosts = sum(name == b"host" for name, _ in single)
    return hosts > 1 or len({(name, value.strip().lower()) for name, value in single}) > len(
        {name for name, _ in single}
    )


def _forbidden(message: str, hint: str, code: str) -> RequestError:
    return RequestError(message, hint=hint, http_status=403, code=code)


def parse_host(sent: str) -> str | None:
    """`LOCALHOST.:8787` -> `localhost`, `[::1]:8787` -> `::1`; None for what is no Host."""
    found = _HOST.fullmatch(sent)
    return normalize_host(found["v6"] or found["name"]) if found else None


def normalize_host(host: str) -> str:
    """One spelling of a name or an address: small letters, no root's dot, no brackets."""
    name = host.strip("[]").lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _loopback(host: str) -> bool:
    if host in ("127.0.0.1", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def presented_keys(headers: dict[str, str]) -> list[str]:
    """The keys that a client shows, in any of the places where its library puts one."""
    given = [headers[name].strip() for name in ("x-api-key", "api-key") if headers.get(name)]
    authorization = headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        given.append(authorization[7:].strip())
    return given
