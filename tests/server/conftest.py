"""A live router on a real socket. One server runs for all tests; each test gets a router of its own behind it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from autorouter import runtime as assembly
from autorouter.config.load import keys_path, load, local_key
from autorouter.receipts import writer
from autorouter.server.access.keyring import Keyring
from autorouter.server.app import build_app
from autorouter.server.guard import GuardConfig
from autorouter.upstream.transport import Transport
from tests.fakes import WAIT_S, Relay

KEY_ONE, KEY_TWO = "upstream-key-number-one", "upstream-key-number-two"
POOL = """\
schema_version = 1
[upstreams.one]
base_url = "{url}"
api_key_env = "ONE_KEY"
{limits}
[upstreams.two]
base_url = "{url}"
api_key_env = "TWO_KEY"
[[candidates]]
id = "first"
upstream = "one"
model = "vendor/first"
roles = ["fast", "coder"]
capabilities = ["tools", "vision"]
price_usd_per_mtok = {{ input = 0.1, output = 0.4 }}
benchmarks = {{ general = 90, coding = 90, reasoning = 90, verification = 90, writing = 90 }}
[[candidates]]
id = "second"
upstream = "two"
model = "vendor/second"
capabilities = ["tools", "vision"]
price_usd_per_mtok = {{ input = 1.0, output = 4.0 }}
benchmarks = {{ general = 60, coding = 60, reasoning = 60, verification = 60, writing = 60 }}
{more}
"""
CHAT = "/v1/chat/completions"
HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def body(
    messages: list[dict[str, Any]] = HI, *, stream: bool = False, model: str = "openfusion/auto", **more: Any
) -> dict[str, Any]:
    return {"model": model, "messages": messages, "stream": stream, **more}


class Switch:
    """The application that the one server serves: the router of the running test."""

    def __init__(self) -> None:
        self.app: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Router:
    """A running router and a client of it."""

    url: str
    client: httpx.Client
    runtime: assembly.Runtime
    receipts: Path

    def post(self, document: Any, path: str = CHAT, **headers: str) -> httpx.Response:
        return self.client.post(path, json=document, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def receipt(self, answer: httpx.Response | str) -> dict[str, Any]:
        """The receipt of an answer, by its header or its id."""
        name = answer if isinstance(answer, str) else answer.headers["x-autorouter-receipt"]
        found = self.client.get(f"/debug/receipts/{name}")
        assert found.status_code == 200, found.text
        document: dict[str, Any] = found.json()
        return document

    def attempts(self, answer: httpx.Response | str) -> list[tuple[str, str]]:
        """Who was tried, and with what result."""
        return [(a["candidate"], a["result"]) for a in self.receipt(answer)["attempts"]]

    def raw(self, document: Any, gate: threading.Event | None = None) -> bytes:
        """All bytes of an answer up to the end of its connection, as a socket sees them. The gate opens with the first
        event."""
        data = json.dumps(document).encode()
        seen = b""
        with self.connection() as line:
            line.sendall(request_bytes(data))
            while part := line.recv(65_536):
                seen += part
                if gate is not None and b"data: " in seen:
                    gate.set()
        return seen

    def connection(self) -> socket.socket:
        url = httpx.URL(self.url)
        assert url.port is not None
        return socket.create_connection((url.host, url.port), timeout=WAIT_S)


def request_bytes(data: bytes) -> bytes:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, Switch]]:
    """The one server: its URL, and the switch in it."""
    switch = Switch()
    config = uvicorn.Config(switch, log_config=None, access_log=False, lifespan="off", http="httptools", ws="none")
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, name="router", daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", switch
        running.should_exit = True
        thread.join(WAIT_S)


@pytest.fixture
def start(
    server: tuple[str, Switch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Router]]:
    """Puts a router behind the server: `start(text_of_a_configuration, dry_run=False, **environment)`."""
    monkeypatch.setattr(writer, "FLUSH_INTERVAL_S", 0.0)
    url, switch = server
    running: list[Router] = []

    def begin(text: str, *, dry_run: bool = False, transport: Transport | None = None, **env: str) -> Router:
        path = tmp_path / "autorouter.toml"
        path.write_text(text, "utf-8")
        receipts = tmp_path / "receipts"
        settings = load(path, env=env, overrides={"receipts.dir": str(receipts)}, dry_run=dry_run)
        runtime = assembly.build(settings, env=env, transport=transport)
        config = settings.config.server
        guard_config = GuardConfig(
            hosts=frozenset({config.host, *config.allowed_hosts}),
            origins=frozenset(config.allowed_origins),
            key=local_key(settings.config, env),
            max_body_bytes=config.max_body_bytes,
            keyring=Keyring(keys_path(settings.config, {"XDG_STATE_HOME": str(tmp_path)})),
        )
        switch.app = build_app(runtime, guard_config)
        client = httpx.Client(base_url=url, timeout=WAIT_S, trust_env=False)
        running.append(Router(url, client, runtime, receipts))
        return running[-1]

    yield begin
    for router in running:
        router.client.close()
        if switch.loop is not None:
            asyncio.run_coroutine_threadsafe(router.runtime.aclose(), switch.loop).result(WAIT_S)
        router.runtime.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    """The scripted upstream of both candidates."""
    with Relay() as running:
        yield running


@pytest.fixture
def route(start: Callable[..., Router], relay: Relay) -> Callable[..., Router]:
    """A router over the scripted upstream. `first` is cheaper and better than `second`. `limits`: lines for the
    upstream of the first; `more`: further tables."""

    def begin(limits: str = "", more: str = "", **env: str) -> Router:
        text = POOL.format(url=relay.url, limits=limits, more=more)
        return start(text, ONE_KEY=KEY_ONE, TWO_KEY=KEY_TWO, **env)

    return begin


@pytest.fixture
def router(route: Callable[..., Router]) -> Router:
    """A router over the scripted upstream, with the usual limits."""
    return route()


@pytest.fixture
def dry(start: Callable[..., Router]) -> Router:
    """A router on the dry run, at once."""
    return start("schema_version = 1\n[dry_run]\ntime_scale = 0\n", dry_run=True)
