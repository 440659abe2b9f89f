"""`autorouter init`: detect keys, servers and clients on this machine, and write a configuration for them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import httpx

from autorouter.cli import output
from autorouter.cli.options import json_option, settings
from autorouter.clients.registry import PROFILES
from autorouter.config import catalog
from autorouter.config.load import ENV_CONFIG, default_path, environment
from autorouter.config.template import LocalServer, starter_config
from autorouter.config.types import ProfileName
from autorouter.errors import ConfigError

PROBE_S = 0.2
"""A local server answers at once, or isn't one."""
CLIENTS = {profile.program: profile.title for profile in PROFILES if profile.program}
"""Program on PATH -> the client's name."""


@dataclass(frozen=True, slots=True)
class LocalServerProbe:
    """The usual port of one kind of local server."""

    name: str
    port: int
    profile: ProfileName


PROBES = (
    LocalServerProbe("ollama", 11_434, "ollama"),
    LocalServerProbe("lmstudio", 1_234, "lmstudio"),
    LocalServerProbe("vllm", 8_000, "vllm"),
    LocalServerProbe("llamacpp", 8_080, "llamacpp"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was detected: variables that hold keys, servers that answered, clients on PATH."""

    keys: tuple[str, ...]
    servers: tuple[LocalServer, ...]
    clients: tuple[str, ...]


@click.command(name="init")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: the user's configuration."
)
@click.option("--force", is_flag=True, help="Replace an existing file; the old one is kept as NAME.bak.")
@click.option("--dry-run", is_flag=True, help="Print the file and write nothing.")
@json_option
def command(out: Path | None, force: bool, dry_run: bool, as_json: bool) -> None:
    """Write a commented autorouter.toml from the keys, servers and clients found.

    Reads only the names of environment variables, never a key's value, and probes the usual local ports of Ollama,
    LM Studio, vLLM and llama.cpp. Nothing is sent anywhere else.

    \b
    Examples:
      autorouter init
      autorouter init --dry-run
      autorouter init --out autorouter.toml --force
    """
    env = environment()
    path = out or _default(env)
    if path.exists() and not (force or dry_run):
        raise ConfigError(f"{path} exists", hint="--force replaces it, --out writes another, --dry-run only prints")
    discovery = discover(env)
    text = starter_config(env, discovery.servers)
    if not dry_run:
        _write(path, text)
    if as_json:
        output.emit({"file": str(path), "written": not dry_run, "found": asdict(discovery), "text": text})
    elif dry_run:
        click.echo(text, nl=False)
    else:
        _report(path, discovery)


def _default(env: Mapping[str, str]) -> Path:
    """Where the other commands will look for it."""

    named = env.get(ENV_CONFIG, "").strip()
    return Path(named).expanduser() if named else default_path(env)


def discover(env: Mapping[str, str]) -> Discovery:
    """Keys, servers and clients. Takes `PROBE_S` at most, save for servers that answer slowly."""

    keys = [name for name in catalog.read_catalog().key_envs() if env.get(name, "").strip()]
    with ThreadPoolExecutor(len(PROBES)) as pool:
        servers = [server for server in pool.map(probe_local_server, PROBES) if server is not None]
    clients = [name for program, name in CLIENTS.items() if shutil.which(program, path=env.get("PATH", ""))]
    return Discovery(keys=tuple(dict.fromkeys(keys)), servers=tuple(servers), clients=tuple(clients))


def probe_local_server(probe: LocalServerProbe) -> LocalServer | None:
    """The server at the probe's port with the models it lists; None if nothing there speaks this API."""

    base_url = f"http://127.0.0.1:{probe.port}/v1"
    try:
        answer = httpx.get(f"{base_url}/models", timeout=PROBE_S, trust_env=False)
        listed = answer.raise_for_status().json()["data"] or []
        models = [entry["id"] for entry in listed if isinstance(entry["id"], str)]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    return LocalServer(name=probe.name, base_url=base_url, profile=probe.profile, models=tuple(models))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.replace(path.with_name(f"{path.name}.bak"))
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise ConfigError(f"{path} can't be written: {exc.strerror}", hint="choose another --out") from exc


def _report(path: Path, discovery: Discovery) -> None:
    servers = [f"{s.name} at {s.base_url} ({output.count(len(s.models), 'model')})" for s in discovery.servers]
    pool = settings(path)
    dry = "; every answer comes from the dry run" if pool.dry_run else ""
    output.show(
        output.facts(
            [
                ("keys", ", ".join(discovery.keys) or "none in the environment"),
                ("servers", "\n".join(servers) or "none on this machine"),
                ("clients", ", ".join(discovery.clients) or "none on PATH"),
                ("pool", f"{output.count(len(pool.candidates), 'candidate')}{dry}"),
                ("wrote", output.styled(path, "strong")),
            ]
        )
    )
    here = f" --config {path}" if path != _default_of_user() else ""
    output.show("", "Next:", f"  autorouter serve{here}", f'  autorouter route "fix the flaky test" --explain{here}')


def _default_of_user() -> Path:
    return _default(environment())
