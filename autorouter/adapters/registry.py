"""The known clients: `adapters/NAME.toml`, read and validated, with the guide beside it.

    name = "codex"                          wire = "responses"        tried_version, tried_on
    [[files]]                               a configuration file: where it is on each system, its format
    [[files.settings]]                      path = ["model"], value = "{model}"

Placeholders in values and keys: {base_url} without /v1, {base_url_v1}, {model}, {key_env} the variable with the key,
{key} a stand-in for clients that insist on one, {catalog} the generated model catalog, and the numbers
{context_tokens} and {output_tokens}.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autorouter import resources
from autorouter.adapters.changes import ListItem
from autorouter.adapters.changes import Path as DataPath
from autorouter.core.types import Wire
from autorouter.errors import AdapterError
from autorouter.suggest import close_matches

FileFormat = Literal["toml", "yaml", "json"]
PLACEHOLDERS = ("base_url", "base_url_v1", "model", "key_env", "key", "catalog", "context_tokens", "output_tokens")
STAND_IN_KEY = "local-key"
"""Sent by clients that insist on a key when the router asks for none. It keeps a real key from being sent here."""
DEFAULT_KEY_ENV = "AUTOROUTER_API_KEY"
ENDPOINTS: dict[Wire, str] = {
    "chat": "POST /v1/chat/completions",
    "responses": "POST /v1/responses",
    "messages": "POST /v1/messages",
}


class _AdapterModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AdapterSetting(_AdapterModel):
    """One value in a file. `match`: the path leads to a list, and the value is the item with the same value of that key.
    `when`: only if the router asks for no key (open), or for one (key). `decides`: `--status` reads it."""

    path: tuple[str, ...] = ()
    value: Any
    match: str | None = None
    when: Literal["always", "open", "key"] = "always"
    decides: bool = False
    only_if_missing: bool = False


class PathOverride(_AdapterModel):
    """A variable that moves the file: its value is a folder, and `path` the file in it."""

    env: str
    path: str


class FileSpec(_AdapterModel):
    """A configuration file. `alternatives`: other names that the client reads it by. `overridden_by`: paths, with * for
    any key, that win over ours; `layers`: files beside it, as a glob, whose own settings do."""

    format: FileFormat
    linux: str
    macos: str
    windows: str
    overrides: tuple[PathOverride, ...] = ()
    alternatives: tuple[str, ...] = ()
    overridden_by: tuple[tuple[str, ...], ...] = ()
    layers: str | None = None
    settings: tuple[AdapterSetting, ...] = Field(min_length=1)


class Adapter(_AdapterModel):
    """A client. Without `files` its configuration is not edited: `setup` is the command that sets it up, if it has one."""

    name: str
    title: str
    wire: Wire
    program: str | None = None
    tried_version: str
    tried_on: date | None = None
    setup: tuple[str, ...] = ()
    catalog: bool = False
    notes: tuple[str, ...] = ()
    env: dict[str, str] = {}
    run_env: dict[str, str] = {}
    files: tuple[FileSpec, ...] = ()

    @model_validator(mode="after")
    def _only_known_placeholders(self) -> Adapter:
        values = [self.env, self.run_env, self.setup, [s.value for f in self.files for s in f.settings]]
        for text in _texts(values):
            for name in re.findall(r"\{(\w+)\}", text):
                if name not in PLACEHOLDERS:
                    raise ValueError(f"{{{name}}} is no placeholder")
        return self


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterTarget:
    """The router that a client is pointed at. `key_env` None: it asks for no key. `catalog`: path of the model catalog."""

    base_url: str
    model: str
    key_env: str | None = None
    catalog: str = ""
    context_tokens: int = 128_000
    output_tokens: int = 16_000

    def values(self) -> dict[str, str | int]:
        """Placeholder -> its value."""
        return {
            "base_url": self.base_url,
            "base_url_v1": f"{self.base_url}/v1",
            "model": self.model,
            "key_env": self.key_env or DEFAULT_KEY_ENV,
            "key": STAND_IN_KEY,
            "catalog": self.catalog,
            "context_tokens": self.context_tokens,
            "output_tokens": self.output_tokens,
        }


def fill_template(template: Any, values: Mapping[str, str | int]) -> Any:
    """The template with its placeholders filled, in keys too. A string that is only a numeric placeholder becomes a number."""
    if isinstance(template, Mapping):
        return {fill_template(key, values): fill_template(inner, values) for key, inner in template.items()}
    if isinstance(template, list | tuple):
        return [fill_template(inner, values) for inner in template]
    if not isinstance(template, str):
        return template
    whole_value = values.get(template[1:-1]) if template[:1] == "{" and template[-1:] == "}" else None
    return whole_value if isinstance(whole_value, int) else fill_text(template, values)


def fill_text(text: str, values: Mapping[str, str | int]) -> str:
    """Fill the placeholders of a text; other braces stay."""
    pattern = "|".join(re.escape(f"{{{name}}}") for name in values)
    return re.sub(pattern, lambda match: str(values[match[0][1:-1]]), text)


def settings_for(spec: FileSpec, target: RouterTarget) -> Iterator[tuple[AdapterSetting, DataPath, Any]]:
    """The settings for this target, each with its path and its value."""
    values = target.values()
    state = "open" if target.key_env is None else "key"
    for setting in spec.settings:
        if setting.when in ("always", state):
            value = fill_template(setting.value, values)
            path: DataPath = tuple(fill_text(part, values) for part in setting.path)
            if setting.match:
                path = (*path, ListItem(setting.match, value[setting.match]))
            yield setting, path, value


def adapter_names() -> tuple[str, ...]:
    """All clients, those whose configuration can be edited first."""
    adapters = {path.stem: _read(path) for path in resources.folder("adapters").glob("*.toml")}
    return tuple(sorted(adapters, key=lambda name: (not adapters[name].files, adapters[name].program is None, name)))


def load_adapter(name: str) -> Adapter:
    """A client's data; AdapterError with the nearest names when there is none, or when the file is wrong."""
    path = resources.folder("adapters") / f"{name}.toml"
    if not re.fullmatch(r"[a-z0-9-]+", name) or not path.is_file():
        matches = close_matches(name, adapter_names(), cutoff=0.5)
        hint = f"did you mean {matches[0]}?" if matches else f"there are {', '.join(adapter_names())}"
        raise AdapterError(f"There is no adapter `{name}`", hint=hint)
    return _read(path)


