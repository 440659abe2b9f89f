"""Local keys at work: who comes with which key, what it may use, and what it has spent today.

    keyring.grant("arl_...")          the Grant of a key that holds, else None
    grant.may_ask("openfusion/auto")  labels: the globs that begin with openfusion/, or any where there are none
    grant.may_use(candidate)          candidates: the other globs, over id, model and vendor, or any where there are none

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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from autorouter.config.keys import LocalKey, hashed, read
from autorouter.core.labels import PREFIX
from autorouter.core.values import Candidate
from autorouter.engine.deps import DAY_S
from autorouter.errors import BudgetExceeded, ConfigError, RequestError

log = logging.getLogger("autorouter")
GRANT = "autorouter.grant"
"""Where the guard leaves what a client's key allows; absent for the server's own key, and where none is asked for."""


class NotAllowed(RequestError):
    """The key is good and doesn't reach so far."""

    code = "not_allowed"
    error_type = "permission_error"
    http_status = 403


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key allows. `labels` and `models` are globs, empty for all."""

    name: str
    labels: tuple[str, ...]
    models: tuple[str, ...]
    budget_usd_per_day: float | None

    @property
    def limited(self) -> bool:
        """Whether it allows less than the server's own key."""
        return bool(self.labels or self.models) or self.budget_usd_per_day is not None

    def may_use(self, candidate: Candidate) -> bool:
        """Whether this candidate may serve. Under a budget an unknown price is none that fits."""
        if self.budget_usd_per_day is not None and candidate.price is None:
            return False
        names = (candidate.id, candidate.model, candidate.vendor)
        return not self.models or any(fnmatchcase(name, glob) for name in names for glob in self.models)

    def may_ask(self, label: str) -> bool:
        """Whether this name may stand in `model`. A candidate that may serve may be asked for, unless the key has labels
        only: then the choice is the router's."""
        if label.startswith(PREFIX):
            return not self.labels or any(fnmatchcase(label, glob) for glob in self.labels)
        return bool(self.models) or not self.labels

    def check(self, label: str, candidates: dict[str, Candidate]) -> None:
        """Raises NotAllowed for a name out of reach; an unknown one is left to the router, which knows near names."""
        known = candidates.get(label)
        if known is None and not label.startswith(PREFIX):
            return
        if not self.may_ask(label) or (known is not None and not self.may_use(known)):
            raise NotAllowed(
                f"The key `{self.name}` may not use `{label}`", hint=f"it may use {self.reach()}", param="model"
            )

    def reach(self) -> str:
        """What it may use, for people."""
        return ", ".join((*self.labels, *self.models)) or "every model with a known price"


class Keyring:
    """The keys of a file. Raises ConfigError where there is a file that can't be used."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen = _sign(path)
        self._keys: tuple[tuple[LocalKey, Grant], ...] = _granted(read(path))
        self._spent: dict[str, tuple[float, float]] = {}
        self._held: dict[str, float] = {}
        self.asked = self._seen is not None

    def grant(self, given: list[str]) -> Grant | None:
        """What the given keys allow: the first that holds. Every key is compared, whatever was found before."""
        self._look()
        now_s = self._clock()
        found: Grant | None = None
        for digest in [hashed(key) for key in given]:
            for key, grant in self._keys:
                if hmac.compare_digest(key.sha256, digest) and key.holds(now_s):
                    found = grant
        return found

    def changed(self) -> bool:
        """Whether a key is asked for now: a file that appears while serving closes the door."""
        if not self.asked:
            self._look()
        return self.asked

    def hold(self, grant: Grant, usd: float) -> None:
        """Hold what a request may cost until `settle`. Raises BudgetExceeded (402) where less is left for the day."""
        budget = grant.budget_usd_per_day
        if budget is None:
            return
        left_usd = budget - self._today(grant.name) - self._held.get(grant.name, 0.0)
        if usd > left_usd or left_usd <= 0:
            raise BudgetExceeded(
                f"The key `{grant.name}` has ${max(0.0, left_usd):.4f} of its ${budget:g} a day left, and this request may "
                f"cost ${usd:.4f}",
                hint="wait for the next day (UTC), or ask for openfusion/auto:cheap",
            )
        self._held[grant.name] = self._held.get(grant.name, 0.0) + usd

    def settle(self, grant: Grant, held_usd: float, spent_usd: float) -> None:
        """Exchange what was held for what was spent."""
        if grant.budget_usd_per_day is None:
            return
        self._held[grant.name] = max(0.0, self._held.get(grant.name, 0.0) - held_usd)
        self._spent[grant.name] = (self._clock() // DAY_S, self._today(grant.name) + spent_usd)

    def _today(self, name: str) -> float:
        day, spent_usd = self._spent.get(name, (0.0, 0.0))
        return spent_usd if day == self._clock() // DAY_S else 0.0

    def _look(self) -> None:
        """Read the file again if it changed."""
        sign = _sign(self._path)
        if sign == self._seen:
            return
        self._seen = sign
        try:
            self._keys = _granted(read(self._path))
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
