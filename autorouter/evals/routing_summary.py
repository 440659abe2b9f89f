"""From reads to figures: tables of labels against what was read, shares with intervals, regret, diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from autorouter.core.decision.record import rounded
from autorouter.core.types import TaskKind
from autorouter.evals.labelled import BANDS
from autorouter.evals.routing import ADEQUATE, HARD, MIDDLE, RISKY, RoutingResult, misread_skills
from autorouter.evals.statistics import entropy, mean, ordered_share, wilson

NAMES = ("kind", "difficulty", "risk", "strategy")
GATED = ("kind", "difficulty", "risk", "strategy", "adequate")
"""What a baseline holds: shares of cases, of which a lower one is worse."""


def summarize(reads: Sequence[RoutingResult]) -> dict[str, Any]:
    """All figures, as a JSON value."""
    found: dict[str, Any] = rounded(
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
    found: list[dict[str, Any]] = rounded(
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
