"""`autorouter adapter`: point a client here, see where it points, take it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autorouter.cli import adapter_view, output
from autorouter.cli.options import config_option, json_option
from autorouter.errors import AdapterError, RequestError

if TYPE_CHECKING:
    from autorouter.adapters.registry import Adapter, RouterTarget
    from autorouter.adapters.status import ClientStatus
    from autorouter.core.types import Candidate


@click.command(name="adapter")
@click.argument("client", required=False)
@click.option("--install", "action", flag_value="install", help="Edit the client's own configuration; the diff first.")
@click.option("--uninstall", "action", flag_value="uninstall", help="Bring back what was there, byte for byte.")
@click.option("--status", "action", flag_value="status", help="Say whether the client points here.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--base-url", metavar="URL", help="Where the router is; default: server.host and server.port.")
@click.option(
    "--model", "label", default="openfusion/auto", show_default=True, metavar="LABEL", help="What to ask for."
)
@click.option("--dry-run", is_flag=True, help="Show the diff and change nothing.")
@config_option
@json_option
def command(
    client: str | None,
    action: str | None,
    yes: bool,
    base_url: str | None,
    label: str,
    dry_run: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Point a client here, see where it points, take it back.

    With a CLIENT alone its guide is printed, with the router's address in it; without one, all clients are listed.
    Only the file named in the diff is edited: a backup is made beside it, and comments, order and profiles stay.

    \b
    Examples:
      autorouter adapter
      autorouter adapter codex
      autorouter adapter aider --install
      autorouter adapter aider --uninstall --yes
    """
    wanted, pool = adapter_view.resolve_target(path, base_url, label)
    if client is None:
        if action is not None:
            raise RequestError(f"--{action} wants a client", hint=f"autorouter adapter codex --{action}")
        _list_clients(wanted, as_json=as_json)
        return
    from autorouter.adapters import registry

    adapter = registry.load_adapter(client)
    match action:
        case "install":
            install_client(adapter, wanted, pool, yes=yes, dry_run=dry_run, as_json=as_json)
        case "uninstall":
            uninstall_client(adapter, wanted, yes=yes, dry_run=dry_run, as_json=as_json)
        case "status":
            print_status(adapter, wanted, as_json=as_json)
        case _:
            _print_guide(adapter, wanted, as_json=as_json)


def install_client(
    adapter: Adapter, wanted: RouterTarget, pool: tuple[Candidate, ...], *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Install, and say what is still to be done in the shell."""
    from autorouter.adapters.install import setup_command, shell_env

    if adapter.setup:
        line = " ".join(setup_command(adapter, wanted))
        if as_json:
            output.emit({"client": adapter.name, "changed": False, "files": [], "command": line})
        else:
            output.note(f"{adapter.title} has no file to edit; this command sets it up")
            click.echo(line)
        return
    plan = adapter_view.plan_client_install(adapter, wanted, pool)
    done = f"{adapter.title} points to {wanted.base_url}, model {wanted.model}"
    document = adapter_view.apply_plan(plan, yes=yes, dry_run=dry_run, as_json=as_json, done=done)
    found = _read_status(adapter, wanted)
    if as_json:
        output.emit(document | {"status": adapter_view.status_document(found, adapter)})
        return
    for text in found.notes:
        output.note(text)
    if wanted.key_env:
        for name, value in shell_env(adapter, wanted).items():
            output.show(f"needed in its environment: {name}={value}" if name != wanted.key_env else f"needed: {name}")


def uninstall_client(adapter: Adapter, wanted: RouterTarget, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Uninstall. AdapterError when the client points here without an install of ours on record."""
    from autorouter.adapters.install import plan_uninstall

    plan = plan_uninstall(adapter, adapter_view.adapter_places())
    if not plan.steps and adapter.files and _read_status(adapter, wanted).here:
        hint = "change it by hand, or restore one of the backups beside the file"
        raise AdapterError(f"{adapter.title} points here, but there is no record of an install", hint=hint)
    exact = all(step.exact for step in plan.steps)
    done = f"{adapter.title} is as it was before" if exact else f"our settings are taken out of {adapter.title}"
    document = adapter_view.apply_plan(plan, yes=yes, dry_run=dry_run, as_json=as_json, done=done)
    if as_json:
        output.emit(document | {"exact": exact})


def print_status(adapter: Adapter, wanted: RouterTarget, *, as_json: bool) -> None:
    """Print where the client points."""
    found = _read_status(adapter, wanted)
    if as_json:
        output.emit(adapter_view.status_document(found, adapter))
    else:
        adapter_view.show_status(found, adapter, wanted)


def _read_status(adapter: Adapter, wanted: RouterTarget) -> ClientStatus:
    from autorouter.adapters.status import read_status as read

    return read(adapter, wanted.base_url, adapter_view.adapter_places())


def _print_guide(adapter: Adapter, wanted: RouterTarget, *, as_json: bool) -> None:
    from autorouter.adapters.install import render_guide

    text = render_guide(adapter, wanted)
    if as_json:
        output.emit({"client": adapter.name, "data": adapter.model_dump(mode="json"), "guide": text})
    else:
        click.echo(text, nl=False)


def _list_clients(wanted: RouterTarget, *, as_json: bool) -> None:
    from autorouter.adapters import registry
    from autorouter.adapters.status import unreadable_status

    found = []
    for name in registry.adapter_names():
        adapter = registry.load_adapter(name)
        try:
            found.append((adapter, _read_status(adapter, wanted)))
        except AdapterError as error:
            found.append((adapter, unreadable_status(adapter, error)))
    if as_json:
        output.emit({"clients": [adapter_view.status_document(status, adapter) for adapter, status in found]})
        return
    output.show(output.table(("client", "wire", "points", "model", "edited by --install"), map(_client_row, found)))
    for _, seen in found:
        for text in seen.notes:
            output.note(text)


def _client_row(pair: tuple[Adapter, ClientStatus]) -> tuple[object, ...]:
    adapter, found = pair
    if not adapter.files:
        return adapter.name, adapter.wire, "-", "-", "no, see its guide"
    points = (
        f"here ({found.mode})" if found.here else f"{found.mode} at {found.base_url}" if found.base_url else found.mode
    )
    shown = output.styled(points, "good" if found.here else "dim")
    return adapter.name, adapter.wire, shown, found.model or "-", "\n".join(found.files)
