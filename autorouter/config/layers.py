"""Where a value may come from, strongest first: flag, environment, file, catalogue, default.

    Layer("env AUTOROUTER_PORT", {"server": {"port": 9000}})

Layers are plain nested tables; merged they are what the schema validates, and they say where each key came from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autorouter.config.validation import ConfigProblem, leaves

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
    """One layer for each of our variables; an empty variable counts as unset."""
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
    """One layer for each flag that was given: None is a flag that wasn't. A path becomes a string."""
    given = {key: value for key, value in overrides.items() if value is not None}
    return [
        ConfigLayer("flag", nested_table(key, os.fspath(value) if isinstance(value, os.PathLike) else value))
        for key, value in given.items()
    ]


def merge_layers(layers: Iterable[ConfigLayer]) -> dict[str, Any]:
    """One nested table of all; `layers` are strongest first."""
    merged: dict[str, Any] = {}
    for layer in reversed(list(layers)):
        merged = _over(merged, layer.data)
    return merged


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result


def value_origins(layers: Iterable[ConfigLayer], config: Mapping[str, Any]) -> dict[str, str]:
    """For each key of the validated configuration the origin of its value."""
    known: dict[str, str] = {}
    for layer in layers:
        for key, _ in leaves(layer.data):
            known.setdefault(key, layer.origin)
    return {key: known.get(key, "default") for key, _ in leaves(config)}
