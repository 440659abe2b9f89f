"""Receipts for people: a line each, one in full, and the decision on one as `route --explain` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autorouter.cli.output import count, facts, seconds, section, styled, table, usd
from autorouter.cli.shown import DecisionView
from autorouter.core.codec import from_plain
from autorouter.core.signals.features import Features
from autorouter.errors import ReceiptError

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
    request, found = record["request"], record["outcome"]
    end = result(found["result"], found["status"]) + styled(f"  {found['error']}" if found["error"] else "")
    overhead = found["overhead_s"]
    ours = f"; of it ours {overhead * 1000:.2f} ms" if overhead is not None else ""
    return facts(
        [
            ("receipt", styled(record["id"], "strong")),
            ("time", record["at"]),
            ("asked", f"{request['label']} by {request['client']}{' (streamed)' if request['stream'] else ''}"),
            ("request", _shape(request)),
            ("session", request["session"] or ""),
            ("outcome", end),
            ("cost", f"{usd(found['cost_usd'])}{' (dry run: nothing was paid)' if record['dry_run'] else ''}"),
            ("took", f"{seconds(found['seconds'])}, first token after {seconds(found['ttft_s'])}{ours}"),
            ("degraded", styled("\n".join(str(part) for part in record["degraded"]), "bad")),
        ]
    )


def _shape(request: Mapping[str, Any]) -> str:
    parts = [f"{request['body_bytes']:,} bytes", count(request["messages"], "message")]
    parts += [f"{request[name]} {name}" for name in ("tools", "images") if request[name]]
    return ", ".join(parts)


def attempts(record: Mapping[str, Any]) -> Group:
    """The calls that were made, in order; in which phase, and whose count their tokens are, where that differs."""
    several = len({a["phase"] for a in record["attempts"]}) > 1
    sources = {a["usage_source"] or "" for a in record["attempts"] if a["usage"]}
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
        *([(a["usage_source"] or "").removesuffix(" by the upstream")] if source else []),
    )


def _tokens(number: int | None, cached: int | None) -> str:
    if number is None:
        return "-"
    return f"{number:,} ({cached:,} cached)" if cached else f"{number:,}"


def view_of(record: Mapping[str, Any], context: Mapping[str, Any] | None) -> DecisionView:
    """What `decision_view` shows, from the receipt alone; the context adds what the upstreams are asked for.
    ReceiptError for a receipt that isn't of this version."""
    try:
        features = from_plain(Features, record["features"])
        known = context["candidates"] if context else record["attempts"]
        models = {c.get("id") or c.get("candidate"): (c["upstream"], c["model"]) for c in known}
        return DecisionView(decision=record["decision"], features=features, models=models, dry_run=record["dry_run"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        version = record.get("version", "unknown")
        raise ReceiptError(f"the receipt is of another version ({version})", hint="show --json prints it") from exc
