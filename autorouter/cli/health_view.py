"""`autorouter models --health`: what was measured of each candidate, from the file that outlives a restart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from autorouter.cli import output
from autorouter.config.load import Settings
from autorouter.core.codec import to_plain
from autorouter.core.state.health import Health, availability, cooling_s
from autorouter.receipts.health_file import FILE_NAME, StateFile

COLUMNS = ("candidate", "answers", "failures", "available", "first token", "tokens/s", "now")
NUMBERS = COLUMNS[1:-1]


def show(found: Settings, *, as_json: bool) -> None:
    """Print it: a table, or one JSON object."""
    folder = Path(found.config.receipts.dir or ".").expanduser()
    file = StateFile(folder, found.candidates, clock=time.time)
    kept = file.read()
    if as_json:
        output.emit({"file": str(folder / FILE_NAME), "candidates": to_plain(kept)})
        return
    if file.problem:
        output.note(file.problem)
    if not kept:
        output.note(f"nothing was measured yet: {folder / FILE_NAME} is written while `autorouter serve` answers")
        return
    now_s = time.time()
    rows = []
    for candidate in found.candidates:
        seen = kept.get(candidate.id, Health())
        up = availability(candidate, seen, found.policy.tuning)
        rows.append((candidate.id, *_measured(seen), f"{100 * up:.1f} %", *_times(seen), _state(seen, now_s)))
    output.show(output.table(COLUMNS, rows, right=NUMBERS))


def _measured(seen: Health) -> tuple[str, str]:
    """Decayed counts: an answer of an hour ago is half of one."""
    return f"{seen.good:.1f}", f"{seen.bad:.1f}"


def _times(seen: Health) -> tuple[str, str]:
    ttft, rate = seen.ttft_s, seen.throughput_tokens_per_s
    return ("-" if ttft is None else f"{ttft:.2f} s", "-" if rate is None else f"{rate:.0f}")


def _state(seen: Health, now_s: float) -> Any:
    left_s = cooling_s(seen, now_s)
    if left_s:
        return f"cooling down for {left_s:.0f} s after {seen.cooldown_reason or 'a failure'}"
    if seen.failures_in_row:
        return f"half open after {seen.cooldown_reason or 'a failure'}: the next request probes"
    return "ok" if seen.samples else "-"
