"""`autorouter serve`: start the router and stay until stopped."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from pathlib import Path

import click

from autorouter import runtime as assembly
from autorouter.cli.listeners import listen_tcp, listen_unix, remove_unix
from autorouter.cli.options import config_option, dial_option, dry_run_option, settings
from autorouter.config.load import Settings, environment, keys_path, local_key
from autorouter.observe import logs
from autorouter.receipts.recovery import unclean_shutdown_pid
from autorouter.receipts.writer import FLUSH_INTERVAL_S
from autorouter.server.access.keyring import Keyring
from autorouter.server.app import build_app
from autorouter.server.concurrency import ConcurrencyLimiter
from autorouter.server.guard import GuardConfig
from autorouter.server.lifecycle import make_server

GC_THRESHOLDS = (20_000, 20, 50)
"""A request creates thousands of objects but hardly any cycles, so the collector runs far less often than by default."""


@click.command(name="serve")
@config_option
@dry_run_option
@dial_option
@click.option("--host", help="Address to listen on; default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; default 8787, 0 picks a free one.")
@click.option("--uds", type=click.Path(path_type=Path), help="Unix socket to listen on, instead of an address.")
def command(
    path: Path | None, dry_run: bool, dial: float | None, host: str | None, port: int | None, uds: Path | None
) -> None:
    """Start the router.

    \b
    Examples:
      autorouter serve --dry-run          try it without a key
      OPENROUTER_API_KEY=... autorouter serve
      autorouter serve --uds ~/.autorouter.sock
    """
    overrides = {"server.host": host, "server.port": port, "server.uds": uds, "policy.dial": dial}
    run(settings(path, dry_run=dry_run, overrides=overrides))


def run(loaded: Settings) -> None:
    """Listen, serve, drain, and write the last receipts."""

    signal.signal(signal.SIGTERM, _exit_before_start)
    signal.signal(signal.SIGINT, _exit_before_start)
    server = loaded.config.server
    _set_up_logging(server.log_level, server.log_format)
    key = local_key(loaded.config, environment())
    keys = Keyring(keys_path(loaded.config, environment()))
    uds = Path(server.uds).expanduser() if server.uds else None
    listener = listen_unix(uds) if uds else listen_tcp(server.host, server.port)
    unclean = _unclean_shutdown_note(loaded)
    runtime = assembly.build(loaded, env=environment())
    if unclean is not None:
        click.echo(f"note: {unclean}", err=True)
    hosts = frozenset({server.host, *server.allowed_hosts})
    guard_config = GuardConfig(
        hosts=hosts,
        origins=frozenset(server.allowed_origins),
        key=key,
        max_body_bytes=server.max_body_bytes,
        keyring=keys,
    )
    limiter = ConcurrencyLimiter(loaded.config.limits)
    running = make_server(build_app(runtime, guard_config, limiter), limiter, loaded.config)
    _announce(loaded, listener)
    # Everything loaded so far lives as long as the process: exempt it from collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        running.run(sockets=[listener])
    finally:
        # The shutdown is under way: another signal must not cost the last receipts.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if uds:
            remove_unix(uds)
        runtime.close()


def _unclean_shutdown_note(loaded: Settings) -> str | None:
    """A note if the run before this one was killed: it may have lost receipts."""
    receipts = loaded.config.receipts
    process = unclean_shutdown_pid(Path(receipts.dir).expanduser()) if receipts.enabled and receipts.dir else None
    if process is None:
        return None
    return f"the last run (process {process}) was killed; receipts of its last {FLUSH_INTERVAL_S:g} s may be missing"


def _exit_before_start(number: int, _: object) -> None:
    """Handles a signal before the server runs: there is nothing to drain yet."""
    raise SystemExit(0)


def _announce(loaded: Settings, listener: socket.socket) -> None:
    for note in loaded.notes:
        click.echo(f"note: {note}", err=True)
    kind = "dry run, no model is called" if loaded.dry_run else f"{len(loaded.candidates)} candidates"
    if loaded.config.server.uds:
        click.echo(f"autorouter on the socket {listener.getsockname()} ({kind})")
    else:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"autorouter on http://{shown}:{port} ({kind})")
        click.echo(f"  base URL  http://{shown}:{port}/v1      model  openfusion/auto")
    if loaded.config.receipts.enabled:
        click.echo(f"  receipts  {loaded.config.receipts.dir}")
    sys.stdout.flush()


EXPECTED_SERVER_MESSAGES = (
    "without completing response",
    "pgrade request",
    "WebSocket library",
    "running task(s)",
)
"""Parts of uvicorn's messages about what the router does on purpose. Its log records carry no code to match instead."""


class _ExpectedMessageFilter(logging.Filter):
    """Drops uvicorn's complaints about streams that the router cuts on purpose: the receipt records why."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(part in message for part in EXPECTED_SERVER_MESSAGES)


def _set_up_logging(level: str, kind: str) -> None:
    handler = logs.DroppingQueueHandler(sys.stderr)
    handler.setFormatter(logs.make_formatter(kind, sys.stderr))
    logging.basicConfig(handlers=[handler], level=level.upper())
    logs.install_excepthooks()
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    server.addFilter(_ExpectedMessageFilter())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
