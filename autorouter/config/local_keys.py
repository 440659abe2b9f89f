"""Local keys: which clients may use this router, stored as a file of hashes.

    [keys.ci]
    sha256 = "9f86d0..."                    the key itself is shown once and never stored
    created = 2026-11-21T01:00:00Z
    expires = 2026-12-21T01:00:00Z          else it never expires
    models = ["openfusion/auto", "cheap*"]  else any
    budget_usd_per_day = 2.0                else none
    revoked = 2026-11-22T08:00:00Z          kept in the file, so that revoking the last key doesn't open the router

A key has 256 random bits, so its plain SHA-256 can't be reversed; slow hashes protect passwords that people choose. Write
access to the file means adding keys: it is refused if users other than its owner may read or write it.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autorouter.errors import ConfigError, RequestError

KEY_PREFIX = "arl_"
"""Local keys of autorouter begin so; the scan for secrets knows them by it."""
KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
FILE_HEADER = "# Local keys of autorouter, as hashes. `autorouter keys create|list|revoke` writes this file.\n"
MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalKey:
    """A key of the file. `models` are globs, empty for all; times in seconds since the epoch, None for never."""

    name: str
    sha256: str
    created_s: float
    expires_s: float | None = None
    models: tuple[str, ...] = ()
    budget_usd_per_day: float | None = None
    revoked_s: float | None = None

    def holds(self, now_s: float) -> bool:
        """Whether the key is valid now."""
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)


def new_key() -> str:
    """A key of 256 random bits."""
    return KEY_PREFIX + secrets.token_hex(32)


def hash_key(key: str) -> str:
    """The hash that the file stores for a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def read_keys(path: Path) -> dict[str, LocalKey]:
    """The keys by name; none where there is no file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            check_private(path, os.fstat(file.fileno()).st_mode)
            data = tomllib.loads(file.read(MAX_FILE_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(
            f"{path}: is not a file of keys", hint="repair it, or move it away and create new keys"
        ) from exc
    tables = data.get("keys", {})
    try:
        return {name: _parse_key(name, table) for name, table in tables.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as exc:
        raise ConfigError(
            f"{path}: is not a file of keys", hint="repair it, or move it away and create new keys"
        ) from exc


def write_keys(path: Path, keys: Mapping[str, LocalKey]) -> None:
    """Replace the file, 0600, in a folder that is made 0700. Raises ConfigError."""
    import tomli_w

    text = FILE_HEADER + tomli_w.dumps({"keys": {name: _table(key) for name, key in keys.items()}})
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as exc:
        raise ConfigError(f"{path}: can't be written: {exc.strerror}") from exc


def check_private(path: Path, mode: int) -> None:
    """Raises ConfigError if users other than its owner may read or write a file. Not checked on Windows, which has ACLs."""
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others may read it", hint=f"chmod 600 {path}")


def parse_lifetime(text: str) -> timedelta:
    """`30d`, `12h` or `2w`. Raises RequestError."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not match or not int(match[1]):
        raise RequestError(f"`{text[:20]}` is no lifetime", hint="such as 12h, 30d or 8w")
    return timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[match[2]]: int(match[1])})


def _parse_key(name: str, table: Mapping[str, Any]) -> LocalKey:
    digest, models, budget = table["sha256"], table.get("models", []), table.get("budget_usd_per_day")
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not KEY_NAME.fullmatch(name):
        raise ValueError("no key")
    if not isinstance(models, list) or not all(isinstance(glob, str) for glob in models):
        raise TypeError("no scope")
    # NaN would be below no cap, and true is a number in Python.
    if budget is not None and (isinstance(budget, bool) or not 0.0 <= float(budget) < math.inf):
        raise ValueError("no budget")
    key = LocalKey(
        name=name,
        sha256=digest,
        created_s=table["created"].timestamp(),
        expires_s=_seconds(table.get("expires")),
        models=tuple(models),
        budget_usd_per_day=budget,
        revoked_s=_seconds(table.get("revoked")),
    )
    _table(key)  # a time that can't be written back would break the next change of the file
    return key


def _seconds(when: datetime | None) -> float | None:
    return None if when is None else when.timestamp()


def _table(key: LocalKey) -> dict[str, Any]:
    table: dict[str, Any] = {"sha256": key.sha256, "created": _time(key.created_s)}
    if key.expires_s is not None:
        table["expires"] = _time(key.expires_s)
    if key.models:
        table["models"] = list(key.models)
    if key.budget_usd_per_day is not None:
        table["budget_usd_per_day"] = key.budget_usd_per_day
    if key.revoked_s is not None:
        table["revoked"] = _time(key.revoked_s)
    return table


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
