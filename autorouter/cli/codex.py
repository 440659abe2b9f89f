"""`autorouter codex`: the adapter of Codex under the names of what one wants from it."""

from __future__ import annotations

from pathlib import Path

import click

from autorouter.cli import adapter as commands
from autorouter.cli import adapter_view
from autorouter.cli.options import config_option, json_option
from autorouter.core.types import Role

_base_url = click.option("--base-url", metavar="URL", help="Where the router is; default: server.host and server.port.")
_yes = click.option("--yes", "-y", is_flag=True, help="Don't ask.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show the diff and change nothing.")


@click.group(name="codex")
def command() -> None:
    """See and change where Codex points.

    \b
    Examples:
      autorouter codex status
      autorouter codex enable-auto
      autorouter codex use-role coder --yes
      autorouter codex disable
    """


@command.command()
@_base_url
@config_option
@json_option
def status(base_url: str | None, path: Path | None, as_json: bool) -> None:
    """Say whether Codex points here, and with which label.

    \b
    Example:
      autorouter codex status --json
    """
    from autorouter.adapters import registry

    wanted, _ = adapter_view.resolve_target(path, base_url, "openfusion/auto")
    commands.print_status(registry.load_adapter("codex"), wanted, as_json=as_json)


@command.command()
@_base_url
@config_option
@click.option(
    "--model", "label", default="openfusion/auto", show_default=True, metavar="LABEL", help="What to ask for."
)
def snippet(base_url: str | None, path: Path | None, label: str) -> None:
    """Print what config.toml has to say, and nothing else.

    \b
    Example:
      autorouter codex snippet --model openfusion/coder
    """
    from autorouter.adapters import edits, registry

    wanted, _ = adapter_view.resolve_target(path, base_url, label)
    (spec,) = registry.load_adapter("codex").files
    settings = [s for s in registry.settings_for(spec, wanted) if s[1] != ("model_catalog_json",)]
    text, _ = edits.apply_settings("", spec.format, [(at, value, False) for _, at, value in settings])
    click.echo(text, nl=False)


def _enable(label: str, base_url: str | None, path: Path | None, yes: bool, dry_run: bool, as_json: bool) -> None:
    from autorouter.adapters import registry

    wanted, pool = adapter_view.resolve_target(path, base_url, label)
    commands.install_client(registry.load_adapter("codex"), wanted, pool, yes=yes, dry_run=dry_run, as_json=as_json)


@command.command(name="enable-auto")
@_base_url
@_yes
@_dry_run
@config_option
@json_option
def enable_auto(base_url: str | None, yes: bool, dry_run: bool, path: Path | None, as_json: bool) -> None:
    """Point Codex here with openfusion/auto: the router decides.

    \b
    Example:
      autorouter codex enable-auto --dry-run
    """
    _enable("openfusion/auto", base_url, path, yes, dry_run, as_json)


@command.command(name="enable-fusion")
@_base_url
@_yes
@_dry_run
@config_option
@json_option
def enable_fusion(base_url: str | None, yes: bool, dry_run: bool, path: Path | None, as_json: bool) -> None:
    """Point Codex here with openfusion/fusion: always a panel.

    \b
    Example:
      autorouter codex enable-fusion --yes
    """
    _enable("openfusion/fusion", base_url, path, yes, dry_run, as_json)


@command.command(name="use-role")
@click.argument("role", type=click.Choice([str(role) for role in Role]))
@_base_url
@_yes
@_dry_run
@config_option
@json_option
def use_role(role: str, base_url: str | None, yes: bool, dry_run: bool, path: Path | None, as_json: bool) -> None:
    """Point Codex here with the best candidate of one role.

    \b
    Example:
      autorouter codex use-role coder
    """
    _enable(f"openfusion/{role}", base_url, path, yes, dry_run, as_json)


@command.command()
@_base_url
@_yes
@_dry_run
@config_option
@json_option
def disable(base_url: str | None, yes: bool, dry_run: bool, path: Path | None, as_json: bool) -> None:
    """Bring back the configuration that Codex had before.

    \b
    Example:
      autorouter codex disable --yes
    """
    from autorouter.adapters import registry

    wanted, _ = adapter_view.resolve_target(path, base_url, "openfusion/auto")
    commands.uninstall_client(registry.load_adapter("codex"), wanted, yes=yes, dry_run=dry_run, as_json=as_json)
