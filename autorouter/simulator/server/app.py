"""A play on a socket, and the line that says what was done.

ending     on the socket
None       the last chunk, or the promised length
cut        FIN without the last chunk
rst        RST
framing    bytes that are no chunk, then FIN
timeout    silence until the client leaves

The mock: a request -> a choice -> a play -> bytes, and a line that says what was done.

POST /v1/chat/completions  /v1/responses  /v1/messages     with or without a prefix
POST /v1/messages/count_tokens                             bytes / 4
GET  /v1/models                                            the models it pretends to have; any other is served too
GET  /                                                     what it is
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
"""So much of a model's or a fault's name stands in a line."""


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


async def send_response(line: MockConnection, play: SimulatedResponse, note: RequestLog) -> None:
    """Play it on a socket. Raises Gone where the client has left before its end."""
    if play.connection_failure is not None:
        await _fail(line, play, note)
        return
    if not await line.wait(play.first_byte_delay_s):
        raise ClientGone
    flow = play.body
    whole = flow.ending is None and not flow.stream
    await line.send_head(play.status, _headers(play), sum(map(len, flow.pieces)) if whole else None)
    note.status = play.status
    pause_s = play.generation_s / max(1, len(flow.pieces)) + play.event_delay_s
    for number, piece in enumerate(flow.pieces):
        if number and pause_s > 0 and not await line.wait(pause_s):
            raise ClientGone
        await line.send_chunk(piece)
        note.chunks += 1
        note.sent_bytes += len(piece)
    match flow.ending:
        case None:
            await line.send_end()
            note.ending = "complete"
        case "cut":
            line.close()
            note.ending = "connection closed"
        case "rst":
            line.reset()
            note.ending = "connection reset"
        case "framing":
            await line.send_raw(NO_CHUNK)
            line.close()
            note.ending = "broken framing"
        case "timeout":
            await line.wait(None)
            note.ending = "silence until the client left"


async def _fail(line: MockConnection, play: SimulatedResponse, note: RequestLog) -> None:
    match play.connection_failure:
        case "reset":
            line.reset()
            note.ending = "connection reset"
        case "closed":
            line.close()
            note.ending = "connection closed"
        case _:
            await line.wait(None)
            line.close()
            note.ending = "silence until the client left"


def _headers(play: SimulatedResponse) -> dict[str, str]:
    headers = {**play.headers, "server": "autorouter-mock"}
    if play.body.stream:
        headers["cache-control"] = "no-cache"
    if play.fault:
        headers["x-autorouter-mock"] = play.fault
    return headers


def printable(text: str) -> str:
    """A client's word without what could steer a terminal, and no longer than a line has room for."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return plain if len(plain) <= SHOWN_CHARS else plain[: SHOWN_CHARS - 1] + "…"


REMEMBERED: Final = 256
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

    def __init__(self, setting: MockSettings, log: Callable[[RequestLog], None] = lambda _: None) -> None:
        self._setting = setting
        self._log = log
        self._memory = PrefixCache(REMEMBERED)
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
        found = self._server.sockets[0].getsockname()
        return found[0], found[1]

    async def close(self) -> None:
        """Stop listening and reset whoever is connected: some of them wait for what never comes."""
        if self._server is not None:
            self._server.close()
        for line in list(self._open):
            line.reset()
        await asyncio.sleep(0)

    async def _handle(self, request: MockRequest, line: MockConnection) -> None:
        path = request.path.partition("?")[0].rstrip("/")
        note = RequestLog(request.method, path or "/")
        began_s = time.monotonic()
        try:
            await self._answer(request, path, line, note)
        except ClientGone:
            note.ending = "client left"
            raise
        finally:
            note.duration_s = time.monotonic() - began_s
            self._log(note)

    async def _answer(self, request: MockRequest, path: str, line: MockConnection, note: RequestLog) -> None:
        wire = wire_of(path)
        if not self._admits(request):
            await _send_json(line, note, 401, error_body(wire or "chat", 401, *_WRONG_KEY))
        elif wire in self._setting.wires and request.method == "POST":
            await self._model(request, path, wire, line, note)
        elif wire == "responses" and request.method == "GET" and wire in self._setting.wires:
            await _send_json(line, note, 426, error_body(wire, 426, *_NO_SOCKET))
        elif path.endswith("/messages/count_tokens") and "messages" in self._setting.wires:
            tokens = max(1, len(request.body) // BYTES_PER_TOKEN)
            await _send_json(line, note, 200, orjson.dumps({"input_tokens": tokens}))
        elif path.endswith("/models") and request.method in ("GET", "HEAD"):
            await _send_json(line, note, 200, orjson.dumps(_models(self._setting.models)), request.method)
        elif not path and request.method in ("GET", "HEAD"):
            await _send_json(line, note, 200, orjson.dumps(_ABOUT), request.method)
        else:
            message = f"Nothing is served at {request.method} {path or '/'} (autorouter mock)."
            body = error_body(wire or "chat", 404, "not_found", "invalid_request_error", message)
            await _send_json(line, note, 404, body)

    def _admits(self, request: MockRequest) -> bool:
        wanted = self._setting.key
        return wanted is None or hmac.compare_digest(_key(request).encode(), wanted.encode())

    async def _model(self, request: MockRequest, path: str, wire: Wire, line: MockConnection, note: RequestLog) -> None:
        document = _document(request.body)
        named = document.get("model")
        model, by_model = split_model(named if isinstance(named, str) else "")
        stream = document.get("stream") is True
        by_header = request.headers.get(FAULT_HEADER, "").strip()
        choice = self._setting.chooser.choose(RequestFacts(wire, path, model, stream, by_header, by_model))
        note.model, note.stream, note.fault_source = model or "?", stream, choice.source
        play = self._play(request, path, wire, model, stream, choice)
        note.fault = play.fault
        if await line.wait(choice.delay_s):
            await send_response(line, play, note)
        else:
            note.ending = "client left"

    def _play(
        self, request: MockRequest, path: str, wire: Wire, model: str, stream: bool, choice: FaultChoice
    ) -> SimulatedResponse:
        setting = self._setting
        name = model or "mock"
        call = UpstreamCall(
            target=UpstreamTarget(
                name="mock", base_url="", wire=wire, profile="openai", headers={}, key=None, key_env=None
            ),
            candidate=Candidate(
                id=name,
                upstream="mock",
                model=name,
                ttft_s=setting.ttft_s,
                throughput_tokens_per_s=setting.tokens_per_s,
            ),
            path=path,
            body=request.body,
            stream=stream,
            request_id="mock",
            attempt=choice.attempt,
            fault=choice.spec or None,
        )
        key = _key(request) or PLACEHOLDER_KEY
        return simulate_response(call, self._memory, clock=time.time, key=key, default_attempts=None)


async def _send_json(line: MockConnection, note: RequestLog, status: int, body: bytes, method: str = "POST") -> None:
    await line.send_head(status, {"content-type": "application/json", "server": "autorouter-mock"}, len(body))
    note.status, note.ending = status, "complete"
    if method != "HEAD":
        await line.send_chunk(body)
        note.chunks, note.sent_bytes = 1, len(body)


def _key(request: MockRequest) -> str:
    """The key as the client sent it, in either of the two headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


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
