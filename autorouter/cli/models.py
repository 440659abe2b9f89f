"""`autorouter models`: what a client may put in `model`, and who stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, dry_run_option, json_option, settings

if TYPE_CHECKING:
    from rich.table import Table

    from autorouter.core.types import Candidate

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
@click.option("--health", is_flag=True, help="What was measured of each candidate, as the router last kept it.")
def command(path: Path | None, dry_run: bool, as_json: bool, health: bool) -> None:
    """List the labels and the candidates.

    Prices are in USD per million tokens, benchmarks are percentiles. A dash is unknown, never zero. What --health shows is at
    most ten seconds old while a router runs; it is kept beside the receipts.

    \b
    Examples:
      autorouter models
      autorouter models --health
      autorouter models --json
    """
    from autorouter.core import labels
    from autorouter.core.codec import to_plain
    from autorouter.core.panels import panel_names

    found = settings(path, dry_run=dry_run)
    if health:
        from autorouter.cli.health_view import show

        show(found, as_json=as_json)
        return
    panels = panel_names(found.policy.panels)
    ours = [(name, meaning(name, panels)) for name in labels.all_labels((), panels)]
    if as_json:
        listed = [{"id": name, "meaning": text} for name, text in ours]
        output.emit({"dry_run": found.dry_run, "labels": listed, "candidates": to_plain(found.candidates)})
        return
    for remark in found.notes:
        output.note(remark)
    output.show(
        output.table(("label", "what it asks for"), [*ours, ("ID", "that candidate, with fallback and receipt")])
    )
    output.show(output.section(output.count(len(found.candidates), "candidate"), _candidates(found.candidates)))


def meaning(name: str, panels: Sequence[str] = ()) -> str:
    """What a label of ours asks for, in a few words. `panels`: the names of those that there are."""
    from autorouter.core import labels

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
