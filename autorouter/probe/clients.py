"""Which clients can use a relay directly, by what their wire needs. A router in between translates, and needs chat alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autorouter.probe.report import Report

_CHAT: Final = (
    "chat.whole",
    "stream.transport",
    "stream.events",
    "stream.order",
    "stream.end",
    "tools.whole",
    "tools.stream",
)
NEEDS: Final = {
    "Aider, Continue, Cline, OpenCode (chat)": _CHAT,
    "Codex (Responses)": ("responses.stream", "responses.tools"),
    "Claude Code (Messages)": ("messages.whole", "messages.stream", "messages.tools"),
    "all of them through autorouter": (*_CHAT, "truth.usage"),
}
"""Client -> the checks that it can't do without."""


@dataclass(frozen=True, slots=True)
class Fit:
    """`fits`: yes; not offered; or no."""

    client: str
    fits: str
    because: str


def fits(report: Report) -> tuple[Fit, ...]:
    """A line for each kind of client."""
    return tuple(_fit(report, client, needed) for client, needed in NEEDS.items())


def _fit(report: Report, client: str, needed: tuple[str, ...]) -> Fit:
    results = {check.name: check for check in report.checks if check.name in needed}
    wrong = [name for name in needed if name not in results or results[name].result in ("fail", "skipped")]
    if wrong:
        return Fit(client, "no", ", ".join(wrong))
    absent = [name for name, check in results.items() if check.evidence.startswith("not offered")]
    if absent:
        return Fit(client, "not offered", ", ".join(absent))
    limits = [name for name, check in results.items() if check.result == "degraded"]
    return Fit(client, "yes", f"with limits: {', '.join(limits)}" if limits else "all that it needs passed")
