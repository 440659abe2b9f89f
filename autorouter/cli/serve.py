"""`autorouter serve`: start the router and stay until stopped."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys
from pathlib import Path

import click

from autorouter.cli import unix_socket
from autorouter.cli.holder import who_listens
from autorouter.cli.options import config_option, dial_option, dry_run_option, settings
from autorouter.config.load import Settings, environment, keys_path, local_key
from autorouter.errors import ConfigError
from autorouter.receipts.recovery import unclean_shutdown_pid

BACKLOG = 2048
GC_THRESHOLDS = (20_000, 20, 50)
"""A request makes thousands of objects and hardly a cycle: the collector looks a tenth as often as by default."""


@click.command(name="serve")
@config_option
@dry_run_option
@dial_option
@click.option("--host", help="Address to listen on; default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; default 8787, 0 takes a free one.")
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


def run(found: Settings) -> None:
    """Listen, serve, drain, and write the last receipts."""
    from autorouter import runtime as assembly
    from autorouter.server.access.keyring import Keyring
    from autorouter.server.app import build_app
    from autorouter.server.concurrency import ConcurrencyLimiter
    from autorouter.server.guard import GuardConfig
    from autorouter.server.lifecycle import make_server

    signal.signal(signal.SIGTERM, _stopped_early)
    signal.signal(signal.SIGINT, _stopped_early)
    server = found.config.server
    _logging(server.log_level, server.log_format)
    key = local_key(found.config, environment())
    keys = Keyring(keys_path(found.config, environment()))
    uds = Path(server.uds).expanduser() if server.uds else None
    listener = unix_socket.listen(uds) if uds else _listen(server.host, server.port)
    killed = _killed(found)
    runtime = assembly.build(found, env=environment())
    if killed is not None:
        click.echo(f"note: {killed}", err=True)
    hosts = frozenset({server.host, *server.allowed_hosts})
    guard_config = GuardConfig(
        hosts=hosts,
        origins=frozenset(server.allowed_origins),
        key=key,
        max_body_bytes=server.max_body_bytes,
        keyring=keys,
    )
    limiter = ConcurrencyLimiter(found.config.limits)
    running = make_server(build_app(runtime, guard_config, limiter), limiter, found.config)
    _announce(found, listener)
    # What was loaded so far lives as long as the process: no collection needs to look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        running.run(sockets=[listener])
    finally:
        # The stop was asked for and is under way: a further signal must not take the last receipts with it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if uds:
            unix_socket.remove(uds)
        runtime.close()


def _killed(found: Settings) -> str | None:
    """What a killed run before this one may have lost."""
    receipts = found.config.receipts
    process = unclean_shutdown_pid(Path(receipts.dir).expanduser()) if receipts.enabled and receipts.dir else None
    if process is None:
        return None
    return f"the last run (process {process}) was killed; receipts of its last {receipts.flush_s:g} s may be missing"


def _stopped_early(number: int, _: object) -> None:
    """A signal while the server isn't there yet: nothing runs that would have to be ended."""
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, made by us so that a taken port is one clear line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        holder = who_listens(port) if exc.errno == errno.EADDRINUSE else None
        raise ConfigError(
            f"can't listen on {host}:{port}: {exc.strerror}{f', held by {holder}' if holder else ''}",
            hint="stop what runs there, or choose another --port",
        ) from exc
    return listener


def _announce(found: Settings, listener: socket.socket) -> None:
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    kind = "dry run, no model is called" if found.dry_run else f"{len(found.candidates)} candidates"
    if found.config.server.uds:
        click.echo(f"autorouter on the socket {listener.getsockname()} ({kind})")
    else:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"autorouter on http://{shown}:{port} ({kind})")
        click.echo(f"  base URL  http://{shown}:{port}/v1      model  openfusion/auto")
    if found.config.receipts.enabled:
        click.echo(f"  receipts  {found.config.receipts.dir}")
    sys.stdout.flush()


OURS = ("without completing response", "pgrade request", "WebSocket library", "running task(s)")


class _Quiet(logging.Filter):
    """A stream that we cut on purpose is no error of the server's; the receipt says what happened."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(words in message for words in OURS)


def _logging(level: str, kind: str) -> None:
    from autorouter.observe import logging_setup

    handler = logging_setup.DroppingQueueHandler(sys.stderr)
    handler.setFormatter(logging_setup.make_formatter(kind, sys.stderr))
    logging.basicConfig(handlers=[handler], level=level.upper())
    logging_setup.install_excepthooks()
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    server.addFilter(_Quiet())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
