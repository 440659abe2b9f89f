"""What `doctor --probe-url` and `compat` share: who is asked, the progress, and how the reports come out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import TypeAdapter, ValidationError

from autorouter.adapters.registry import state_dir
from autorouter.cli import output
from autorouter.cli.options import settings
from autorouter.config.load import environment
from autorouter.config.types import BaseUrl, EnvName
from autorouter.errors import EXIT_CHECK_FAILED, ConfigError, RequestError
from autorouter.probe import markdown
from autorouter.probe.checks import STEPS, probe
from autorouter.probe.relay_client import Relay
from autorouter.probe.report import Report, to_document, verdict

OnStep = Callable[[str], None]


def build_relay(
    name: str,
    url: str,
    *,
    model: str | None = None,
    key_env: str | None = None,
    timeout_s: float = 30.0,
    window: int | None = None,
) -> Relay:
    """Whom to ask. RequestError for a URL that can't be one, ConfigError for a key whose variable is not set."""

    key = _key(key_env)
    base_url = _base_url(url)
    return Relay(
        name=urlsplit(base_url).netloc if name == url else name,
        base_url=base_url,
        model=model,
        key=key,
        key_env=key_env,
        timeout_s=timeout_s,
        window_tokens=window,
    )


def _key(name: str | None) -> str | None:
    if not name:
        return None
    try:
        TypeAdapter(EnvName).validate_python(name)
    except ValidationError as exc:
        raise RequestError("a key is named by its environment variable, and never given itself") from exc
    key = environment().get(name, "").strip()
    if not key:
        raise ConfigError(f"{name} is not set", hint=f"export {name}=..., or leave the key out")
    return key


def _base_url(url: str) -> str:
    """As `upstreams.NAME.base_url` has it; where a host stands alone, /v1 is what it means."""

    try:
        base_url = TypeAdapter(BaseUrl).validate_python(url)
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise RequestError(f"the relay's URL {problem}", hint="such as http://127.0.0.1:8787/v1") from exc
    for path in ("/chat/completions", "/responses", "/messages", "/models"):
        base_url = base_url.removesuffix(path)
    return base_url if urlsplit(base_url).path else f"{base_url}/v1"


def run_probes(relays: Sequence[Relay]) -> list[Report]:
    """Probe them side by side, with a bar each on standard error."""

    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def all_of_them(tell: Callable[[int], OnStep]) -> list[Report]:
        work = (probe(one, at=at, on_progress=tell(number)) for number, one in enumerate(relays))
        return list(await asyncio.gather(*work))

    with progress([one.name for one in relays], STEPS) as tell:
        return asyncio.run(all_of_them(tell))


@contextmanager
def progress(names: Sequence[str], steps: int) -> Iterator[Callable[[int], OnStep]]:
    """A bar for each name on standard error, if it is a terminal. Gives what is to be told of each step of the n-th."""
    if not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[at]}"), console=output.console(stderr=True)) as bars:
        tasks = [bars.add_task(output.plain(name), total=steps, at="") for name in names]

        def tell(number: int) -> OnStep:
            return lambda check: bars.update(tasks[number], advance=1, at=check)

        yield tell


def report_folder(out: Path | None, config: Path | None) -> Path:
    """Where reports go: --out, else beside the receipts; a configuration that can't be read is no reason not to."""

    if out is not None:
        return out
    try:
        directory = settings(config).config.receipts.dir
    except ConfigError as exc:
        if config is not None:
            raise
        output.note(f"the configuration can't be read, so the report goes to the state folder: {exc.message}")
        directory = None
    return Path(directory).expanduser() if directory else state_dir(environment()).parent / "receipts"


def publish_reports(reports: Sequence[Report], stem: str, directory: Path, form: str | None) -> None:
    """Print, write both files, say where, and leave with 1 where something failed."""

    single = stem.startswith("doctor")
    document: Any = to_document(reports[0])
    page = markdown.report_page(reports[0])
    if not single:
        document = {"schema": "autorouter.compat/1", "reports": [to_document(one) for one in reports]}
        page = markdown.comparison_page(reports)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    json_path, page_path = markdown.write(directory, f"{stem}-{stamp}", document, page)
    if form == "json":
        output.emit({**document, "files": [str(json_path), str(page_path)]})
        click.echo(str(json_path), err=True)
    else:
        if form == "table":
            output.show(*_tables(reports))
        else:
            click.echo(page)
        click.echo(str(json_path))
    if any(report.result == "fail" for report in reports):
        output.exit_with(EXIT_CHECK_FAILED)


def _tables(reports: Sequence[Report]) -> list[Any]:
    styles = {"pass": "good", "fail": "bad", "degraded": "strong", "skipped": "dim"}
    shown: list[Any] = []
    for report in reports:
        rows = [(c.name, output.styled(c.result, styles[c.result]), c.evidence) for c in report.checks]
        shown += [output.section(report.name, output.table(("check", "result", "evidence"), rows))]
        shown += [f"verdict: {verdict(report)}"]
    return shown
