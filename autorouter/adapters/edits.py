"""Changes applied to the text of a file, and checked against its data: the new text must hold the change and nothing else.

The format's module makes each change; then the new text is parsed again. If it doesn't hold exactly the expected data, or
if a comment line is gone, nothing is written and the user is asked to make the change by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from autorouter.adapters import changes, edit_json, edit_toml, edit_yaml
from autorouter.adapters.changes import MISSING, Change, ListItem, Path
from autorouter.adapters.registry import FileFormat
from autorouter.errors import AdapterError


class Editor(Protocol):
    """The interface of a format's module. `EMPTY` is the text of a file that doesn't exist yet."""

    EMPTY: str

    def parse(self, text: str) -> Any:
        """The data; AdapterError with the line."""

    def put(self, text: str, path: Path, value: Any) -> str:
        """The text with a value set."""

    def drop(self, text: str, path: Path) -> str:
        """The text without a value."""


_EDITORS: dict[FileFormat, Editor] = {"toml": edit_toml, "yaml": edit_yaml, "json": edit_json}
_COMMENTS: dict[FileFormat, tuple[str, ...]] = {"toml": ("#",), "yaml": ("#",), "json": ("//", "/*", "*")}
BOM = "\ufeff"


def parse(text: str, form: FileFormat) -> Any:
    """The data of a file; an empty YAML file is an empty table."""
    text = text.removeprefix(BOM)
    editor = _EDITORS[form]
    with _bounded():
        return editor.parse(text if text.strip() else text + editor.EMPTY)


def apply_settings(text: str, form: FileFormat, settings: Iterable[tuple[Path, Any, bool]]) -> tuple[str, list[Change]]:
    """The text with the settings (path, value, only if missing) applied, and the changes that this took."""
    made: list[Change] = []
    with _bounded():
        for path, value, only_if_missing in settings:
            data = _data(text, form, path)
            for step in changes.changes_for(data, path, value, only_if_missing=only_if_missing):
                text = _step(text, form, step)
                made.append(step)
    return text, made


def undo_settings(text: str, form: FileFormat, applied: Iterable[Change]) -> tuple[str, list[str]]:
    """The text with changes taken back, and the paths that were left alone because they were changed since."""
    applied = list(applied)
    if not applied:
        return text, []
    with _bounded():
        steps, kept = changes.undo_changes(_data(text, form, applied[0].path), applied)
        for step in steps:
            text = _step(text, form, step)
    return text, kept


@contextmanager
def _bounded() -> Iterator[None]:
    """Turns unbounded recursion into an AdapterError: a YAML alias can make a list contain itself."""
    try:
        yield
    except RecursionError as exc:
        raise AdapterError("the file is nested too deeply", hint="set it by hand, as the guide shows") from exc


def _data(text: str, form: FileFormat, path: Path) -> Any:
    data = parse(text, form)
    if data is None:
        data = [] if isinstance(path[0], ListItem) else {}
    if not isinstance(data, list if isinstance(path[0], ListItem) else dict):
        raise AdapterError("the file's root is of another kind", hint="set it by hand, as the guide shows")
    return data


def _step(text: str, form: FileFormat, step: Change) -> str:
    mark = BOM if text.startswith(BOM) else ""
    bare = text.removeprefix(BOM)
    editor = _EDITORS[form]
    if not bare.strip():
        bare += editor.EMPTY
    expected = changes.apply_change(_data(bare, form, step.path), step)
    new = editor.drop(bare, step.path) if step.value is MISSING else editor.put(bare, step.path, step.value)
    if not changes.same(_data(new, form, step.path), expected) or _comments(bare, form) - _comments(new, form):
        raise AdapterError(
            f"`{changes.format_path(step.path)}` can't be changed without touching something else",
            hint="set it by hand, as the guide shows; nothing was changed",
        )
    return mark + new


def _comments(text: str, form: FileFormat) -> Counter[str]:
    lines = (line.strip() for line in text.splitlines())
    return Counter(line for line in lines if line.startswith(_COMMENTS[form]))
