"""`autorouter run -- CLIENT ...`: one process of a client, pointed here by its environment and its arguments alone.

The variables are those of its adapter's `run_env`. A client's profile says how it takes the settings of a configuration file: as
arguments, as the content of a variable, or as a temporary file that a variable names.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from autorouter.adapters import edits, registry
from autorouter.adapters.codex_catalog import catalog_json
from autorouter.adapters.registry import Adapter, RouterTarget
from autorouter.cli import output
from autorouter.cli.adapter import CATALOG_FILE, resolve_target
from autorouter.cli.options import config_option, settings
from autorouter.cli.router_client import RouterClient
from autorouter.clients.profile import LaunchOptions
from autorouter.clients.registry import PROFILES
from autorouter.config.load import environment, local_key
from autorouter.errors import AdapterError, UpstreamError

CLIENTS = {profile.program: profile for profile in PROFILES if profile.program and profile.launch}
"""Program -> the client."""


HELP = f"""Start a client that uses this router, for this one process only.

Knows {", ".join(CLIENTS)}. None of their files is changed. The router must already be running. Exits with
the client's exit code.

\b
Examples:
  autorouter run -- codex exec "fix the failing test"
  autorouter run --model openfusion/coder -- aider app.py
"""


@click.command(
    name="run", help=HELP, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CLIENT [ARGS]...")
@click.option("--base-url", metavar="URL", help="Address of the router; default: server.host and server.port.")
@click.option(
    "--model", "label", default="openfusion/auto", show_default=True, metavar="LABEL", help="Model label to request."
)
@config_option
def command(arguments: tuple[str, ...], base_url: str | None, label: str, path: Path | None) -> None:
    """Run the client with our settings, and exit with its code."""
    program = Path(arguments[0]).name
    client = CLIENTS.get(program)
    if client is None or client.launch is None:
        raise AdapterError(
            f"`{output.plain(program)}` is not a client that can be run", hint=f"{', '.join(CLIENTS)} can"
        )
    executable = shutil.which(arguments[0])
    if executable is None:
        raise AdapterError(f"`{program}` isn't installed", hint="or it is not on PATH")
    adapter = registry.load_adapter(client.name)
    target, pool = resolve_target(path, base_url, label)
    key = _require_router(path, target)
    with tempfile.TemporaryDirectory(prefix="autorouter-run-") as folder:
        target = replace(target, key_env=target.key_env or registry.DEFAULT_KEY_ENV)
        if adapter.catalog:
            target = replace(target, catalog=str(Path(folder) / CATALOG_FILE))
            Path(target.catalog).write_bytes(catalog_json(pool))
        extra, env = _client_setup(adapter, client.launch, target, Path(folder), key)
        code = _run_client([executable, *extra, *arguments[1:]], env)
    output.exit_with(code)


def _require_router(path: Path | None, target: RouterTarget) -> str:
    """The key for the router. UpstreamError when none is running: most clients would retry for a minute before failing."""

    key = local_key(settings(path).config, environment())
    with RouterClient(target.base_url, key) as client:
        if not client.is_running():
            message = f"no autorouter answers at {target.base_url}"
            hint = "start one with `autorouter serve`"
            raise UpstreamError(message, kind="connect", http_status=502, code="upstream_error", hint=hint)
    return key or registry.STAND_IN_KEY


def _client_setup(
    adapter: Adapter, launch: LaunchOptions, target: RouterTarget, folder: Path, key: str
) -> tuple[list[str], dict[str, str]]:
    """The arguments to put before the user's, and the whole environment."""

    assert target.key_env is not None
    values = target.values() | {"key": key}
    env = {**environment(), target.key_env: key}
    env |= {name: registry.fill_text(value, values) for name, value in adapter.run_env.items()}
    if launch.config_env is not None:
        env[launch.config_env] = _config_file_text(adapter, target)
    if launch.config_file_env is not None:
        file = folder / launch.config_file
        file.write_text(_config_file_text(adapter, target), "utf-8")
        env[launch.config_file_env] = str(file)
    return _config_arguments(adapter, launch.config_flag, target) if launch.config_flag is not None else [], env


def _config_arguments(adapter: Adapter, flag: str, target: RouterTarget) -> list[str]:
    """The settings as arguments: the flag with `key=value` for each, the value as JSON."""

    def overrides(at: str, value: object) -> list[str]:
        if isinstance(value, dict):
            return [arg for key, inner in value.items() for arg in overrides(f"{at}.{key}", inner)]
        return [flag, f"{at}={json.dumps(value)}"]

    settings = registry.settings_for(adapter.files[0], target)
    return [arg for _, at, value in settings for arg in overrides(".".join(map(str, at)), value)]


def _config_file_text(adapter: Adapter, target: RouterTarget) -> str:
    """The client's configuration file, as an install would write it from nothing."""

    spec = adapter.files[0]
    text, _ = edits.apply_settings(
        "", spec.format, [(at, value, False) for _, at, value in registry.settings_for(spec, target)]
    )
    return text


def _run_client(command: Sequence[str], env: dict[str, str]) -> int:
    """Run to the end and return the exit code. The client shares our terminal, so Ctrl-C is for it to handle."""
    # A handler that does nothing, not SIG_IGN: the child would inherit an ignored signal.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = subprocess.Popen(command, env=env)  # noqa: S603
        code = process.wait()
    except OSError as exc:
        raise AdapterError(f"{command[0]} can't be started: {exc.strerror}") from exc
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - code if code < 0 else code
