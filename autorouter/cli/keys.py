"""`autorouter keys`: create, list and revoke the keys that clients of this router come with."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, json_option, settings
from autorouter.config import local_keys as file
from autorouter.config.load import environment, keys_path
from autorouter.config.local_keys import LocalKey
from autorouter.errors import RequestError


@click.group(name="keys")
def command() -> None:
    """Create, list and revoke local keys: who may use this router, which models, and for how much.

    Once a key exists, every client needs one. The file holds only hashes; a running router reloads it when it changes. To
    remove the requirement, delete the file and restart.

    \b
    Examples:
      autorouter keys create laptop
      autorouter keys create ci --models 'openfusion/auto*' --models 'cheap*' --budget-usd-per-day 2 --expires 30d
      autorouter keys revoke ci
    """


@command.command()
@click.argument("name")
@click.option(
    "--models",
    multiple=True,
    metavar="GLOB",
    help="Allowed models; repeatable. Globs over labels (openfusion/...) and over candidates' id, model and vendor.",
)
@click.option("--budget-usd-per-day", "budget", type=click.FloatRange(0, min_open=True), help="Per UTC day.")
@click.option("--expires", metavar="TIME", help="Lifetime: 12h, 30d, 8w. Default: unlimited.")
@config_option
@json_option
def create(
    name: str, models: tuple[str, ...], budget: float | None, expires: str | None, path: Path | None, as_json: bool
) -> None:
    """Create a key and show it, once.

    \b
    Examples:
      autorouter keys create laptop
      autorouter keys create ci --models 'openfusion/auto*' --expires 30d
    """
    if not file.KEY_NAME.fullmatch(name):
        raise RequestError("A key's name has letters, digits, `_`, `.` and `-`, at most 40", hint="such as laptop")
    where, now_s = keys_path(settings(path).config, environment()), time.time()
    known = file.read_keys(where)
    if name in known and known[name].holds(now_s):
        raise RequestError(f"There is a key `{name}` already", hint=f"autorouter keys revoke {name}")
    secret = file.new_key()
    made = file.LocalKey(
        name=name,
        sha256=file.hash_key(secret),
        created_s=now_s,
        expires_s=now_s + file.parse_lifetime(expires).total_seconds() if expires else None,
        models=models,
        budget_usd_per_day=budget,
    )
    file.write_keys(where, {**known, name: made})
    if as_json:
        output.emit({**_plain(made, now_s), "key": secret, "file": str(where)})
        return
    output.show(secret, "")
    output.note(f"shown this once; {where} keeps its hash. Clients send it as their API key")
    if not known:
        output.note("from now on every client needs a key")


@command.command(name="list")
@config_option
@json_option
def list_(path: Path | None, as_json: bool) -> None:
    """List the keys: what they allow and whether they are valid; never the keys themselves.

    \b
    Example:
      autorouter keys list
    """
    where, now_s = keys_path(settings(path).config, environment()), time.time()
    keys = [_plain(key, now_s) for key in file.read_keys(where).values()]
    if as_json:
        output.emit({"object": "list", "data": keys, "file": str(where)})
    elif not keys:
        output.show("no keys: anyone who can reach the router may use it; `autorouter keys create NAME` makes one")
    else:
        columns = ("name", "state", "models", "USD a day", "created", "expires")
        rows = [
            (
                key["name"],
                key["state"],
                ", ".join(key["models"]) or "all",
                "-" if key["budget_usd_per_day"] is None else f"{key['budget_usd_per_day']:g}",
                key["created"],
                key["expires"] or "never",
            )
            for key in keys
        ]
        output.show(output.table(columns, rows, right=("USD a day",)))


@command.command()
@click.argument("name")
@config_option
@json_option
def revoke(name: str, path: Path | None, as_json: bool) -> None:
    """Revoke a key: a running router refuses it from the next request on.

    \b
    Example:
      autorouter keys revoke ci
    """
    where, now_s = keys_path(settings(path).config, environment()), time.time()
    known = file.read_keys(where)
    if name not in known:
        raise RequestError(f"There is no key `{name[:40]}`", hint="autorouter keys list")
    revoked = known[name] if known[name].revoked_s is not None else replace(known[name], revoked_s=now_s)
    file.write_keys(where, {**known, name: revoked})
    output.emit(_plain(revoked, now_s)) if as_json else output.show(f"{name} is revoked")


def _plain(key: LocalKey, now_s: float) -> dict[str, Any]:
    return {
        "name": key.name,
        "state": "revoked" if key.revoked_s is not None else "holds" if key.holds(now_s) else "expired",
        "models": list(key.models),
        "budget_usd_per_day": key.budget_usd_per_day,
        "created": _when(key.created_s),
        "expires": _when(key.expires_s),
        "revoked": _when(key.revoked_s),
    }


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
