"""The server, and its end.

    serving ──► SIGTERM, SIGINT ──► draining ──► nobody inside, drain_s over, or a second signal ──► stopped

Draining: /readyz says 503, new work gets 503 with `Retry-After`, who waits in the queue as well; running answers go on. The
port stays open as long, so that a supervisor can ask. What still runs at the end of it is cut, never ended cleanly. Then the
port and all connections are closed; `serve` writes the last receipts, and the process ends with 0.
"""

from __future__ import annotations

import asyncio
import math
import sys
from types import FrameType

import uvicorn

from autorouter.config.schema import Config
from autorouter.server.concurrency import ConcurrencyLimiter
from autorouter.server.connection import protocol_class
from autorouter.server.guard import Guard

KEEP_ALIVE_S = 75
CLOSE_TIMEOUT_S = 2.0
"""For small answers that aren't a wire's, and for last bytes on their way."""


class DrainingServer(uvicorn.Server):
    """uvicorn's, which drains by the gate."""

    def __init__(self, config: uvicorn.Config, gate: ConcurrencyLimiter, drain_s: float) -> None:
        super().__init__(config)
        self._gate = gate
        self._drain_s = drain_s
        self._signals = 0
        self._until_s: float | None = None
        self._cut = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Count the signal; the next tick acts on it. It isn't raised again afterwards: a drained stop is a success."""
        self._signals += 1

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter):
            return True
        if not self._signals:
            return False
        now_s = asyncio.get_running_loop().time()
        if self._until_s is None:
            self._until_s = now_s + self._drain_s
            self._gate.stop()
        if self._gate.leases and (self._signals > 1 or now_s >= self._until_s):
            self._cut = True
            self._gate.cut()
        return not self._gate.leases

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Close everything. What was cut isn't waited for: its client may not be reading."""
        left_s = CLOSE_TIMEOUT_S
        if self._cut or self._signals > 1:
            for protocol_class in list(self.server_state.connections):
                protocol_class.transport.abort()
        elif self._until_s is not None:
            left_s = max(CLOSE_TIMEOUT_S, self._until_s - asyncio.get_running_loop().time())
        self.config.timeout_graceful_shutdown = math.ceil(left_s)
        await super().shutdown(sockets)  # type: ignore[arg-type]


def make_server(app: Guard, gate: ConcurrencyLimiter, config: Config) -> DrainingServer:
    """A server for the application; run it with the listening socket."""
    raise_file_limit()
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=protocol_class(config.limits),
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return DrainingServer(settings, gate, config.server.drain_s)


def raise_file_limit() -> None:
    """Each stream takes two descriptors, and many systems begin with 1,024; what is allowed may be used."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        if soft < wanted:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            except (OSError, ValueError):
                pass  # macOS has a lower limit than it says; then what there is must do
