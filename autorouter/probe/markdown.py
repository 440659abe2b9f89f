"""Reports as Markdown that pastes into an issue, and as files.

| check | result | evidence | what it means |
|---|---|---|---|
| chat.whole | pass | 42 characters | the answer to anything that doesn't stream |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from autorouter.errors import ReceiptError
from autorouter.probe.report import Measured, Report, bounded, client_support, quoted, verdict

DRY_RUN: Final = (
    "These answers come from a dry run: they prove the wire and the orchestration, and nothing about a model."
)
_ESCAPED: Final = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;"})


def report_page(report: Report) -> str:
    """One relay."""
    rows = [(c.name, c.result, c.evidence, c.means) for c in report.checks]
    parts = [
        f"# Relay {quoted(report.name)}: {report.result}",
        facts(report),
        f"**Verdict:** {cell(verdict(report))}",
        clients_table(report),
        table(("check", "result", "evidence", "what it means"), rows),
    ]
    return "\n\n".join(parts) + "\n"


def comparison_page(reports: Sequence[Report]) -> str:
    """Several relays, a column each, and then what didn't pass."""
    heads = ["check", *(quoted(report.name) for report in reports)]
    rows = [[c.name, *(report.named(c.name).result for report in reports)] for c in reports[0].checks]
    rows.append(["**all**", *(f"**{report.result}**" for report in reports)])
    rows += [[name, *(value(report.measured) for report in reports)] for name, value in _MEASURED.items()]
    parts = ["# Relays side by side", table(heads, rows)]
    for report in reports:
        parts += [f"## {quoted(report.name)}", facts(report), f"**Verdict:** {cell(verdict(report))}"]
        parts.append(clients_table(report))
        noted = [(c.name, c.result, c.evidence, c.means) for c in report.checks if c.result in ("fail", "degraded")]
        if noted:
            parts.append(table(("check", "result", "evidence", "what it means"), noted))
    return "\n\n".join(parts) + "\n"


def clients_table(report: Report) -> str:
    """Who can use it directly."""
    rows = [(line.client, line.support, line.reason) for line in client_support(report)]
    return table(("client", "can use it", "because"), rows)


def facts(report: Report) -> str:
    """Who was asked, when, and what it took."""
    m = report.measured
    tokens = f"{m.input_tokens:,} + {m.output_tokens:,} tokens told"
    lines = [
        f"- model {quoted(report.model)} at {quoted(report.base_url)}",
        f"- {report.at}, autorouter {report.version}, {m.requests} requests in {m.seconds:.1f} s, {tokens}",
        f"- key: {quoted(report.key_env) if report.key_env else 'none sent'}",
    ]
    return "\n".join([*lines, *([f"- **dry run**: {DRY_RUN}"] if report.dry_run else [])])


_MEASURED: Final[Mapping[str, Callable[[Measured], str]]] = {
    "first byte": lambda m: _seconds(m.first_byte_s),
    "first text": lambda m: _seconds(m.first_text_s),
    "tokens/s": lambda m: "-" if m.throughput_tokens_per_s is None else f"{m.throughput_tokens_per_s:,.0f}",
}


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A GitHub table: one line a row, no cell that breaks it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def cell(value: object) -> str:
    """Text that stays in its cell, with no markup of another's: what is in code spans can't be any."""
    parts = bounded(str(value), 400).split("`")
    return "`".join(part.replace("|", "\\|") if at % 2 else part.translate(_ESCAPED) for at, part in enumerate(parts))


def write(directory: Path, stem: str, document: Any, page: str) -> tuple[Path, Path]:
    """`STEM.json` and `STEM.md` for the user alone (0600). ReceiptError when they can't be written."""
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    paths = directory / f"{stem}.json", directory / f"{stem}.md"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in zip(paths, (data, page.encode()), strict=True):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
    except OSError as exc:
        raise ReceiptError(f"{directory} can't be written: {exc.strerror}", hint="choose another --out") from exc
    return paths
