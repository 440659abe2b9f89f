"""`autorouter compare`: the same cases through single models, `auto`, `verify` and `fusion`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorouter.cli.evidence import (
    baseline_option,
    fail_under_option,
    out_option,
    write_baseline_option,
)
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.core.types import Role
from autorouter.errors import RequestError

if TYPE_CHECKING:
    from autorouter.cli.compare_run import Wanted

SETS = ("gsm8k", "humaneval", "mmlu", "gpqa")
file_type = click.Path(path_type=Path, dir_okay=False)


@click.command(name="compare")
@click.option(
    "--cases", "cases_path", type=file_type, metavar="FILE", help="Cases as JSON Lines, not the built-in ones."
)
@click.option("--dataset", "datasets", multiple=True, metavar="NAME:FILE", help=f"A public set: {', '.join(SETS)}.")
@click.option("--gsm8k", type=file_type, metavar="FILE", help="GSM8K as JSONL.")
@click.option("--humaneval", type=file_type, metavar="FILE", help="HumanEval as JSONL, gzipped or not.")
@click.option("--mmlu", type=file_type, metavar="FILE", help="MMLU as CSV.")
@click.option("--gpqa", type=file_type, metavar="FILE", help="GPQA as CSV.")
@click.option("--limit", type=click.IntRange(min=1), help="So many cases, drawn by the seed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of samples, choices' order and intervals.")
@click.option(
    "--baseline-role",
    type=click.Choice([role.value for role in Role]),
    default="fast",
    show_default=True,
    help="The cheap way.",
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Requests at a time.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The longest answer asked for.")
@click.option("--grade", is_flag=True, help="Grade: unit tests in a sandbox, numbers, choices, texts, rubrics.")
@click.option("--grader", "graders", multiple=True, metavar="CANDIDATE", help="A model that judges too; repeatable.")
@click.option("--keep-answers", is_flag=True, help="Put the answers themselves into the evidence file.")
@fail_under_option
@baseline_option
@write_baseline_option
@out_option
@config_option
@dry_run_option
@json_option
def command(**given: object) -> None:
    """Ask the same cases of single models, auto, verify and fusion, side by side.

    Compared are a role, the best single model, the judge alone, each panel member, and openfusion/auto, /verify and
    /fusion. Without --dry-run this asks real models and costs money. --fail-under holds for the mean score of openfusion/auto
    (without --grade: for the share of its requests that were answered).

    \b
    Examples:
      autorouter compare --dry-run
      autorouter compare --grade --limit 5
      autorouter compare --gsm8k test.jsonl --limit 50 --seed 1 --grade
      autorouter compare --grade --grader claude-opus-5-5 --grader gpt-6.1-sol
    """
    from autorouter.cli import compare_run

    wanted = _wanted(given)
    path = given["path"]
    found = settings(path if isinstance(path, Path) else None, dry_run=bool(given["dry_run"]))
    compare_run.run(wanted, found)


def _wanted(given: dict[str, object]) -> Wanted:
    from autorouter.cli.compare_run import Wanted

    sources = [(name, given.pop(name)) for name in SETS]
    files = [(name, path) for name, path in sources if isinstance(path, Path)]
    named = given.pop("datasets")
    assert isinstance(named, tuple)
    for text in named:
        name, colon, file = str(text).partition(":")
        if not colon or not file or name not in SETS:
            raise RequestError(f"--dataset wants NAME:FILE, not `{text}`", hint=f"NAME is one of {', '.join(SETS)}")
        files.append((name, Path(file)))
    if given["cases_path"] and files:
        raise RequestError("--cases and the public sets exclude each other", hint="run compare twice")
    if given["write_baseline"] and not given["baseline"]:
        raise RequestError("--write-baseline wants --baseline FILE")
    kept = {key: value for key, value in given.items() if key not in ("path", "dry_run")}
    return Wanted(datasets=tuple(files), **kept)  # type: ignore[arg-type]  # click has checked the types
