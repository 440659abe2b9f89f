"""The mock server: a request -> the fault that applies -> a simulated response -> bytes on a socket, and a log entry.

POST /v1/chat/completions  /v1/responses  /v1/messages     with or without a prefix
POST /v1/messages/count_tokens                             bytes / 4
GET  /v1/models                                            the models it lists; any other is served too
GET  /                                                     a description

ending     on the socket
None       the last chunk, or the promised length
cut        FIN without the last chunk
rst        RST
framing    bytes that are no chunk, then FIN
timeout    silence until the client leaves
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from autorouter.core.types import Candidate, Wire
from autorouter.errors import ConfigError
from autorouter.simulator.cache import PrefixCache
from autorouter.simulator.codec import error_body, wire_of
from autorouter.simulator.faults.catalog import PLACEHOLDER_KEY
from autorouter.simulator.model import BYTES_PER_TOKEN
from autorouter.simulator.response import SimulatedResponse, simulate_response
from autorouter.simulator.server.connection import NO_CHUNK, ClientGone, MockConnection, MockRequest
from autorouter.simulator.server.rules import FAULT_HEADER, FaultChoice, FaultChooser, RequestFacts, split_model
from autorouter.upstream.transport import UpstreamCall, UpstreamTarget

SHOWN_CHARS: Final = 60
"""Longest model or fault name in a log entry."""


@dataclass(slots=True)
class RequestLog:
    """What was done with one request: no body, no key."""

    method: str
    path: str
    model: str = ""
    stream: bool = False
    fault: str = ""
    fault_source: str = ""
    status: int = 0
    chunks: int = 0
    sent_bytes: int = 0
    ending: str = ""
    duration_s: float = 0.0

    def text(self) -> str:
        """As it is printed."""
        asked = [self.method, printable(self.path)]
        if self.model:
            asked += [printable(self.model), "stream" if self.stream else "whole"]
        if self.fault:
            asked.append(
                f"{printable(self.fault)} (by {self.fault_source})" if self.fault_source else printable(self.fault)
            )
        status = str(self.status) if self.status else "no answer"
        body = (
            f", {self.sent_bytes:,} bytes in {self.chunks} piece{'' if self.chunks == 1 else 's'}"
            if self.status
            else ""
        )
        return f"{' '.join(asked)} -> {status}{body}, {self.ending}, {self.duration_s:.2f} s"


async def send_response(connection: MockConnection, response: SimulatedResponse, log: RequestLog) -> None:
    """Send the response. Raises ClientGone if the client leaves before its end."""
    if response.connection_failure is not None:
        await _simulate_failure(connection, response, log)
        return
    if not await connection.wait(response.first_byte_delay_s):
        raise ClientGone
    body = response.body
    whole = body.ending is None and not body.stream
    await connection.send_head(response.status, _headers(response), sum(map(len, body.pieces)) if whole else None)
    log.status = response.status
    pause_s = response.generation_s / max(1, len(body.pieces)) + response.event_delay_s
    for number, piece in enumerate(body.pieces):
        if number and pause_s > 0 and not await connection.wait(pause_s):
            raise ClientGone
        await connection.send_chunk(piece)
        log.chunks += 1
        log.sent_bytes += len(piece)
    match body.ending:
        case None:
            await connection.send_end()
            log.ending = "complete"
        case "cut":
            connection.close()
            log.ending = "connection closed"
        case "rst":
            connection.reset()
            log.ending = "connection reset"
        case "framing":
            await connection.send_raw(NO_CHUNK)
            connection.close()
            log.ending = "broken framing"
        case "timeout":
            await connection.wait(None)
            log.ending = "silence until the client left"


async def _simulate_failure(connection: MockConnection, response: SimulatedResponse, log: RequestLog) -> None:
    match response.connection_failure:
        case "reset":
            connection.reset()
            log.ending = "connection reset"
        case "closed":
            connection.close()
            log.ending = "connection closed"
        case _:
            await connection.wait(None)
            connection.close()
            log.ending = "silence until the client left"


def _headers(response: SimulatedResponse) -> dict[str, str]:
    headers = {**response.headers, "server": "autorouter-mock"}
    if response.body.stream:
        headers["cache-control"] = "no-cache"
    if response.fault:
        headers["x-autorouter-mock"] = response.fault
    return headers


def printable(text: str) -> str:
    """Client-supplied text without terminal control characters, cut to fit a log entry."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + "…"


CACHED_PROMPTS: Final = 256
CREATED: Final = 1_767_225_600
"""2026-01-01."""
MODELS: Final = ("mock/small", "mock/large")


@dataclass(frozen=True, slots=True, kw_only=True)
class MockSettings:
    """How the mock behaves. `wires`: the others are 404. `key`: what clients must send, None for anything. `ttft_s`, and
    `tokens_per_s` (infinite: no waits) are the pace of a good answer."""

    chooser: FaultChooser
    wires: frozenset[Wire]
    key: str | None = None
    models: Sequence[str] = MODELS
    ttft_s: float = 0.0
    tokens_per_s: float = float("inf")


