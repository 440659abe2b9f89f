"""What each local key has spent today, and what it may still spend: by UTC day, kept across a restart.

    budgets.hold(grant, 0.02)               before the call: what it may cost. BudgetExceeded (402) where less is left
    budgets.settle(grant, 0.02, 0.0137)     after it: what it did cost

    keys.spent.json     {"day": 20778, "spent_usd": {"ci": 0.4182}}      beside keys.toml, 0600

The file is written anew after each request of a key that has a budget (0.1 ms), and of no other.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from math import inf
from pathlib import Path

from autorouter.engine.deps import DAY_S
from autorouter.errors import BudgetExceeded
from autorouter.server.access.grants import Grant

log = logging.getLogger("autorouter")


class KeyBudgets:
    """For one event loop. A file that can't be read counts as nothing spent, one that can't be written is logged once."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._day = self._today()
        self._spent_usd: dict[str, float] = self._read()
        self._held_usd: dict[str, float] = {}
        self._said = False

    def hold(self, grant: Grant, usd: float) -> None:
        """Hold what a request may cost until `settle`. Raises BudgetExceeded."""
        budget = grant.budget_usd_per_day
        if budget is None:
            return
        left_usd = self.left_usd(grant)
        if usd > left_usd or left_usd <= 0:
            raise BudgetExceeded(
                f"The key `{grant.name}` has ${max(0.0, left_usd):.4f} of its ${budget:g} a day left, and this request may "
                f"cost ${usd:.4f}",
                hint="wait for the next day (UTC), or ask for openfusion/auto:cheap",
            )
        self._held_usd[grant.name] = self._held_usd.get(grant.name, 0.0) + usd

    def left_usd(self, grant: Grant) -> float:
        """What is neither spent nor held of today's budget; without one, without end."""
        self._turn()
        budget = inf if grant.budget_usd_per_day is None else grant.budget_usd_per_day
        return budget - self._spent_usd.get(grant.name, 0.0) - self._held_usd.get(grant.name, 0.0)

    def settle(self, grant: Grant, held_usd: float, spent_usd: float) -> None:
        """Exchange what was held for what was spent."""
        if grant.budget_usd_per_day is None:
            return
        self._turn()
        self._held_usd[grant.name] = max(0.0, self._held_usd.get(grant.name, 0.0) - held_usd)
        if spent_usd > 0:
            self._spent_usd[grant.name] = self._spent_usd.get(grant.name, 0.0) + spent_usd
            self._write()

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    def _turn(self) -> None:
        if self._day != self._today():
            self._day, self._spent_usd = self._today(), {}

    def _read(self) -> dict[str, float]:
        try:
            kept = json.loads(self._path.read_bytes())
            spent = kept["spent_usd"] if kept["day"] == self._day else {}
            return {str(name): _usd(usd) for name, usd in spent.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            log.warning("%s can't be read: today's spending of local keys counts from zero", self._path)
            return {}

    def _write(self) -> None:
        text = json.dumps({"day": self._day, "spent_usd": self._spent_usd})
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(beside, self._path)
        except OSError as exc:
            if not self._said:
                self._said = True
                log.error("%s can't be written: %s; a restart forgets today's spending", self._path, exc.strerror)


def _usd(value: float) -> float:
    """A sum of dollars. Raises ValueError for what no budget can be compared with."""
    usd = float(value)
    if not 0.0 <= usd < math.inf:
        raise ValueError("no sum")
    return usd
