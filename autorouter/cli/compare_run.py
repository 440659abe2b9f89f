"""Carrying out `autorouter compare`: load, ask, grade, judge, sum up, write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter.cli import output
from autorouter.cli.evidence import leave_if, progress, publish, recording, without_waiting
from autorouter.core.labels import AUTO
from autorouter.core.types import Role
from autorouter.errors import EXIT_UPSTREAM, UnknownModel
from autorouter.evals import (
    cases,
    comparison_report,
    datasets,
    entrants,
    evidence,
    jsonl,
    judge_models,
    plot,
    runner,
    sandbox,
    thresholds,
)
from autorouter.evals.cases import Case
from autorouter.evals.entrants import EntrantSet
from autorouter.evals.runner import CaseResult, PairComparison
from autorouter.receipts.canonical import digest

if TYPE_CHECKING:
    from autorouter.config.load import Settings
    from autorouter.engine.deps import Deps

BUILT_IN = "compare.jsonl"
TOLERANCE = 0.05
"""A mean score over a few dozen answers moves by as much from run to run."""
GRADING_AT_ONCE = 2
"""Sandboxes that run beside each other; each may use a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options."""

    cases_path: Path | None
    datasets: tuple[tuple[str, Path], ...]
    limit: int | None
    seed: int
    baseline_role: Role
    concurrency: int
    max_tokens: int | None
    grade: bool
    graders: tuple[str, ...]
    keep_answers: bool
    fail_under: float | None
    baseline: Path | None
    write_baseline: bool
    out: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was played."""

    field: EntrantSet
    played: list[CaseResult]
    pairs: list[PairComparison]
    notes: list[str]


def run(wanted: Wanted, found: Settings) -> None:
    """The whole command. Leaves with 1 where a gate failed."""
    chosen, name, source = _load(wanted)
    kept = (
        thresholds.read_baseline(wanted.baseline, "compare", source)
        if wanted.baseline and not wanted.write_baseline
        else {}
    )
    built, directory = recording(without_waiting(found), wanted.out, "compare")
    try:
        done = asyncio.run(_carried(wanted, chosen, built))
    finally:
        built.close()
    document = _document(wanted, found, done, name, source, directory, built.deps.context, len(chosen))
    figures = _figures(document["totals"])
    headline = figures[f"score {AUTO}"] if f"score {AUTO}" in figures else figures[f"answered {AUTO}"]
    failed = thresholds.below_floor(f"{AUTO}", headline, wanted.fail_under)
    failed += thresholds.regressions(kept, figures, TOLERANCE)
    if wanted.baseline and wanted.write_baseline:
        thresholds.write_baseline(wanted.baseline, "compare", source, figures)
    document["gate"] = failed
    picture = _plot(document)
    path = evidence.reserve_path(directory, "compare", document["at"])
    page = comparison_report.render_comparison(document, failed, path.with_suffix(".svg").name if picture else None)
    publish(path, document, page, as_json=wanted.as_json, plot=picture)
    if all(entry.asked.outcome == "failed" for entry in done.played):
        click.echo("error: nobody answered anything (the file lists why; --dry-run needs no key)", err=True)
        output.leave(EXIT_UPSTREAM)
    leave_if(failed)


def _load(wanted: Wanted) -> tuple[tuple[Case, ...], str, str]:
    """The cases, what they are called, and a digest of where they came from."""
    if wanted.datasets:
        found: list[Case] = []
        for name, path in wanted.datasets:
            found += cases.sample_cases(datasets.load_dataset(name, path, wanted.seed), wanted.limit, wanted.seed)
        label = ", ".join(f"{name}: {path.name}" for name, path in wanted.datasets)
        chosen = cases.check_cases(found, label)
    else:
        data = jsonl.read_file(wanted.cases_path) if wanted.cases_path else jsonl.packaged_data(BUILT_IN)
        label = wanted.cases_path.name if wanted.cases_path else f"built-in {BUILT_IN}"
        chosen = cases.sample_cases(cases.load_cases(data, label), wanted.limit, wanted.seed)
    return chosen, label, digest([[case.id, case.prompt] for case in chosen])


