"""Installs the router into a client's configuration, and takes it out again. A plan only reads; `apply_plan` writes.

    plan = plan_install(adapter, target, environment)      plan.steps[0].diff
    apply_plan(plan, environment)

install     a backup beside the file -> the journal with the original bytes -> the file, by rename
uninstall   a file unchanged since the install gets its original bytes back; in one that was edited since, only the
            router's settings are removed, and a note says so
reinstall   starts from the original, so that nothing piles up; if everything is already set, nothing is written

A client without a file has a command (`setup_command`) or a guide (`render_guide`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from autorouter.adapters import edits, files, registry
from autorouter.adapters.changes import Change
from autorouter.adapters.journal import InstalledFile, InstallJournal, sha256
from autorouter.adapters.registry import (
    STAND_IN_KEY,
    Adapter,
    FileSpec,
    RouterTarget,
    config_path,
    fill_text,
    settings_for,
    state_dir,
)
from autorouter.errors import AdapterError


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterEnvironment:
    """The user's environment variables, and a clock in seconds since 1970."""

    env: Mapping[str, str]
    clock: Callable[[], float]

    @property
    def state(self) -> Path:
        """The folder of journals and generated files."""
        return state_dir(self.env)

    def journal(self, adapter: Adapter) -> InstallJournal:
        """The install journal of a client."""
        return InstallJournal(self.state, adapter.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """One file: `before` and `after` are its bytes, None where there is no file. `entry`: the journal's new entry, None
    to forget the file. `exact`: `after` is the content before the install. `generated`: the router wrote the whole file,
    so its diff needn't be shown."""

    path: Path
    before: bytes | None
    after: bytes | None
    entry: InstalledFile | None = None
    exact: bool = False
    generated: bool = False
    notes: tuple[str, ...] = ()

    @property
    def changes_file(self) -> bool:
        """Whether there is something to write."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """Unified; empty when nothing changes."""
        old, new = (
            (data or b"").decode("utf-8", "replace").splitlines(keepends=True) for data in (self.before, self.after)
        )
        a, b = ("/dev/null" if data is None else str(self.path) for data in (self.before, self.after))
        lines = difflib.unified_diff(old, new, a, b)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPlan:
    """All files of a client, in the order in which they are written."""

    adapter: Adapter
    steps: tuple[FileEdit, ...]

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return any(step.changes_file for step in self.steps)


def plan_install(
    adapter: Adapter, target: RouterTarget, environment: AdapterEnvironment, catalog: bytes | None = None
) -> InstallPlan:
    """The edits that point this client at `target`. `catalog`: the content of the file `target.catalog`."""
    if not adapter.files:
        hint = f"autorouter adapter {adapter.name} prints how to set it up"
        raise AdapterError(f"{adapter.title} has no file to edit", hint=hint)
    journal = environment.journal(adapter)
    steps = [_install(spec, target, config_path(spec, environment.env), journal) for spec in adapter.files]
    if adapter.catalog and catalog is not None:
        steps.insert(0, _generated(Path(target.catalog), catalog, journal))
    return InstallPlan(adapter=adapter, steps=tuple(steps))


def plan_uninstall(adapter: Adapter, environment: AdapterEnvironment) -> InstallPlan:
    """The edits that take an install back, last file first; none when nothing is installed."""
    entries = environment.journal(adapter).entries()
    formats = {files.resolve_link(config_path(spec, environment.env)): spec for spec in adapter.files}
    return InstallPlan(
        adapter=adapter, steps=tuple(_uninstall(e, formats.get(e.path), adapter) for e in reversed(entries))
    )


def _install(spec: FileSpec, target: RouterTarget, link: Path, journal: InstallJournal) -> FileEdit:
    path = files.resolve_link(link)
    before = files.read(path)
    settings = [(p, value, setting.only_if_missing) for setting, p, value in settings_for(spec, target)]
    entry = journal.entry(path)
    original, notes = _original(entry, before, spec, path)
    with _naming_file(path):
        text, made = edits.apply_settings(files.decode_text(original, path), spec.format, settings)
    after = text.encode() if made else original
    if after == before:
        return FileEdit(path=path, before=before, after=before, entry=entry, notes=notes)
    return FileEdit(
        path=path, before=before, after=after, entry=_new_entry(entry, path, original, after, made), notes=notes
    )


def _new_entry(
    entry: InstalledFile | None, path: Path, original: bytes | None, after: bytes | None, made: list[Change]
) -> InstalledFile | None:
    if after is None or not made:
        return None
    new = InstalledFile(path=path, original=original, installed_sha256=sha256(after), changes=tuple(made))
    same = entry is not None and entry.original == original
    return replace(new, backup=entry.backup, made_folders=entry.made_folders) if entry and same else new


def _original(
    entry: InstalledFile | None, before: bytes | None, spec: FileSpec, path: Path
) -> tuple[bytes | None, tuple[str, ...]]:
    """The content that an uninstall would restore now, with notes on edits since the install."""
    if entry is None or before is None or before == entry.original:
        return before, ()
    if sha256(before) == entry.installed_sha256:
        return entry.original, ()
    with _naming_file(path):
        text, kept = edits.undo_settings(files.decode_text(before, path), spec.format, entry.changes)
    notes = [f"{path} was edited since the last install; those edits stay"]
    notes += [f"{path}: `{name}` was changed since; what it is now is what an uninstall brings back" for name in kept]
    return _bytes(text, entry), tuple(notes)


def _bytes(text: str, entry: InstalledFile) -> bytes | None:
    """The text's bytes; None if a file that the install created is empty again."""
    return None if entry.original is None and "".join(text.split()) in ("", "{}", "[]") else text.encode()


def _generated(path: Path, data: bytes, journal: InstallJournal) -> FileEdit:
    path = files.resolve_link(path)
    entry = journal.entry(path) or InstalledFile(path=path, original=None, installed_sha256="", generated=True)
    return FileEdit(
        path=path,
        before=files.read(path),
        after=data,
        generated=True,
        entry=replace(entry, installed_sha256=sha256(data)),
    )


def _uninstall(entry: InstalledFile, spec: FileSpec | None, adapter: Adapter) -> FileEdit:
    before = files.read(entry.path)
    if before == entry.original or before is None:
        deleted_since = before is None and entry.original is not None
        deleted = (f"{entry.path} was deleted since; it stays so",) if deleted_since else ()
        return FileEdit(path=entry.path, before=before, after=before, exact=not deleted_since, notes=deleted)
    if entry.generated or sha256(before) == entry.installed_sha256:
        return FileEdit(path=entry.path, before=before, after=entry.original, exact=True, generated=entry.generated)
    form = (spec or adapter.files[0]).format
    with _naming_file(entry.path):
        text, kept = edits.undo_settings(files.decode_text(before, entry.path), form, entry.changes)
    notes = [f"{entry.path} was edited since the install: only our settings are taken out"]
    notes += [f"{entry.path}: `{name}` was changed since and is left as it is" for name in kept]
    return FileEdit(path=entry.path, before=before, after=_bytes(text, entry), notes=tuple(notes))


@contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Prefixes the file's name to an AdapterError."""
    try:
        yield
    except AdapterError as error:
        raise AdapterError(f"{path}: {error.message}", hint=error.hint) from error


def apply_plan(plan: InstallPlan, environment: AdapterEnvironment) -> list[Path]:
    """Write the plan's edits; returns the backups. After an AdapterError the file that it names is unchanged."""
    journal = environment.journal(plan.adapter)
    backups = []
    for step in plan.steps:
        if files.read(step.path) != step.before:
            raise AdapterError(f"{step.path}: changed in the meantime", hint="run it again")
        backup = (
            _apply_install(step, journal, environment) if step.entry else _apply_uninstall(step, journal, environment)
        )
        backups += [backup] if backup else []
    return backups


def _apply_install(step: FileEdit, journal: InstallJournal, environment: AdapterEnvironment) -> Path | None:
    entry = step.entry
    assert entry is not None
    if not step.changes_file or step.after is None:
        return None
    made = files.make_folder(step.path.parent)
    backup = None
    if step.before is not None and not entry.generated and not _is_backed_up(step.before, journal.entry(step.path)):
        backup = files.backup(step.path, step.before, environment.clock())
    journal.put(replace(entry, backup=backup or entry.backup, made_folders=(*made, *entry.made_folders)))
    files.write(step.path, step.after)
    return backup


def _is_backed_up(before: bytes, old: InstalledFile | None) -> bool:
    """Whether a backup already holds everything of the user's in these bytes."""
    if old is None or sha256(before) != old.installed_sha256:
        return False
    return old.original is None or (old.backup is not None and old.backup.exists())


def _apply_uninstall(step: FileEdit, journal: InstallJournal, environment: AdapterEnvironment) -> Path | None:
    entry = journal.entry(step.path)
    backup = None
    if step.changes_file:
        if not step.exact and step.before is not None:
            backup = files.backup(step.path, step.before, environment.clock())
        if step.after is None:
            files.remove(step.path, list(entry.made_folders) if entry else [])
        else:
            files.write(step.path, step.after)
    if entry is not None:
        if step.exact and entry.backup is not None and files.read(entry.backup) == entry.original:
            files.remove(entry.backup)
        journal.forget(step.path)
    return backup


def render_guide(adapter: Adapter, target: RouterTarget) -> str:
    """The client's guide, with the running router's address in it."""
    text = fill_text(registry.read_guide(adapter.name), target.values()).rstrip() + "\n"
    if target.key_env is None:
        return text
    note = f"This router asks for a key: where `{STAND_IN_KEY}` stands, the value of ${target.key_env} is meant."
    return f"> Note: {note}\n\n{text}"


def shell_env(adapter: Adapter, target: RouterTarget) -> dict[str, str]:
    """The variables that the client needs in its environment once it is installed."""
    values = target.values()
    return {fill_text(name, values): fill_text(value, values) for name, value in adapter.env.items()}


def setup_command(adapter: Adapter, target: RouterTarget) -> list[str]:
    """The command that sets up a client without a file. The key appears as the name of its variable only."""
    values = target.values() | ({"key": f"${target.key_env}"} if target.key_env else {})
    return [fill_text(part, values) for part in adapter.setup]
