"""Local keys at work: who comes with which key.

    keyring.grant("arl_...")          the Grant of a key that holds, else None
    keyring.changed()                 whether a key is asked for now

The file is looked at for each request that needs a key (one `stat`), so that a revoked key is refused from the next request
on. A file that was broken or opened to others while serving changes nothing, and the log says so. Once there was a file, a
key is asked for: taking the file away closes the door and doesn't open it.
"""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from autorouter.config.local_keys import LocalKey, hash_key, read_keys
from autorouter.core.labels import PREFIX
from autorouter.errors import ConfigError
from autorouter.server.access.budgets import KeyBudgets
from autorouter.server.access.grants import Grant

log = logging.getLogger("autorouter")


class Keyring:
    """The keys of a file. Raises ConfigError where there is a file that can't be used."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen = _sign(path)
        self._keys: tuple[tuple[LocalKey, Grant], ...] = _granted(read_keys(path))
        self.budgets = KeyBudgets(path.with_name(f"{path.stem}.spent.json"), clock=clock)
        self.asked = self._seen is not None

    def grant(self, given: list[str]) -> Grant | None:
        """What the given keys allow: the first that holds. Every key is compared, whatever was found before."""
        self._look()
        now_s = self._clock()
        found: Grant | None = None
        for digest in [hash_key(key) for key in given]:
            for key, grant in self._keys:
                if hmac.compare_digest(key.sha256, digest) and key.holds(now_s):
                    found = grant
        return found

    def changed(self) -> bool:
        """Whether a key is asked for now: a file that appears while serving closes the door."""
        if not self.asked:
            self._look()
        return self.asked

    def _look(self) -> None:
        """Read the file again if it changed."""
        sign = _sign(self._path)
        if sign == self._seen:
            return
        self._seen = sign
        try:
            self._keys = _granted(read_keys(self._path))
            self.asked = True
        except ConfigError as error:
            self.asked = True
            log.error("%s; the keys that were read before still hold", error)


def _granted(keys: dict[str, LocalKey]) -> tuple[tuple[LocalKey, Grant], ...]:
    return tuple((key, _grant(key)) for key in keys.values())


def _grant(key: LocalKey) -> Grant:
    labels = tuple(glob for glob in key.models if glob.startswith(PREFIX))
    models = tuple(glob for glob in key.models if not glob.startswith(PREFIX))
    return Grant(key.name, labels, models, key.budget_usd_per_day)


def _sign(path: Path) -> tuple[int, ...] | None:
    """What changes with a file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
