"""The comparison as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autorouter.evals.evidence import DRY_RUN_NOTICE
from autorouter.evals.markdown import cell, interval, page, seconds, share, table, usd


def render_comparison(found: Mapping[str, Any], failed: Sequence[str], plot_name: str | None = None) -> str:
    """The page of a compare document. `plot_name`: the SVG that lies beside it."""
    graded = any(row["graded"] for row in found["totals"])
    return page(
        "# Comparison",
        f"**{DRY_RUN_NOTICE}**" if found["dry_run"] else None,
        f"{found['cases_count']} cases (`{found['cases_name']}`), {len(found['totals'])} contestants, seed {found['seed']}, "
        f"autorouter {found['version']}, {found['at']}.",
        "\n".join(f"> {line}" for line in found["notes"]) if found["notes"] else None,
        "## Totals",
        _totals_section(found["totals"], graded=graded),
        _sandbox_section(found["sandbox"]),
        _quality_section(found) if graded else "Nothing was graded: `--grade` runs the graders that need no model.",
        f"![Cost against quality]({plot_name})" if plot_name else None,
        _verdicts_section(found["verdicts"], found["grading_usd"]) if found["verdicts"] else None,
        "## Cases",
        _cases_section(found["results"], graded=graded),
        _degraded_section(found["results"]),
        "## Gate\n\n" + "\n".join(f"- failed: {line}" for line in failed) if failed else None,
        f"Every request has its receipt ({len(found['receipts'])} of them); `autorouter receipt verify` on the JSON file beside "
        "this page checks both.",
    )


def _totals_section(rows: Sequence[Mapping[str, Any]], *, graded: bool) -> str:
    columns = ["asked for", "stands for", "answered", "degraded", "failed", "cost", "mean time"]
    if graded:
        columns += ["score", "successes", "95 % interval", "cost per success"]
    lines = []
    for row in rows:
        out = row["outcomes"]
        line = [f"`{row['label']}`", ", ".join(row["stands_for"]), out["answered"], out["degraded"], out["failed"]]
        line += [usd(row["cost_usd"]), seconds(row["mean_s"])]
        if graded:
            line += _graded_cells(row)
        lines.append(line)
    return table(columns, lines, right=columns[2:])


def _graded_cells(row: Mapping[str, Any]) -> list[str]:
    if not row["graded"]:
        return ["-", "-", "-", "-"]
    spread = interval(row["success_low"], row["success_high"])
    per = usd(row["usd_per_success"]) if row["usd_per_success"] is not None else "-"
    return [share(row["mean_score"]), f"{row['successes']} of {row['graded']}", spread, per]


def _quality_section(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{d['ours']}`",
            f"`{d['theirs']}`",
            f"{100 * d['mean_difference']:+.1f}",
            f"{100 * d['low']:+.1f} .. {100 * d['high']:+.1f}",
            f"{d['wins']} / {d['ties']} / {d['losses']}",
            f"{d['mcnemar_p']:.3f}",
        )
        for d in found["differences"]
    ]
    columns = ("ours", "against", "difference in points", "95 % interval", "win / tie / loss", "McNemar p")
    return (
        "## Paired differences\n\n"
        + table(columns, rows, right=columns[2:])
        + "\n\nThe interval is a seeded bootstrap over cases; p is exact and two-sided, of successes only. "
        + f"With {found['cases_count']} cases only large differences can show. Several comparisons stand side by side: one "
        + "small p among them is no proof. Fusion is worth something where it beats the best single model and its best member."
    )


def _sandbox_section(found: Mapping[str, Any] | None) -> str | None:
    """How the programs of the answers were kept in."""
    if found is None:
        return None
    files = {"kernel": "files guarded by the kernel (Landlock)", "python": "files guarded by Python alone"}
    network = "no network" if found["network"] == "none" else "**the network of this machine**"
    return (
        f"Programs in answers were run with limits, {network}, {files.get(str(found['files']), 'no fence that held')}."
    )


def _verdicts_section(rows: Sequence[Mapping[str, Any]], grading_usd: float | None) -> str:
    lines = [
        (
            f"`{r['ours']}`",
            f"`{r['theirs']}`",
            f"`{r['grader']}`",
            r["win"],
            r["tie"],
            r["loss"],
            r["unparsed"],
            interval(r["low"], r["high"]),
        )
        for r in rows
    ]
    columns = ("ours", "against", "grader", "win", "tie", "loss", "unparsed", "wins of decided, 95 %")
    return (
        "## Verdicts of other models\n\nBlind, each pair in both orders; a disagreement of the two orders is a tie.\n\n"
        + table(columns, lines, right=columns[3:])
        + f"\n\nThe graders cost {usd(grading_usd)}."
    )


def _cases_section(rows: Sequence[Mapping[str, Any]], *, graded: bool) -> str:
    columns = [
        "case",
        "asked for",
        "answered by",
        "strategy",
        "outcome",
        "cost",
        "time",
        *(["score"] if graded else []),
    ]
    lines = [
        [
            row["case"],
            f"`{row['label']}`",
            row["candidate"] or "-",
            row["strategy"] or "-",
            row["outcome"],
            usd(row["cost_usd"]),
            seconds(row["seconds"]),
            *([share(row["score"]) if row["score"] is not None else "-"] if graded else []),
        ]
        for row in rows
    ]
    return table(columns, lines, right=("cost", "time", "score"))


def _degraded_section(rows: Sequence[Mapping[str, Any]]) -> str | None:
    reasons = dict.fromkeys(reason for row in rows for reason in row["degraded"])
    errors = dict.fromkeys(row["error"] for row in rows if row["error"])
    said = [f"- degraded: {cell(reason)}" for reason in reasons] + [f"- failed: {cell(error)}" for error in errors]
    return "\n".join(said) if said else None
