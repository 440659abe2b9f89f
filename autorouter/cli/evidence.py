"""Shared by `eval`, `compare` and `receipt PROMPT`: a router that records, and an evidence file.

The receipts and the evidence file go to one folder: the configured one, or `--out DIR`. If another process is writing
receipts there, a subfolder is used, so that a running server is no obstacle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter.cli import output
from autorouter.config.load import Settings, environment
from autorouter.errors import EXIT_CHECK_FAILED, ReceiptError
from autorouter.evals import evidence

if TYPE_CHECKING:
    from autorouter.runtime import Runtime

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the evidence and its receipts, instead of the receipts' folder.",
)
fail_under_option = click.option(
    "--fail-under", type=click.FloatRange(0, 1), metavar="SHARE", help="Exit 1 if the headline share is lower."
)
baseline_option = click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Exit 1 if a figure is worse than in this file.",
)
write_baseline_option = click.option(
    "--write-baseline", is_flag=True, help="Write the figures to --baseline FILE instead of comparing."
)


def evidence_folder(loaded: Settings, out: Path | None) -> Path:
    """Where evidence goes. ReceiptError where no folder is configured."""
    directory = loaded.config.receipts.dir
    if directory is None:
        raise ReceiptError("no receipts folder is configured", hint="give --out DIR")
    return out or Path(directory).expanduser()


def build_recording_runtime(loaded: Settings, out: Path | None, kind: str) -> tuple[Runtime, Path]:
    """A router that writes its receipts where the evidence goes, and that folder."""
    from autorouter import runtime

    try:
        return runtime.build(_into(loaded, out), env=environment()), evidence_folder(loaded, out)
    except ReceiptError:
        if out is not None:
            raise

    aside = evidence_folder(loaded, None) / f"{kind}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    output.note(f"another process writes receipts here: these go to {aside}")
    return runtime.build(_into(loaded, aside), env=environment()), aside


def _into(loaded: Settings, out: Path | None) -> Settings:
    """The settings with receipts in `out`, where one is given; evidence without receipts would prove little."""

    update: dict[str, Any] = {"enabled": True} | ({"dir": str(out)} if out else {})
    receipts = loaded.config.receipts.model_copy(update=update)
    return replace(loaded, config=loaded.config.model_copy(update={"receipts": receipts}))


def publish(path: Path, document: Mapping[str, Any], page: str, *, as_json: bool, plot: str | None = None) -> None:
    """Write the evidence, print the page or the document; the file's path is the last line."""

    whole = evidence.write_evidence(path, document, page, plot)
    if as_json:
        output.emit({**whole, "file": str(path)})
    else:
        click.echo(output.plain(page))
        click.echo(str(path))


def exit_if_failed(failed: Sequence[str]) -> None:
    """Print the missed thresholds, and exit with code 1."""
    for line in failed:
        click.echo(f"error: {line}", err=True)
    if failed:
        output.exit_with(EXIT_CHECK_FAILED)


def without_delays(loaded: Settings) -> Settings:
    """The settings with a dry run that doesn't sleep: its pace would be measured, and means nothing."""
    if not loaded.dry_run:
        return loaded

    pace = loaded.config.dry_run.model_copy(update={"time_scale": 0.0})
    return replace(loaded, config=loaded.config.model_copy(update={"dry_run": pace}))


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, if that is a terminal; what it gives is called once for each part that is done."""
    if not sys.stderr.isatty() or total < 1:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=output.console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)
