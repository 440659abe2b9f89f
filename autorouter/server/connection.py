"""One client's connection: uvicorn's, with limits that hold before a request is whole and after it was answered.

    head longer than max_header_bytes, or of more than max_headers lines    431, closed
    no byte come for read_stall_s while a request isn't whole               408, closed: what it holds is free again
    no byte taken for write_stall_s while some wait                         closed; the request in hand ends as by a hang-up

What waits for a client is bounded by the transport: above 64 KiB uvicorn's `send` waits, so that nothing more is read from the
upstream for it. Nothing here is done for each chunk: a timer runs only while the transport says that its buffer is full, or
while a request has come in part.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from autorouter.config.schema import ConcurrencyConfig
from autorouter.errors import RequestError
from autorouter.server.asgi import SCOPE_CLIENT_STALLED
from autorouter.wire import errors

STALL_CHECKS = 4
"""So often within `write_stall_s` is looked whether anything was taken."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """Use `connection(limits)`, which makes the class for a server."""

    limits: ClassVar[ConcurrencyConfig]
    _head_bytes = 0
    _in_head = True
    _buffered = 0
    _taken_s = 0.0
    _timer: asyncio.TimerHandle | None = None
    _came_s = 0.0
    _half: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            super().data_received(data)
            # Zero again where the head ended in this data, and was looked at there.
            if self._head_bytes > self.limits.max_header_bytes:
                self._refuse()
        else:
            super().data_received(data)
        if self._in_part():
            self._came_s = self.loop.time()
            if self._half is None:
                self._half = self.loop.call_later(self.limits.read_stall_s, self._listen)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        headers, limits = self.headers, self.limits
        size = len(self.url) + sum([len(name) + len(value) for name, value in headers])
        if len(headers) > limits.max_headers or size > limits.max_header_bytes:
            self._refuse()
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
        self._buffered, self._taken_s = _waiting_bytes(self.transport), self.loop.time()
        self._timer = self.loop.call_later(self.limits.write_stall_s / STALL_CHECKS, self._look)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        if self._half is not None:
            self._half.cancel()
        super().connection_lost(exc)

    def _in_part(self) -> bool:
        """Whether a request has begun to come and isn't whole."""
        return not self._in_head or self._head_bytes > 0

    def _listen(self) -> None:
        self._half = None
        if not self._in_part() or self.transport.is_closing():
            return
        left_s = self.limits.read_stall_s - (self.loop.time() - self._came_s)
        # None before the first head, whatever uvicorn's annotation says.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        answering = cycle is not None and cycle.response_started
        answered = cycle is None or cycle.response_complete
        # Behind an answer that is under way the next request may come as slowly as it likes.
        if left_s > 0 or self.pipeline or (self._in_head and not answered):
            self._half = self.loop.call_later(max(left_s, self.limits.read_stall_s / STALL_CHECKS), self._listen)
        elif answering and not self._in_head:
            self.transport.abort()
        else:
            words = f"The rest of the request didn't come within {self.limits.read_stall_s:g} s"
            self._turn_away(RequestError(words, hint="send it again", http_status=408, code="request_timeout"))

    def _look(self) -> None:
        buffered, now_s = _waiting_bytes(self.transport), self.loop.time()
        if buffered != self._buffered:
            self._taken_s = now_s
        self._buffered = buffered
        if now_s - self._taken_s >= self.limits.write_stall_s:
            if self.cycle is not None:
                cast("dict[str, object]", self.cycle.scope)[SCOPE_CLIENT_STALLED] = True
            self._timer = None
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(self.limits.write_stall_s / STALL_CHECKS, self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        """No application sees such a request: it has no path yet, or none that could be believed."""
        self._turn_away(
            RequestError(
                "The request's headers are too large",
                hint="raise limits.max_header_bytes or limits.max_headers if that is meant",
                http_status=431,
                code="headers_too_large",
            )
        )

    def _turn_away(self, error: RequestError) -> None:
        if self.transport.is_closing():
            return
        body = errors.chat_error(error)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.http_status] + head + body)
        self.transport.close()


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """What the client has yet to take: here, and where the system tells, in its buffer. That holds megabytes, and asks for
    more only when a third of it is free, so that a slow reader would look like one that reads nothing."""
    here = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return here
    import fcntl
    import termios

    try:
        found = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, AttributeError):
        return here
    return here + int.from_bytes(found, sys.byteorder)


def protocol_class(limits: ConcurrencyConfig) -> type[LimitedHttpProtocol]:
    """The class of a server's connections."""
    return type("LimitedConnection", (LimitedHttpProtocol,), {"limits": limits})
