"""Reads from a client's own files whether it points at this router, using the templates that an install fills.

missing   it has no configuration file          direct   it has one, which points elsewhere
auto, fusion, role, other                       it points at an autorouter, with a label of that kind
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from autorouter.adapters import changes, edits, files
from autorouter.adapters.changes import MISSING, ListItem
from autorouter.adapters.install import AdapterEnvironment
from autorouter.adapters.registry import PLACEHOLDERS, Adapter, AdapterSetting, FileSpec, config_path
from autorouter.core import labels
from autorouter.core.types import Role
from autorouter.errors import AdapterError

ClientMode = Literal["missing", "direct", "auto", "fusion", "role", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """`here`: it points at the address in question. `installed`: `adapter --install` did that, so that an uninstall works."""

    client: str
    mode: ClientMode
    here: bool
    base_url: str | None
    model: str | None
    installed: bool
    files: tuple[str, ...]
    notes: tuple[str, ...]


def read_status(adapter: Adapter, base_url: str, environment: AdapterEnvironment) -> ClientStatus:
    """Read where a client points. AdapterError when one of its files can't be read."""
    values: dict[str, str] | None = {}
    notes: list[str] = []
    exists = False
    for spec in adapter.files:
        path = config_path(spec, environment.env)
        data = files.read(files.resolve_link(path))
        exists = exists or data is not None
        try:
            content = edits.parse(files.decode_text(data, path), spec.format)
        except AdapterError as exc:
            raise AdapterError(f"{path}: {exc.message}", hint=exc.hint) from exc
        values = _merge(values, _placeholder_values(spec, content))
        notes += _override_notes(spec, content, path)
    url = _address(values or {})
    entries = environment.journal(adapter).entries()
    return ClientStatus(
        client=adapter.name,
        mode=_mode(values, exists),
        here=values is not None and url == base_url and bool(adapter.files),
        base_url=url,
        model=(values or {}).get("model"),
        installed=any(not entry.generated and files.read(entry.path) != entry.original for entry in entries),
        files=tuple(str(config_path(spec, environment.env)) for spec in adapter.files),
        notes=tuple(notes) if values else (),
    )


def _mode(values: dict[str, str] | None, exists: bool) -> ClientMode:
    if not exists:
        return "missing"
    if not values:
        return "direct"
    label = values.get("model", "")
    if label == labels.AUTO or label.startswith(f"{labels.AUTO}:"):
        return "auto"
    name = label.removeprefix(labels.PREFIX)
    if label == name:
        return "other"
    return "role" if name in tuple(Role) else "fusion" if name == "fusion" or name.startswith("panel/") else "other"


def _address(values: Mapping[str, str]) -> str | None:
    if "base_url_v1" in values:
        return values["base_url_v1"].rstrip("/").removesuffix("/v1")
    return values["base_url"].rstrip("/") if "base_url" in values else None


def _placeholder_values(spec: FileSpec, content: Any) -> dict[str, str] | None:
    """The placeholders' values in the settings that decide; None when one of these isn't as an install would set it."""
    values: dict[str, str] | None = {}
    for setting in spec.settings:
        if setting.decides:
            current = _current_value(setting, content)
            values = _merge(values, None if current is MISSING else _match(setting.value, current))
    return values


def _current_value(setting: AdapterSetting, content: Any) -> Any:
    path: changes.Path = setting.path
    if setting.match:
        path = (*path, ListItem(setting.match, setting.value[setting.match]))
    return changes.value_at(content, path)


def _match(template: Any, value: Any) -> dict[str, str] | None:
    if isinstance(template, Mapping):
        values: dict[str, str] | None = {}
        for key, inner in template.items():
            if any(f"{{{name}}}" in str(inner) for name in ("base_url", "base_url_v1", "model")):
                values = _merge(values, _match(inner, value.get(key) if isinstance(value, Mapping) else None))
        return values
    if not isinstance(template, str) or not isinstance(value, str):
        return {} if template == value else None
    pattern = re.escape(template)
    for name in PLACEHOLDERS:
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.+)")
    match = re.fullmatch(pattern, value)
    return match.groupdict() if match else None


def _merge(a: dict[str, str] | None, b: dict[str, str] | None) -> dict[str, str] | None:
    if a is None or b is None or any(a.get(name, value) != value for name, value in b.items()):
        return None
    return a | b


def _override_notes(spec: FileSpec, content: Any, path: Path) -> Iterator[str]:
    """Settings that win over the installed ones, in this file or in one that overlays it."""
    for pattern in spec.overridden_by:
        for key_path, value in _matching(content, pattern, ()):
            yield f"{path}: `{'.'.join(key_path)} = {value}` overrides this where it is used"
    for layer in sorted(path.parent.glob(spec.layers)) if spec.layers else ():
        try:
            settings = tomllib.loads(layer.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        for key in ("model", "model_provider"):
            if key in settings:
                yield f"{layer}: `{key} = {settings[key]}` overrides this where that profile is used"


def _matching(data: Any, pattern: tuple[str, ...], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not pattern:
        yield at, data
    elif isinstance(data, Mapping):
        for key, inner in data.items():
            if fnmatch.fnmatchcase(str(key), pattern[0]):
                yield from _matching(inner, pattern[1:], (*at, str(key)))


def unreadable_status(adapter: Adapter, error: AdapterError) -> ClientStatus:
    """The status of a client whose file can't be read: one broken file must not hide the other clients."""
    none = ClientStatus(
        client=adapter.name, mode="other", here=False, base_url=None, model=None, installed=False, files=(), notes=()
    )
    return replace(none, notes=(str(error),))
