"""`autorouter receipt`: list, show, explain, verify and export what the router has recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.decision_render import explanation, headline, limit_width
from autorouter.cli.evidence import out_option
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.cli.receipt_render import attempts, joint_work, listing, outcome, view_of_receipt
from autorouter.errors import EXIT_RECEIPT, ReceiptError, RequestError
from autorouter.evals import evidence
from autorouter.receipts import reader, v1
from autorouter.receipts import verify as verify_receipts
from autorouter.receipts.chain import canonical_json
from autorouter.suggest import close_matches

PROBLEMS_SHOWN = 20
dir_option = click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="The receipts' folder."
)


class PromptGroup(click.Group):
    """A group whose first word may be a prompt instead of a command: `receipt "PROMPT"` is `receipt ask "PROMPT"`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_ask(ctx, args))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        return super().resolve_command(ctx, self._with_ask(ctx, args))

    def _with_ask(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `ask` first, unless the first word is a command or looks like a mistyped one."""
        names = self.list_commands(ctx)
        if not args or args[0] in names or args[0] in ctx.help_option_names:
            return args
        if " " not in args[0] and not args[0].startswith("-") and close_matches(args[0], names):
            return args
        return ["ask", *args]


@click.group(name="receipt", cls=PromptGroup)
def command() -> None:
    """List, show, explain, verify and export receipts; or make one, with a prompt.

    An ID may be any unique prefix of one, or `last`. Any other argument is treated as a prompt (see `ask`).

    \b
    Examples:
      autorouter receipt --dry-run "debug this failing API test" --label openfusion/fusion
      autorouter receipt list --failed --since 2h
      autorouter receipt explain last
      autorouter receipt verify
    """


@command.command()
@click.argument("prompt", required=False)
@click.option("--label", default="openfusion/auto", show_default=True, metavar="LABEL", help="Model label to request.")
@out_option
@config_option
@dry_run_option
@json_option
def ask(prompt: str | None, label: str, out: Path | None, path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Send one request through the router, and show and write its receipt with every phase.

    The word `ask` may be omitted. Use `-` as PROMPT, or omit it in a pipe, to read from stdin. The answer itself isn't
    printed; use `autorouter chat` for that.

    \b
    Examples:
      autorouter receipt ask --dry-run "debug this failing API test"
      autorouter receipt "review this design" --label openfusion/fusion
    """
    from autorouter.cli import receipt_ask  # brings the engine; the other commands do without it

    receipt_ask.run(output.prompt_text(prompt), label, out, path, dry_run=dry_run, as_json=as_json)


@command.command(name="list")
@click.option("-n", "number", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number.")
@click.option("--since", metavar="WHEN", help="Only newer ones: 30m, 2h, 7d, or a date or time in UTC.")
@click.option("--failed", is_flag=True, help="Only those without a complete answer.")
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
    folder = receipts_folder(directory, path)
    begin = parse_since(since) if since else ""
    summaries, unreadable = [], 0
    for record in newest_receipts(folder, number, begin, failed):
        try:
            summaries.append(reader.receipt_summary(record))
        except (KeyError, TypeError):
            unreadable += 1
    if unreadable:
        output.note(
            f"{output.count(unreadable, 'receipt')} of another version can't be listed; show ID --json prints one"
        )
    if as_json:
        output.emit({"object": "list", "data": summaries})
    elif summaries:
        output.show(listing(summaries))
    else:
        output.show(f"no such receipts in {folder}; `autorouter serve` and `autorouter chat` write them")


@command.command()
@click.argument("receipt_id", metavar="ID")
@dir_option
@config_option
@json_option
def show(receipt_id: str, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Show one receipt: the outcome, the calls made, and the decision in short.

    \b
    Example:
      autorouter receipt show last
    """
    folder = receipts_folder(directory, path)
    record = find_receipt(folder, receipt_id)
    if as_json:
        output.emit(record)
        return
    with malformed_receipts_reported():
        readable = v1.readable(record)
        view = view_of_receipt(readable, context_or_none(folder, record))
        shown = (outcome(readable), *joint_work(readable), attempts(readable))
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
    folder = receipts_folder(directory, path)
    record = find_receipt(folder, receipt_id)
    if as_json:
        output.emit({name: record.get(name) for name in ("id", "at", "version", "features", "snapshot", "decision")})
        return
    with malformed_receipts_reported():
        readable = v1.readable(record)
        view = view_of_receipt(readable, context_or_none(folder, record))
        head = (f"receipt {record['id']} of {record['at']}", "", headline(view))
        output.show(*map(limit_width, (*head, *joint_work(readable), *explanation(view, every=every))))


@command.command()
@click.argument("target", required=False, metavar="[ID|FILE|DIR]")
@dir_option
@config_option
@json_option
def verify(target: str | None, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Check that no line was changed, removed or moved, and repeat every decision.

    Without an argument, the whole folder is checked. Exit code 6 if anything is wrong.

    \b
    Examples:
      autorouter receipt verify
      autorouter receipt verify 2026-11-20.jsonl
      autorouter receipt export last --out one.json && autorouter receipt verify one.json
    """
    report, name = _verify(target, directory, path)
    if as_json:
        problems = [str(problem) for problem in report.problems]
        output.emit({"ok": report.ok, "target": name, **asdict(report), "problems": problems})
    else:
        _print_report(report, name)
    if not report.ok:
        output.exit_with(EXIT_RECEIPT)


def _verify(
    target: str | None, directory: Path | None, config: Path | None
) -> tuple[verify_receipts.VerifyReport, str]:
    """The report, and the name of what was verified."""
    given = Path(target) if target else receipts_folder(directory, config)
    if target is None or given.is_dir():
        with output.waiting("verifying"):
            return verify_receipts.check_directory(given, _track), str(given)
    if given.is_file():
        document = evidence.read_evidence(given)
        if document is not None:
            return evidence.verify_evidence(given, *document, _folder_if_configured(directory, config)), str(given)
        return verify_receipts.check_file(given, _track), str(given)
    folder = receipts_folder(directory, config)
    record = find_receipt(folder, target)
    report = verify_receipts.VerifyReport(files=1)
    receipt_id = str(record.get("id"))
    verify_receipts.check_receipt(record, context_of(folder, record), report, file=receipt_id, line=None)
    return report, receipt_id


def _folder_if_configured(directory: Path | None, config: Path | None) -> Path | None:
    """The receipts' folder; an evidence file can be verified without one."""
    try:
        return receipts_folder(directory, config)
    except ReceiptError:
        return None


def _track(lines: Iterable[tuple[int, bytes]], name: str, total: int) -> Iterable[tuple[int, bytes]]:
    return output.track(lines, f"deciding again: {name}", total)


def _print_report(report: verify_receipts.VerifyReport, target: str) -> None:
    for problem in report.problems[:PROBLEMS_SHOWN]:
        output.show(str(problem))
    hidden = len(report.problems) - PROBLEMS_SHOWN
    if hidden > 0:
        output.show(f"... and {output.count(hidden, 'more problem')} (--json lists all)")
    checked = f"{output.count(report.receipts, 'receipt')} in {output.count(report.files, 'file')}"
    verdict = "ok" if report.ok else output.count(len(report.problems), "problem")
    output.show(f"{verdict}: {target}: {checked}, {output.count(report.decided, 'decision')} made again and equal")
    if report.absent:
        output.show(
            f"{output.count(report.absent, 'receipt')} named by the evidence are not in these folders: not checked"
        )
    for version, number in sorted(report.other_versions.items()):
        output.show(f"{output.count(number, 'receipt')} decided by version {version}: not decided again")
    if report.lost:
        output.show(f"{output.count(report.lost, 'receipt')} could not be written at the time, as the files say")


@command.command()
@click.argument("receipt_id", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@dir_option
@config_option
@json_option
def export(receipt_id: str, out: Path | None, directory: Path | None, path: Path | None, as_json: bool) -> None:
    """Print a receipt with its policy and candidates as one line of canonical JSON.

    `receipt verify FILE` can check the result on any machine.

    \b
    Example:
      autorouter receipt export last --out one.json
    """
    folder = receipts_folder(directory, path)
    record = find_receipt(folder, receipt_id)
    data = canonical_json({**record, verify_receipts.EXPORTED_CONTEXT: context_of(folder, record)}) + b"\n"
    if out is None:
        click.echo(data, nl=False)
        return
    try:
        out.write_bytes(data)
    except OSError as exc:
        raise ReceiptError(f"{out} can't be written: {exc.strerror}") from exc
    output.emit({"id": record.get("id"), "file": str(out)}) if as_json else output.show(str(out))


def receipts_folder(directory: Path | None, config: Path | None) -> Path:
    """The receipts' folder: the one given, else the configured one."""
    if directory is not None:
        return directory
    configured = settings(config).config.receipts.dir
    if configured is None:
        raise ReceiptError("no receipts folder is configured", hint="give --dir")
    return Path(configured).expanduser()


def find_receipt(directory: Path, receipt_id: str) -> dict[str, Any]:
    """A receipt by its id, by a unique prefix of it, or the last one."""
    if receipt_id != "last":
        return reader.find_receipt(directory, receipt_id)
    newest = reader.latest_receipts(directory, 1)
    if not newest:
        raise ReceiptError(f"{directory} holds no receipts", hint="autorouter serve writes them")
    return newest[0]


@contextmanager
def malformed_receipts_reported() -> Iterator[None]:
    """Turns the errors that reading a malformed record raises into a ReceiptError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise ReceiptError(
            "the receipt is damaged, or of another version",
            hint="`autorouter receipt verify` names its line, --json prints it",
        ) from exc


def context_of(directory: Path, record: Mapping[str, Any]) -> Any:
    """The policy and candidates that a receipt refers to. ReceiptError when they are gone."""
    return reader.read_context(directory, str(record.get("context")))


def context_or_none(directory: Path, record: Mapping[str, Any]) -> Any:
    """The same, but None when they are gone: a receipt can be read without them."""
    try:
        return context_of(directory, record)
    except ReceiptError:
        return None


def parse_since(text: str) -> str:
    """A start time in the format of receipts: `2h` is two hours ago, `2026-11-20` the beginning of that day."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago:
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        when = datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as exc:
            raise RequestError(
                f"`{text}` is not a time", hint="such as 30m, 2h, 7d, 2026-11-20 or 2026-11-20T09:00"
            ) from exc
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def newest_receipts(directory: Path, number: int, begin: str, failed: bool) -> Iterator[dict[str, Any]]:
    """The newest receipts, newest first: at most `number`, since `begin` ("": no limit), or only the failed ones."""
    if not begin and not failed:
        yield from reader.latest_receipts(directory, number)
        return
    for path in reversed(reader.segment_files(directory)):
        if path.name[:10] < begin[:10]:
            return
        matches = [
            r for _, r, _ in reader.read_records(path) if r.get("type") == "receipt" and _matches(r, begin, failed)
        ]
        for record in matches[: -number - 1 : -1]:
            number -= 1
            yield record


def _matches(record: dict[str, Any], begin: str, failed: bool) -> bool:
    outcome = record.get("outcome")
    answered = isinstance(outcome, dict) and outcome.get("result") == "answered"
    return str(record.get("at")) >= begin and not (failed and answered)
