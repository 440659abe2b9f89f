"""`autorouter models`: the labels a client may put in `model`, and the candidates behind them.

`autorouter models --health`: what was measured of each candidate, from the file that outlives a restart.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.config.load import Settings
from autorouter.core import labels
from autorouter.core.codec import to_plain
from autorouter.core.panels import panel_names
from autorouter.core.state.health import Health, availability, cooldown_left_s
from autorouter.core.types import Candidate
from autorouter.state_file import FILE_NAME, StateFile

if TYPE_CHECKING:
    from rich.table import Table


_SKILLS = {
    "general": "general",
    "coding": "coding",
    "reasoning": "reasoning",
    "verification": "verifying",
    "writing": "writing",
}
"""Benchmark column -> its heading."""
_PROFILES = {
    "cheap": "the cheapest that will do (dial 9)",
    "balanced": "the default weight of money (dial 5)",
    "best": "the best answer at any price (dial 0)",
    "private": "local candidates only: nothing leaves this machine",
}


@click.command(name="models")
@config_option
@dry_run_option
@json_option
@click.option("--health", is_flag=True, help="Show the health measured for each candidate.")
def command(path: Path | None, dry_run: bool, as_json: bool, health: bool) -> None:
    """List the labels and the candidates.

    Prices are in USD per million tokens, benchmarks are percentiles. A dash means unknown, never zero. --health reads the
    file that a running router updates every ten seconds; it is kept beside the receipts.

    \b
    Examples:
      autorouter models
      autorouter models --health
      autorouter models --json
    """
    loaded = settings(path, dry_run=dry_run)
    if health:
        pass

        _print_health(loaded, as_json=as_json)
        return
    panels = panel_names(loaded.policy.panels)
    ours = [(name, meaning(name, panels)) for name in labels.all_labels((), panels)]
    if as_json:
        listed = [{"id": name, "meaning": text} for name, text in ours]
        output.emit({"dry_run": loaded.dry_run, "labels": listed, "candidates": to_plain(loaded.candidates)})
        return
    for remark in loaded.notes:
        output.note(remark)
    output.show(
        output.table(("label", "what it asks for"), [*ours, ("ID", "that candidate, with fallback and receipt")])
    )
    output.show(output.section(output.count(len(loaded.candidates), "candidate"), _candidates(loaded.candidates)))


def meaning(name: str, panels: Sequence[str] = ()) -> str:
    """What a router label means, in a few words. `panels`: the names of all panels."""

    label = labels.parse(name, (), panels)
    if label.panel is not None:
        return f"the panel {label.panel}"
    if label.profile is not None:
        return _PROFILES[label.profile]
    if label.role is not None:
        return f"the best candidate whose roles include {label.role}"
    if label.strategy is not None:
        return {"verify": "one model answers, another checks it", "fusion": "a panel, a judge and one answer"}[
            label.strategy
        ]
    return "the router decides"


def _candidates(candidates: Sequence[Candidate]) -> Table:
    rows = []
    for c in candidates:
        prices = (f"{c.price.input:g}", f"{c.price.output:g}") if c.price else ("unknown", "unknown")
        marks = [getattr(c.benchmarks, skill) for skill in _SKILLS]
        shown = ["-" if mark is None else f"{mark:g}" for mark in marks]
        window = f"{c.context_tokens // 1000:,}k"
        roles = ", ".join(c.roles)
        rows.append((c.id, c.upstream, c.model, roles, *prices, window, *shown, "yes" if c.local else ""))
    numbers = ("$ in", "$ out", "window", *_SKILLS.values())
    return output.table(("candidate", "upstream", "model", "roles", *numbers, "local"), rows, right=numbers)


COLUMNS = ("candidate", "answers", "failures", "available", "first token", "tokens/s", "now")
NUMBERS = COLUMNS[1:-1]


def _print_health(loaded: Settings, *, as_json: bool) -> None:
    """Print it: a table, or one JSON object."""
    folder = Path(loaded.config.receipts.dir or ".").expanduser()
    file = StateFile(folder, loaded.candidates, clock=time.time)
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
    for candidate in loaded.candidates:
        seen = kept.get(candidate.id, Health())
        up = availability(candidate, seen, loaded.policy.tuning)
        rows.append((candidate.id, *_measured(seen), f"{100 * up:.1f} %", *_times(seen), _state(seen, now_s)))
    output.show(output.table(COLUMNS, rows, right=NUMBERS))


def _measured(seen: Health) -> tuple[str, str]:
    """Decayed counts: an answer an hour ago counts as half."""
    return f"{seen.good:.1f}", f"{seen.bad:.1f}"


def _times(seen: Health) -> tuple[str, str]:
    ttft, rate = seen.ttft_s, seen.throughput_tokens_per_s
    return ("-" if ttft is None else f"{ttft:.2f} s", "-" if rate is None else f"{rate:.0f}")


def _state(seen: Health, now_s: float) -> Any:
    left_s = cooldown_left_s(seen, now_s)
    if left_s:
        return f"cooling down for {left_s:.0f} s after {seen.cooldown_reason or 'a failure'}"
    if seen.failures_in_row:
        return f"half open after {seen.cooldown_reason or 'a failure'}: the next request probes"
    return "ok" if seen.samples else "-"
