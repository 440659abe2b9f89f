"""uvicorn's HTTP protocol with limits for what no application sees: slow or oversized requests, clients that stop reading.

    head longer than MAX_HEADER_BYTES, or of more than MAX_HEADERS lines             431, closed
    no byte received for CLIENT_READ_TIMEOUT_S within a request                      408, closed
    no byte taken by the client for CLIENT_WRITE_TIMEOUT_S while some are buffered   closed; the request ends as by a disconnect

The write buffer is bounded: above 64 KiB uvicorn's `send` waits, so that nothing more is read from the upstream. There is no
work per chunk: a timer runs only while the transport's buffer is full, or while a request is incomplete.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from autorouter.errors import RequestError
from autorouter.server.asgi import SCOPE_CLIENT_STALLED
from autorouter.wire import errors

STALL_CHECKS = 4
"""Checks within a timeout."""
MAX_HEADERS = 128
MAX_HEADER_BYTES = 65_536
"""Bytes of a request's line and headers."""
CLIENT_READ_TIMEOUT_S = 60.0
"""Longest silence in the middle of a request."""
CLIENT_WRITE_TIMEOUT_S = 300.0
"""Longer than any client waits for a person who is asked for permission."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn makes one for each connection."""

    _head_bytes = 0
    _in_head = True
    _buffered = 0
    _last_sent_s = 0.0
    _write_timer: asyncio.TimerHandle | None = None
    _last_received_s = 0.0
    _read_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            super().data_received(data)
            # Zero again if the head ended in this data; on_headers_complete has checked it then.
            if self._head_bytes > MAX_HEADER_BYTES:
                self._reject_headers()
        else:
            super().data_received(data)
        if self._is_receiving():
            self._last_received_s = self.loop.time()
            if self._read_timer is None:
                self._read_timer = self.loop.call_later(CLIENT_READ_TIMEOUT_S, self._check_read_stall)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        headers = self.headers
        size = len(self.url) + sum([len(name) + len(value) for name, value in headers])
        if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            self._reject_headers()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.transport.is_closing():
            super().on_message_complete()
        self._in_head = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._buffered, self._last_sent_s = _waiting_bytes(self.transport), self.loop.time()
        self._write_timer = self.loop.call_later(CLIENT_WRITE_TIMEOUT_S / STALL_CHECKS, self._check_write_stall)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_write_timer()
        if self._read_timer is not None:
            self._read_timer.cancel()
        super().connection_lost(exc)

    def _is_receiving(self) -> bool:
        """Whether a request is incomplete."""
        return not self._in_head or self._head_bytes > 0

    def _check_read_stall(self) -> None:
        self._read_timer = None
        if not self._is_receiving() or self.transport.is_closing():
            return
        remaining_s = CLIENT_READ_TIMEOUT_S - (self.loop.time() - self._last_received_s)
        # None before the first head, although uvicorn's annotation says otherwise.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        answering = cycle is not None and cycle.response_started
        answered = cycle is None or cycle.response_complete
        # While a response is being sent, a pipelined request may arrive slowly.
        if remaining_s > 0 or self.pipeline or (self._in_head and not answered):
            self._read_timer = self.loop.call_later(
                max(remaining_s, CLIENT_READ_TIMEOUT_S / STALL_CHECKS), self._check_read_stall
            )
        elif answering and not self._in_head:
            self.transport.abort()
        else:
            message = f"The rest of the request didn't come within {CLIENT_READ_TIMEOUT_S:g} s"
            self._reject(RequestError(message, hint="send it again", http_status=408, code="request_timeout"))

    def _check_write_stall(self) -> None:
        buffered, now_s = _waiting_bytes(self.transport), self.loop.time()
        if buffered != self._buffered:
            self._last_sent_s = now_s
        self._buffered = buffered
        if now_s - self._last_sent_s >= CLIENT_WRITE_TIMEOUT_S:
            if self.cycle is not None:
                cast("dict[str, object]", self.cycle.scope)[SCOPE_CLIENT_STALLED] = True
            self._write_timer = None
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(CLIENT_WRITE_TIMEOUT_S / STALL_CHECKS, self._check_write_stall)

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _reject_headers(self) -> None:
        """Answered here: the request has no path yet, or none that can be trusted."""
        self._reject(
            RequestError(
                "The request's headers are too large",
                hint=f"at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES:,} bytes",
                http_status=431,
                code="headers_too_large",
            )
        )

    def _reject(self, error: RequestError) -> None:
        if self.transport.is_closing():
            return
        body = errors.chat_error(error)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.http_status] + head + body)
        self.transport.close()


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """Bytes the client hasn't taken: in our buffer and, if the system tells, in the socket's. The socket's holds megabytes and
    accepts more only when a third is free, so without it a slow reader would look like one that has stopped."""
    buffered = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return buffered
    import fcntl
    import termios

    try:
        result = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, AttributeError):
        return buffered
    return buffered + int.from_bytes(result, sys.byteorder)
