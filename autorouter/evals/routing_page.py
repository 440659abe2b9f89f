"""The routing eval as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autorouter.evals.evidence import DRY_RUN_NOTICE
from autorouter.evals.markdown import interval, page, share, table, usd

SAID = {
    "kind": "kind of work",
    "difficulty": "band of difficulty",
    "risk": "risky or not",
    "strategy": "strategy within what was accepted",
    "adequate": "chosen model is adequate",
}


LABELS = (
    "The labels were written by meaning before the router read the requests, by one labeller who knew its word lists."
)


def render_routing(found: Mapping[str, Any], failed: Sequence[str]) -> str:
    """The page of an eval document."""
    figures = found["figures"]
    return page(
        "# Routing eval",
        f"**{DRY_RUN_NOTICE}**" if found["dry_run"] else None,
        f"{figures['cases']} labelled requests (`{found['cases_name']}`), autorouter {found['version']}, {found['at']}. "
        f"No model was called. {LABELS if found['built_in'] else ''}".rstrip(),
        _shares_section(figures["shares"]),
        "## Kinds\n\nRows: the label. Columns: what was read.",
        _confusion_section(figures["kinds"]),
        _misread_section(figures["misread_kinds"]),
        "## Difficulty",
        _confusion_section(figures["bands"]),
        _order_section(figures["order"]),
        "## Risk",
        _risk_section(figures["risk"]),
        "## Cost and chance of success, predicted",
        _regret_section(figures),
        "## Diversity and strategies",
        _diversity_section(figures),
        "## By agent and language",
        _groups_section(figures["by_wrap"], "sent as"),
        _groups_section(figures["by_language"], "language"),
        "## Gate\n\n" + "\n".join(f"- failed: {line}" for line in failed) if failed else None,
    )


def _shares_section(shares: Mapping[str, Any]) -> str:
    rows = [
        (SAID[name], share(s["share"]), f"{s['right']} of {s['of']}", interval(s["low"], s["high"]))
        for name, s in shares.items()
    ]
    return table(("agrees with the label in", "share", "cases", "95 % interval"), rows, right=("share", "cases"))


def _confusion_section(found: Mapping[str, Mapping[str, int]]) -> str:
    names = list(found)
    return table(("label", *names), [(row, *(found[row][c] or "." for c in names)) for row in names], right=names)


def _misread_section(found: Mapping[str, int]) -> str:
    return (
        f"Of the kinds that were misread, {found['another column']} led to another benchmark column; "
        f"{found['the same column']} changed nothing (edit and debug, say, are both judged by coding)."
    )


def _order_section(found: Mapping[str, float]) -> str:
    said = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    return f"Whatever the borders: of two cases of different bands the harder reads harder this often (0.50 is chance): {said}."


def _risk_section(found: Mapping[str, Any]) -> str:
    rows = [(name, share(found[name]["share"]), f"{found[name]['right']} of {found[name]['of']}") for name in _RISK]
    missed = ", ".join(found["missed"]) or "none"
    false = ", ".join(found["false"]) or "none"
    return (
        table(("risk", "share", "cases"), rows, right=("share", "cases")) + f"\n\nMissed: {missed}.\n\nFalse: {false}."
    )


_RISK = ("precision", "recall")
_ROWS = ("router", "cheapest adequate", "always the best", "always the cheapest")


def _regret_section(figures: Mapping[str, Any]) -> str:
    found = figures["regret"]
    rows = [(name, usd(found[name]["mean_usd"]), share(found[name]["mean_success"])) for name in _ROWS]
    return (
        table(("who answers", "USD a turn, mean", "chance of success, mean"), rows, right=("USD a turn, mean",))
        + f"\n\nMean regret {usd(found['mean_regret_usd'])} a turn beyond the cheapest adequate candidate; mean shortfall "
        + f"{share(found['mean_shortfall'])} against the best. Adequate: at least {figures['thresholds']['adequate']:.2f} of "
        + "the best candidate's chance. All of it is predicted from the configured percentiles and prices at the labelled "
        + "kind and band, for the answering model without its verifier: it shows "
        + "what misreading costs, not whether the percentiles are right."
    )


def _diversity_section(figures: Mapping[str, Any]) -> str:
    found = figures["diversity"]
    bands = figures["strategies_by_band"]
    names = sorted({name for row in bands.values() for name in row})
    return (
        f"{found['distinct']} different candidates, {found['entropy_bits']:.2f} bits.\n\n"
        + table(("candidate", "cases"), found["candidates"].items(), right=("cases",))
        + "\n\n"
        + table(("label", *names), [(b, *(row.get(n, 0) for n in names)) for b, row in bands.items()], right=names)
    )


def _groups_section(found: Mapping[str, Mapping[str, Any]], name: str) -> str:
    parts = ("kind", "difficulty", "risk", "strategy")
    rows = [(key, row["cases"], *(share(row[part]) for part in parts)) for key, row in found.items()]
    return table((name, "cases", *parts), rows, right=("cases", *parts))
