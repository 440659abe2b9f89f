"""Reads and writes a user's file; a write replaces all of it or nothing.

A write goes to a temporary file in the same folder, which is flushed to disk, given the old file's mode and renamed over it.
A concurrent reader sees either the old bytes or the new ones. For a link, the file that it points to is written.
"""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from autorouter.errors import AdapterError

MAX_BYTES = 8 * 2**20
"""No client's configuration is larger."""


def resolve_link(path: Path) -> Path:
    """The file that a link points to."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as exc:
        raise AdapterError(f"{path}: the link leads nowhere") from exc


def read(path: Path) -> bytes | None:
    """The bytes, None when there is no file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AdapterError(f"{path}: is larger than {MAX_BYTES:,} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise AdapterError(f"{path}: can't be read: {exc.strerror}") from exc


def decode_text(data: bytes | None, path: Path) -> str:
    """The bytes as UTF-8; a missing file is an empty text."""
    try:
        return (data or b"").decode("utf-8")
    except UnicodeDecodeError as exc:
        raise AdapterError(f"{path}: is not UTF-8 text (byte {exc.start})", hint="nothing was changed") from exc


def write(path: Path, data: bytes) -> None:
    """Replace the file's content atomically. It keeps its mode; a new file is private (0600)."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise AdapterError(f"{path}: can't be written: {exc.strerror or exc}", hint="it is as it was") from exc


def backup(path: Path, data: bytes, now_s: float) -> Path:
    """A copy beside the file, named by the time (UTC) and with the file's mode."""
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    copy = path.with_name(f"{path.name}.autorouter-backup-{stamp}")
    number = 1
    while copy.exists():
        number += 1
        copy = path.with_name(f"{path.name}.autorouter-backup-{stamp}-{number}")
    write(copy, data)
    try:
        copy.chmod(stat.S_IMODE(path.stat().st_mode))
    except OSError as exc:
        raise AdapterError(f"{copy}: can't be given the mode of {path.name}: {exc.strerror}") from exc
    return copy


def make_folder(path: Path) -> list[Path]:
    """Create a folder with its parents; returns those that were created, innermost first."""
    made = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise AdapterError(f"{path}: can't be made: {exc.strerror}") from exc
    return made


def remove(path: Path, folders: list[Path] | None = None) -> None:
    """Delete a file, then the folders that were created for it as far as they are empty."""
    try:
        path.unlink(missing_ok=True)
        for folder in folders or ():
            folder.rmdir()
    except OSError as exc:
        if path.exists():
            raise AdapterError(f"{path}: can't be deleted: {exc.strerror}") from exc
