"""The install journal: what was installed where, and the original bytes. `adapters/NAME.json` in the state directory, 0600.

    {"schema": 1, "client": "codex", "files": [{"path": "...", "original": "<base64>" or null,
     "installed_sha256": "...", "backup": "...", "made_folders": [], "changes": [[path, value, before], ...]}]}

It is written before the file itself. If the program dies in between, the file still holds `original`, which tells `entry`
that nothing was installed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autorouter.adapters import files
from autorouter.adapters.changes import MISSING, Change, ListItem
from autorouter.errors import AdapterError

_MISSING_JSON = {"$missing": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledFile:
    """One installed file. `original` None: it didn't exist. `generated`: the router wrote all of it; nothing to merge."""

    path: Path
    original: bytes | None
    installed_sha256: str
    backup: Path | None = None
    made_folders: tuple[Path, ...] = ()
    changes: tuple[Change, ...] = ()
    generated: bool = False


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


class InstallJournal:
    """The record of one client."""

    def __init__(self, folder: Path, client: str) -> None:
        self.path = folder / f"{client}.json"
        self._client = client

    def entries(self) -> tuple[InstalledFile, ...]:
        """What is installed; AdapterError when the record can't be read."""
        data = files.read(self.path)
        if data is None:
            return ()
        try:
            return tuple(_parse_entry(document) for document in json.loads(data)["files"])
        except (ValueError, KeyError, TypeError) as exc:
            hint = "restore the backup beside the client's file, then delete this one"
            raise AdapterError(f"{self.path}: the record of the install is broken", hint=hint) from exc

    def entry(self, path: Path) -> InstalledFile | None:
        """The record of one file."""
        return next((entry for entry in self.entries() if entry.path == path), None)

    def put(self, entry: InstalledFile) -> None:
        """Record a file, replacing its previous entry."""
        self._write((*(e for e in self.entries() if e.path != entry.path), entry))

    def forget(self, path: Path) -> None:
        """Remove a file from the journal; with the last one the journal is deleted."""
        rest = tuple(entry for entry in self.entries() if entry.path != path)
        if rest:
            self._write(rest)
        else:
            files.remove(self.path)

    def _write(self, entries: tuple[InstalledFile, ...]) -> None:
        files.make_folder(self.path.parent)
        document = {"schema": 1, "client": self._client, "files": [_plain(entry) for entry in entries]}
        try:
            text = json.dumps(document, indent=1)
        except TypeError as exc:
            raise AdapterError(f"a value that would be replaced can't be recorded: {exc}") from exc
        files.write(self.path, text.encode())


def _plain(entry: InstalledFile) -> dict[str, Any]:
    return {
        "path": str(entry.path),
        "original": None if entry.original is None else base64.b64encode(entry.original).decode(),
        "installed_sha256": entry.installed_sha256,
        "backup": str(entry.backup) if entry.backup else None,
        "made_folders": [str(folder) for folder in entry.made_folders],
        "changes": [
            [_parts(c), *(_MISSING_JSON if v is MISSING else v for v in (c.value, c.before))] for c in entry.changes
        ],
        "generated": entry.generated,
    }


def _parts(change: Change) -> list[Any]:
    return [[part.key, part.value] if isinstance(part, ListItem) else part for part in change.path]


def _parse_entry(document: dict[str, Any]) -> InstalledFile:
    entry = InstalledFile(
        path=Path(document["path"]),
        original=None if document["original"] is None else base64.b64decode(document["original"], validate=True),
        installed_sha256=document["installed_sha256"],
        backup=Path(document["backup"]) if document["backup"] else None,
        made_folders=tuple(Path(folder) for folder in document["made_folders"]),
        generated=document["generated"],
    )
    return replace(entry, changes=tuple(_parse_change(*change) for change in document["changes"]))


def _parse_change(parts: list[Any], value: Any, before: Any) -> Change:
    path = tuple(ListItem(*part) if isinstance(part, list) else part for part in parts)
    values = [MISSING if v == _MISSING_JSON else v for v in (value, before)]
    return Change(path, *values)
