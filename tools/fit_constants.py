"""Fits the shipped constants of P(success) from data whose licence permits it, and prints how well they hold elsewhere.

    python -m tools.fit_constants DATA... [--only SET] [--level SET] [--check DIR]

    P = sigmoid(c + a * percentile / 100 + b * difficulty)

DATA is one of
    a folder of outcome sets as `autorouter bench --data` reads it; the dev part is used
    a JSON list of {"question": TEXT, "scores": {MODEL: 0..1}}, as ulab-uiuc/LLMRouter (MIT) publishes its prompts
    recorded sessions with outcomes (*.jsonl.gz) of one able model, at `--sessions-percentile`

Nothing is downloaded, and nothing of the data is kept: what is printed are constants, Brier scores and calibration errors. The
difficulty is the router's own reading of the prompt; the percentile is a model's rank within its set, by the catalogue's
rule. `--level`: sets whose percentiles are those of a whole board, so that the level of P is theirs. For each set the figures
come from constants that were fitted on all the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from autorouter.core.policy import Policy
from autorouter.core.signals.features import extract_features
from autorouter.evals.bench_figures import cells_of
from autorouter.evals.bench_replay import read_features
from autorouter.evals.bench_session_data import parse_session, read_lines
from autorouter.evals.bench_sets import PERCENTILE_SPAN, TOP_PERCENTILE, load_set, rank_percentiles, set_names
from autorouter.evals.statistics import mean
from autorouter.evals.success_fit import CalibrationFigures, OutcomeCell, figures, fit_constants, leave_one_out
from autorouter.wire.parse import parse_request

MIN_ROWS, MOST_ROWS = 200, 3_000
"""Smaller sets are left out; of larger ones every n-th prompt is taken."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="folders of outcome sets, scored prompts, recorded sessions")
    parser.add_argument("--only", action="append", default=[], metavar="SET", help="sets to fit on")
    parser.add_argument("--level", action="append", default=[], metavar="SET", help="sets whose level counts")
    parser.add_argument("--sessions-percentile", type=float, default=TOP_PERCENTILE, help="of the sessions' model")
    parser.add_argument("--check", type=Path, metavar="DIR", help="a folder of outcome sets that the fit never sees")
    given = parser.parse_args(arguments)
    sets = {
        name: cells
        for path in given.data
        for name, cells in read_cells(path, given.sessions_percentile)
        if not given.only or name in given.only
    }
    levels = [place for place, name in enumerate(sets) if name in given.level]
    constants = fit_constants(list(sets.values()), levels or None)
    print(f"fitted on {', '.join(sets)}: c, a, b {_listed(constants)}")
    for name, (others, held) in leave_one_out(sets).items():
        print(f"{name:16} from the others: c, a, b {_listed(others)}  {_errors(held)}")
    for name, cells in read_cells(given.check, 0.0) if given.check else ():
        print(f"{name:16} as fitted: {_errors(figures([constants.chance(cell) for cell in cells], cells))}")


def _errors(found: CalibrationFigures) -> str:
    means = f"claimed {found.claimed:.3f}  observed {found.observed:.3f}"
    return f"{means}  Brier {found.brier:.3f}  ECE {found.ece:.3f}"


def _listed(constants: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in constants)


def read_cells(path: Path, sessions_percentile: float) -> Iterator[tuple[str, list[OutcomeCell]]]:
    """The sets of a folder or a file, as cells."""
    if path.is_dir():
        for name in set_names(path):
            outcomes = load_set(path, name, "dev")
            if len(outcomes.dev) < MIN_ROWS:
                continue
            rows = outcomes.dev[:: max(1, len(outcomes.dev) // MOST_ROWS)]
            difficulties = [read_features(row.text, Policy(), agent=outcomes.agent).difficulty for row in rows]
            yield name, cells_of(rows, rank_percentiles(outcomes, range(len(outcomes.models))), difficulties)
    elif path.name.endswith(".gz"):
        yield path.name.split(".")[0], list(_sessions(path, sessions_percentile))
    else:
        yield path.stem, list(_scored_prompts(path))


def _sessions(path: Path, percentile: float) -> Iterator[OutcomeCell]:
    """A cell for each session whose outcome is known, at the difficulty of its first request."""
    for entry in read_lines(path, None):
        session = parse_session(entry)
        if session.solved is not None:
            task = parse_request(session.wire, session.requests[0].body, session.headers).task
            yield OutcomeCell(percentile, extract_features(task, Policy()).difficulty, float(session.solved))


def _scored_prompts(path: Path) -> Iterator[OutcomeCell]:
    records = orjson.loads(path.read_bytes())
    records = records[:: max(1, len(records) // MOST_ROWS)]
    models = list(records[0]["scores"])
    order = sorted(models, key=lambda model: -mean([record["scores"][model] for record in records]))
    percentiles = {
        model: TOP_PERCENTILE - PERCENTILE_SPAN * (place / max(1, len(order) - 1)) ** 0.5
        for place, model in enumerate(order)
    }
    for record in records:
        difficulty = read_features(record["question"], Policy(), agent=False).difficulty
        for model in models:
            yield OutcomeCell(percentiles[model], difficulty, float(record["scores"][model]))


if __name__ == "__main__":
    main()
