"""Keeps each candidate's health and today's spending over a restart: `health.json` beside the receipts.

    {"schema": "autorouter.health.v1", "at": "2026-11-21T01:00:00Z", "spent": {"day": 20778, "usd": 0.4182}, "candidates":
      {"cheap": {"upstream": "relay", "model": "vendor/cheap", "health": {"good": 41.2, "bad": 0.3, "ttft_s": 0.6, ...}}}}

Written whole and moved into place, mode 0600, by a thread of its own: every `SAVE_INTERVAL_S` if something changed, and on
close. `day` counts UTC days since 1970. The health of a candidate whose model or upstream has changed isn't restored. A file
that can't be read counts as missing, and `problem` says so.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from autorouter.core.codec import to_plain
from autorouter.core.state.health import Health, restore_health
from autorouter.core.types import Candidate

FILE_NAME = "health.json"
SCHEMA = "autorouter.health.v1"
SAVE_INTERVAL_S = 10.0
"""A killed process loses at most this much."""
MAX_BYTES = 4 * 1024 * 1024
"""Ten thousand candidates; a longer file wasn't written by this module."""

log = logging.getLogger("autorouter")
Healths = Mapping[str, Health]
DaySpend = tuple[float, float]
"""A UTC day since 1970, and the dollars spent on it."""
NO_SPEND: DaySpend = (0.0, 0.0)


class StateFile:
    """The file in `directory` for these candidates. `problem` is None while reading and writing work; `spent` is the
    spending of the last day that was read or written."""

    def __init__(self, directory: Path, candidates: Sequence[Candidate], *, clock: Callable[[], float]) -> None:
        self.problem: str | None = None
        self.spent = NO_SPEND
        self._path = directory / FILE_NAME
        self._candidates = {candidate.id: candidate for candidate in candidates}
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._current: Callable[[], Healths] = dict
        self._saved: Healths = {}
        self._spent: Callable[[], DaySpend] = lambda: self.spent

    def read(self) -> dict[str, Health]:
        """The health of the candidates that are unchanged; cooldowns that have ended are dropped."""
        try:
            healths = self._read()
        except FileNotFoundError:
            healths = {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not what this version writes"
            self._report(f"{self._path} can't be read ({why}): what was measured before is forgotten")
            healths = {}
        self._saved = healths
        return healths

    def watch(
        self,
        current: Callable[[], Healths],
        spent: Callable[[], DaySpend] | None = None,
        *,
        every_s: float = SAVE_INTERVAL_S,
    ) -> None:
        """Until `close`, write `current()` whenever it returns another mapping than before, or `spent()` another sum."""
        self._current, self._saved = current, current()
        self._spent = spent or self._spent
        self._thread = threading.Thread(target=self._run, args=(every_s,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what has changed, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._save()

    def _read(self) -> dict[str, Health]:
        with self._path.open("rb") as file:
            body = file.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ValueError("too long")
        document = orjson.loads(body)
        if document["schema"] != SCHEMA:
            raise ValueError("another version")
        self.spent = _parse_spend(document.get("spent"))
        now_s = self._clock()
        entries = {name: entry for name, entry in document["candidates"].items() if self._is_same(name, entry)}
        return {name: restore_health(_parse_health(entry["health"]), now_s) for name, entry in entries.items()}

    def _is_same(self, name: str, entry: Any) -> bool:
        candidate = self._candidates.get(name)
        return candidate is not None and (candidate.upstream, candidate.model) == (entry["upstream"], entry["model"])

    def _run(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            self._save()

    def _save(self) -> None:
        """Saves if something changed. The state replaces its mapping on each change, so comparing the identity is enough."""
        current, spent = self._current(), self._spent()
        if current is self._saved and spent == self.spent:
            return
        try:
            self._write(current, spent)
        except OSError as exc:
            self._report(
                f"{self._path} can't be written ({exc.strerror}): what is measured is forgotten at the next start"
            )
        else:
            self.problem = None
        self._saved, self.spent = current, spent

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.warning("%s", problem)

    def _write(self, current: Healths, spent: DaySpend) -> None:
        entries = {
            name: {"upstream": candidate.upstream, "model": candidate.model, "health": to_plain(current[name])}
            for name, candidate in self._candidates.items()
            if name in current
        }
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        document = {
            "schema": SCHEMA,
            "at": at,
            "spent": dict(zip(("day", "usd"), spent, strict=True)),
            "candidates": entries,
        }
        body = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        temporary = self._path.with_name(f".{FILE_NAME}.new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "wb") as file:
            file.write(body)
        temporary.replace(self._path)


_HEALTH = TypeAdapter(Health)
_FIELDS = {field.name for field in fields(Health)}
_NUMBER_FIELDS = tuple(sorted(_FIELDS - {"cooldown_reason", "asked"}))


def _parse_spend(plain: Any) -> DaySpend:
    """The recorded spending, NO_SPEND where the file has none. Raises ValueError, TypeError or KeyError."""
    if plain is None:
        return NO_SPEND
    day, usd = float(plain["day"]), float(plain["usd"])
    if not (isfinite(day) and isfinite(usd) and usd >= 0):
        raise ValueError("a sum out of bounds")
    return day, usd


def _parse_health(plain: Mapping[str, Any]) -> Health:
    """A health whose numbers are finite and not negative. Raises ValueError, TypeError or KeyError."""
    if unknown := plain.keys() - _FIELDS:
        raise ValueError(f"unknown: {unknown}")
    health = _HEALTH.validate_python(plain)
    numbers = [getattr(health, name) for name in _NUMBER_FIELDS]
    if not all(number is None or (isfinite(number) and number >= 0) for number in numbers):
        raise ValueError("a number out of bounds")
    if not isinstance(plain.get("asked", False), bool):
        raise TypeError("asked")
    return health
