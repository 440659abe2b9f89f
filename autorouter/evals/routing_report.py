"""The routing report: figures from the results (agreement with the labels, regret, diversity), and the Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from autorouter.core.decision.record import round_floats
from autorouter.core.types import TaskKind
from autorouter.evals.cases import BANDS
from autorouter.evals.evidence import DRY_RUN_NOTICE
from autorouter.evals.markdown import interval, page, share, table, usd
from autorouter.evals.routing import ADEQUATE, HARD, MIDDLE, RISKY, RoutingResult, misread_skills
from autorouter.evals.statistics import entropy, mean, ordered_share, wilson

NAMES = ("kind", "difficulty", "risk", "strategy")
GATED = ("kind", "difficulty", "risk", "strategy", "adequate")
"""What a baseline holds: shares of cases, of which a lower one is worse."""


def summarize(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    """All figures, as a JSON value."""
    found: dict[str, Any] = round_floats(
        {
            "cases": len(reads),
            "refused": sum(read.strategy is None for read in reads),
            "shares": _shares(reads),
            "kinds": _table(
                reads, lambda r: r.case.kind.value, lambda r: r.kind.value, tuple(k.value for k in TaskKind)
            ),
            "misread_kinds": misread_skills(reads),
            "bands": _table(reads, lambda r: r.case.difficulty, lambda r: r.band, BANDS),
            "order": _order(reads),
            "risk": _risk(reads),
            "strategies": dict(Counter(str(r.strategy) for r in reads)),
            "strategies_by_band": {
                b: dict(Counter(str(r.strategy) for r in reads if r.case.difficulty == b)) for b in BANDS
            },
            "regret": _regret(reads),
            "diversity": _diversity(reads),
            "by_wrap": _by(reads, lambda r: r.case.wrap),
            "by_language": _by(reads, lambda r: r.case.language),
            "thresholds": {"middle_from": MIDDLE, "hard_from": HARD, "risky_from": RISKY, "adequate": ADEQUATE},
        }
    )
    return found


def baseline_figures(found: dict[str, Any]) -> dict[str, float]:
    """The figures that a regression gate compares."""
    return {name: found["shares"][name]["share"] for name in GATED}


def result_rows(reads: Sequence[RoutingResult]) -> list[dict[str, Any]]:
    """One line a case: what was read and chosen."""
    found: list[dict[str, Any]] = round_floats(
        [
            {
                "id": r.case.id,
                "kind": r.kind.value,
                "difficulty": r.difficulty,
                "risk": r.risk,
                "strategy": r.strategy.value if r.strategy else None,
                "candidate": r.candidate,
                "agrees": list(r.agrees),
            }
            for r in reads
        ]
    )
    return found


def _share(hits: int, of: int) -> dict[str, Any]:
    low, high = wilson(hits, of)
    return {"share": hits / of if of else 0.0, "right": hits, "of": of, "low": low, "high": high}


def _shares(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    found = {name: _share(sum(r.agrees[place] for r in reads), len(reads)) for place, name in enumerate(NAMES)}
    regrets = [r.regret for r in reads if r.regret]
    return found | {"adequate": _share(sum(r.adequate for r in regrets), len(regrets))}


def _table(
    reads: Sequence[RoutingResult],
    said: Callable[[RoutingResult], str],
    read: Callable[[RoutingResult], str],
    names: Sequence[str],
) -> dict[str, dict[str, int]]:
    """Rows: the label; columns: what was read."""
    counts = Counter((said(r), read(r)) for r in reads)
    return {row: {column: counts[row, column] for column in names} for row in names}


def _order(reads: Sequence[RoutingResult]) -> dict[str, float]:
    """Whether the number orders the bands, wherever their borders are drawn."""
    by = {b: [r.difficulty for r in reads if r.case.difficulty == b] for b in BANDS}
    return {
        "middle above easy": ordered_share(by["easy"], by["middle"]),
        "hard above middle": ordered_share(by["middle"], by["hard"]),
        "hard above easy": ordered_share(by["easy"], by["hard"]),
    }


def _risk(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    hit = sum(r.risk >= RISKY and r.case.risky for r in reads)
    read = sum(r.risk >= RISKY for r in reads)
    said = sum(r.case.risky for r in reads)
    return {
        "precision": _share(hit, read),
        "recall": _share(hit, said),
        "missed": [r.case.id for r in reads if r.case.risky and r.risk < RISKY],
        "false": [r.case.id for r in reads if not r.case.risky and r.risk >= RISKY],
    }


def _regret(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    found = [r.regret for r in reads if r.regret]
    rows = {
        "router": ([r.chosen_usd for r in found], [r.chosen_success for r in found]),
        "cheapest adequate": ([r.adequate_usd for r in found], [r.adequate_success for r in found]),
        "always the best": ([r.best_usd for r in found], [r.best_success for r in found]),
        "always the cheapest": ([r.cheapest_usd for r in found], [r.cheapest_success for r in found]),
    }
    return {name: {"mean_usd": mean(usd), "mean_success": mean(success)} for name, (usd, success) in rows.items()} | {
        "mean_regret_usd": mean([max(0.0, r.chosen_usd - r.adequate_usd) for r in found]),
        "mean_shortfall": mean([max(0.0, r.best_success - r.chosen_success) for r in found]),
    }


def _diversity(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    counts = Counter(r.candidate for r in reads if r.candidate)
    return {
        "candidates": dict(counts.most_common()),
        "distinct": len(counts),
        "entropy_bits": entropy(list(counts.values())),
    }


def _by(reads: Sequence[RoutingResult], key: Callable[[RoutingResult], Hashable]) -> dict[str, Any]:
    """The share of right kinds and risks for each group."""
    groups = Counter(str(key(r)) for r in reads)
    return {
        name: {
            "cases": number,
            **{part: mean([r.agrees[place] for r in reads if str(key(r)) == name]) for place, part in enumerate(NAMES)},
        }
        for name, number in groups.most_common()
    }


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
