"""What the commands `adapter`, `codex` and `run` share: where the router is, and how a plan is shown and carried out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter.cli import output
from autorouter.cli.options import settings
from autorouter.errors import AdapterError, RequestError

if TYPE_CHECKING:
    from autorouter.adapters.install import AdapterEnvironment, InstallPlan
    from autorouter.adapters.registry import Adapter, RouterTarget
    from autorouter.adapters.status import ClientStatus
    from autorouter.core.types import Candidate

CATALOG_FILE = "codex_catalog.json"
MODE_MEANINGS = {
    "missing": "it has no configuration file",
    "direct": "it calls its own provider",
    "auto": "the router decides",
    "fusion": "always a panel",
    "role": "the best candidate of one role",
    "other": "another label, or one model",
}


def adapter_places() -> AdapterEnvironment:
    """This user's."""
    from autorouter.adapters.install import AdapterEnvironment
    from autorouter.config.load import environment

    return AdapterEnvironment(env=environment(), clock=time.time)


def resolve_target(path: Path | None, base_url: str | None, label: str) -> tuple[RouterTarget, tuple[Candidate, ...]]:
    """What a client is to be pointed at, and the candidates there. UnknownModel for a label that no router answers."""
    from autorouter.adapters.codex_catalog import safe_window
    from autorouter.adapters.registry import RouterTarget
    from autorouter.core import labels
    from autorouter.core.panels import panel_names

    found = settings(path)
    labels.parse(label, [candidate.id for candidate in found.candidates], panel_names(found.policy.panels))
    server = found.config.server
    context, most = safe_window(found.candidates)
    wanted = RouterTarget(
        base_url=_parse_base_url(base_url) if base_url else _configured(server.host, server.port),
        model=label,
        key_env=server.api_key_env,
        catalog=str(adapter_places().state / CATALOG_FILE),
        context_tokens=context,
        output_tokens=most,
    )
    return wanted, found.candidates


def _parse_base_url(base_url: str) -> str:
    from urllib.parse import urlsplit

    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname or any(c in base_url for c in " \"'\\\n\r\t"):
        raise RequestError(f"`{output.plain(base_url)}` is no http URL", hint="such as http://127.0.0.1:8787")
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/")


def _configured(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{shown}:{port or 8787}"


def plan_client_install(adapter: Adapter, wanted: RouterTarget, pool: tuple[Candidate, ...]) -> InstallPlan:
    """The plan, with Codex's catalogue where the client has one."""
    from autorouter.adapters import install
    from autorouter.adapters.codex_catalog import catalog_json

    return install.plan_install(adapter, wanted, adapter_places(), catalog_json(pool) if adapter.catalog else None)


def apply_plan(plan: InstallPlan, *, yes: bool, dry_run: bool, as_json: bool, done: str) -> dict[str, Any]:
    """Show the diff, ask, do it. Gives what `--json` prints."""
    from autorouter.adapters import install

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
    backups = install.apply_plan(plan, adapter_places())
    document |= {"changed": plan.changes, "backups": [str(path) for path in backups]}
    if not as_json:
        for path in backups:
            output.show(f"backup: {path}")
        output.show(done if plan.changes else "nothing to change")
    return document


def _print_diff(diff: str) -> None:
    """Never wrapped, so that it can be read as a patch."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff.splitlines():
        click.secho(output.plain(line), fg=None if "NO_COLOR" in adapter_places().env else colours.get(line[:1]))


def _confirm(*, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise AdapterError(
            "nothing was changed: there is nobody to ask", hint="--yes applies it, --dry-run only shows it"
        )
    if not click.confirm("Apply this?", default=False, err=True):
        raise AdapterError("nothing was changed")


def show_status(found: ClientStatus, adapter: Adapter, wanted: RouterTarget) -> None:
    """For people."""
    from autorouter.adapters.registry import ENDPOINTS

    points = "here" if found.here else f"to {found.base_url}" if found.base_url else "not here"
    output.show(
        output.facts(
            [
                ("client", output.styled(adapter.title, "strong")),
                ("mode", f"{found.mode}: {MODE_MEANINGS[found.mode]}"),
                ("points", output.styled(points, "good" if found.here else "dim")),
                ("model", found.model or ""),
                ("router", wanted.base_url),
                ("files", "\n".join(found.files) or "none: a command sets it up"),
                ("installed", "by autorouter; --uninstall takes it back" if found.installed else "not by autorouter"),
                ("wire", ENDPOINTS[adapter.wire]),
                ("tried", f"version {adapter.tried_version}" + (f", {adapter.tried_on}" if adapter.tried_on else "")),
            ]
        )
    )
    for text in found.notes:
        output.note(text)


def status_document(found: ClientStatus, adapter: Adapter) -> dict[str, Any]:
    """For programs."""
    from dataclasses import asdict

    return {**asdict(found), "wire": adapter.wire}
