"""What each local key has spent today and may still spend, by UTC day, kept across restarts.

    budgets.check(grant, 0.02)              when a plan is chosen. Raises BudgetExceeded (402) if less is left
    budgets.hold(grant, 0.02)               before the first call: the plan's maximum cost
    budgets.settle(grant, 0.02, 0.0137)     after it: the actual cost

    keys.spent.json     {"day": 20778, "spent_usd": {"ci": 0.4182}}      beside keys.toml, 0600

The file is rewritten after each request of a key with a budget (0.1 ms), and never for other keys.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from math import inf
from pathlib import Path

from autorouter.core.grants import Grant
from autorouter.engine.deps import DAY_S
from autorouter.errors import BudgetExceeded

log = logging.getLogger("autorouter")


class KeyBudgets:
    """For one event loop. An unreadable file counts as nothing spent; a failed write is logged once."""

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._day = self._today()
        self._spent_usd: dict[str, float] = self._read()
        self._reserved_usd: dict[str, float] = {}
        self._write_failed = False

    def check(self, grant: Grant, usd: float) -> None:
        """Raises BudgetExceeded if less than `usd`, or nothing, is left."""
        budget = grant.budget_usd_per_day
        if budget is None:
            return
        remaining_usd = self.remaining_usd(grant)
        if usd > remaining_usd or remaining_usd <= 0:
            raise BudgetExceeded(
                f"The key `{grant.name}` has ${max(0.0, remaining_usd):.4f} of its ${budget:g} a day left, and this request may "
                f"cost ${usd:.4f}",
                hint="wait for the next day (UTC), or ask for openfusion/auto:cheap",
            )

    def hold(self, grant: Grant, usd: float) -> None:
        """Reserve the maximum cost of a request until `settle`."""
        if grant.budget_usd_per_day is not None:
            self._reserved_usd[grant.name] = self._reserved_usd.get(grant.name, 0.0) + usd

    def remaining_usd(self, grant: Grant) -> float:
        """What is left of today's budget after spending and reservations; infinite without a budget."""
        self._start_new_day()
        budget = inf if grant.budget_usd_per_day is None else grant.budget_usd_per_day
        return budget - self._spent_usd.get(grant.name, 0.0) - self._reserved_usd.get(grant.name, 0.0)

    def settle(self, grant: Grant, reserved_usd: float, spent_usd: float) -> None:
        """Replace a reservation by what was really spent."""
        if grant.budget_usd_per_day is None:
            return
        self._start_new_day()
        self._reserved_usd[grant.name] = max(0.0, self._reserved_usd.get(grant.name, 0.0) - reserved_usd)
        if spent_usd > 0:
            self._spent_usd[grant.name] = self._spent_usd.get(grant.name, 0.0) + spent_usd
            self._write()

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    def _start_new_day(self) -> None:
        if self._day != self._today():
            self._day, self._spent_usd = self._today(), {}

    def _read(self) -> dict[str, float]:
        try:
            saved = json.loads(self._path.read_bytes())
            spent = saved["spent_usd"] if saved["day"] == self._day else {}
            return {str(name): _usd(usd) for name, usd in spent.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            log.warning("%s can't be read: today's spending of local keys counts from zero", self._path)
            return {}

    def _write(self) -> None:
        text = json.dumps({"day": self._day, "spent_usd": self._spent_usd})
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self._path)
        except OSError as exc:
            if not self._write_failed:
                self._write_failed = True
                log.error("%s can't be written: %s; a restart forgets today's spending", self._path, exc.strerror)


def _usd(value: float) -> float:
    """A finite, non-negative amount. Raises ValueError for anything else (`json` reads NaN and Infinity)."""
    usd = float(value)
    if not 0.0 <= usd < math.inf:
        raise ValueError("not an amount")
    return usd
