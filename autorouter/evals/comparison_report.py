"""The comparison report: figures from the results (a row per entrant, paired differences, verdicts), and the Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from autorouter.core.codec import to_plain
from autorouter.core.decision.record import round_floats
from autorouter.evals.entrants import Entrant
from autorouter.evals.evidence import DRY_RUN_NOTICE
from autorouter.evals.graders import FULL_SCORE
from autorouter.evals.markdown import cell, interval, page, seconds, share, table, usd
from autorouter.evals.runner import CaseResult, PairComparison, total_usd
from autorouter.evals.statistics import compare_paired, mcnemar, mean, wilson
from autorouter.receipts.chain import digest

ISOLATIONS = {
    "bubblewrap": "a sandbox of bubblewrap",
    "landlock": "a process that the kernel keeps in its folder (Landlock)",
    "python": "a process that only Python's audit hook keeps in its folder",
}


def totals(results: Sequence[CaseResult], entrants: Sequence[Entrant]) -> list[dict[str, Any]]:
    """A line for each entrant: outcomes, cost, time and, where there are grades, quality."""
    found: list[dict[str, Any]] = round_floats([_total([e for e in results if e.entrant == c], c) for c in entrants])
    return found


def _total(entries: Sequence[CaseResult], entrant: Entrant) -> dict[str, Any]:
    outcomes = Counter(e.answer.outcome for e in entries)
    cost_usd = total_usd(e.answer.cost_usd for e in entries)
    grades = [e.grade for e in entries if e.grade is not None]
    full = sum(grade.score >= FULL_SCORE for grade in grades)
    low, high = wilson(full, len(grades))
    seconds = sorted(e.answer.seconds for e in entries)
    return {
        "label": entrant.label,
        "stands_for": list(entrant.stands_for),
        "ours": entrant.ours,
        "cases": len(entries),
        "outcomes": {name: outcomes[name] for name in ("answered", "degraded", "failed")},
        "strategies": dict(Counter(e.answer.strategy or "none" for e in entries)),
        "cost_usd": cost_usd,
        "mean_s": mean(seconds),
        "median_s": seconds[len(seconds) // 2] if seconds else None,
        "graded": len(grades),
        "mean_score": mean([g.score for g in grades]) if grades else None,
        "successes": full,
        "success_low": low if grades else None,
        "success_high": high if grades else None,
        "usd_per_success": cost_usd / full if cost_usd is not None and full else None,
    }


def grading_usd(results: Sequence[CaseResult], pairs: Sequence[PairComparison]) -> float | None:
    """What the model graders cost."""
    reading = [entry.grading_usd for entry in results]
    return total_usd([*reading, *(judged.cost_usd for pair in pairs for _, judged in pair.graders)])


def differences(results: Sequence[CaseResult], entrants: Sequence[Entrant], seed: int) -> list[dict[str, Any]]:
    """Each of ours against each of the others, on the cases that are graded for both."""
    scores = {(e.entrant.label, e.case.id): e.grade.score for e in results if e.grade is not None}
    cases = list(dict.fromkeys(e.case.id for e in results))
    found = []
    for ours in (c.label for c in entrants if c.ours):
        for theirs in (c.label for c in entrants if not c.ours):
            both = [case for case in cases if (ours, case) in scores and (theirs, case) in scores]
            if both:
                found.append(_difference(ours, theirs, [(scores[ours, c], scores[theirs, c]) for c in both], seed))
    plain: list[dict[str, Any]] = round_floats(found)
    return plain


def _difference(ours: str, theirs: str, pairs: Sequence[tuple[float, float]], seed: int) -> dict[str, Any]:
    result = compare_paired([one for one, _ in pairs], [other for _, other in pairs], seed=seed)
    only_ours = sum(one >= FULL_SCORE > other for one, other in pairs)
    only_theirs = sum(other >= FULL_SCORE > one for one, other in pairs)
    return {
        "ours": ours,
        "theirs": theirs,
        **to_plain(result),
        "only_ours": only_ours,
        "only_theirs": only_theirs,
        "mcnemar_p": mcnemar(only_ours, only_theirs),
    }


def verdict_totals(pairs: Sequence[PairComparison]) -> list[dict[str, Any]]:
    """The graders' verdicts on each of ours, all graders together and one by one. A win share is of what was decided."""
    found = []
    for ours in dict.fromkeys(pair.ours for pair in pairs):
        of_ours = [pair for pair in pairs if pair.ours == ours]
        named = {"all graders": [pair.result for pair in of_ours]}
        for pair in of_ours:
            for name, judged in pair.graders:
                named.setdefault(name, []).append(judged.result)
        if len(named) == 2:
            del named["all graders"]
        for name, results in named.items():
            counts = Counter(results)
            low, high = wilson(counts["win"], counts["win"] + counts["loss"])
            row = {part: counts[part] for part in ("win", "tie", "loss", "unparsed")}
            found.append({"ours": ours, "theirs": of_ours[0].theirs, "grader": name, **row, "low": low, "high": high})
    plain: list[dict[str, Any]] = round_floats(found)
    return plain


def result_rows(results: Sequence[CaseResult], *, keep_answers: bool) -> list[dict[str, Any]]:
    """A line for each case and contestant; prompts and answers as digests, unless the answers are to be kept."""
    found: list[dict[str, Any]] = round_floats([_row(entry, keep_answers) for entry in results])
    return found


def _row(entry: CaseResult, keep_answers: bool) -> dict[str, Any]:
    answer = entry.answer
    row = {
        "case": entry.case.id,
        "label": entry.entrant.label,
        "prompt": digest(entry.case.prompt.encode()),
        "answer": digest(answer.text.encode()),
        "answer_chars": len(answer.text),
        "outcome": answer.outcome,
        "strategy": answer.strategy,
        "candidate": answer.candidate,
        "cost_usd": answer.cost_usd,
        "seconds": answer.seconds,
        "degraded": list(answer.degraded),
        "error": answer.error,
        "receipt": answer.receipt,
        "phases": list(answer.phases),
        "score": entry.grade.score if entry.grade else None,
        "why": entry.grade.why if entry.grade else None,
    }
    return row | ({"answer_text": answer.text} if keep_answers else {})


def pair_rows(pairs: Sequence[PairComparison]) -> list[dict[str, Any]]:
    """A line for each verdict of a grader on a pair."""
    return [
        {
            "case": pair.case,
            "ours": pair.ours,
            "theirs": pair.theirs,
            "grader": name,
            "result": judged.result,
            "shown_first": judged.verdicts[0],
            "shown_second": judged.verdicts[1],
            "receipts": list(judged.receipts),
        }
        for pair in pairs
        for name, judged in pair.graders
    ]


def render_comparison(found: Mapping[str, Any], failed: Sequence[str], plot_name: str | None = None) -> str:
    """The page of a compare document. `plot_name`: the SVG that lies beside it."""
    graded = any(row["graded"] for row in found["totals"])
    return page(
        "# Comparison",
        f"**{DRY_RUN_NOTICE}**" if found["dry_run"] else None,
        f"{found['cases_count']} cases (`{found['cases_name']}`), {len(found['totals'])} entrants, seed {found['seed']}, "
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
    isolation = ISOLATIONS.get(str(found.get("isolation")), "nothing that kept them in")
    network = "no network" if found["network"] == "none" else "**the network of this machine**"
    return f"Programs in answers were run with limits, {network}, in {isolation}."


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
