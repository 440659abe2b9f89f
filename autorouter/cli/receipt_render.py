"""Receipts for people: a list, one in full, and the decision on one as `route --explain` shows it.

listing(summaries)      one line per receipt
outcome(record)         request, result, cost and time
joint_work(record)      of a verifier or a panel: phases with calls, tokens and cost, and the result; else nothing
attempts(record)        the calls that were made
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_render import DecisionView, join_names
from autorouter.cli.output import count, facts, seconds, section, styled, table, usd
from autorouter.errors import ReceiptError
from autorouter.receipts.messages import USAGE_SOURCES, sentences
from autorouter.receipts.replay import features_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

GOOD = "answered"


def listing(summaries: Iterable[Mapping[str, Any]]) -> Table:
    """One line for each receipt."""
    rows = [
        (
            str(s["at"])[:19].replace("T", " "),
            str(s["id"]),
            result(s["result"], s["status"]),
            s["candidate"] or "-",
            s["kind"],
            s["strategy"] or "-",
            str(s["attempts"]),
            usd(s["cost_usd"]),
            seconds(s["seconds"]),
            s["label"],
        )
        for s in summaries
    ]
    columns = ("time (UTC)", "receipt", "result", "candidate", "kind", "strategy", "calls", "cost", "time", "asked for")
    return table(columns, rows, right=("calls", "cost", "time"))


def result(name: str, status: int) -> Text:
    """`answered`, or what happened instead with the status that the client got."""
    return styled(name, "good") if name == GOOD else styled(f"{name} {status}" if status else name, "bad")


def outcome(record: Mapping[str, Any]) -> Table:
    """Who asked for what, and how it ended."""
    request, ending = record["request"], record["outcome"]
    end = result(ending["result"], ending["status"]) + styled(f"  {ending['error']}" if ending["error"] else "")
    overhead = ending["overhead_s"]
    ours = f"; of it ours {overhead * 1000:.2f} ms" if overhead is not None else ""
    return facts(
        [
            ("receipt", styled(record["id"], "strong")),
            ("time", record["at"]),
            ("asked", f"{request['label']} by {request['client']}{' (streamed)' if request['stream'] else ''}"),
            ("request", _shape(request)),
            ("session", request["session"] or ""),
            ("outcome", end),
            ("cost", f"{usd(ending['cost_usd'])}{' (dry run: nothing was paid)' if record['dry_run'] else ''}"),
            ("took", f"{seconds(ending['seconds'])}, first token after {seconds(ending['ttft_s'])}{ours}"),
            ("degraded", styled("\n".join(sentences(record["degraded"])), "bad")),
        ]
    )


def _shape(request: Mapping[str, Any]) -> str:
    parts = [f"{request['body_bytes']:,} bytes", count(request["messages"], "message")]
    parts += [f"{request[name]} {name}" for name in ("tools", "images") if request[name]]
    return ", ".join(parts)


def attempts(record: Mapping[str, Any]) -> Group:
    """The calls that were made, in order; in which phase, and whose count their tokens are, where that differs."""
    several = len({a["phase"] for a in record["attempts"]}) > 1
    sources = {USAGE_SOURCES.get(a["usage_source"], "") for a in record["attempts"] if a["usage"]}
    rows = [_attempt(a, phase=several, source=len(sources) > 1) for a in record["attempts"]]
    names = ("first token", "time", "input", "output", "cost")
    columns = (*(["phase"] if several else []), "candidate", "asked", "result", *names)
    body = table((*columns, *(["usage is"] if len(sources) > 1 else [])), rows, right=names)
    told = f"; usage is {next(iter(sources))}" if len(sources) == 1 else ""
    return section(f"Calls{told}", body if rows else styled("none was made"))


def _attempt(a: Mapping[str, Any], *, phase: bool, source: bool) -> tuple[Any, ...]:
    usage = a["usage"] or {}
    model = f": {a['model']}" if a["model"] != a["candidate"] else ""
    served = f" (served: {a['served_model']})" if a["served_differs"] else ""
    return (
        *([a["phase"]] if phase else []),
        a["candidate"],
        f"{a['upstream']}{model}{served}",
        result(a["result"], a["status"] or 0),
        seconds(a["ttft_s"]),
        seconds(a["seconds"]),
        _tokens(usage.get("input_tokens"), usage.get("cached_tokens")),
        _tokens(usage.get("output_tokens"), 0),
        usd(a["cost_usd"]) if usage else "-",
        *([(a["usage_source"] or "").replace("_", " ")] if source else []),
    )


def _tokens(number: int | None, cached: int | None) -> str:
    if number is None:
        return "-"
    return f"{number:,} ({cached:,} cached)" if cached else f"{number:,}"


def view_of_receipt(record: Mapping[str, Any], context: Mapping[str, Any] | None) -> DecisionView:
    """What `decision_view` shows, from the receipt alone; the context adds what the upstreams are asked for.
    ReceiptError for a receipt that isn't of this version."""
    try:
        features = features_of(record)
        known = context["candidates"] if context else record["attempts"]
        models = {c.get("id") or c.get("candidate"): (c["upstream"], c["model"]) for c in known}
        return DecisionView(decision=record["decision"], features=features, models=models, dry_run=record["dry_run"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        version = record.get("version", "unknown")
        raise ReceiptError(f"the receipt is of another version ({version})", hint="show --json prints it") from exc


if TYPE_CHECKING:
    from rich.console import Group, RenderableType

DRAFT_KINDS = {"final": "a final answer", "risky": "a risky call", "plain": "a plain step"}
"""What a draft was, by `core/review/draft_risk`."""
FINDINGS = {
    "consensus": "agreed",
    "contradictions": "contradicted",
    "partial_coverage": "partly covered",
    "unique_insights": "unique",
    "blind_spots": "missed by all",
}
"""A judgement's lists in few words."""


def joint_work(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Phases and outcome of more than one call's work."""
    phases = record["outcome"].get("phases") or ()
    panel = record.get("panel")
    if len(phases) > 1 or (phases and panel):
        yield _phases(record, phases)
    if panel:
        strategy = "A panel" if "method" in panel else "A second look"
        yield section(strategy, facts(_panel(panel) if "method" in panel else _look(panel)))


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
        who = join_names(_tallied([a["candidate"] for a in made]))
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
    draft = DRAFT_KINDS.get(panel.get("draft_kind", ""), str(panel.get("draft_kind", "")))
    if not panel.get("reviewed"):
        return [("draft", f"{draft}: it went out at once")]
    verdict, findings = panel.get("verdict"), panel.get("findings", 0)
    if verdict is None:
        return [("draft", draft), ("verdict", "none: the draft went out unverified")]
    by = "what the tools show" if panel.get("verdict_by") == "evidence" else str(panel.get("verdict_by"))
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
    moment = "at once" if panel.get("trigger") == "now" else "after a draft that called for it"
    if panel.get("reviewed") is False:
        moment = "not at all: the draft was a plain step, and went out at once"
    return [
        ("panel", f"{panel.get('name')} ({panel.get('method')})"),
        ("joined", moment),
        ("usable", "" if usable is None else count(usable, "answer")),
        ("agreed", {True: "more than half gave the same", False: ""}.get(panel.get("agreed", False), "")),
        ("vote", str(panel.get("vote", ""))),
        *[(name, " > ".join(map(str, order)) if order else "none") for name, order in rankings],
        ("tie", "yes: the first in the panel went ahead" if panel.get("tie") else ""),
        ("judgement", _judgement(panel.get("judgement"))),
        ("selected", str(panel.get("selected", ""))),
    ]


def _judgement(judgement: Mapping[str, Any] | None) -> str:
    if judgement is None:
        return ""
    counts = [f"{judgement[name]} {words}" for name, words in FINDINGS.items() if name in judgement]
    return ", ".join(counts) + (f"; the best: {judgement['best']}" if judgement.get("best") else "")
