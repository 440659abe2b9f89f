"""`autorouter config`: the effective values with their origin, and problems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, json_option, settings
from autorouter.config.load import Settings
from autorouter.config.validation import leaves
from autorouter.errors import EXIT_CONFIG, ConfigError

CATALOG = "catalog"
_GOOD = {"default": "dim", CATALOG: "dim"}


@click.group(name="config")
def command() -> None:
    """Show and check the configuration.

    \b
    Examples:
      autorouter config show
      autorouter config check --config autorouter.toml
    """


@command.command()
@click.option("--all", "every", is_flag=True, help="Include candidates and upstreams of the catalog.")
@config_option
@json_option
def show(every: bool, path: Path | None, as_json: bool) -> None:
    """Show every key with its value and origin.

    Precedence: flag > environment > file > catalog > default. Provider keys are never shown, only the names of their
    variables.

    \b
    Examples:
      autorouter config show
      AUTOROUTER_PORT=9000 autorouter config show --json
    """
    loaded = settings(path)
    for remark in loaded.notes:
        output.note(remark)
    rows = list(_values(loaded))
    if as_json:
        keys = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
        output.emit({"file": str(loaded.path) if loaded.path else None, "dry_run": loaded.dry_run, "keys": keys})
        return
    shown = [row for row in rows if every or not _unwritten(row[0], row[2])]
    short = {f"file {loaded.path}": "file"}
    cells = [
        (key, _text(value), output.styled(short.get(origin, origin), _GOOD.get(origin, "good")))
        for key, value, origin in shown
    ]
    output.show(f"file: {loaded.path or 'none'}", "", output.table(("key", "value", "from"), cells))
    if len(shown) < len(rows):
        output.show(
            f"\n{len(rows) - len(shown):,} more values of candidates and upstreams are the catalog's or defaults: --all"
        )


def _unwritten(key: str, origin: str) -> bool:
    """Values of candidates and upstreams that nobody configured: `autorouter models` shows these hundreds better."""
    return key.startswith(("candidates[", "upstreams.")) and origin in ("default", CATALOG)


def _values(loaded: Settings) -> Iterator[tuple[str, Any, str]]:
    """(key, value, origin) of every key, in the order of the schema. A header's value may be a secret: it isn't shown."""

    values = dict(leaves(loaded.config.model_dump(mode="json")))
    for key, origin in loaded.origins.items():
        secret = key.startswith("upstreams.") and ".extra_headers." in key
        yield key, "(set)" if secret else values.get(key), origin


def _text(value: Any) -> str:
    """As TOML would have it; `-` for what isn't set."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else "{}" if value == {} else str(value)


@command.command()
@config_option
@json_option
def check(path: Path | None, as_json: bool) -> None:
    """Check the configuration: one line per problem, and exit code 3 if there are any.

    \b
    Example:
      autorouter config check --config autorouter.toml
    """
    try:
        loaded = settings(path)
    except ConfigError as error:
        if not as_json:
            raise
        output.emit({"ok": False, "problems": str(error).splitlines()})
        output.exit_with(EXIT_CONFIG)
    upstreams = {candidate.upstream for candidate in loaded.candidates}
    if as_json:
        document: dict[str, Any] = {"ok": True, "problems": [], "file": str(loaded.path) if loaded.path else None}
        document |= {"candidates": len(loaded.candidates), "upstreams": len(upstreams), "notes": list(loaded.notes)}
        output.emit(document | {"rules": len(loaded.policy.rules), "dry_run": loaded.dry_run})
        return
    for remark in loaded.notes:
        output.note(remark)
    counts = (
        output.count(len(loaded.candidates), "candidate"),
        output.count(len(upstreams), "upstream"),
        output.count(len(loaded.policy.rules), "rule"),
    )
    dry = " (dry run: no model is called)" if loaded.dry_run else ""
    output.show(f"ok: {loaded.path or 'no file, built-in configuration'}: {', '.join(counts)}{dry}")
