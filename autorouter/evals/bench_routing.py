"""`autorouter bench --data`: outcome sets through the decision, and the document of what that came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autorouter.core.policy import Policy
from autorouter.evals import bench_figures, bench_replay, success_fit
from autorouter.evals.bench_replay import DIALS, Knowledge, ReplayedRow, build_pool, pair_order, replay, split_jobs
from autorouter.evals.bench_sets import (
    DataSplit,
    OutcomeRow,
    OutcomeSet,
    bench_candidate,
    load_set,
    rank_percentiles,
    set_names,
)
from autorouter.evals.success_fit import OutcomeCell

FIT_MIN_ROWS, FIT_ROWS = 200, 1_000
"""A set of fewer rows takes no part in the fit of constants; of a larger one every n-th row does, about so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What is benched. `sets` empty: all of the folder. `processes` None: all cores."""

    folder: Path
    sets: tuple[str, ...] = ()
    split: DataSplit = "dev"
    pair: tuple[str, str] | None = None
    dials: tuple[float, ...] = tuple(map(float, DIALS))
    knowledge: tuple[Knowledge, ...] = ("rank+spent", "rank+list")
    escalate: bool = False
    verifier: tuple[float, float] | None = None
    policy: Policy = field(default_factory=Policy)
    processes: int | None = None


ReportDecided = Callable[[int], None]
"""Told how many requests were decided since it was told last."""


def run_bench(options: BenchOptions, progress: ReportDecided) -> dict[str, Any]:
    """All figures, by set, as a JSON value; `gate` lists what fails."""
    names = set_names(options.folder)
    wanted = options.sets or names
    sets = {name: load_set(options.folder, name, options.split, options.pair) for name in wanted}
    cells = _fit_cells(options, names, sets)
    gate: list[str] = []
    documents = {}
    for name, outcomes in sets.items():
        documents[name] = _bench_set(outcomes, options, cells, progress, gate)
    return {
        "split": options.split,
        "dials": list(options.dials),
        "knowledge": list(options.knowledge),
        "sets": documents,
        "gate": gate,
    }


def request_count(options: BenchOptions) -> int:
    """About how many requests will be decided, for a progress bar."""
    return sum(
        len(load_set(options.folder, name, options.split).scored) * len(options.knowledge)
        for name in options.sets or set_names(options.folder)
    )


def _fit_cells(
    options: BenchOptions, names: Sequence[str], sets: Mapping[str, OutcomeSet]
) -> dict[str, list[OutcomeCell]]:
    """The dev cells of every set of the folder that is large enough: constants for one set come from the others."""
    cells = {}
    for name in names:
        outcomes = sets.get(name) or load_set(options.folder, name, "dev")
        if len(outcomes.dev) >= FIT_MIN_ROWS:
            rows = outcomes.dev[:: max(1, len(outcomes.dev) // FIT_ROWS)]
            percentiles = rank_percentiles(outcomes, range(len(outcomes.models)))
            features = [bench_replay.read_features(row.text, options.policy, agent=outcomes.agent) for row in rows]
            cells[name] = bench_figures.cells_of(rows, percentiles, [read.difficulty for read in features])
    return cells


def _replay_all(
    outcomes: OutcomeSet,
    rows: Sequence[OutcomeRow],
    models: Sequence[int],
    options: BenchOptions,
    progress: ReportDecided,
) -> list[ReplayedRow]:
    """Every model of the set as a candidate at the middle of the dial: what the router reads, and the chances it claims."""
    percentiles = rank_percentiles(outcomes, models)
    pool = [bench_candidate(outcomes.models[m], percentiles[m], bench_replay.UNIT) for m in models]
    jobs = split_jobs(rows, outcomes, pool, (5.0,), options.policy)
    return list(_tracked(jobs, options, progress, 0))


def _tracked(
    jobs: Sequence[bench_replay.ReplayJob], options: BenchOptions, progress: ReportDecided, weight: int
) -> Iterator[ReplayedRow]:
    for part in replay(jobs, processes=options.processes):
        progress(weight * len(part))
        yield from part


def _bench_set(
    outcomes: OutcomeSet,
    options: BenchOptions,
    cells: Mapping[str, list[OutcomeCell]],
    progress: ReportDecided,
    gate: list[str],
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "rows": len(outcomes.scored),
        "refused_rows": outcomes.refused,
        "models": len(outcomes.pool),
        "agent": outcomes.agent,
        "nominal_cost": outcomes.nominal,
        "smoke": outcomes.smoke,
        "references": bench_figures.references(outcomes),
        "pair": _pair(outcomes, options),
        "calibration": _calibration(outcomes, options, cells, progress),
        "knowledge": {},
    }
    for knowledge in options.knowledge:
        document["knowledge"][knowledge] = _bench_knowledge(outcomes, knowledge, options, progress, gate)
    if options.escalate or options.verifier is not None:
        document["cascade"] = bench_figures.cascade_record(outcomes, options.verifier)
    return document


def _bench_knowledge(
    outcomes: OutcomeSet, knowledge: Knowledge, options: BenchOptions, progress: ReportDecided, gate: list[str]
) -> dict[str, Any]:
    pool = build_pool(outcomes, outcomes.pool, knowledge, options.policy)
    jobs = split_jobs(outcomes.scored, outcomes, pool, options.dials, options.policy)
    replayed = list(_tracked(jobs, options, progress, 1))
    dials = bench_figures.dial_outcomes(outcomes, replayed, options.dials)
    rows, steps = bench_figures.dial_rows(outcomes, dials), bench_figures.dial_steps(dials)
    failed = bench_figures.gate_failures(outcomes.name, knowledge, outcomes, rows, steps)
    gate += failed
    return {
        "curve": bench_figures.curve_figures(outcomes, dials),
        "dials": rows,
        "steps": steps,
        "falls": sum(step["falls"] for step in steps),
        "plan_us": bench_figures.median_us(replayed),
        "gate": failed,
    }


def _pair(outcomes: OutcomeSet, options: BenchOptions) -> dict[str, Any]:
    """The order in which the dial moves prompts between the strong and the weak model of the set."""
    percentiles = rank_percentiles(outcomes, range(len(outcomes.models)))
    candidates = [
        bench_candidate(outcomes.models[m], percentiles[m], outcomes.list_prices.get(outcomes.models[m]))
        for m in outcomes.pair
    ]
    order = pair_order(outcomes, candidates, outcomes.scored, options.policy)
    record = bench_figures.pair_figures(order, outcomes)
    if outcomes.slice is not None:
        keep = [n for n, row in enumerate(outcomes.scored) if row.category.startswith(outcomes.slice)]
        record["slices"] = {outcomes.slice: bench_figures.pair_figures(order, outcomes, keep)}
    return record


def _calibration(
    outcomes: OutcomeSet, options: BenchOptions, cells: Mapping[str, list[OutcomeCell]], progress: ReportDecided
) -> dict[str, Any]:
    models = range(len(outcomes.models))
    replayed = _replay_all(outcomes, outcomes.scored, models, options, progress)
    percentiles = rank_percentiles(outcomes, models)
    scored = bench_figures.cells_of(outcomes.scored, percentiles, [row.difficulty for row in replayed])
    claimed = [chance for row in replayed for chance in row.success]
    others = [other for name, other in cells.items() if name != outcomes.name]
    fitted = None
    if others:
        constants = success_fit.fit_constants(others)
        fitted = constants, success_fit.figures([constants.chance(cell) for cell in scored], scored)
    return bench_figures.calibration_record(success_fit.figures(claimed, scored), fitted)
