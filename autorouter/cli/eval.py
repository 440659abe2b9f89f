"""`autorouter eval`: labelled requests through the decision alone; no model is called."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from autorouter import runtime
from autorouter.cli import output
from autorouter.cli.evidence import (
    baseline_option,
    evidence_folder,
    exit_if_failed,
    fail_under_option,
    out_option,
    publish,
    write_baseline_option,
)
from autorouter.cli.options import config_option, dial_option, dry_run_option, json_option, settings
from autorouter.cli.route import NoTransport
from autorouter.config.load import Settings
from autorouter.errors import RequestError
from autorouter.evals import cases, evidence, jsonl, routing, routing_report, thresholds
from autorouter.evals.routing_report import render_routing
from autorouter.receipts.chain import digest

BUILT_IN = "routing.jsonl"

TOLERANCE = 0.001
"""The eval is deterministic: any lower figure is a regression."""


@click.command(name="eval")
@click.option(
    "--cases",
    "cases_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Labelled cases as JSON Lines instead of the built-in ones.",
)
@fail_under_option
@baseline_option
@write_baseline_option
@out_option
@dial_option
@config_option
@dry_run_option
@json_option
def command(
    cases_path: Path | None,
    fail_under: float | None,
    baseline: Path | None,
    write_baseline: bool,
    out: Path | None,
    dial: float | None,
    path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Measure the routing on labelled requests. Calls no model.

    --fail-under applies to the share of correctly classified kinds.

    \b
    Examples:
      autorouter eval
      autorouter eval --cases mine.jsonl --fail-under 0.6
      autorouter eval --baseline eval-baseline.json --write-baseline
    """
    if write_baseline and baseline is None:
        raise RequestError("--write-baseline wants --baseline FILE")
    loaded = settings(path, dry_run=dry_run, overrides={"policy.dial": dial})
    directory = evidence_folder(loaded, out)
    document, figures = _measure(loaded, cases_path)
    failed = thresholds.below_floor("the share of right kinds", figures["kind"], fail_under)
    if baseline is not None:
        if write_baseline:
            thresholds.write_baseline(baseline, "eval", document["cases"], figures)
        else:
            failed += thresholds.regressions(
                thresholds.read_baseline(baseline, "eval", document["cases"]), figures, TOLERANCE
            )
    document["gate"] = failed
    place = evidence.reserve_path(directory, "eval", document["at"])
    publish(place, document, render_routing(document, failed), as_json=as_json)
    exit_if_failed(failed)


def _measure(loaded: Settings, cases_path: Path | None) -> tuple[dict[str, Any], dict[str, float]]:
    """The evidence document, and the figures that a baseline keeps."""

    data = jsonl.read_file(cases_path) if cases_path else jsonl.packaged_data(BUILT_IN)
    name = cases_path.name if cases_path else f"built-in {BUILT_IN}"
    labelled_requests = cases.load_labelled(data, name)
    built = runtime.build(loaded, env={}, transport=NoTransport(), record=False)
    reads = list(output.track(routing.route_all(labelled_requests, built.deps), "deciding", len(labelled_requests)))
    figures = routing_report.summarize(reads)
    document = evidence.build_document(
        "eval",
        now_s=time.time(),
        dry_run=loaded.dry_run,
        context=built.deps.context,
        found={
            "cases": digest(data),
            "cases_name": name,
            "built_in": cases_path is None,
            "figures": figures,
            "reads": routing_report.result_rows(reads),
            "receipts": [],
        },
    )
    return document, routing_report.baseline_figures(figures)
