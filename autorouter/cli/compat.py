"""`autorouter compat`: the probe of `doctor --probe-url`, for several relays side by side."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output, probe_runner
from autorouter.cli.doctor import format_option, out_option
from autorouter.cli.options import config_option, json_option
from autorouter.errors import ConfigError, RequestError
from autorouter.probe.relay_client import Relay

KEYS = ("name", "url", "model", "key_env")


@click.command(name="compat")
@click.option("--target", "targets", multiple=True, metavar="NAME|URL|MODEL|KEY_ENV", help="A relay; repeatable.")
@click.option(
    "--targets", "file", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file with [[targets]] tables."
)
@click.option(
    "--timeout-ms", type=click.IntRange(min=1), default=30_000, show_default=True, help="Maximum time without data."
)
@out_option
@format_option
@config_option
@json_option
def command(
    targets: tuple[str, ...],
    file: Path | None,
    timeout_ms: int,
    out: Path | None,
    form: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Probe several relays side by side, a column each.

    MODEL and KEY_ENV may be omitted: the relay's first listed model is used, and no key is sent. KEY_ENV is the name of an
    environment variable, never a key. Exit code 1 if any relay fails.

    \b
    Examples:
      autorouter compat --target 'here|http://127.0.0.1:8787/v1'
      autorouter compat --target 'a|https://a.example/v1|m|A_KEY' --target 'b|https://b.example/v1|m|B_KEY'
      autorouter compat --targets relays.toml --json

    \b
    relays.toml:
      [[targets]]
      name = "here"
      url = "http://127.0.0.1:8787/v1"
      model = "openfusion/auto"
      key_env = "AUTOROUTER_API_KEY"
    """
    relays = [*map(_parse_target, targets), *(_read_targets(file) if file else ())]
    if not relays:
        raise RequestError("there is no relay to probe", hint="--target 'name|url', or --targets FILE")
    names = [name for name, *_ in relays]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"two targets are called `{output.plain(twice)}`", hint="give each a name of its own")
    reports = probe_runner.run_probes([_build_relay(one, timeout_ms / 1000) for one in relays])
    probe_runner.publish_reports(reports, "compat", probe_runner.report_folder(out, path), "json" if as_json else form)


def _build_relay(given: tuple[str, ...], timeout_s: float) -> Relay:
    name, url, model, key_env = given
    return probe_runner.build_relay(name, url, model=model or None, key_env=key_env or None, timeout_s=timeout_s)


def _parse_target(text: str) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split("|")]
    if not 2 <= len(parts) <= len(KEYS) or not all(parts[:2]):
        raise RequestError("--target wants 'name|url', 'name|url|model' or 'name|url|model|KEY_ENV'")
    return (*parts, *[""] * (len(KEYS) - len(parts)))


def _read_targets(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: is not TOML: {exc}") from exc
    tables = data.get("targets")
    if not isinstance(tables, list) or not tables or set(data) != {"targets"}:
        raise ConfigError(f"{path}: must hold [[targets]] tables and nothing else")
    for number, table in enumerate(tables):
        yield _check_target(table, f"{path}: targets[{number}]")


def _check_target(table: Any, where: str) -> tuple[str, ...]:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a table")
    for key, value in table.items():
        if key not in KEYS:
            raise ConfigError(f"{where}.{output.plain(key)[:40]}: is not a key of this table", hint=", ".join(KEYS))
        if not isinstance(value, str):
            raise ConfigError(f"{where}.{key}: must be a string")
    if not table.get("name") or not table.get("url"):
        raise ConfigError(f"{where}: needs a name and a url")
    return tuple(table.get(key, "") for key in KEYS)
