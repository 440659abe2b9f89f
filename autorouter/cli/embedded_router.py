"""A router inside this process, for a command that needs one when none is running: on a free loopback port, in a thread.

    with EmbeddedRouter(settings) as router: ...     router.url, router.key

The port is open to this machine while it runs, so it requires a key that only this process knows.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from types import TracebackType

import uvicorn

from autorouter import runtime
from autorouter.config.load import Settings, environment
from autorouter.errors import AutorouterError, ReceiptError
from autorouter.runtime import Runtime
from autorouter.server.app import build_app
from autorouter.server.guard import GuardConfig

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class EmbeddedRouter:
    """The router. `receipts_problem`: why it writes no receipts; None when it does."""

    def __init__(self, settings: Settings) -> None:
        self.key = secrets.token_hex(16)
        self.receipts_problem: str | None = None
        self._runtime = self._build(settings)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        limit = settings.config.server.max_body_bytes
        guard_config = GuardConfig(hosts=frozenset(), origins=frozenset(), key=self.key, max_body_bytes=limit)
        config = uvicorn.Config(
            build_app(self._runtime, guard_config),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="router", daemon=True
        )

    def _build(self, settings: Settings) -> Runtime:
        """With receipts, unless another process is writing to their folder."""

        try:
            return runtime.build(settings, env=environment())
        except ReceiptError as exc:
            self.receipts_problem = str(exc)
            return runtime.build(settings, env=environment(), record=False)

    def __enter__(self) -> EmbeddedRouter:
        self._thread.start()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                self._stop()
                raise AutorouterError("the router in this process didn't start", hint="try `autorouter serve`")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._listener.close()
        self._runtime.close()
