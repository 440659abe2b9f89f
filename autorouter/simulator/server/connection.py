"""One HTTP/1.1 connection with control over every byte that leaves: RST, a chunk cut in its middle, silence.

    requests are read by httptools, one after another     Request("POST", "/v1/messages", {...}, b"...")
    await connection.send_head(200, {...}, length=None)   chunked if the length isn't known
    await connection.send_chunk(b"...")                   one chunk, flushed before the call returns
    await connection.send_end()                           a clean end; close() sends FIN, reset() RST
    await connection.wait(3.0)                            False as soon as the client has left

A server framework would repair or forbid most of that; this is why there is none.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httptools

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
NO_CHUNK: Final = b"zz\r\nno chunk\r\n"
"""What `bad-framing` sends where a chunk's length belongs."""


@dataclass(frozen=True, slots=True)
class MockRequest:
    """A request; header names are lower-case, the latest of a name counts."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool = True


_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""On, and for no time: closing then means RST."""


class ClientGone(Exception):
    """The client has left."""


RequestHandler = Callable[[MockRequest, "MockConnection"], Awaitable[None]]


class MockConnection(asyncio.Protocol):
    """Feeds requests to `handler` in their order. `left` is set when the client closes its side."""

    def __init__(self, handler: RequestHandler, open_connections: set[MockConnection]) -> None:
        self._handler = handler
        self._open_connections = open_connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: asyncio.Queue[MockRequest] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._chunked = False
        self._old = False
        """The client speaks HTTP/1.0 and knows no chunks."""
        self._keep = True
        self.client_closed = asyncio.Event()
        self._clear()

    def _clear(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_bytes = 0

    # ---- what comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(0)
        self._may_write.set()
        self._open_connections.add(self)
        self._worker = asyncio.get_running_loop().create_task(self._work())

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._keep = False
        except httptools.HttpParserError:
            self._raw(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close()

    def eof_received(self) -> bool:
        self.client_closed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.client_closed.set()
        self._may_write.set()
        self._open_connections.discard(self)
        if self._worker is not None and not self._worker.done():
            self._queue.put_nowait(_SHUTDOWN)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    # ---- the parser's calls

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._too_large(431)
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._raw(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._too_large(413)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        self._old = self._parser.get_http_version() == "1.0"
        path = self._target.decode("latin-1")
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._queue.put_nowait(MockRequest(method, path, self._headers, bytes(self._body), keep))
        self._clear()

    def _too_large(self, status: int) -> None:
        words = HTTPStatus(status).phrase
        self._raw(f"HTTP/1.1 {status} {words}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        self.close()
        raise httptools.HttpParserError(words)

    # ---- what goes out

    async def _work(self) -> None:
        while (request := await self._queue.get()) is not _SHUTDOWN:
            self._keep = request.keep_alive
            try:
                await self._handler(request, self)
            except ClientGone:
                self.close()
            except Exception:
                # Without a reset the client would wait for ever for the rest of the response.
                self.reset()
                raise
            if not self._keep or self.client_closed.is_set():
                self.close()
                return

    async def send_head(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Status line and headers. `length` None: chunked."""
        self._chunked = length is None and not self._old
        self._keep = self._keep and not (length is None and self._old)
        lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
        if length is not None:
            lines.append(f"content-length: {length}")
        elif self._chunked:
            lines.append("transfer-encoding: chunked")
        if not self._keep:
            lines.append("connection: close")
        await self.send_raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    async def send_chunk(self, data: bytes) -> None:
        """A part of the body, in a packet of its own where the kernel lets it. Raises ClientGone."""
        await self.send_raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def send_end(self) -> None:
        """The answer's end."""
        if self._chunked:
            await self.send_raw(b"0\r\n\r\n")

    async def send_raw(self, data: bytes) -> None:
        """Raw bytes; returns when the kernel has them. Raises ClientGone."""
        if self._transport is None or self._transport.is_closing():
            raise ClientGone
        self._transport.write(data)
        await self._may_write.wait()
        # Give the reader a turn, so that each chunk arrives as a chunk of its own.
        await asyncio.sleep(0)

    async def wait(self, seconds: float | None) -> bool:
        """True after so many seconds (None: never); False as soon as the client leaves."""
        if seconds is not None and seconds <= 0:
            return not self.client_closed.is_set()
        try:
            await asyncio.wait_for(self.client_closed.wait(), seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        """Send FIN, even if the response is incomplete."""
        self._keep = False
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """RST: the client learns of it at its next read or write."""
        self._keep = False
        if self._transport is None:
            return
        raw_socket: socket.socket | None = self._transport.get_extra_info("socket")
        if raw_socket is not None and not self._transport.is_closing():
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._transport.abort()

    def _raw(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


_SHUTDOWN: Final = MockRequest("", "", {}, b"")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"
