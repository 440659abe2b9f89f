"""Asking a relay over real HTTP, with the bytes kept as they came.

response = await client.request("POST", "/chat/completions", {"model": ..., ...})
response.status   response.body   response.chunks   response.failure

httpx and not the router's own client: what is probed is the relay, and a second implementation sees more. Nothing raises:
a connection that breaks is a finding like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import orjson

from autorouter.probe.report import quoted
from autorouter.upstream.errors import parse_retry_after, scrub

MAX_BYTES: Final = 16 * 1024 * 1024
"""Longest answer that is read."""
LONGEST_WAIT_S: Final = 30.0
"""A 429 is waited for once, this long at most."""
UNSAID_WAIT_S: Final = 2.0
"""And this long where it doesn't say how long."""
TOTAL_FACTOR: Final = 6.0
"""A whole answer may take so many times the longest silence: a relay that drips for ever ends too."""
KEY_CHARS: Final = 8
"""A shorter key is a stand-in, and may stand in an answer by chance."""
RelayFailure = Literal["connect", "timeout", "cut", "protocol", "too_large"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Whom to ask. `model` None: what it lists. `timeout_s`: the longest silence. `window_tokens`: its context, if known."""

    name: str
    base_url: str
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None
    timeout_s: float = 30.0
    window_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayResponse:
    """An answer as it came. `status` 0: there was none. `chunks`: (seconds since the request was sent, bytes)."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[tuple[float, bytes], ...] = ()
    seconds: float = 0.0
    failure: RelayFailure | None = None
    error: str = ""
    sent_bytes: int = 0

    @property
    def body(self) -> bytes:
        """All bytes."""
        return b"".join(chunk for _, chunk in self.chunks)

    @property
    def document(self) -> dict[str, Any]:
        """The body as an object, {} where it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def media_type(self) -> str:
        """The media type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def ok(self) -> bool:
        """A whole answer with status 200."""
        return self.status == 200 and self.failure is None


class RelayClient:
    """The way to one relay. `echoes`: the answers in which the key that was sent came back."""

    def __init__(self, relay: Relay, client: httpx.AsyncClient, *, limit: int = 3) -> None:
        self.relay = relay
        self.requests = 0
        self.key_echoes: list[str] = []
        self._client = client
        self._semaphore = asyncio.Semaphore(limit)

    async def request(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        raw: bytes | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RelayResponse:
        """Ask, and once more after a 429. `raw` stands for the document's bytes, `key` for the relay's own."""
        body = raw if raw is not None else b"" if document is None else orjson.dumps(document)
        sent_key = key or self.relay.key
        sent_headers = {"accept-encoding": "identity", "user-agent": "autorouter-probe", **(headers or {})}
        if body:
            sent_headers["content-type"] = "application/json"
        if sent_key:
            sent_headers["authorization"] = f"Bearer {sent_key}"
        if sent_key and path == "/messages":
            sent_headers["x-api-key"] = sent_key
            if urlsplit(self.relay.base_url).hostname == "api.anthropic.com":
                # Its own API takes a key there; a bearer is another kind of login.
                del sent_headers["authorization"]
        async with self._semaphore:
            response = await self._send(method, path, body, sent_headers)
            if response.status == 429:
                wait_s = parse_retry_after(response.headers.get("retry-after"))
                if wait_s is None or wait_s <= LONGEST_WAIT_S:
                    await asyncio.sleep(UNSAID_WAIT_S if wait_s is None else wait_s)
                    response = await self._send(method, path, body, sent_headers)
        self._record_key_echo(path, response, sent_key)
        return response

    def _record_key_echo(self, path: str, response: RelayResponse, key: str | None) -> None:
        """Remember where a key came back."""
        if (
            key
            and len(key) >= KEY_CHARS
            and (key.encode() in response.body or any(key in value for value in response.headers.values()))
        ):
            self.key_echoes.append(f"{path} ({response.status})")

    async def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> RelayResponse:
        self.requests += 1
        began_s = time.perf_counter()
        chunks: list[tuple[float, bytes]] = []
        status, response_headers = 0, dict[str, str]()
        failure: RelayFailure | None = None
        error = ""
        try:
            async with asyncio.timeout(self.relay.timeout_s * TOTAL_FACTOR):
                url = self.relay.base_url + path
                async with self._client.stream(method, url, content=body, headers=dict(headers)) as response:
                    status, response_headers = response.status_code, dict(response.headers)
                    size = 0
                    pieces = response.aiter_bytes() if "content-encoding" in response_headers else response.aiter_raw()
                    async for piece in pieces:
                        chunks.append((time.perf_counter() - began_s, piece))
                        size += len(piece)
                        if size > MAX_BYTES:
                            failure, error = "too_large", f"more than {MAX_BYTES:,} bytes"
                            break
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, OSError, ValueError) as exc:
            failure, error = _classify_error(exc, self.relay, started=bool(status))
        return RelayResponse(
            status=status,
            headers=response_headers,
            chunks=tuple(chunks),
            seconds=time.perf_counter() - began_s,
            failure=failure,
            error=error,
            sent_bytes=len(body),
        )


def _classify_error(exc: BaseException, relay: Relay, *, started: bool) -> tuple[RelayFailure, str]:
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol | httpx.InvalidURL):
        return "connect", f"can't connect: {quoted(scrub(str(exc), relay.key) or type(exc).__name__)}"
    if isinstance(exc, httpx.TimeoutException | TimeoutError):
        where = "in the answer" if started else "before an answer"
        return "timeout", f"silent for {relay.timeout_s:g} s {where}"
    if not started:
        return "protocol", "the connection was closed before an answer, or what came is no HTTP"
    return "cut", "the connection broke in the answer"


def client_for(relay: Relay) -> httpx.AsyncClient:
    """A client with this relay's limits; no proxy and no netrc of the environment comes between."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(relay.timeout_s, connect=min(relay.timeout_s, 10.0)), trust_env=False
    )
