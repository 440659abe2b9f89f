"""`autorouter receipt`: list, show, explain, verify and export what the router has recorded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorouter.cli import output
from autorouter.cli.evidence import out_option
from autorouter.cli.options import config_option, dry_run_option, json_option
from autorouter.cli.receipt_ask import PromptGroup
from autorouter.errors import EXIT_RECEIPT, ReceiptError

if TYPE_CHECKING:
    from autorouter.receipts.verify import VerifyReport

PROBLEMS_SHOWN = 20
dir_option = click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="The receipts' folder."
)


@click.group(name="receipt", cls=PromptGroup)
def command() -> None:
    """List, show, explain, verify and export receipts; or make one, with a prompt.

    An ID may be any unique beginning of one, or `last`. What is no command is a prompt: see `ask`.

    \b
    Examples:
      autorouter receipt --dry-run "debug this failing API test" --label openfusion/fusion
      autorouter receipt list --failed --since 2h
      autorouter receipt explain last
      autorouter receipt verify
    """


@command.command()
@click.argument("prompt", required=False)
@click.option(
    "--label", default="openfusion/auto", show_default=True, metavar="LABEL", help="Whom to ask, as a client would."
)
@out_option
@config_option
@dry_run_option
@json_option
def ask(prompt: str | None, label: str, out: Path | None, path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Send one request through the router, and show and write its receipt with every phase.

    The word `ask` may be left out. PROMPT `-`, or nothing in a pipe, reads standard input. The answer itself isn't printed:
    `autorouter chat` does that.

    \b
    Examples:
      autorouter receipt ask --dry-run "debug this failing API test"
      autorouter receipt "review this design" --label openfusion/fusion
    """
    from autorouter.cli import receipt_ask

    receipt_ask.run(output.prompt_text(prompt), label, out, path, dry_run=dry_run, as_json=as_json)


@command.command(name="list")
@click.option("-n", "number", type=click.IntRange(min=1), default=20, show_default=True, help="How many at most.")
@click.option("--since", metavar="WHEN", help="Only from then on: 30m, 2h, 7d, or a date or time in UTC.")
@click.option("--failed", is_flag=True, help="Only those that gave no complete answer.")
@dir_option
@config_option
@json_option
def list_(
    number: int, since: str | None, failed: bool, directory: Path | None, path: Path | None, as_json: bool
) -> None:
    """List the newest receipts, newest first.

    \b
    Examples:
      autorouter receipt list -n 5
      autorouter receipt list --failed --since 2h
    """
    from autorouter.cli.receipt_find import moment, newest, place
    from autorouter.cli.receipt_render import listing
    from autorouter.server.receipts import summary

    where = place(directory, path)
    begin = moment(since) if since else ""
    found, foreign = [], 0
    for record in newest(where, number, begin, failed):
        try:
            found.append(summary(record))
        except (KeyError, TypeError):
            foreign += 1
    if foreign:
        output.note(f"{output.count(foreign, 'receipt')} of another version can't be listed; show ID --json prints one")
    if as_json:
        output.emit({"object": "list", "data": found})
    elif found:
        output.show(listing(found))
    else:
        output.show(f"no such receipts in {where}; `autorouter serve` and `autorouter chat` write them")


