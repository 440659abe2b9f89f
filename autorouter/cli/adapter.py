"""`autorouter adapter` and its short form `codex`: point a client here, see where it points, undo it.

`run` and `doctor` share `resolve_target` and `adapter_environment` with them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from autorouter.adapters import install, registry
from autorouter.adapters.codex_catalog import catalog_json, safe_window
from autorouter.adapters.registry import ENDPOINTS, Adapter, RouterTarget
from autorouter.adapters.status import ClientStatus, read_status, unreadable_status
from autorouter.cli import output
from autorouter.cli.options import config_option, json_option, router_url, settings
from autorouter.config.load import environment
from autorouter.core import labels
from autorouter.core.panels import panel_names
from autorouter.core.types import Candidate
from autorouter.errors import AdapterError, RequestError

CATALOG_FILE = "codex_catalog.json"
DEFAULT_PORT = 8787
"""Assumed when the configuration says port 0 (any free one): a client needs a fixed address."""
MODE_MEANINGS = {
    "missing": "it has no configuration file",
    "direct": "it calls its own provider",
    "auto": "the router decides",
    "fusion": "always a panel",
    "role": "the best candidate of one role",
    "other": "another label, or one model",
}


@click.command(name="adapter")
@click.argument("client", required=False)
@click.option(
    "--install", "action", flag_value="install", help="Edit the client's configuration, after showing the diff."
)
@click.option("--uninstall", "action", flag_value="uninstall", help="Restore what was there, byte for byte.")
@click.option("--status", "action", flag_value="status", help="Show whether the client points here.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--base-url", metavar="URL", help="Address of the router; default: server.host and server.port.")
@click.option(
    "--model", "label", default="openfusion/auto", show_default=True, metavar="LABEL", help="Model label to request."
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
    """Point a client here, see where it points, undo it.

    CLIENT alone prints its setup guide with the router's address; without CLIENT, all clients are listed. Only the file
    named in the diff is edited: a backup is made beside it, and comments, order and profiles stay.

    \b
    Examples:
      autorouter adapter
      autorouter adapter codex
      autorouter adapter aider --install
      autorouter adapter aider --uninstall --yes
    """
    target, pool = resolve_target(path, base_url, label)
    if client is None:
        if action is not None:
            raise RequestError(f"--{action} needs a client", hint=f"autorouter adapter codex --{action}")
        _list_clients(target, as_json=as_json)
        return

    adapter = registry.load_adapter(client)
    match action:
        case "install":
            install_client(adapter, target, pool, yes=yes, dry_run=dry_run, as_json=as_json)
        case "uninstall":
            uninstall_client(adapter, target, yes=yes, dry_run=dry_run, as_json=as_json)
        case "status":
            print_status(adapter, target, as_json=as_json)
        case _:
            _print_guide(adapter, target, as_json=as_json)


def install_client(
    adapter: Adapter, target: RouterTarget, pool: tuple[Candidate, ...], *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Install, and print what is left to do in the shell."""

    if adapter.setup:
        line = " ".join(install.setup_command(adapter, target))
        if as_json:
            output.emit({"client": adapter.name, "changed": False, "files": [], "command": line})
        else:
            output.note(f"{adapter.title} has no file to edit; this command sets it up")
            click.echo(line)
        return
    plan = plan_client_install(adapter, target, pool)
    done = f"{adapter.title} points to {target.base_url}, model {target.model}"
    document = apply_plan(plan, yes=yes, dry_run=dry_run, as_json=as_json, done=done)
    status = _read_status(adapter, target)
    if as_json:
        output.emit(document | {"status": status_document(status, adapter)})
        return
    for text in status.notes:
        output.note(text)
    if target.key_env:
        for name, value in install.shell_env(adapter, target).items():
            output.show(f"needed in its environment: {name}={value}" if name != target.key_env else f"needed: {name}")


