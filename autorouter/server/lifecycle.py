"""The server and its graceful stop.

    serving ──► SIGTERM, SIGINT ──► draining ──► idle, timeout over, or a second signal ──► stopped

While draining, /readyz is 503, new and queued requests get 503 with `Retry-After`, and running ones go on. The port stays open
so that a supervisor can ask. What still runs at the end is cancelled, never ended cleanly. Then the port and all connections
are closed, `serve` writes the last receipts, and the process exits with 0.
"""

from __future__ import annotations

import asyncio
import math
import sys
from types import FrameType

import uvicorn

from autorouter.config.schema import Config
from autorouter.server.concurrency import ConcurrencyLimiter
from autorouter.server.connection import LimitedHttpProtocol
from autorouter.server.guard import Guard

KEEP_ALIVE_S = 75
CLOSE_TIMEOUT_S = 2.0
"""For responses that hold no lease, and for bytes still on their way."""


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which stops when the limiter has no leases left."""

    def __init__(self, config: uvicorn.Config, limiter: ConcurrencyLimiter, timeout_s: float) -> None:
        super().__init__(config)
        self._limiter = limiter
        self._timeout_s = timeout_s
        self._signals = 0
        self._deadline_s: float | None = None
        self._cancelled = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Count the signal; the next tick acts on it. Unlike uvicorn's it isn't raised again at the end: the exit code is 0."""
        self._signals += 1

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter):
            return True
        if not self._signals:
            return False
        now_s = asyncio.get_running_loop().time()
        if self._deadline_s is None:
            self._deadline_s = now_s + self._timeout_s
            self._limiter.stop()
        if self._limiter.leases and (self._signals > 1 or now_s >= self._deadline_s):
            self._cancelled = True
            self._limiter.cancel_all()
        return not self._limiter.leases

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Close everything. Cancelled connections aren't waited for: their clients may not be reading."""
        timeout_s = CLOSE_TIMEOUT_S
        if self._cancelled or self._signals > 1:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
        elif self._deadline_s is not None:
            timeout_s = max(CLOSE_TIMEOUT_S, self._deadline_s - asyncio.get_running_loop().time())
        self.config.timeout_graceful_shutdown = math.ceil(timeout_s)
        await super().shutdown(sockets)  # type: ignore[arg-type]


def make_server(app: Guard, limiter: ConcurrencyLimiter, config: Config) -> DrainingServer:
    """A server for the application; run it with the listening socket."""
    raise_file_limit()
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=LimitedHttpProtocol,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return DrainingServer(settings, limiter, config.server.graceful_shutdown_timeout_s)


def raise_file_limit() -> None:
    """Raise the soft limit of open files: each stream takes two descriptors, and many systems start with 1,024."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        if soft < target:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            except (OSError, ValueError):
                pass  # macOS refuses less than the hard limit it reports
