"""Asking a relay over real HTTP, with the bytes kept as they came.

seen = await line.ask("POST", "/chat/completions", {"model": ..., ...})
seen.status   seen.body   seen.chunks   seen.failure

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
Broken = Literal["connect", "timeout", "cut", "protocol", "too_large"]


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
class Seen:
    """An answer as it came. `status` 0: there was none. `chunks`: (seconds since the request was sent, bytes)."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[tuple[float, bytes], ...] = ()
    seconds: float = 0.0
    failure: Broken | None = None
    words: str = ""
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
    def kind(self) -> str:
        """The media type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def ok(self) -> bool:
        """A whole answer with status 200."""
        return self.status == 200 and self.failure is None


class Line:
    """The way to one relay. `echoes`: the answers in which the key that was sent came back."""

    def __init__(self, relay: Relay, client: httpx.AsyncClient, *, limit: int = 3) -> None:
        self.relay = relay
        self.requests = 0
        self.echoes: list[str] = []
        self._client = client
        self._places = asyncio.Semaphore(limit)

    async def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        raw: bytes | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Seen:
        """Ask, and once more after a 429. `raw` stands for the document's bytes, `key` for the relay's own."""
        body = raw if raw is not None else b"" if document is None else orjson.dumps(document)
        used = key or self.relay.key
        told = {"accept-encoding": "identity", "user-agent": "autorouter-probe", **(headers or {})}
        if body:
            told["content-type"] = "application/json"
        if used:
            told["authorization"] = f"Bearer {used}"
        if used and path == "/messages":
            told["x-api-key"] = used
            if urlsplit(self.relay.base_url).hostname == "api.anthropic.com":
                # Its own API takes a key there; a bearer is another kind of login.
                del told["authorization"]
        async with self._places:
            seen = await self._once(method, path, body, told)
            if seen.status == 429:
                wait_s = parse_retry_after(seen.headers.get("retry-after"))
                if wait_s is None or wait_s <= LONGEST_WAIT_S:
                    await asyncio.sleep(UNSAID_WAIT_S if wait_s is None else wait_s)
                    seen = await self._once(method, path, body, told)
        self._watch(path, seen, used)
        return seen

    def _watch(self, path: str, seen: Seen, key: str | None) -> None:
        """Remember where a key came back."""
        if (
            key
            and len(key) >= KEY_CHARS
            and (key.encode() in seen.body or any(key in value for value in seen.headers.values()))
        ):
            self.echoes.append(f"{path} ({seen.status})")

    async def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Seen:
        self.requests += 1
        began_s = time.perf_counter()
        chunks: list[tuple[float, bytes]] = []
        status, answered = 0, dict[str, str]()
        failure: Broken | None = None
        words = ""
        try:
            async with asyncio.timeout(self.relay.timeout_s * TOTAL_FACTOR):
                url = self.relay.base_url + path
                async with self._client.stream(method, url, content=body, headers=dict(headers)) as response:
                    status, answered = response.status_code, dict(response.headers)
                    size = 0
                    pieces = response.aiter_bytes() if "content-encoding" in answered else response.aiter_raw()
                    async for piece in pieces:
                        chunks.append((time.perf_counter() - began_s, piece))
                        size += len(piece)
                        if size > MAX_BYTES:
                            failure, words = "too_large", f"more than {MAX_BYTES:,} bytes"
                            break
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, OSError, ValueError) as exc:
            failure, words = _broken(exc, self.relay, started=bool(status))
        return Seen(
            status=status,
            headers=answered,
            chunks=tuple(chunks),
            seconds=time.perf_counter() - began_s,
            failure=failure,
            words=words,
            sent_bytes=len(body),
        )


def _broken(exc: BaseException, relay: Relay, *, started: bool) -> tuple[Broken, str]:
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
