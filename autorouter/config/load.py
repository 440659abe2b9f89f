"""Loads the configuration: files, flags and environment in, `Settings` or one ConfigError out.

    settings = load(None, env=environment(), overrides={"server.port": 9000})

Flag > environment > file > catalog > default. Each source is a ConfigLayer of plain nested tables:

    ConfigLayer("env AUTOROUTER_PORT", {"server": {"port": 9000}})

Merged, the layers are what the schema validates, and they tell where each value came from. Only this module reads the
environment. A ConfigError has one line per problem: the source, the key's path, what is wrong, and the nearest valid word.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autorouter.config.catalog import fill_candidates
from autorouter.config.convert import is_loopback, to_candidates, to_policy
from autorouter.config.provider_keys import is_unset
from autorouter.config.renames import rename_keys
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
    """The loaded configuration. `origins`: dotted key -> default | catalog | file PATH | env NAME | flag.
    `path`: the file that was read, None without one. `notes`: what the user should know, one sentence each.
    `catalog_version`: None when no value came from the catalog."""

    config: Config
    candidates: tuple[Candidate, ...]
    policy: Policy
    origins: dict[str, str]
    path: Path | None
    dry_run: bool
    notes: tuple[str, ...]
    catalog_version: str | None


def environment() -> Mapping[str, str]:
    """The process's environment, for `load` and `api_key`."""
    return os.environ


def default_path(env: Mapping[str, str]) -> Path:
    """The user's configuration file, which `init` writes."""
    return _user_folder(env, "config") / FILE_NAME


def keys_path(config: Config, env: Mapping[str, str]) -> Path:
    """The path of the local keys file, which may not exist."""
    configured = config.server.keys_file
    return Path(configured).expanduser() if configured else _user_folder(env, "state") / KEYS_NAME


def local_key(config: Config, env: Mapping[str, str]) -> str | None:
    """The key that clients must send, None if none is configured. ConfigError if one is configured and its variable is
    unset: the server must not start open."""
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

    `overrides` are flags by dotted key; None means that the flag wasn't given. ConfigError lists all problems.
    """
    path, data = _find_file(path, env)
    renamed = rename_keys(data)
    _resolve_paths(data, path)
    from_env, problems = environment_layers(env)
    above = [*flag_layers(overrides or {}), *from_env]
    file_layer = ConfigLayer(f"file {path}", data)
    merged = merge_layers([*above, file_layer, _defaults(env)])
    pool = fill_candidates(merged, env, catalog)
    merged["candidates"] = pool.candidates
    if pool.upstreams:
        merged["upstreams"] = {**merged.get("upstreams", {}), **pool.upstreams}
    config = validate(merged, pool.providers)
    problems += pool.problems
    if isinstance(config, list):
        problems += [problem for problem in config if not _is_consequence(problem, pool.problems)]
    if problems or isinstance(config, list):
        raise ConfigError("\n".join(_line(problem, path, above, renamed.old_keys) for problem in problems))
    old_names = renamed.warning()
    dry = dry_run or wants_dry_run(env) or pool.dry_run
    catalogd = ConfigLayer("catalog", {"candidates": pool.candidates, "upstreams": pool.upstreams})
    return Settings(
        config=config,
        candidates=to_candidates(config),
        policy=to_policy(config),
        origins=value_origins([*above, file_layer, catalogd], config.model_dump()),
        path=path,
        dry_run=dry,
        notes=(*pool.notes, *_warnings(config, env, dry), *([f"{path}: {old_names}"] if old_names else [])),
        catalog_version=pool.catalog_version,
    )


def _find_file(path: Path | None, env: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    """The file and its tables. Only the default file may be absent."""
    named = env.get(ENV_CONFIG, "").strip()
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
    return data


def _resolve_paths(data: dict[str, Any], path: Path | None) -> None:
    if path is None:
        return
    _resolve(data.get("receipts"), "dir", path)
    _resolve(data.get("fusion"), "prompts_dir", path)
    _resolve(data.get("server"), "keys_file", path)
    _resolve(data.get("server"), "uds", path)
    upstreams = data.get("upstreams")
    for upstream in upstreams.values() if isinstance(upstreams, dict) else ():
        _resolve(upstream, "api_key_file", path)


def _resolve(table: Any, key: str, path: Path) -> None:
    """A path in a file is relative to the file."""
    if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
        table[key] = str(path.parent / os.path.expanduser(table[key]))


def _user_folder(env: Mapping[str, str], kind: str) -> Path:
    """The user's folder for `config` or `state`, as the XDG variables or the platform have it."""
    xdg_home = env.get(f"XDG_{kind.upper()}_HOME", "")
    if os.path.isabs(xdg_home):
        return Path(xdg_home) / _APP
    import platformdirs

    folder = platformdirs.user_config_path if kind == "config" else platformdirs.user_state_path
    return folder(_APP, appauthor=False)


