"""The Unix socket that `serve --uds PATH` listens on: for its owner only, and never taken from a router that still runs.

no file there        made, 0600
a socket, nobody     left behind by a process that was killed: replaced
a socket, answered   ConfigError: something listens there
anything else        ConfigError: it isn't ours to remove
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from autorouter.errors import ConfigError

BACKLOG = 2048
PROBE_S = 1.0


def listen(path: Path) -> socket.socket:
    """A listening socket. Raises ConfigError."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigError("server.uds: this system has no Unix sockets", hint="use --host and --port")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The rights must be there with the file: between bind and chmod anybody could connect.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ConfigError(f"can't listen on {path}: {_why(exc)}", hint="choose another --uds") from exc
    finally:
        os.umask(before)
    return listener


def remove(path: Path) -> None:
    """Take the file away at the end, unless another router has put its own there."""
    try:
        if not _answers(path):
            path.unlink(missing_ok=True)
    except OSError:
        pass


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ConfigError(f"can't listen on {path}: {_why(exc)}", hint="choose another --uds") from exc
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"can't listen on {path}: there is a file that is no socket", hint="choose another --uds")
    if _answers(path):
        raise ConfigError(
            f"can't listen on {path}: something listens there already", hint="stop it, or choose another --uds"
        )
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # Full, slow or forbidden: somebody is there.
            return True
    return True


def _why(exc: OSError) -> str:
    # "AF_UNIX path too long" comes without a number: about 104 bytes are all that systems allow.
    return os.strerror(exc.errno) if exc.errno and exc.errno != errno.EINVAL else str(exc)
