"""`autorouter compare`: the same cases through single models, `auto`, `verify` and `fusion`.

Loads the cases, asks, grades, judges, sums up, and writes the evidence file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.evidence import (
    baseline_option,
    build_recording_runtime,
    exit_if_failed,
    fail_under_option,
    out_option,
    progress,
    publish,
    without_delays,
    write_baseline_option,
)
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.config.load import Settings
from autorouter.core.labels import AUTO
from autorouter.core.types import Role
from autorouter.engine.deps import Deps
from autorouter.errors import EXIT_UPSTREAM, RequestError, UnknownModel
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
from autorouter.receipts.chain import digest

BUILT_IN_CASES = "compare.jsonl"
TOLERANCE = 0.05
"""A mean score over a few dozen answers moves by as much from run to run."""
GRADING_AT_ONCE = 2
"""Sandboxes that run beside each other; each may use a core."""
DATASETS = ("gsm8k", "humaneval", "mmlu", "gpqa")
file_type = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The command's options, checked."""

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
class ComparisonRun:
    """All answers and verdicts of one comparison."""

    field: EntrantSet
    played: list[CaseResult]
    pairs: list[PairComparison]
    notes: list[str]


@click.command(name="compare")
@click.option(
    "--cases", "cases_path", type=file_type, metavar="FILE", help="Cases as JSON Lines instead of the built-in ones."
)
@click.option(
    "--dataset", "datasets", multiple=True, metavar="NAME:FILE", help=f"A public dataset: {', '.join(DATASETS)}."
)
@click.option("--gsm8k", type=file_type, metavar="FILE", help="GSM8K as JSONL.")
@click.option("--humaneval", type=file_type, metavar="FILE", help="HumanEval as JSONL, gzipped or not.")
@click.option("--mmlu", type=file_type, metavar="FILE", help="MMLU as CSV.")
@click.option("--gpqa", type=file_type, metavar="FILE", help="GPQA as CSV.")
@click.option("--limit", type=click.IntRange(min=1), help="Number of cases to sample.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Random seed for sampling, option order and bootstrap."
)
@click.option(
    "--baseline-role",
    type=click.Choice([role.value for role in Role]),
    default="fast",
    show_default=True,
    help="Role used as the cheap baseline.",
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Concurrent requests.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Maximum length of an answer.")
@click.option("--grade", is_flag=True, help="Grade: unit tests in a sandbox, numbers, choices, texts, rubrics.")
@click.option("--grader", "graders", multiple=True, metavar="CANDIDATE", help="A model that also judges; repeatable.")
@click.option("--keep-answers", is_flag=True, help="Put the answers themselves into the evidence file.")
@fail_under_option
@baseline_option
@write_baseline_option
@out_option
@config_option
@dry_run_option
@json_option
def command(**params: object) -> None:
    """Run the same cases through single models, auto, verify and fusion, side by side.

    Compared are a role, the best single model, the judge alone, each panel member, and openfusion/auto, /verify and
    /fusion. Without --dry-run this calls real models and costs money. --fail-under applies to the mean score of openfusion/auto
    (without --grade: to the share of its requests that were answered).

    \b
    Examples:
      autorouter compare --dry-run
      autorouter compare --grade --limit 5
      autorouter compare --gsm8k test.jsonl --limit 50 --seed 1 --grade
      autorouter compare --grade --grader claude-opus-5-5 --grader gpt-6.1-sol
    """
    options = _parse_options(params)
    path = params["path"]
    run(options, settings(path if isinstance(path, Path) else None, dry_run=bool(params["dry_run"])))


def _parse_options(params: dict[str, object]) -> CompareOptions:
    sources = [(name, params.pop(name)) for name in DATASETS]
    files = [(name, path) for name, path in sources if isinstance(path, Path)]
    named = params.pop("datasets")
    assert isinstance(named, tuple)
    for text in named:
        name, colon, file = str(text).partition(":")
        if not colon or not file or name not in DATASETS:
            raise RequestError(f"--dataset wants NAME:FILE, not `{text}`", hint=f"NAME is one of {', '.join(DATASETS)}")
        files.append((name, Path(file)))
    if params["cases_path"] and files:
        raise RequestError("--cases and the public sets exclude each other", hint="run compare twice")
    if params["write_baseline"] and not params["baseline"]:
        raise RequestError("--write-baseline wants --baseline FILE")
    kept = {key: value for key, value in params.items() if key not in ("path", "dry_run")}
    return CompareOptions(datasets=tuple(files), **kept)  # type: ignore[arg-type]  # click has checked the types


def run(options: CompareOptions, loaded: Settings) -> None:
    """The whole command. Exits with 1 if a threshold is missed."""
    chosen, name, source = _load(options)
    kept = (
        thresholds.read_baseline(options.baseline, "compare", source)
        if options.baseline and not options.write_baseline
        else {}
    )
    built, directory = build_recording_runtime(without_delays(loaded), options.out, "compare")
    try:
        done = asyncio.run(_run_comparison(options, chosen, built))
    finally:
        built.close()
    document = _document(options, loaded, done, name, source, directory, built.deps.context, len(chosen))
    figures = _baseline_figures(document["totals"])
    headline = figures[f"score {AUTO}"] if f"score {AUTO}" in figures else figures[f"answered {AUTO}"]
    failed = thresholds.below_floor(f"{AUTO}", headline, options.fail_under)
    failed += thresholds.regressions(kept, figures, TOLERANCE)
    if options.baseline and options.write_baseline:
        thresholds.write_baseline(options.baseline, "compare", source, figures)
    document["gate"] = failed
    picture = _render_plot(document)
    path = evidence.reserve_path(directory, "compare", document["at"])
    page = comparison_report.render_comparison(document, failed, path.with_suffix(".svg").name if picture else None)
    publish(path, document, page, as_json=options.as_json, plot=picture)
    if all(entry.answer.outcome == "failed" for entry in done.played):
        click.echo("error: nobody answered anything (the file lists why; --dry-run needs no key)", err=True)
        output.exit_with(EXIT_UPSTREAM)
    exit_if_failed(failed)


def _load(options: CompareOptions) -> tuple[tuple[Case, ...], str, str]:
    """The cases, what they are called, and a digest of where they came from."""
    if options.datasets:
        sampled: list[Case] = []
        for name, path in options.datasets:
            sampled += cases.sample_cases(datasets.load_dataset(name, path, options.seed), options.limit, options.seed)
        label = ", ".join(f"{name}: {path.name}" for name, path in options.datasets)
        chosen = cases.check_cases(sampled, label)
    else:
        data = jsonl.read_file(options.cases_path) if options.cases_path else jsonl.packaged_data(BUILT_IN_CASES)
        label = options.cases_path.name if options.cases_path else f"built-in {BUILT_IN_CASES}"
        chosen = cases.sample_cases(cases.load_cases(data, label), options.limit, options.seed)
    return chosen, label, digest([[case.id, case.prompt] for case in chosen])


async def _run_comparison(options: CompareOptions, chosen: Sequence[Case], built: Any) -> ComparisonRun:
    """Everything that needs the event loop."""
    deps: Deps = built.deps
    try:
        field = entrants.select_entrants(chosen, deps, options.baseline_role)
        notes = _grader_notes(options, field, deps)
        players = field.entrants
        if not deps.dry_run:
            output.note(
                f"{len(chosen) * len(players)} questions to real models; the router's own three alone may cost about "
                f"{output.usd(field.expected_usd)}"
            )
        with progress("asking", len(chosen) * len(players)) as tick:
            played = await runner.ask_all(
                chosen, players, deps, max_parallel=options.concurrency, max_tokens=options.max_tokens, on_done=tick
            )
        pairs: list[PairComparison] = []
        if options.grade or options.graders:
            with progress("grading", len(played)) as tick:
                played = await runner.grade_all(played, max_parallel=GRADING_AT_ONCE, on_done=tick)
        if options.graders:
            with progress("reading rubrics", len(played)) as tick:
                played = await runner.grade_rubrics(
                    played, options.graders, deps, max_parallel=options.concurrency, on_done=tick
                )
            with progress("judging", len(chosen) * len(entrants.ROUTER_LABELS)) as tick:
                pairs = await runner.judge_pairs(
                    played, field.best, options.graders, deps, max_parallel=options.concurrency, on_done=tick
                )
        return ComparisonRun(field=field, played=played, pairs=pairs, notes=notes)
    finally:
        await built.aclose()


def _grader_notes(options: CompareOptions, field: EntrantSet, deps: Deps) -> list[str]:
    """Caveats about the graders, for the reader. Raises UnknownModel for one that isn't a candidate."""
    notes = []
    contested = {c.label for c in field.entrants}
    for grader in options.graders:
        if grader not in deps.by_id:
            raise UnknownModel(f"--grader {grader}: no candidate has that id", hint="autorouter models lists them")
        if grader in contested:
            notes.append(f"{grader} grades and is a contestant: models tend to prefer their own answers")
    if not any(options.baseline_role in candidate.roles for candidate in deps.candidates):
        notes.append(f"no candidate is configured as {options.baseline_role}: its row is the best of the whole pool")
    for remark in notes:
        output.note(remark)
    return notes


def _document(
    options: CompareOptions,
    loaded: Settings,
    done: ComparisonRun,
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
        dry_run=loaded.dry_run,
        context=context,
        found={
            "cases": source,
            "cases_name": name,
            "cases_count": count,
            "seed": options.seed,
            "graders": list(options.graders),
            "prompts": judge_models.instruction_digests(),
            "sandbox": sandbox.detect_isolation() if options.grade or options.graders else None,
            "notes": done.notes,
            "totals": comparison_report.totals(done.played, done.field.entrants),
            "differences": comparison_report.differences(done.played, done.field.entrants, options.seed),
            "verdicts": comparison_report.verdict_totals(done.pairs),
            "grading_usd": comparison_report.grading_usd(done.played, done.pairs),
            "results": comparison_report.result_rows(done.played, keep_answers=options.keep_answers),
            "pairs": comparison_report.pair_rows(done.pairs),
            "receipts": evidence.receipt_references(directory, ids),
        },
    )


def _baseline_figures(totals: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What a baseline keeps: share of answers and mean score of the router's own labels."""
    figures = {}
    for row in (row for row in totals if row["ours"]):
        figures[f"answered {row['label']}"] = 1.0 - row["outcomes"]["failed"] / max(1, row["cases"])
        if row["mean_score"] is not None:
            figures[f"score {row['label']}"] = row["mean_score"]
    return figures


def _render_plot(document: Mapping[str, Any]) -> str | None:
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