def _defaults(env: Mapping[str, str]) -> ConfigLayer:
    """Defaults that depend on the environment."""
    return ConfigLayer("default", {"receipts": {"dir": str(_user_folder(env, "state") / "receipts")}})


def _is_consequence(problem: ConfigProblem, causes: list[ConfigProblem]) -> bool:
    """Whether a missing key follows from an unknown catalog model: the model's error is enough."""
    roots = tuple(cause.path.removesuffix("catalog") for cause in causes)
    return problem.text == "is required" and problem.path.startswith(roots)


def _line(problem: ConfigProblem, path: Path | None, above: list[ConfigLayer], old_keys: Mapping[str, str]) -> str:
    if problem.path.startswith("env "):
        return f"{problem.path}: {problem.text}"
    source = next((layer.origin for layer in above if problem.key in dict(leaves(layer.data))), None)
    source = source or (str(path) if path else "built-in configuration")
    old_key = next(
        (old for new, old in old_keys.items() if problem.key == new or problem.key.startswith(f"{new}[")), None
    )
    old_name = f" (the file has its old name, {old_key})" if old_key else ""
    return f"{source}: {problem.path}: {problem.text}{old_name}"


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
    is_open = not server.api_key_env and not server.uds and not keys_path(config, env).exists()
    if not is_loopback(server.host) and is_open:
        notes.append("server.host is not loopback and server.api_key_env is not set: anyone who reaches it can spend")
    return notes


ENV_CONFIG = "AUTOROUTER_CONFIG"
ENV_DRY_RUN = "AUTOROUTER_DRY_RUN"
ENV_API_KEY = "AUTOROUTER_API_KEY"

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class ConfigLayer:
    """A source and the nested tables that it sets."""

    origin: str
    data: dict[str, Any]


def _whole(text: str) -> int:
    return int(text[:20])


_ENV_KEYS: dict[str, tuple[str, Callable[[str], object], str]] = {
    "AUTOROUTER_HOST": ("server.host", str, ""),
    "AUTOROUTER_PORT": ("server.port", _whole, "must be a whole number"),
    "AUTOROUTER_DIAL": ("policy.dial", float, "must be a number"),
    "AUTOROUTER_RECEIPTS_DIR": ("receipts.dir", os.path.expanduser, ""),
    "AUTOROUTER_LOG": ("server.log_level", str.lower, ""),
    ENV_API_KEY: ("server.api_key_env", lambda _: ENV_API_KEY, ""),
}


def nested_table(key: str, value: object) -> dict[str, Any]:
    """`server.port`, 9000 -> {"server": {"port": 9000}}."""
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def environment_layers(env: Mapping[str, str]) -> tuple[list[ConfigLayer], list[ConfigProblem]]:
    """One layer for each AUTOROUTER_* variable; an empty variable counts as unset."""
    layers, problems = [], []
    for name, (key, parse, complaint) in _ENV_KEYS.items():
        text = env.get(name, "").strip()
        if not text:
            continue
        try:
            layers.append(ConfigLayer(f"env {name}", nested_table(key, parse(text))))
        except ValueError:
            problems.append(ConfigProblem(f"env {name}", complaint))
    if env.get(ENV_DRY_RUN, "").strip().lower() not in ("", *_TRUE, *_FALSE):
        problems.append(ConfigProblem(f"env {ENV_DRY_RUN}", "must be 1 or 0"))
    return layers, problems


def wants_dry_run(env: Mapping[str, str]) -> bool:
    """Whether the environment asks for the dry run."""
    return env.get(ENV_DRY_RUN, "").strip().lower() in _TRUE


def flag_layers(overrides: Mapping[str, object]) -> list[ConfigLayer]:
    """One layer for each flag that isn't None. A path becomes a string."""
    return [
        ConfigLayer("flag", nested_table(key, os.fspath(value) if isinstance(value, os.PathLike) else value))
        for key, value in overrides.items()
        if value is not None
    ]


def merge_layers(layers: Iterable[ConfigLayer]) -> dict[str, Any]:
    """One nested table of all; `layers` are strongest first."""
    merged: dict[str, Any] = {}
    for layer in reversed(list(layers)):
        merged = _overlay(merged, layer.data)
    return merged


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _overlay(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result


def value_origins(layers: Iterable[ConfigLayer], config: Mapping[str, Any]) -> dict[str, str]:
    """For each key of the validated configuration the origin of its value."""
    known: dict[str, str] = {}
    for layer in layers:
        for key, _ in leaves(layer.data):
            known.setdefault(key, layer.origin)
    return {key: known.get(key, "default") for key, _ in leaves(config)}
