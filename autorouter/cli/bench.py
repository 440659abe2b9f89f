"""`autorouter bench`: recorded outcomes and recorded sessions through the router's own decision; no model is called."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.evidence import exit_if_failed, out_option, publish
from autorouter.cli.options import config_option, json_option, settings
from autorouter.config.load import Settings, load
from autorouter.core.policy import Policy
from autorouter.errors import RequestError
from autorouter.evals import (
    bench_page,
    bench_routing,
    bench_session_data,
    bench_session_figures,
    bench_sessions,
    evidence,
)
from autorouter.evals.bench_replay import DIALS, KNOWLEDGE

CATALOG = "catalog"


class _RatesType(click.ParamType):  # type: ignore[type-arg]
    """TPR,TNR: two shares."""

    name = "TPR,TNR"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            tpr, tnr = map(float, str(value).split(","))
        except ValueError:
            self.fail("expected two numbers such as .90,.80", param, ctx)
        if not (0 <= tpr <= 1 and 0 <= tnr <= 1):
            self.fail("both rates lie between 0 and 1", param, ctx)
        return tpr, tnr


@click.command(name="bench")
@click.argument("more_sessions", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[FILES]...")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR", help="Outcome sets."
)
@click.option(
    "--sessions",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|FILE",
    help="Recorded sessions; more files may follow as arguments.",
)
@click.option("--set", "sets", multiple=True, metavar="NAME", help="Only this set (several times).")
@click.option(
    "--split",
    type=click.Choice(["dev", "heldout"]),
    default="dev",
    show_default=True,
    help="The part that is scored; dev teaches in any case.",
)
@click.option("--pair", metavar="STRONG,WEAK", help="The models of the two-model figures.")
@click.option(
    "--dial",
    "dials",
    multiple=True,
    type=click.FloatRange(0, 10),
    help="Only this dial (several times); for sessions one, 5 unless given.",
)
@click.option(
    "--knowledge",
    multiple=True,
    type=click.Choice(KNOWLEDGE),
    help="What the router knows of the models (several times); rank+spent and rank+list unless given.",
)
@click.option("--escalate", is_flag=True, help="What escalating a cheap run by its own course is worth.")
@click.option("--verifier", type=_RatesType(), help="Add a simulated verdict with these rates.")
@click.option("--sessions-per-file", type=click.IntRange(1), metavar="N", help="A sample of each file of sessions.")
@click.option("--learn", is_flag=True, help="Let each recorded session learn from the turns of those before it.")
@click.option(
    "--pool",
    default=CATALOG,
    show_default=True,
    metavar="catalog|FILE",
    help="The candidates of recorded sessions: the whole catalogue, or a configuration's.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes; all cores unless given.")
@out_option
@config_option
@json_option
def command(
    more_sessions: tuple[Path, ...],
    data: Path | None,
    sessions: Path | None,
    sets: tuple[str, ...],
    split: Any,
    pair: str | None,
    dials: tuple[float, ...],
    knowledge: Any,
    escalate: bool,
    verifier: tuple[float, float] | None,
    sessions_per_file: int | None,
    learn: bool,
    pool: str,
    jobs: int | None,
    out: Path | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Bench the decision on recorded outcomes or recorded sessions. Calls no model.

    The policy is the built-in one unless --config names a file. With --data it exits with 1 when the gate fails: a dial is
    significantly below the random mix of single models at its own cost, or turning the dial doesn't lower the cost.

    \b
    Examples:
      autorouter bench --data outcomes
      autorouter bench --data outcomes --set swebv --escalate --verifier .90,.80
      autorouter bench --data outcomes --split heldout --json
      autorouter bench --sessions recorded --sessions-per-file 20
    """
    if (data is None) == (sessions is None):
        raise RequestError("Either --data DIR or --sessions DIR says what is benched")
    policy = settings(path).policy if path else Policy()
    if data is not None:
        options = bench_routing.BenchOptions(
            folder=data,
            sets=sets,
            split=split,
            pair=_pair(pair),
            dials=tuple(sorted(dials)) or tuple(map(float, DIALS)),
            knowledge=knowledge or ("rank+spent", "rank+list"),
            escalate=escalate,
            verifier=verifier,
            policy=policy,
            processes=jobs,
        )
        figures = _with_progress(
            bench_routing.request_count(options), lambda tell: bench_routing.run_bench(options, tell)
        )
        page, plot = bench_page.render_bench(figures), bench_page.bench_plot(figures)
    else:
        assert sessions is not None
        policy = replace(policy, dial=dials[0] if dials else policy.dial)
        figures = _bench_sessions((sessions, *more_sessions), sessions_per_file, pool, policy, jobs, learns=learn)
        page, plot = bench_session_figures.render_sessions(figures), None
    _publish(figures, page, plot, out, as_json=as_json)
    exit_if_failed(figures.get("gate", ()))


def _bench_sessions(
    paths: tuple[Path, ...], most: int | None, pool: str, policy: Policy, processes: int | None, *, learns: bool
) -> dict[str, Any]:
    """The figures of recorded sessions."""
    world = bench_sessions.build_world(_pool(pool).candidates, policy)
    entries = [
        entry for path in bench_session_data.session_files(paths) for entry in bench_session_data.read_lines(path, most)
    ]
    jobs = bench_sessions.split_sessions(entries, world, learns=learns)

    def work(tell: Callable[[int], None]) -> dict[str, Any]:
        bills = []
        for part in bench_sessions.replay_sessions(jobs, processes=processes):
            bills += part
            tell(len(part))
        sources = bench_session_figures.summarize_sessions(bills)
        beyond = bench_session_figures.beyond_bounds(sources)
        return {"sources": sources, "beyond_bounds": beyond, "sessions": bench_sessions.as_rows(bills)}

    return {
        "dial": policy.dial,
        "candidates": len(world.candidates),
        "best": world.best,
        "cheapest": world.cheapest,
        **_with_progress(len(entries), work),
    }


def _pool(pool: str) -> Settings:
    """The settings whose candidates are benched; the catalogue's need no key."""
    return load(None, env={}, dry_run=True) if pool == CATALOG else settings(Path(pool))


def _pair(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    strong, comma, weak = text.partition(",")
    if not comma or not strong or not weak:
        raise RequestError("--pair wants two models", hint="STRONG,WEAK")
    return strong.strip(), weak.strip()


def _with_progress(total: int, work: Callable[[Callable[[int], None]], dict[str, Any]]) -> dict[str, Any]:
    """Run `work`, which tells how much more is done; a bar on a terminal shows it."""
    if not sys.stderr.isatty():
        return work(lambda _: None)
    from rich.progress import Progress

    with Progress(console=output.console(stderr=True), transient=True) as bar:
        task = bar.add_task("deciding", total=total)
        return work(lambda done: bar.advance(task, done))


def _publish(figures: dict[str, Any], page: str, plot: str | None, out: Path | None, *, as_json: bool) -> None:
    """Print the page or the figures; with --out also leave an evidence file."""
    document = evidence.build_document(
        "bench", now_s=time.time(), dry_run=False, context="", found={"figures": figures}
    )
    if out is None:
        if as_json:
            output.emit(document)
        else:
            click.echo(output.plain(page))
        return
    publish(evidence.reserve_path(out, "bench", document["at"]), document, page, as_json=as_json, plot=plot)
