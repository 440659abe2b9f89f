"""Options that many commands share, and the settings that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from autorouter.config.load import Settings, environment, load

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config", "-c", "path", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Simulate all answers: no key, no network, no cost.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
dial_option = click.option("--dial", type=click.FloatRange(0, 10), help="0 = best answer, 10 = cheapest.")


def settings(path: Path | None, *, dry_run: bool = False, overrides: Mapping[str, object] | None = None) -> Settings:
    """Load the configuration the way every command does. Its notes are left for the command to print."""
    return load(path, env=environment(), overrides=overrides, dry_run=dry_run)


def router_url(host: str, port: int) -> str:
    """The URL at which a router that listens on `host` and `port` is reached from this machine."""
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{reachable}:{port}"
