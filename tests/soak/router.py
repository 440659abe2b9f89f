"""The router of the soak: as `autorouter serve` runs it, and one path more that tells what only its own process can count.

python -m tests.soak.router CONFIG        prints its port; GET /soak -> {"tasks": 7, "rss_mb": 61.2, "descriptors": 23, ...}
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
from pathlib import Path
from typing import Any

from autorouter import runtime as assembly
from autorouter.config.load import load
from autorouter.server.app import build_app
from autorouter.server.asgi import Receive, Scope, Send, send_json
from autorouter.server.concurrency import ConcurrencyLimiter
from autorouter.server.guard import GuardConfig
from autorouter.server.lifecycle import make_server

ENV = {"SOAK_KEY": "soak"}
MAX_SESSIONS = 500
"""Few enough that the soak forgets some."""


def counts(limiter: ConcurrencyLimiter) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text("ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return {
        "tasks": len(asyncio.all_tasks()),
        "rss_mb": int(found[1]) / 1024,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "in_flight": limiter.in_flight,
        "open_streams": limiter.open_streams,
        "queued": limiter.queued,
        "rejected": limiter.rejected,
        "held_bytes": limiter.held_bytes,
    }


def main(path: Path) -> None:
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing" not in record.getMessage())
    settings = load(path, env=ENV)
    runtime = assembly.build(settings, env=ENV)
    runtime.deps.state.max_sessions = MAX_SESSIONS
    limiter = ConcurrencyLimiter(settings.config.limits)
    guard_config = GuardConfig(
        hosts=frozenset(), origins=frozenset(), key=None, max_body_bytes=settings.config.server.max_body_bytes
    )
    inner = build_app(runtime, guard_config, limiter)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/soak":
            await send_json(send, counts(limiter))
        else:
            await inner(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        make_server(app, limiter, settings.config).run(sockets=[listener])  # type: ignore[arg-type]
    runtime.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