@command.command()
@click.argument("receipt_id", metavar="ID")
@dir_option
@config_option
@json_option
def show(receipt_id: str, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Show one receipt: the outcome, the calls that were made, and the decision in short.

    \b
    Example:
      autorouter receipt show last
    """
    from autorouter.cli import receipt_render
    from autorouter.cli.decision_render import headline, limit_width
    from autorouter.cli.receipt_find import context_if_there, damage_told, find, place
    from autorouter.cli.receipt_render import together

    where = place(directory, path)
    record = find(where, receipt_id)
    if as_json:
        output.emit(record)
        return
    with damage_told():
        view = receipt_render.view_of(record, context_if_there(where, record))
        shown = (receipt_render.outcome(record), *together(record), receipt_render.attempts(record))
        output.show(*map(limit_width, (*shown, output.section("Decision", headline(view)))))


@command.command()
@click.argument("receipt_id", metavar="ID")
@click.option("--all", "every", is_flag=True, help="Don't cut long tables.")
@dir_option
@config_option
@json_option
def explain(receipt_id: str, every: bool, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Explain a recorded decision, as `route --explain` does, from the receipt alone.

    \b
    Example:
      autorouter receipt explain last
    """
    from autorouter.cli import decision_render, receipt_render
    from autorouter.cli.decision_render import limit_width
    from autorouter.cli.receipt_find import context_if_there, damage_told, find, place
    from autorouter.cli.receipt_render import together

    where = place(directory, path)
    record = find(where, receipt_id)
    if as_json:
        output.emit({name: record.get(name) for name in ("id", "at", "version", "features", "snapshot", "decision")})
        return
    with damage_told():
        view = receipt_render.view_of(record, context_if_there(where, record))
        head = (f"receipt {record['id']} of {record['at']}", "", decision_render.headline(view))
        output.show(*map(limit_width, (*head, *together(record), *decision_render.explanation(view, every=every))))


@command.command()
@click.argument("target", required=False, metavar="[ID|FILE|DIR]")
@dir_option
@config_option
@json_option
def verify(target: str | None, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Check that no line was changed, removed or moved, and make every decision again.

    Without an argument: the whole folder. Exit code 6 when anything is wrong.

    \b
    Examples:
      autorouter receipt verify
      autorouter receipt verify 2026-11-20.jsonl
      autorouter receipt export last --out one.json && autorouter receipt verify one.json
    """
    from dataclasses import asdict

    report, what = _verify(target, directory, path)
    if as_json:
        output.emit({"ok": report.ok, "target": what, **asdict(report)})
    else:
        _print_report(report, what)
    if not report.ok:
        output.leave(EXIT_RECEIPT)


def _verify(target: str | None, directory: Path | None, config: Path | None) -> tuple[VerifyReport, str]:
    from autorouter.cli.receipt_find import context_of, find, place
    from autorouter.receipts import verify as checks

    given = Path(target) if target else place(directory, config)
    if target is None or given.is_dir():
        return checks.check_directory(given, _track), str(given)
    if given.is_file():
        from autorouter.evals import evidence

        found = evidence.read_evidence(given)
        if found is not None:
            return evidence.verify_evidence(given, *found, _place_if_any(directory, config)), str(given)
        return checks.check_file(given, _track), str(given)
    where = place(directory, config)
    record = find(where, target)
    report = checks.VerifyReport(files=1)
    name = str(record.get("id"))
    checks.check_receipt(record, context_of(where, record), name, report)
    return report, name


def _place_if_any(directory: Path | None, config: Path | None) -> Path | None:
    """The receipts' folder; evidence can be checked without one."""
    from autorouter.cli.receipt_find import place

    try:
        return place(directory, config)
    except ReceiptError:
        return None


def _track(lines: Iterable[tuple[int, bytes]], name: str, total: int) -> Iterable[tuple[int, bytes]]:
    return output.track(lines, f"deciding again: {name}", total)


def _print_report(report: VerifyReport, what: str) -> None:
    for problem in report.problems[:PROBLEMS_SHOWN]:
        output.show(problem)
    left = len(report.problems) - PROBLEMS_SHOWN
    if left > 0:
        output.show(f"... and {output.count(left, 'more problem')} (--json lists all)")
    found = f"{output.count(report.receipts, 'receipt')} in {output.count(report.files, 'file')}"
    verdict = "ok" if report.ok else output.count(len(report.problems), "problem")
    output.show(f"{verdict}: {what}: {found}, {output.count(report.decided, 'decision')} made again and equal")
    if report.absent:
        output.show(f"{output.count(report.absent, 'receipt')} that the evidence names lie nowhere here: not checked")
    if report.other_version:
        output.show(
            f"{output.count(report.other_version, 'receipt')} of another version: the decision wasn't made again"
        )
    if report.lost:
        output.show(f"{output.count(report.lost, 'receipt')} could not be written at the time, as the files say")


@command.command()
@click.argument("receipt_id", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@dir_option
@config_option
@json_option
def export(receipt_id: str, out: Path | None, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Print a receipt with the policy and the candidates that it refers to, as one line of canonical JSON.

    `receipt verify FILE` accepts the result anywhere.

    \b
    Example:
      autorouter receipt export last --out one.json
    """
    from autorouter.cli.receipt_find import context_of, find, place
    from autorouter.receipts.canonical import canonical_json
    from autorouter.receipts.verify import EXPORTED_CONTEXT

    where = place(directory, path)
    record = find(where, receipt_id)
    data = canonical_json({**record, EXPORTED_CONTEXT: context_of(where, record)}) + b"\n"
    if out is None:
        click.echo(data, nl=False)
        return
    try:
        out.write_bytes(data)
    except OSError as exc:
        raise ReceiptError(f"{out} can't be written: {exc.strerror}") from exc
    output.emit({"id": record.get("id"), "file": str(out)}) if as_json else output.show(str(out))
