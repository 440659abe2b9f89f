"""The mock on a free port of the loopback, in a thread of its own, and a client that sees the raw bytes."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from autorouter.simulator.server import rules
from autorouter.simulator.server.app import MockServer, MockSettings, RequestLog
from autorouter.simulator.server.rules import FaultChooser

WAIT_S = 20.0
"""Longest wait for anything that must come: only a test that fails reaches it."""
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
SCHEMA = {"type": "object", "properties": {"path": {}, "content": {}}, "required": ["path", "content"]}
TOOLS = {
    "chat": {"type": "function", "function": {"name": "write_file", "parameters": SCHEMA}},
    "responses": {"type": "function", "name": "write_file", "parameters": SCHEMA},
    "messages": {"name": "write_file", "input_schema": SCHEMA},
}
HI = "Explain λ and é, please"
ERRAND = "Do it. PROBE_FILE=/tmp/ä.txt PROBE_TEXT=ok"


def body(wire: str, *, stream: bool = False, model: str = "m", ask: str = HI, **members: Any) -> dict[str, Any]:
    talk = "input" if wire == "responses" else "messages"
    document = {"model": model, "stream": stream, talk: [{"role": "user", "content": ask}], **members}
    if wire == "messages":
        document["max_tokens"] = 100
    return document


@dataclass(frozen=True)
class Raw:
    """An answer as it came. `end`: `whole`, `closed` (FIN before the end), `reset`, `silent` or `garbled`."""

    status: int
    headers: dict[str, str]
    data: bytes
    chunks: list[bytes]
    end: str

    @property
    def document(self) -> Any:
        return json.loads(self.data)


class Wire:
    """One connection, read byte by byte and without any tolerance."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._file = self.socket.makefile("rb")

    def ask(
        self,
        path: str,
        document: Any = None,
        *,
        method: str = "POST",
        silence_s: float | None = None,
        mute: bool = False,
        **headers: str,
    ) -> Raw:
        """Send a request, read what comes. `silence_s`: so much of it ends the reading, as `silent`; before the head only
        where `mute` says that none will come."""
        data = b"" if document is None else json.dumps(document).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        self.socket.settimeout(silence_s if mute else WAIT_S)
        status, found, chunks = 0, {}, []
        end = "whole"
        try:
            status, found = self._head()
            self.socket.settimeout(silence_s or WAIT_S)
            for chunk in self._body(found):
                chunks.append(chunk)  # noqa: PERF402  what came before an error is wanted
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            assert silence_s is not None, "nothing came"
            end = "silent"
        except EOFError:
            end = "closed"
        except ValueError:
            end = "garbled"
        return Raw(status, found, b"".join(chunks), chunks, end)

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def _head(self) -> tuple[int, dict[str, str]]:
        status = int(self._line().split()[1])
        headers = {}
        while line := self._line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def _line(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        return line[:-2].decode("latin-1")

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        if "content-length" in headers:
            yield self._exactly(int(headers["content-length"]))
            return
        assert headers["transfer-encoding"] == "chunked"
        while size := int(self._line(), 16):
            yield self._exactly(size)
            assert self._line() == ""
        assert self._line() == ""

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data


class Mock:
    """A running mock. `lines` are what it logged."""

    def __init__(self, setting: MockSettings) -> None:
        self.lines: queue.Queue[RequestLog] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mock", daemon=True)
        self._thread.start()
        self._server = MockServer(setting, self.lines.put)
        _, self.port = self._call(self._server.start("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def line(self) -> Iterator[Wire]:
        wire = Wire(self.port)
        try:
            yield wire
        finally:
            wire.close()

    def ask(self, path: str, document: Any = None, **more: Any) -> Raw:
        """One request on a connection of its own."""
        with self.line() as wire:
            return wire.ask(path, document, **more)

    def post(
        self, wire: str, fault: str = "", *, silence_s: float | None = None, mute: bool = False, **members: Any
    ) -> Raw:
        headers = {"x_autorouter_fault": fault} if fault else {}
        return self.ask(PATHS[wire], body(wire, **members), silence_s=silence_s, mute=mute, **headers)

    def logged(self) -> RequestLog:
        return self.lines.get(timeout=WAIT_S)

    def close(self) -> None:
        self._call(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)


Start = Callable[..., Mock]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a mock: its scenario, its rules as a document, and further settings."""
    running: list[Mock] = []

    def begin(scenario: str = "", script: dict[str, Any] | None = None, **more: Any) -> Mock:
        chooser = FaultChooser(rules.parse_script(script) if script else None, scenario)
        settings = {"wires": frozenset(PATHS), **more}
        running.append(Mock(MockSettings(chooser=chooser, **settings)))
        return running[-1]

    yield begin
    for mock in running:
        mock.close()


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    """One without faults of its own, for requests that name theirs."""
    running = Mock(MockSettings(chooser=FaultChooser(), wires=frozenset(PATHS)))  # type: ignore[arg-type]
    yield running
    running.close()