class MockServer:
    """Listens until closed. `log` is given a line for each request, when it is over."""

    def __init__(self, settings: MockSettings, log: Callable[[RequestLog], None] = lambda _: None) -> None:
        self._settings = settings
        self._log = log
        self._cache = PrefixCache(CACHED_PROMPTS)
        self._open: set[MockConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address with the port that was taken. Raises ConfigError."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: MockConnection(self._handle, self._open), host, port)
        except OSError as exc:
            words = exc.strerror or str(exc)
            raise ConfigError(
                f"can't listen on {host}:{port}: {words}", hint="stop what runs there, or choose another --port"
            ) from exc
        document = self._server.sockets[0].getsockname()
        return document[0], document[1]

    async def close(self) -> None:
        """Stop listening and reset whoever is connected: some of them wait for what never comes."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.reset()
        await asyncio.sleep(0)

    async def _handle(self, request: MockRequest, connection: MockConnection) -> None:
        path = request.path.partition("?")[0].rstrip("/")
        log = RequestLog(request.method, path or "/")
        began_s = time.monotonic()
        try:
            await self._answer(request, path, connection, log)
        except ClientGone:
            log.ending = "client left"
            raise
        finally:
            log.duration_s = time.monotonic() - began_s
            self._log(log)

    async def _answer(self, request: MockRequest, path: str, connection: MockConnection, log: RequestLog) -> None:
        wire = wire_of(path)
        if not self._key_accepted(request):
            await _send_json(connection, log, 401, error_body(wire or "chat", 401, *_WRONG_KEY))
        elif wire in self._settings.wires and request.method == "POST":
            await self._handle_inference(request, path, wire, connection, log)
        elif wire == "responses" and request.method == "GET" and wire in self._settings.wires:
            await _send_json(connection, log, 426, error_body(wire, 426, *_NO_SOCKET))
        elif path.endswith("/messages/count_tokens") and "messages" in self._settings.wires:
            tokens = max(1, len(request.body) // BYTES_PER_TOKEN)
            await _send_json(connection, log, 200, orjson.dumps({"input_tokens": tokens}))
        elif path.endswith("/models") and request.method in ("GET", "HEAD"):
            await _send_json(connection, log, 200, orjson.dumps(_models(self._settings.models)), request.method)
        elif not path and request.method in ("GET", "HEAD"):
            await _send_json(connection, log, 200, orjson.dumps(_ABOUT), request.method)
        else:
            message = f"Nothing is served at {request.method} {path or '/'} (autorouter mock)."
            body = error_body(wire or "chat", 404, "not_found", "invalid_request_error", message)
            await _send_json(connection, log, 404, body)

    def _key_accepted(self, request: MockRequest) -> bool:
        wanted = self._settings.key
        return wanted is None or hmac.compare_digest(_key(request).encode(), wanted.encode())

    async def _handle_inference(
        self, request: MockRequest, path: str, wire: Wire, connection: MockConnection, log: RequestLog
    ) -> None:
        document = _document(request.body)
        named = document.get("model")
        model, by_model = split_model(named if isinstance(named, str) else "")
        stream = document.get("stream") is True
        by_header = request.headers.get(FAULT_HEADER, "").strip()
        choice = self._settings.chooser.choose(RequestFacts(wire, path, model, stream, by_header, by_model))
        log.model, log.stream, log.fault_source = model or "?", stream, choice.source
        response = self._simulate(request, path, wire, model, stream, choice)
        log.fault = response.fault
        if await connection.wait(choice.delay_s):
            await send_response(connection, response, log)
        else:
            log.ending = "client left"

    def _simulate(
        self, request: MockRequest, path: str, wire: Wire, model: str, stream: bool, choice: FaultChoice
    ) -> SimulatedResponse:
        settings = self._settings
        name = model or "mock"
        call = UpstreamCall(
            target=UpstreamTarget(
                name="mock", base_url="", wire=wire, profile="openai", headers={}, key=None, key_env=None
            ),
            candidate=Candidate(
                id=name,
                upstream="mock",
                model=name,
                ttft_s=settings.ttft_s,
                throughput_tokens_per_s=settings.tokens_per_s,
            ),
            path=path,
            body=request.body,
            stream=stream,
            request_id="mock",
            attempt=choice.attempt,
            fault=choice.spec or None,
        )
        key = _key(request) or PLACEHOLDER_KEY
        return simulate_response(call, self._cache, clock=time.time, key=key, default_attempts=None)


async def _send_json(
    connection: MockConnection, log: RequestLog, status: int, body: bytes, method: str = "POST"
) -> None:
    await connection.send_head(status, {"content-type": "application/json", "server": "autorouter-mock"}, len(body))
    log.status, log.ending = status, "complete"
    if method != "HEAD":
        await connection.send_chunk(body)
        log.chunks, log.sent_bytes = 1, len(body)


def _key(request: MockRequest) -> str:
    """The key as the client sent it, in either of the two headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _models(names: Sequence[str]) -> dict[str, Any]:
    """The list in the shape of both vendors at once."""
    entries = [
        {
            "id": name,
            "object": "model",
            "type": "model",
            "display_name": name,
            "created": CREATED,
            "created_at": "2026-01-01T00:00:00Z",
            "owned_by": "mock",
        }
        for name in names
    ]
    ends = {"has_more": False, "first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return {"object": "list", "data": entries, **ends}


_WRONG_KEY: Final = ("invalid_api_key", "authentication_error", "Wrong or missing key (autorouter mock --key).")
_NO_SOCKET: Final = ("upgrade_required", "invalid_request_error", "WebSockets are not served here: use POST.")
_ABOUT: Final = {
    "name": "autorouter mock",
    "about": "A dry run: no model is called. `autorouter mock --list` shows the faults.",
    "paths": ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/models"],
}
