"""A scripted upstream: a real socket that plays one behaviour per request, and remembers what it was asked.

    with Relay() as relay:
        relay.play(refuse(500), stream(*EVENTS, then=CUT), to="vendor/first")      one request each, in order
        relay.always(refuse(429), to="vendor/second")                              every request from here on

A behaviour is a sequence of bytes and of what happens between and after them. Who isn't scripted answers well.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

WAIT_S: Final = 60.0
"""Longest wait for anything that must come: only a test that fails reaches it."""
CUT: Final = "cut"
"""The connection is closed with what was sent so far."""
RESET: Final = "reset"
"""The connection is reset (RST)."""
STALL: Final = "stall"
"""Silence until the other side closes."""

Part = bytes | str | threading.Event
Play = Sequence[Part]
MODEL: Final = "served/model"


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another thread or process does."""
    limit_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < limit_s, "it never came"
        time.sleep(0.005)


@dataclass
class Seen:
    """A request as it came in. `closed` is set when its connection, counted from 1, has ended."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int = 0
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Relay:
    """An OpenAI-compatible upstream on a free port of the loopback, in a thread of its own."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._queues: defaultdict[str, deque[Play]] = defaultdict(deque)
        self._standing: dict[str, Play] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._connections = 0
        self.port = 0

    def __enter__(self) -> Relay:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def play(self, *plays: Play, to: str = "") -> None:
        """The next requests for this model, or for any, get these answers."""
        self._queues[to].extend(plays)

    def always(self, play: Play, to: str = "") -> None:
        """All further requests for this model, or for any, get this answer."""
        self._standing[to] = play

    def recover(self) -> None:
        """From here on everybody answers well."""
        self._queues.clear()
        self._standing.clear()

    def asked(self) -> list[str]:
        """The models asked for, in order."""
        return [seen.document["model"] for seen in self.seen]

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        mine: list[Seen] = []
        self._connections += 1
        number = self._connections
        try:
            going_on = True
            while going_on:
                mine.append(await _read(reader))
                mine[-1].connection = number
                self.seen.append(mine[-1])
                going_on = await _perform(self._next(mine[-1]), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for seen in mine:
                seen.closed.set()
            self._tasks.discard(task)
            writer.close()

    def _next(self, seen: Seen) -> Play:
        document = _json(seen.body)
        model = str(document.get("model", ""))
        for name in (model, ""):
            if self._queues[name]:
                return self._queues[name].popleft()
        for name in (model, ""):
            if name in self._standing:
                return self._standing[name]
        return stream() if document.get("stream") else whole(completion())


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body)


async def _perform(play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection may be used again."""
    for part in play:
        if isinstance(part, bytes):
            writer.write(part)
            await writer.drain()
        elif isinstance(part, threading.Event):
            await asyncio.to_thread(part.wait, WAIT_S)
        elif part == STALL:
            await reader.read()
            return False
        elif part == RESET:
            # All that was sent must have been taken in before: a reset throws it away.
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        else:
            return False
    return True


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


# ---- answers


def http(status: int, headers: dict[str, str], body: bytes = b"") -> bytes:
    """An answer's bytes; without a content-length among the headers the body's own is told."""
    told = {"content-length": str(len(body))} | headers if "transfer-encoding" not in headers else headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode() + body


def whole(document: Any) -> Play:
    """A 200 with a JSON body."""
    return (http(200, {"content-type": "application/json"}, json.dumps(document).encode()),)


def refuse(status: int, error: Any = None, **headers: str) -> Play:
    """An error in the OpenAI shape; `retry_after="2"` becomes its header."""
    told = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    inner = {"message": "no", "type": "scripted", "code": None} if error is None else error
    return (http(status, told, json.dumps({"error": inner}).encode()),)


def stream(*events: bytes, then: str | None = None) -> Play:
    """Server-sent events, one HTTP chunk each, and a clean end unless `then` says otherwise. None: a good answer."""
    parts: list[Part] = [http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})]
    parts += [chunk(event) for event in events or GOOD]
    parts.append(b"0\r\n\r\n" if then is None else then)
    return tuple(parts)


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(finish: str | None = None, /, **members: Any) -> bytes:
    """One chunk of a completion as an event."""
    return event(_head("chat.completion.chunk", {"index": 0, "delta": members, "finish_reason": finish}))


def completion(text: str = "Good.", **message: Any) -> dict[str, Any]:
    finish = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return _head("chat.completion", choice) | {"usage": USAGE}


def _head(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": MODEL, "choices": [choice]}


USAGE: Final = {"prompt_tokens": 120, "completion_tokens": 3, "total_tokens": 123}
USAGE_EVENT: Final = event(
    {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [], "usage": USAGE}
)
DONE: Final = b"data: [DONE]\n\n"
FIRST: Final = delta(role="assistant", content="One ")
GOOD: Final = (FIRST, delta(content="two."), delta("stop"), USAGE_EVENT, DONE)
