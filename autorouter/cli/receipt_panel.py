"""What a second look, or a panel, came to: from a receipt, for people. Letters that judges saw are names again.

together(record)      the sections: phases with their calls, tokens and dollars, then the outcome; nothing for a single answer
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_plans import listed
from autorouter.cli.output import count, facts, seconds, section, styled, table, usd

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

WEIGHTS = {"final": "a final answer", "risky": "a risky call", "plain": "a plain step"}
"""What a draft was, by `core/review/draft_risk`."""
FINDINGS = {
    "consensus": "agreed",
    "contradictions": "contradicted",
    "partial_coverage": "partly covered",
    "unique_insights": "unique",
    "blind_spots": "missed by all",
}
"""A judgement's lists in few words."""


def together(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Phases and outcome of more than one call's work."""
    phases = record["outcome"].get("phases") or ()
    panel = record.get("panel")
    if len(phases) > 1 or (phases and panel):
        yield _phases(record, phases)
    if panel:
        strategy = "A panel" if "way" in panel else "A second look"
        yield section(strategy, facts(_panel(panel) if "way" in panel else _look(panel)))


def _phases(record: Mapping[str, Any], phases: Sequence[Mapping[str, Any]]) -> Group:
    """One line for each phase, and their sum."""
    names = ("calls", "input", "cached", "output", "time", "cost", "share")
    outcome = record["outcome"]
    whole_usd = outcome["cost_usd"]
    rows: list[tuple[Any, ...]] = []
    for phase in phases:
        made = [a for a in record["attempts"] if a["phase"] == phase["phase"]]
        longest_s = max((a["seconds"] for a in made if a["seconds"] is not None), default=None)
        share = f"{phase['cost_usd'] / whole_usd:.0%}" if whole_usd and phase["cost_usd"] is not None else ""
        who = listed(_tallied([a["candidate"] for a in made]))
        rows.append((phase["phase"], *_figures(phase), seconds(longest_s), usd(phase["cost_usd"]), share, who))
    calls = sum(phase["calls"] for phase in phases)
    whole = _figures({"calls": calls, "usage": outcome["usage"]})
    rows.append((styled("in all", "strong"), *whole, seconds(outcome["seconds"]), usd(whole_usd), "", ""))
    return section("Phases", table(("phase", *names, "who"), rows, right=names))


def _figures(phase: Mapping[str, Any]) -> list[str]:
    """Calls, and tokens in, cached and out."""
    usage = phase["usage"]
    tokens = [f"{usage[name]:,}" if usage else "-" for name in ("input_tokens", "cached_tokens", "output_tokens")]
    return [str(phase["calls"]), *tokens]


def _tallied(names: Sequence[str]) -> list[str]:
    """Each name once, with how often: `gpt x3`."""
    return [f"{name} x{names.count(name)}" if names.count(name) > 1 else name for name in dict.fromkeys(names)]


def _look(panel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the verifier made of the draft."""
    draft = WEIGHTS.get(panel.get("weight", ""), str(panel.get("weight", "")))
    if not panel.get("seen"):
        return [("draft", f"{draft}: it went out at once")]
    verdict, findings = panel.get("verdict"), panel.get("findings", 0)
    if verdict is None:
        return [("draft", draft), ("verdict", "none: the draft went out unverified")]
    by = "what the tools show" if panel.get("by") == "evidence" else str(panel.get("by"))
    word = {"accept": "accepted", "revise": "sent back"}.get(verdict, verdict)
    said = f"{word} by {by}" + (f", {count(findings, 'finding')}" if findings else "")
    return [("draft", draft), ("verdict", said)]


def _panel(panel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What came of the members' answers."""
    usable = panel.get("usable")
    rankings = [("ranking", order) for order in [panel.get("ranking")] if order is not None]
    rankings += [
        ("ranking" if first else "swapped", order)
        for first, order in zip((True, False), panel.get("rankings") or (), strict=False)
    ]
    moment = "at once" if panel.get("moment") == "now" else "after a draft that called for it"
    if panel.get("seen") is False:
        moment = "not at all: the draft was a plain step, and went out at once"
    return [
        ("panel", f"{panel.get('name')} ({panel.get('way')})"),
        ("joined", moment),
        ("usable", "" if usable is None else count(usable, "answer")),
        ("agreed", {True: "more than half gave the same", False: ""}.get(panel.get("agreed", False), "")),
        ("vote", str(panel.get("vote", ""))),
        *[(name, " > ".join(map(str, order)) if order else "none") for name, order in rankings],
        ("tied", "yes: the first in the panel went ahead" if panel.get("tied") else ""),
        ("judgement", _judgement(panel.get("judgement"))),
        ("picked", str(panel.get("picked", ""))),
    ]


def _judgement(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    counts = [f"{found[name]} {words}" for name, words in FINDINGS.items() if name in found]
    return ", ".join(counts) + (f"; the best: {found['best']}" if found.get("best") else "")
