"""The guard in front of every route, as plain ASGI middleware: who may talk to this server at all.

Host       one, loopback or in server.allowed_hosts        else 403 (DNS rebinding)
Origin     none, our own, or in server.allowed_origins     else 403 (a web page must not spend the user's money)
Sec-Fetch  cross-site only for a page that a person opens  else 403 (an image or a script sends no Origin)
key        if one is required                              else 401; compared in constant time; 403 beyond its grant
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

from autorouter.config.convert import is_loopback
from autorouter.core.grants import Grant, PermissionDenied
from autorouter.core.types import Wire
from autorouter.engine.request_context import Principal, request_id_of
from autorouter.errors import AutorouterError, LocalAuthError, RequestError, exception_site
from autorouter.server.access.keyring import Keyring
from autorouter.server.asgi import (
    SCOPE_MAX_BODY_BYTES,
    SCOPE_PRINCIPAL,
    ClientDisconnected,
    RawHeaders,
    Receive,
    Scope,
    Send,
    StartedSend,
    body_too_large,
    headers_of,
    send_error,
)

log = logging.getLogger("autorouter")
PUBLIC_PATHS = ("/livez", "/readyz")
"""Served without a key: a supervisor has none."""
UNRESTRICTED_KEY_PATHS = ("/debug/receipts", "/metrics")
"""They show every client's requests, so keys limited to models or to a budget can't see them."""
SINGLE_VALUE_HEADERS = frozenset((b"host", b"origin", b"content-type"))
"""Headers that must not have two values: a proxy may check the first while we read the last."""
_HOST = re.compile(r"(?:(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::\d{0,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """The guard's settings. With neither `key` nor `keyring`, every process on this machine may use the router."""

    hosts: frozenset[str]
    origins: frozenset[str]
    key: str | None
    max_body_bytes: int
    keyring: Keyring | None = None


class Guard:
    """ASGI middleware. It also catches every error of the application, so that no request can stop the process."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        config: GuardConfig,
        on_rejected: Callable[[Scope, AutorouterError], None] = lambda scope, error: None,
    ) -> None:
        self._app = app
        self._config = config
        self._hosts = frozenset(normalize_host(host) for host in config.hosts)
        self._on_rejected = on_rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_send = StartedSend(send)
        try:
            scope[SCOPE_PRINCIPAL] = self._check(scope)
            scope[SCOPE_MAX_BODY_BYTES] = self._config.max_body_bytes
            await self._app(scope, receive, started_send)
        except ClientDisconnected:
            return
        except AutorouterError as error:
            if not started_send.started:
                self._on_rejected(scope, error)
                await send_error(send, error, _request_id_headers(scope), wire=client_wire(scope))
        except Exception as exc:
            # Type and site only: an exception's text may hold a prompt, and so may the end of a path.
            log.error(
                "internal error in %s %s: %s",
                scope["method"],
                "/".join(scope["path"].split("/")[:3]),
                exception_site(exc),
            )
            if not started_send.started:
                await send_error(
                    send,
                    AutorouterError("Internal error", hint="the log names the place"),
                    _request_id_headers(scope),
                    wire=client_wire(scope),
                )

    def _check(self, scope: Scope) -> Principal:
        headers = headers_of(scope)
        self._check_origin(scope, headers, self._check_host(scope, headers))
        grant = None if scope["path"] in PUBLIC_PATHS else self._check_key(scope, headers)
        if scope["method"] == "POST":
            self._check_body(headers)
        peer = scope.get("client")
        return Principal(grant.name if grant is not None else None, grant, peer[0] if peer else "local")

    def _check_host(self, scope: Scope, headers: dict[str, str]) -> str:
        """Returns the Host as it was sent."""
        single = [pair for pair in scope["headers"] if pair[0] in SINGLE_VALUE_HEADERS]
        if len(single) > len({name for name, _ in single}) and _conflict(single):
            raise RequestError("A Host, an Origin or a content type came twice", code="duplicate_header")
        sent = headers.get("host", "")
        host = parse_host(sent)
        if host is None or (host not in self._hosts and not is_loopback(host)):
            raise _forbidden(f"Host `{sent[:80]}` is not served here", "add it to server.allowed_hosts", "host_refused")
        return sent

    def _check_origin(self, scope: Scope, headers: dict[str, str], host: str) -> None:
        origin = headers.get("origin")
        if origin is None:
            # A browser sends no Origin with a GET for an image, but it does send Sec-Fetch-Site.
            cross_site = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            is_navigation = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not cross_site or (is_navigation and scope["method"] == "GET"):
                return
        elif origin.lower() in self._config.origins or origin.lower() == f"http://{host.lower()}":
            return
        raise _forbidden(
            "Requests from web pages are refused", "add the origin to server.allowed_origins", "origin_refused"
        )

    def _check_key(self, scope: Scope, headers: dict[str, str]) -> Grant | None:
        """Returns what the key allows; None for the server's own key, and if no key is required."""
        config = self._config
        has_local_keys = config.keyring is not None and config.keyring.key_required()
        if config.key is None and not has_local_keys:
            return None
        presented = presented_keys(headers)
        # Keys of the file first: one that is also configured as the server's own key must stay limited.
        grant = config.keyring.find_grant(presented) if config.keyring is not None and has_local_keys else None
        if grant is None:
            if config.key is not None and sum(
                hmac.compare_digest(key.encode(), config.key.encode()) for key in presented
            ):
                return None
            raise LocalAuthError("The local key is missing or wrong", hint="send `Authorization: Bearer <local key>`")
        if grant.is_limited and scope["path"].startswith(UNRESTRICTED_KEY_PATHS):
            raise PermissionDenied(f"The key `{grant.name}` may not see this", hint="it is for models only")
        return grant

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
        if length.isdecimal() and int(length) > self._config.max_body_bytes:
            raise body_too_large(self._config.max_body_bytes)


def _request_id_headers(scope: Scope) -> RawHeaders:
    """The client's own id for the request, by which it can find the line in our log."""
    request_id = request_id_of(headers_of(scope))
    return [] if request_id is None else [(b"x-request-id", request_id.encode())]


def client_wire(scope: Scope) -> Wire:
    """The wire whose error shape the client expects, before any endpoint has read the request."""
    anthropic = scope["path"].startswith("/v1/messages") or "anthropic-version" in headers_of(scope)
    return "messages" if anthropic else "chat"


def _conflict(single: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a single-value header has several values, or Host occurs twice. The same content type twice is common: the
    library's and its user's."""
    hosts = sum(name == b"host" for name, _ in single)
    return hosts > 1 or len({(name, value.strip().lower()) for name, value in single}) > len(
        {name for name, _ in single}
    )


def _forbidden(message: str, hint: str, code: str) -> RequestError:
    return RequestError(message, hint=hint, http_status=403, code=code)


def parse_host(sent: str) -> str | None:
    """`LOCALHOST.:8787` -> `localhost`, `[::1]:8787` -> `::1`; None if it is no valid Host."""
    match = _HOST.fullmatch(sent)
    return normalize_host(match["v6"] or match["name"]) if match else None


def normalize_host(host: str) -> str:
    """One spelling of a name or an address: lower case, no trailing dot, no brackets."""
    name = host.strip("[]").lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def presented_keys(headers: dict[str, str]) -> list[str]:
    """The keys that a client presents, in any of the headers that libraries use."""
    keys = [headers[name].strip() for name in ("x-api-key", "api-key") if headers.get(name)]
    authorization = headers.get("authorization", "")
    if authorization[:7].lower() == "bearer ":
        keys.append(authorization[7:].strip())
    return keys
