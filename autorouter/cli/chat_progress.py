"""The progress of a panel or verifier on the terminal until the answer's text arrives, and a one-line summary after it.

    member    gpt-6-astra       answered   1.2 s
    member    claude-opus-5-5   working    3.4 s
    judge     claude-opus-5-5   working    0.2 s

Live on standard error, only on a terminal, and removed before the first word of the answer is printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autorouter.cli import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table
    from rich.text import Text

STAGE_LABELS = {
    "member": "member",
    "debate": "debater",
    "layer": "layer",
    "draft": "draft",
    "verdict": "verifier",
    "judgement": "judge",
    "ranking": "judge",
    "synthesis": "writes",
    "revision": "revises",
    "escalation": "answers instead",
    "refinement": "rewrites",
    "step": "step",
    "search": "search",
}
"""Stage -> what its model does; unknown stages are shown by their own name."""
WORKING, DONE, ANSWERED, STOPPED = "working", "done", "answered", "not_needed"
_SHOWN = {STOPPED: "not needed", "late": "late"}


@dataclass(slots=True)
class StageRow:
    """A model at work. `member`: its index in the panel, None outside a panel; `ended_s` None: still working."""

    stage: str
    candidate: str
    began_s: float
    member: int | None = None
    state: str = WORKING
    ended_s: float | None = None

    def end(self, state: str, now_s: float) -> None:
        """Mark the work as ended in `state`."""
        self.state, self.ended_s = state, now_s


@dataclass(slots=True)
class StageList:
    """The rows of all stages so far. `timer` gives seconds."""

    timer: Callable[[], float] = time.monotonic
    rows: list[StageRow] = field(default_factory=list)
    _spinner: Spinner | None = None

    def on_event(self, stage: Mapping[str, Any]) -> None:
        """Take in an event. What it lacks, or what is of no known kind, does no harm."""
        now_s, name = self.timer(), str(stage.get("stage") or "")
        if name == "member":
            self._end_member(stage, now_s)
            return
        for row in self.rows:
            if row.member is None and row.state == WORKING and row.stage != name:
                row.end(DONE, now_s)
        if name == "panel":
            candidates = stage.get("candidates")
            names = candidates if isinstance(candidates, list) else [""] * _whole(stage.get("members"))
            phase = str(stage.get("phase") or "member")
            self.rows += [StageRow(phase, str(who), now_s, seat) for seat, who in enumerate(names)]
        elif name:
            told = stage.get("candidate") or stage.get("name") or ""
            self.rows.append(StageRow(name, str(told), now_s))

    def _end_member(self, stage: Mapping[str, Any], now_s: float) -> None:
        """A member's end: the last row of that seat, for a debate fills the seats anew."""
        row = next(
            (row for row in reversed(self.rows) if row.member == stage.get("member") and row.member is not None), None
        )
        if row is None:
            row = StageRow("member", "", now_s, _whole(stage.get("member")))
            self.rows.append(row)
        row.candidate = row.candidate or str(stage.get("candidate") or "")
        row.end(str(stage.get("result") or ANSWERED), now_s)

    def render(self) -> Table:
        """The rows as a small table."""
        from rich.spinner import Spinner
        from rich.table import Table

        now_s = self.timer()
        spinner = self._spinner = self._spinner or Spinner("line", output.styled(WORKING))
        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(justify="right", no_wrap=True)
        for row in self.rows:
            who = row.candidate or ("" if row.member is None else f"number {row.member + 1}")
            took_s = (now_s if row.ended_s is None else row.ended_s) - row.began_s
            state: RenderableType = spinner if row.state == WORKING else _state(row.state)
            role = output.styled(STAGE_LABELS.get(row.stage, row.stage), "dim")
            grid.add_row(role, output.styled(who), state, output.styled(f"{took_s:.1f} s"))
        return grid


def _state(state: str) -> Text:
    style = "good" if state in (ANSWERED, DONE) else "dim" if state == STOPPED else "bad"
    return output.styled(_SHOWN.get(state, state), style)


def _whole(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= 64 else 0


class ProgressDisplay:
    """The stages on the terminal, from the first event until `stop`. Nothing is drawn where no event comes."""

    def __init__(self, console: Console | None = None) -> None:
        self.stages = StageList()
        self._console = console
        self._live: Live | None = None

    @property
    def visible(self) -> bool:
        """Whether the table stands on the terminal."""
        return self._live is not None

    def on_event(self, stage: Mapping[str, Any]) -> None:
        """An event has come."""
        self.stages.on_event(stage)
        if self._live is None and self._is_terminal():
            from rich.live import Live

            out = self._console or output.console(stderr=True)
            self._live = Live(console=out, get_renderable=self.stages.render, refresh_per_second=8, transient=True)
            self._live.start()
        if self._live is not None:
            self._live.refresh()

    def _is_terminal(self) -> bool:
        if self._console is not None:
            return self._console.is_terminal
        return sys.stderr.isatty() and not output.console(stderr=True).is_dumb_terminal

    def stop(self) -> None:
        """Give way to the answer."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def until_first(self, pieces: Iterator[str]) -> Iterator[str]:
        """The same pieces, once the first of them is there and nothing is drawn any more."""
        try:
            first = next(pieces, None)
        finally:
            self.stop()

        def rest() -> Iterator[str]:
            if first is not None:
                yield first
                yield from pieces

        return rest()


def summary_parts(summary: Mapping[str, Any]) -> list[str]:
    """What a summary says of a panel or a verifier: the way it went, its calls, the cost of each phase, what is missing.
    Nothing for a single answer."""
    strategy = summary.get("strategy")
    if strategy not in ("verify", "fusion"):
        return []
    panel = summary.get("panel") or {}
    parts = [_verified(panel) if strategy == "verify" else _fused(panel)]
    phases = [(p["phase"], p["calls"], p["cost_usd"]) for p in summary.get("phases") or ()]
    parts.append(output.count(sum(calls for _, calls, _ in phases), "call"))
    parts.append(", ".join(f"{name} {output.usd(usd)}" for name, _, usd in phases))
    if summary.get("degraded"):
        parts.append("degraded: " + "; ".join(str(said) for said in summary["degraded"]))
    return parts


def _verified(panel: Mapping[str, Any]) -> str:
    if not panel.get("reviewed"):
        return "verify: nothing to look at"
    if "verdict" not in panel:
        return "verify: no verdict"
    word = {"accept": "accepted", "revise": "sent back"}.get(panel["verdict"], panel["verdict"])
    return f"verify: {word} by {panel.get('verdict_by')}"


def _fused(panel: Mapping[str, Any]) -> str:
    named = f"fusion {panel.get('name')} ({panel.get('method')})"
    if panel.get("reviewed") is False:
        return f"{named}: not needed"
    return f"{named}: {'agreed' if panel.get('agreed') else 'selected'}" if "selected" in panel else named
