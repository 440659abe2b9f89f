"""The local keys of keys.toml, reloaded when the file changes.

    keyring.find_grant(["arl_..."])   the Grant of a valid key, else None
    keyring.key_required()            whether clients need a key

The file is checked for each request that needs a key (one `stat`), so that a revoked key is refused from the next request on.
If the file becomes invalid or readable by others while serving, the keys read before stay, and the log says so. Once there was
a file, a key is required: deleting the file doesn't open the server.
"""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from autorouter.config.local_keys import LocalKey, hash_key, read_keys
from autorouter.core.grants import Grant
from autorouter.core.labels import PREFIX
from autorouter.errors import ConfigError
from autorouter.server.access.budgets import KeyBudgets

log = logging.getLogger("autorouter")


class Keyring:
    """The keys of a file. Raises ConfigError if the file exists and is invalid."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._signature = _file_signature(path)
        self._keys: tuple[tuple[LocalKey, Grant], ...] = _with_grants(read_keys(path))
        self.budgets = KeyBudgets(path.with_name(f"{path.stem}.spent.json"), clock=clock)
        self._required = self._signature is not None

    def find_grant(self, presented: list[str]) -> Grant | None:
        """The grant of the presented key that is valid; None if there is none."""
        self._reload_if_changed()
        now_s = self._clock()
        match: Grant | None = None
        # No early return: the time must not tell which key, or how much of it, was right.
        for digest in [hash_key(key) for key in presented]:
            for key, grant in self._keys:
                if hmac.compare_digest(key.sha256, digest) and key.holds(now_s):
                    match = grant
        return match

    def key_required(self) -> bool:
        """Whether clients need a key now: a file that appears while serving counts."""
        if not self._required:
            self._reload_if_changed()
        return self._required

    def _reload_if_changed(self) -> None:
        """Read the file again if it has changed."""
        signature = _file_signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._keys = _with_grants(read_keys(self._path))
            self._required = True
        except ConfigError as error:
            self._required = True
            log.error("%s; the keys that were read before still hold", error)


def _with_grants(keys: dict[str, LocalKey]) -> tuple[tuple[LocalKey, Grant], ...]:
    return tuple((key, _grant(key)) for key in keys.values())


def _grant(key: LocalKey) -> Grant:
    labels = tuple(glob for glob in key.models if glob.startswith(PREFIX))
    models = tuple(glob for glob in key.models if not glob.startswith(PREFIX))
    return Grant(key.name, labels, models, key.budget_usd_per_day)


def _file_signature(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None if it doesn't exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
