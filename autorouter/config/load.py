"""Reading the configuration: files, flags and environment in, `Settings` or one ConfigError out.

    settings = load(None, env=environment(), overrides={"server.port": 9000})

Flag > environment > file > catalogue > default. Nothing else in the program reads the environment. A ConfigError has one
line per problem: the source, the key's path, what is wrong, and the nearest right word.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autorouter.config import candidates, layers
from autorouter.config.convert import is_loopback, to_candidates, to_policy
from autorouter.config.provider_keys import is_unset
from autorouter.config.schema import Config
from autorouter.config.validation import ConfigProblem, leaves, validate
from autorouter.core.policy import Policy
from autorouter.core.types import Candidate
from autorouter.errors import ConfigError

FILE_NAME = "autorouter.toml"
KEYS_NAME = "keys.toml"
_APP = "autorouter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was configured. `origins`: dotted key -> default | catalogue | file PATH | env NAME | flag.
    `path`: the file that was read, None without one. `notes`: what a person should know, one sentence each.
    `catalog_version`: None when no value came from the catalogue."""

    config: Config
    candidates: tuple[Candidate, ...]
    policy: Policy
    origins: dict[str, str]
    path: Path | None
    dry_run: bool
    notes: tuple[str, ...]
    catalog_version: str | None


def environment() -> Mapping[str, str]:
    """The process's environment, for `load` and `key_for`."""
    return os.environ


def default_path(env: Mapping[str, str]) -> Path:
    """Where the user's file is looked for, and where `init` writes it."""
    return _user_folder(env, "config") / FILE_NAME


def keys_path(config: Config, env: Mapping[str, str]) -> Path:
    """Where the file of local keys is, or would be."""
    given = config.server.keys_file
    return Path(given).expanduser() if given else _user_folder(env, "state") / KEYS_NAME


def local_key(config: Config, env: Mapping[str, str]) -> str | None:
    """The key that clients must send, None when none is asked for. ConfigError when one is asked for and its variable
    is unset: the server must not start open."""
    name = config.server.api_key_env
    if name is None:
        return None
    key = env.get(name, "").strip()
    if not key:
        raise ConfigError(f"server.api_key_env: {name} is not set", hint=f"export {name}, or remove the key")
    return key


def load(
    path: Path | None,
    *,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    dry_run: bool = False,
    catalog: Path | None = None,
) -> Settings:
    """The settings from `path`, else from AUTOROUTER_CONFIG, else from the user's file, else without a file.

    `overrides` are flags by dotted key; None is a flag that wasn't given. ConfigError lists all problems.
    """
    path, data = _find(path, env)
    from_env, problems = layers.environment_layers(env)
    above = [*layers.flag_layers(overrides or {}), *from_env]
    file_layer = layers.ConfigLayer(f"file {path}", data)
    merged = layers.merge_layers([*above, file_layer, _defaults(env)])
    filled = candidates.fill_candidates(merged, env, catalog)
    merged["candidates"] = filled.candidates
    if filled.upstreams:
        merged["upstreams"] = {**merged.get("upstreams", {}), **filled.upstreams}
    config = validate(merged, filled.providers)
    problems += filled.problems
    if isinstance(config, list):
        problems += [problem for problem in config if not _follows(problem, filled.problems)]
    if problems or isinstance(config, list):
        raise ConfigError("\n".join(_line(problem, path, above) for problem in problems))
    dry = dry_run or layers.wants_dry_run(env) or filled.dry_run
    catalogued = layers.ConfigLayer("catalogue", {"candidates": filled.candidates, "upstreams": filled.upstreams})
    return Settings(
        config=config,
        candidates=to_candidates(config),
        policy=to_policy(config),
        origins=layers.value_origins([*above, file_layer, catalogued], config.model_dump()),
        path=path,
        dry_run=dry,
        notes=(*filled.notes, *_warnings(config, env, dry)),
        catalog_version=filled.catalog_version,
    )


def _find(path: Path | None, env: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    """The file and its tables. Only a file that nobody asked for may be absent."""
    named = env.get(layers.ENV_CONFIG, "").strip()
    chosen = path or (Path(os.path.expanduser(named)) if named else None)
    if chosen is not None:
        return chosen, _read(chosen)
    try:
        default = default_path(env)
        return (default, _read(default)) if default.exists() else (None, {})
    except OSError as exc:
        raise ConfigError(f"{default}: can't be read: {exc.strerror}") from exc


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: there is no such file", hint="autorouter init writes one") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {exc.start})") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: is not TOML: {exc}") from exc
    _resolve(data.get("receipts"), "dir", path)
    _resolve(data.get("fusion"), "prompts_dir", path)
    _resolve(data.get("server"), "keys_file", path)
    _resolve(data.get("server"), "uds", path)
    upstreams = data.get("upstreams")
    for upstream in upstreams.values() if isinstance(upstreams, dict) else ():
        _resolve(upstream, "api_key_file", path)
    return data


def _resolve(table: Any, key: str, path: Path) -> None:
    """A path in a file is relative to the file."""
    if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
        table[key] = str(path.parent / os.path.expanduser(table[key]))


def _user_folder(env: Mapping[str, str], kind: str) -> Path:
    """The user's folder for `config` or `state`, as the XDG variables or the platform have it."""
    given = env.get(f"XDG_{kind.upper()}_HOME", "")
    if os.path.isabs(given):
        return Path(given) / _APP
    import platformdirs

    folder = platformdirs.user_config_path if kind == "config" else platformdirs.user_state_path
    return folder(_APP, appauthor=False)


def _defaults(env: Mapping[str, str]) -> layers.ConfigLayer:
    """What the schema can't know."""
    return layers.ConfigLayer("default", {"receipts": {"dir": str(_user_folder(env, "state") / "receipts")}})


def _follows(problem: ConfigProblem, causes: list[ConfigProblem]) -> bool:
    """A key that is missing because its catalogue model is: one line is enough."""
    roots = tuple(cause.path.removesuffix("catalog") for cause in causes)
    return problem.text == "is required" and problem.path.startswith(roots)


def _line(problem: ConfigProblem, path: Path | None, above: list[layers.ConfigLayer]) -> str:
    if problem.path.startswith("env "):
        return f"{problem.path}: {problem.text}"
    source = next((layer.origin for layer in above if problem.key in dict(leaves(layer.data))), None)
    source = source or (str(path) if path else "built-in configuration")
    return f"{source}: {problem.path}: {problem.text}"


def _warnings(config: Config, env: Mapping[str, str], dry_run: bool) -> list[str]:
    notes = []
    if not dry_run:
        used = {candidate.upstream for candidate in config.candidates}
        notes += [
            f"upstreams.{name}: {upstream.api_key_env} is not set, so its calls go without a key"
            for name, upstream in config.upstreams.items()
            if name in used and is_unset(upstream, env)
        ]
    notes += [
        f"upstreams.{name}: local = true, but its base_url leads off this machine: private requests will leave it"
        for name, upstream in config.upstreams.items()
        if upstream.local and not is_loopback(urlsplit(upstream.base_url).hostname or "")
    ]
    server = config.server
    open_door = not server.api_key_env and not server.uds and not keys_path(config, env).exists()
    if not is_loopback(server.host) and open_door:
        notes.append("server.host is not loopback and server.api_key_env is not set: anyone who reaches it can spend")
    return notes
