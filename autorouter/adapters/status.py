"""Whether a client points here: read from its own files, with the same templates that an install fills.

missing   it has no configuration file          direct   it has one, and that doesn't lead to an autorouter
auto, fusion, role, other                       it leads to one, with a label of that kind
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
    """`here`: it leads to the address that was asked about. `installed`: by us, so that an uninstall can take it back."""

    client: str
    mode: ClientMode
    here: bool
    base_url: str | None
    model: str | None
    installed: bool
    files: tuple[str, ...]
    notes: tuple[str, ...]


def read_status(adapter: Adapter, base_url: str, places: AdapterEnvironment) -> ClientStatus:
    """Where a client points. AdapterError when one of its files can't be read."""
    found: dict[str, str] | None = {}
    notes: list[str] = []
    there = False
    for spec in adapter.files:
        path = config_path(spec, places.env)
        data = files.read(files.resolve_link(path))
        there = there or data is not None
        try:
            content = edits.parse(files.decode_text(data, path), spec.format)
        except AdapterError as exc:
            raise AdapterError(f"{path}: {exc.message}", hint=exc.hint) from exc
        found = _joined(found, _captured(spec, content))
        notes += _overriding(spec, content, path)
    url = _address(found or {})
    entries = places.journal(adapter).entries()
    return ClientStatus(
        client=adapter.name,
        mode=_mode(found, there),
        here=found is not None and url == base_url and bool(adapter.files),
        base_url=url,
        model=(found or {}).get("model"),
        installed=any(not entry.generated and files.read(entry.path) != entry.original for entry in entries),
        files=tuple(str(config_path(spec, places.env)) for spec in adapter.files),
        notes=tuple(notes) if found else (),
    )


def _mode(found: dict[str, str] | None, there: bool) -> ClientMode:
    if not there:
        return "missing"
    if not found:
        return "direct"
    label = found.get("model", "")
    if label == labels.AUTO or label.startswith(f"{labels.AUTO}:"):
        return "auto"
    name = label.removeprefix(labels.PREFIX)
    if label == name:
        return "other"
    return "role" if name in tuple(Role) else "fusion" if name == "fusion" or name.startswith("panel/") else "other"


def _address(found: Mapping[str, str]) -> str | None:
    if "base_url_v1" in found:
        return found["base_url_v1"].rstrip("/").removesuffix("/v1")
    return found["base_url"].rstrip("/") if "base_url" in found else None


def _captured(spec: FileSpec, content: Any) -> dict[str, str] | None:
    """The placeholders' values in the settings that decide; None when one of these is not as we would set it."""
    found: dict[str, str] | None = {}
    for setting in spec.settings:
        if setting.decides:
            values = _table(setting, content)
            found = _joined(found, None if values is MISSING else _matched(setting.value, values))
    return found


def _table(setting: AdapterSetting, content: Any) -> Any:
    path: changes.Path = setting.path
    if setting.match:
        path = (*path, ListItem(setting.match, setting.value[setting.match]))
    return changes.value_at(content, path)


def _matched(template: Any, value: Any) -> dict[str, str] | None:
    if isinstance(template, Mapping):
        found: dict[str, str] | None = {}
        for key, inner in template.items():
            if any(f"{{{name}}}" in str(inner) for name in ("base_url", "base_url_v1", "model")):
                found = _joined(found, _matched(inner, value.get(key) if isinstance(value, Mapping) else None))
        return found
    if not isinstance(template, str) or not isinstance(value, str):
        return {} if template == value else None
    pattern = re.escape(template)
    for name in PLACEHOLDERS:
        pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.+)")
    match = re.fullmatch(pattern, value)
    return match.groupdict() if match else None


def _joined(a: dict[str, str] | None, b: dict[str, str] | None) -> dict[str, str] | None:
    if a is None or b is None or any(a.get(name, value) != value for name, value in b.items()):
        return None
    return a | b


def _overriding(spec: FileSpec, content: Any, path: Path) -> Iterator[str]:
    """What wins over our settings, in this file or in one that is laid over it."""
    for pattern in spec.overridden_by:
        for at, value in _matching(content, pattern, ()):
            yield f"{path}: `{'.'.join(at)} = {value}` overrides this where it is used"
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
    """A stand-in for the table of all clients, where one broken file must not hide the others."""
    none = ClientStatus(
        client=adapter.name, mode="other", here=False, base_url=None, model=None, installed=False, files=(), notes=()
    )
    return replace(none, notes=(str(error),))
