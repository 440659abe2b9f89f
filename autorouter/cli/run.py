"""`autorouter run -- CLIENT ...`: one process of a client, pointed here by its environment and its arguments alone.

codex      -c key=value for each setting, its catalogue in a temporary file
aider      AIDER_* variables, its model settings in a temporary file
claude     ANTHROPIC_* variables
opencode   OPENCODE_CONFIG_CONTENT, which it lays over its files
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
from typing import TYPE_CHECKING

import click

from autorouter.cli import output
from autorouter.cli.options import config_option, settings
from autorouter.errors import AdapterError, UpstreamError

if TYPE_CHECKING:
    from autorouter.adapters.registry import Adapter, RouterTarget

PROGRAMS = {"codex": "codex", "aider": "aider", "claude": "claude-code", "opencode": "opencode"}
"""Program -> its adapter."""


@click.command(name="run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CLIENT [ARGS]...")
@click.option("--base-url", metavar="URL", help="Where the router is; default: server.host and server.port.")
@click.option(
    "--model", "label", default="openfusion/auto", show_default=True, metavar="LABEL", help="What to ask for."
)
@config_option
def command(arguments: tuple[str, ...], base_url: str | None, label: str, path: Path | None) -> None:
    """Start a client that asks this router, for this one process.

    Knows codex, aider, claude and opencode. None of their files is touched, nothing else is started: the router has to
    run already. Ends with the client's exit code.

    \b
    Examples:
      autorouter run -- codex exec "fix the failing test"
      autorouter run --model openfusion/coder -- aider app.py
    """
    from autorouter.adapters import registry

    program = Path(arguments[0]).name
    if program not in PROGRAMS:
        raise AdapterError(f"`{output.plain(program)}` is no client that can be run", hint=f"{', '.join(PROGRAMS)} can")
    executable = shutil.which(arguments[0])
    if executable is None:
        raise AdapterError(f"`{program}` isn't installed", hint="or it is not on PATH")
    adapter = registry.load_adapter(PROGRAMS[program])
    wanted, pool = adapter.resolve_target(path, base_url, label)
    key = _reach(path, wanted)
    with tempfile.TemporaryDirectory(prefix="autorouter-run-") as folder:
        wanted = replace(wanted, key_env=wanted.key_env or registry.DEFAULT_KEY_ENV)
        if adapter.catalog:
            from autorouter.adapters.codex_catalog import catalog_json

            wanted = replace(wanted, catalog=str(Path(folder) / adapter.CATALOG_FILE))
            Path(wanted.catalog).write_bytes(catalog_json(pool))
        extra, env = _pointed(adapter, wanted, Path(folder), key)
        code = _run([executable, *extra, *arguments[1:]], env)
    output.leave(code)


def _reach(path: Path | None, wanted: RouterTarget) -> str:
    """The key for the router. UpstreamError when none runs there: a client would only find out after a minute."""
    from autorouter.adapters.registry import STAND_IN_KEY
    from autorouter.cli.router_client import RouterClient
    from autorouter.config.load import environment, local_key

    key = local_key(settings(path).config, environment())
    with RouterClient(wanted.base_url, key) as line:
        if not line.is_running():
            message = f"no autorouter answers at {wanted.base_url}"
            hint = "start one with `autorouter serve`"
            raise UpstreamError(message, kind="connect", http_status=502, code="upstream_error", hint=hint)
    return key or STAND_IN_KEY


def _pointed(adapter: Adapter, wanted: RouterTarget, folder: Path, key: str) -> tuple[list[str], dict[str, str]]:
    """The arguments to put first, and the whole environment."""
    from autorouter.adapters.registry import fill_text
    from autorouter.config.load import environment

    assert wanted.key_env is not None
    values = wanted.values() | {"key": key}
    env = {**environment(), wanted.key_env: key}
    env |= {name: fill_text(value, values) for name, value in adapter.run_env.items()}
    match adapter.name:
        case "codex":
            return _as_arguments(adapter, wanted), env
        case "opencode":
            env["OPENCODE_CONFIG_CONTENT"] = _as_text(adapter, wanted)
        case "aider":
            file = folder / "model.settings.yml"
            file.write_text(_as_text(adapter, wanted), "utf-8")
            env["AIDER_MODEL_SETTINGS_FILE"] = str(file)
    return [], env


def _as_arguments(adapter: Adapter, wanted: RouterTarget) -> list[str]:
    from autorouter.adapters import registry

    def overrides(at: str, value: object) -> list[str]:
        if isinstance(value, dict):
            return [arg for key, inner in value.items() for arg in overrides(f"{at}.{key}", inner)]
        return ["-c", f"{at}={json.dumps(value)}"]

    settings = registry.settings_for(adapter.files[0], wanted)
    return [arg for _, at, value in settings for arg in overrides(".".join(map(str, at)), value)]


def _as_text(adapter: Adapter, wanted: RouterTarget) -> str:
    """The client's first file, as it would be if there were none."""
    from autorouter.adapters import edits, registry

    spec = adapter.files[0]
    text, _ = edits.apply_settings(
        "", spec.format, [(at, value, False) for _, at, value in registry.settings_for(spec, wanted)]
    )
    return text


def _run(command: Sequence[str], env: dict[str, str]) -> int:
    """Run to the end. Ctrl-C is the client's to answer: we share its terminal, and wait. (A handler, for what is ignored
    here would be ignored by the client too.)"""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = subprocess.Popen(command, env=env)  # noqa: S603
        code = process.wait()
    except OSError as exc:
        raise AdapterError(f"{command[0]} can't be started: {exc.strerror}") from exc
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - code if code < 0 else code