async def _carried(wanted: Wanted, chosen: Sequence[Case], built: Any) -> Done:
    """Everything that needs the loop."""
    deps: Deps = built.deps
    try:
        field = entrants.select_entrants(chosen, deps, wanted.baseline_role)
        notes = _checked(wanted, field, deps)
        players = field.contestants
        if not deps.dry_run:
            output.note(
                f"{len(chosen) * len(players)} questions to real models; the router's own three alone may cost about "
                f"{output.usd(field.expected_usd)}"
            )
        with progress("asking", len(chosen) * len(players)) as tick:
            played = await runner.ask_all(
                chosen, players, deps, at_once=wanted.concurrency, max_tokens=wanted.max_tokens, done=tick
            )
        pairs: list[PairComparison] = []
        if wanted.grade or wanted.graders:
            with progress("grading", len(played)) as tick:
                played = await runner.grade_all(played, at_once=GRADING_AT_ONCE, done=tick)
        if wanted.graders:
            with progress("reading rubrics", len(played)) as tick:
                played = await runner.grade_rubrics(played, wanted.graders, deps, at_once=wanted.concurrency, done=tick)
            with progress("judging", len(chosen) * len(entrants.ROUTER_LABELS)) as tick:
                pairs = await runner.judge_pairs(
                    played, field.best, wanted.graders, deps, at_once=wanted.concurrency, done=tick
                )
        return Done(field=field, played=played, pairs=pairs, notes=notes)
    finally:
        await built.aclose()


def _checked(wanted: Wanted, field: EntrantSet, deps: Deps) -> list[str]:
    """What a reader must know of the graders. Raises UnknownModel for one that isn't a candidate."""
    notes = []
    contested = {c.label for c in field.contestants}
    for grader in wanted.graders:
        if grader not in deps.by_id:
            raise UnknownModel(f"--grader {grader}: no candidate has that id", hint="autorouter models lists them")
        if grader in contested:
            notes.append(f"{grader} grades and is a contestant: models tend to prefer their own answers")
    if not any(wanted.baseline_role in candidate.roles for candidate in deps.candidates):
        notes.append(f"no candidate is configured as {wanted.baseline_role}: its row is the best of the whole pool")
    for remark in notes:
        output.note(remark)
    return notes


def _document(
    wanted: Wanted,
    found: Settings,
    done: Done,
    name: str,
    source: str,
    directory: Path,
    context: str,
    count: int,
) -> dict[str, Any]:
    ids = [receipt for entry in done.played for receipt in entry.receipts]
    ids += [receipt for pair in done.pairs for _, judged in pair.graders for receipt in judged.receipts]
    return evidence.build_document(
        "compare",
        now_s=time.time(),
        dry_run=found.dry_run,
        context=context,
        found={
            "cases": source,
            "cases_name": name,
            "cases_count": count,
            "seed": wanted.seed,
            "graders": list(wanted.graders),
            "prompts": judge_models.instruction_digests(),
            "sandbox": sandbox.detect_isolation() if wanted.grade or wanted.graders else None,
            "notes": done.notes,
            "totals": comparison_report.totals(done.played, done.field.contestants),
            "differences": comparison_report.differences(done.played, done.field.contestants, wanted.seed),
            "verdicts": comparison_report.verdict_totals(done.pairs),
            "grading_usd": comparison_report.grading_usd(done.played, done.pairs),
            "results": comparison_report.result_rows(done.played, keep_answers=wanted.keep_answers),
            "pairs": comparison_report.pair_rows(done.pairs),
            "receipts": evidence.receipt_references(directory, ids),
        },
    )


def _figures(totals: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What a baseline keeps: of ours, the share of answers and the mean score."""
    found = {}
    for row in (row for row in totals if row["ours"]):
        found[f"answered {row['label']}"] = 1.0 - row["outcomes"]["failed"] / max(1, row["cases"])
        if row["mean_score"] is not None:
            found[f"score {row['label']}"] = row["mean_score"]
    return found


def _plot(document: Mapping[str, Any]) -> str | None:
    """The picture of graded contestants whose cost is known."""
    rows = [row for row in document["totals"] if row["graded"] and row["cost_usd"] is not None]
    points = [
        plot.PlotPoint(
            name=row["label"],
            usd=row["cost_usd"] / row["cases"],
            quality=row["mean_score"],
            low=row["success_low"],
            high=row["success_high"],
            ours=row["ours"],
        )
        for row in rows
    ]
    title = "Cost against quality" + (" (dry run: made-up answers, no quality)" if document["dry_run"] else "")
    return plot.render_svg(points, title) if points else None
