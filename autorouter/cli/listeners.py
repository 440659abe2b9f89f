"""The sockets that `serve` listens on: a TCP address, or a Unix socket (`--uds PATH`) for its owner only.

A Unix socket is never taken from a router that is still running:

    no file there             created, mode 0600
    a socket, no answer       left behind by a killed process: replaced
    a socket that answers     ConfigError: something listens there
    any other file            ConfigError: not ours to remove
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from autorouter.errors import ConfigError

BACKLOG = 2048
PROBE_TIMEOUT_S = 1.0


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket. ConfigError when the address can't be used."""
    # Bound here and not by the server, so that a port in use is one clear line instead of a traceback.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"can't listen on {host}:{port}: {exc.strerror}", hint="stop what runs there, or choose another --port"
        ) from exc
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listening socket at `path`. Raises ConfigError."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("server.uds: this system has no Unix sockets", hint="use --host and --port")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be set when the file is created: between bind and chmod, other users could connect.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ConfigError(f"can't listen on {path}: {_reason(exc)}", hint="choose another --uds") from exc
    finally:
        os.umask(before)
    return listener


def remove_unix(path: Path) -> None:
    """Remove the socket file at the end, unless another router has put its own there."""
    try:
        if not _answers(path):
            path.unlink(missing_ok=True)
    except OSError:
        pass


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ConfigError(f"can't listen on {path}: {_reason(exc)}", hint="choose another --uds") from exc
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"can't listen on {path}: there is a file that isn't a socket", hint="choose another --uds")
    if _answers(path):
        raise ConfigError(
            f"can't listen on {path}: something listens there already", hint="stop it, or choose another --uds"
        )
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # Full, slow or forbidden: something is listening.
            return True
    return True


def _reason(exc: OSError) -> str:
    # "AF_UNIX path too long" has no errno; systems allow about 104 bytes.
    return os.strerror(exc.errno) if exc.errno and exc.errno != errno.EINVAL else str(exc)