def uninstall_client(adapter: Adapter, target: RouterTarget, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Uninstall. AdapterError when the client points here but no install is on record."""

    plan = install.plan_uninstall(adapter, adapter_environment())
    if not plan.steps and adapter.files and _read_status(adapter, target).here:
        hint = "change it by hand, or restore one of the backups beside the file"
        raise AdapterError(f"{adapter.title} points here, but there is no record of an install", hint=hint)
    exact = all(step.exact for step in plan.steps)
    done = f"{adapter.title} is as it was before" if exact else f"our settings are taken out of {adapter.title}"
    document = apply_plan(plan, yes=yes, dry_run=dry_run, as_json=as_json, done=done)
    if as_json:
        output.emit(document | {"exact": exact})


def print_status(adapter: Adapter, target: RouterTarget, *, as_json: bool) -> None:
    """Print where the client points."""
    status = _read_status(adapter, target)
    if as_json:
        output.emit(status_document(status, adapter))
    else:
        show_status(status, adapter, target)


def _read_status(adapter: Adapter, target: RouterTarget) -> ClientStatus:
    return read_status(adapter, target.base_url, adapter_environment())


def _print_guide(adapter: Adapter, target: RouterTarget, *, as_json: bool) -> None:
    text = install.render_guide(adapter, target)
    if as_json:
        output.emit({"client": adapter.name, "data": adapter.model_dump(mode="json"), "guide": text})
    else:
        click.echo(text, nl=False)


def _list_clients(target: RouterTarget, *, as_json: bool) -> None:
    clients = []
    for name in registry.adapter_names():
        adapter = registry.load_adapter(name)
        try:
            clients.append((adapter, _read_status(adapter, target)))
        except AdapterError as error:
            clients.append((adapter, unreadable_status(adapter, error)))
    if as_json:
        output.emit({"clients": [status_document(status, adapter) for adapter, status in clients]})
        return
    output.show(output.table(("client", "wire", "points", "model", "edited by --install"), map(_client_row, clients)))
    for _, status in clients:
        for text in status.notes:
            output.note(text)


def _client_row(pair: tuple[Adapter, ClientStatus]) -> tuple[object, ...]:
    adapter, status = pair
    if not adapter.files:
        return adapter.name, adapter.wire, "-", "-", "no, see its guide"
    points = (
        f"here ({status.mode})"
        if status.here
        else f"{status.mode} at {status.base_url}"
        if status.base_url
        else status.mode
    )
    shown = output.styled(points, "good" if status.here else "dim")
    return adapter.name, adapter.wire, shown, status.model or "-", "\n".join(status.files)


def adapter_environment() -> install.AdapterEnvironment:
    """The environment of this user."""

    return install.AdapterEnvironment(env=environment(), clock=time.time)


def resolve_target(path: Path | None, base_url: str | None, label: str) -> tuple[RouterTarget, tuple[Candidate, ...]]:
    """The address, label and limits to configure, and the candidates. UnknownModel for a label that doesn't exist."""

    loaded = settings(path)
    labels.parse(label, [candidate.id for candidate in loaded.candidates], panel_names(loaded.policy.panels))
    server = loaded.config.server
    context, most = safe_window(loaded.candidates)
    target = RouterTarget(
        base_url=_parse_base_url(base_url) if base_url else router_url(server.host, server.port or DEFAULT_PORT),
        model=label,
        key_env=server.api_key_env,
        catalog=str(adapter_environment().state / CATALOG_FILE),
        context_tokens=context,
        output_tokens=most,
    )
    return target, loaded.candidates


def _parse_base_url(base_url: str) -> str:
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname or any(c in base_url for c in " \"'\\\n\r\t"):
        raise RequestError(f"`{output.plain(base_url)}` is not an http URL", hint="such as http://127.0.0.1:8787")
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/")


def plan_client_install(adapter: Adapter, target: RouterTarget, pool: tuple[Candidate, ...]) -> install.InstallPlan:
    """The plan; with a model catalog for clients that read one (Codex)."""

    return install.plan_install(adapter, target, adapter_environment(), catalog_json(pool) if adapter.catalog else None)


def apply_plan(plan: install.InstallPlan, *, yes: bool, dry_run: bool, as_json: bool, done: str) -> dict[str, Any]:
    """Show the diff, ask for confirmation, apply. Returns what `--json` prints."""

    document: dict[str, Any] = {"client": plan.adapter.name, "changed": False, "dry_run": dry_run}
    document["files"] = [
        {"path": str(s.path), "changes": s.changes_file, "diff": "" if s.generated else s.diff} for s in plan.steps
    ]
    document["notes"] = [text for step in plan.steps for text in step.notes]
    if not as_json:
        for step in plan.steps:
            if not step.generated:
                _print_diff(step.diff)
            elif step.changes_file:
                output.show(f"{'deletes' if step.after is None else 'writes'} {step.path} (generated)")
        for text in document["notes"]:
            output.note(text)
    if dry_run:
        return document
    if plan.changes:
        _confirm(yes=yes, as_json=as_json)
    backups = install.apply_plan(plan, adapter_environment())
    document |= {"changed": plan.changes, "backups": [str(path) for path in backups]}
    if not as_json:
        for path in backups:
            output.show(f"backup: {path}")
        output.show(done if plan.changes else "nothing to change")
    return document


def _print_diff(diff: str) -> None:
    """Unwrapped, so that the output is a valid patch."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff.splitlines():
        click.secho(output.plain(line), fg=None if "NO_COLOR" in adapter_environment().env else colours.get(line[:1]))


def _confirm(*, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise AdapterError(
            "nothing was changed: there is no terminal to ask on", hint="--yes applies it, --dry-run only shows it"
        )
    if not click.confirm("Apply this?", default=False, err=True):
        raise AdapterError("nothing was changed")


def show_status(status: ClientStatus, adapter: Adapter, target: RouterTarget) -> None:
    """Print a client's status as a block."""

    points = "here" if status.here else f"to {status.base_url}" if status.base_url else "not here"
    output.show(
        output.facts(
            [
                ("client", output.styled(adapter.title, "strong")),
                ("mode", f"{status.mode}: {MODE_MEANINGS[status.mode]}"),
                ("points", output.styled(points, "good" if status.here else "dim")),
                ("model", status.model or ""),
                ("router", target.base_url),
                ("files", "\n".join(status.files) or "none: a command sets it up"),
                ("installed", "by autorouter; --uninstall takes it back" if status.installed else "not by autorouter"),
                ("wire", ENDPOINTS[adapter.wire]),
                ("tried", f"version {adapter.tried_version}" + (f", {adapter.tried_on}" if adapter.tried_on else "")),
            ]
        )
    )
    for text in status.notes:
        output.note(text)


def status_document(status: ClientStatus, adapter: Adapter) -> dict[str, Any]:
    """A client's status for `--json`."""

    return {**asdict(status), "wire": adapter.wire}


codex = click.Group(
    "codex",
    help="Short forms of `adapter codex`.\n\n\b\nExamples:\n  autorouter codex status\n  autorouter codex enable-auto",
)


def _add_codex_command(name: str, action: str, label: str, summary: str, *options: str) -> None:
    """`codex NAME` is `adapter codex --ACTION --model LABEL`, with some of its options."""

    def run(**params: Any) -> None:
        assert command.callback is not None
        command.callback(
            **{"client": "codex", "action": action, "label": label, "yes": False, "dry_run": False} | params
        )

    params = [param for param in command.params if param.name in ("base_url", "path", "as_json", *options)]
    text = f"{summary}\n\n\b\nExample:\n  autorouter codex {name}"
    codex.add_command(click.Command(name, callback=run, params=params, help=text))


_add_codex_command("status", "status", labels.AUTO, "Show whether Codex points here, and with which label.")
_add_codex_command(
    "enable-auto",
    "install",
    labels.AUTO,
    "Point Codex here with openfusion/auto: the router decides.",
    "yes",
    "dry_run",
)
_add_codex_command(
    "enable-fusion",
    "install",
    "openfusion/fusion",
    "Point Codex here with openfusion/fusion: always a panel.",
    "yes",
    "dry_run",
)
_add_codex_command(
    "disable", "uninstall", labels.AUTO, "Restore the configuration that Codex had before.", "yes", "dry_run"
)