def _read(path: Path) -> Adapter:
    try:
        return Adapter.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as exc:
        text = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)
        raise AdapterError(f"{path.name} can't be read: {text}") from exc


def read_guide(name: str) -> str:
    """The guide of a client, its placeholders as they are."""
    return (resources.folder("adapters") / f"{name}.md").read_text("utf-8")


def config_path(spec: FileSpec, env: Mapping[str, str], system: str = sys.platform) -> Path:
    """Where the file is: as its variables say, else the system's default; an alternative name if only that one exists."""
    path = _default_path(spec, env, system)
    for override in spec.overrides:
        if env.get(override.env, "").strip():
            path = expand_home(env[override.env].strip(), env) / override.path
            break
    if not path.exists():
        path = next((p for p in (path.with_name(n) for n in spec.alternatives) if p.exists()), path)
    return path


def _default_path(spec: FileSpec, env: Mapping[str, str], system: str) -> Path:
    name = {"darwin": spec.macos, "win32": spec.windows}.get(system, spec.linux)
    return expand_home(name, env)


def expand_home(name: str, env: Mapping[str, str]) -> Path:
    """A path with ~ as this environment has it."""
    if name == "~" or name.startswith(("~/", "~\\")):
        home = env.get("HOME") or env.get("USERPROFILE") or str(Path.home())
        return Path(home) / name[2:]
    return Path(name)


def state_dir(env: Mapping[str, str]) -> Path:
    """The folder of journals and generated files: `adapters` in the user's state directory."""
    xdg_state = Path(env.get("XDG_STATE_HOME", ""))
    if xdg_state.is_absolute():
        return xdg_state / "autorouter" / "adapters"
    import platformdirs

    return platformdirs.user_state_path("autorouter", appauthor=False) / "adapters"
