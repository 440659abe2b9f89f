"""`GET /livez`: the process is up. `GET /readyz`: it can route, and receipts can be written."""

from __future__ import annotations

from autorouter import __version__
from autorouter.core.state.health import cooldown_left_s
from autorouter.runtime import Runtime
from autorouter.server.asgi import Receive, Scope, Send, send_json
from autorouter.server.concurrency import ConcurrencyLimiter


class LivenessEndpoint:
    """Always 200."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"ok": True, "name": "autorouter", "version": __version__})


class ReadinessEndpoint:
    """200, or 503 with the problems."""

    def __init__(self, runtime: Runtime, limiter: ConcurrencyLimiter) -> None:
        self._runtime = runtime
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deps, writer = self._runtime.deps, self._runtime.writer
        now_s = deps.clock()
        cooling = sorted(name for name, seen in deps.state.health.items() if cooldown_left_s(seen, now_s))
        limiter = self._limiter
        problems = ["the router is stopping"] if limiter.stopping else []
        if not deps.candidates:
            problems.append("no candidate is configured")
        if writer is not None and writer.problem:
            problems.append(f"receipts can't be written: {writer.problem}")
        document = {
            "ok": not problems,
            "problems": problems,
            "dry_run": deps.dry_run,
            "candidates": len(deps.candidates),
            "cooling_down": cooling,
            "in_flight": limiter.in_flight,
            "queued": limiter.queued,
            "receipts_dropped": writer.dropped if writer else None,
        }
        await send_json(send, document, 503 if problems else 200)
