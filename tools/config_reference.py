"""The tables of keys in `docs/configuration.md`, from the schema's own descriptions, and the table of renamed keys.

python -m tools.config_reference docs/configuration.md      rewrites them in place
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from autorouter.config.renames import RENAMED_KEYS, RemovedKey
from autorouter.config.schema import Config
from autorouter.config.types import ConfigTable
from autorouter.config.validation import table_model

BEGIN = "<!-- keys: written by `python -m tools.config_reference` -->"
END = "<!-- end of keys -->"
RENAMED_BEGIN = "<!-- renamed keys: written by `python -m tools.config_reference` -->"
RENAMED_END = "<!-- end of renamed keys -->"


def sections(model: type[ConfigTable] = Config, path: str = "") -> Iterator[tuple[str, type[ConfigTable]]]:
    """(header, model) of each table, outermost first: `` , `[upstreams.NAME]`, `[[candidates]]` ..."""
    yield path, model
    for name, field in model.model_fields.items():
        inner = table_model(field.annotation)
        if inner and not inner.inline:
            yield from sections(inner, _header(path, name, field))


def _header(path: str, name: str, field: FieldInfo) -> str:
    outer = f"{path.strip('[]')}." if path else ""
    kind = get_origin(field.annotation)
    if kind is dict:
        return f"[{outer}{name}.NAME]"
    return f"[[{outer}{name}]]" if kind is tuple else f"[{outer}{name}]"


def tables() -> str:
    """All keys as Markdown, one table for each table of the file."""
    return "\n\n".join(_section(header, model) for header, model in sections())


def _section(header: str, model: type[ConfigTable]) -> str:
    title = f"### `{header}`\n\n{(model.__doc__ or '').splitlines()[0]}" if header else "### Top level"
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    return "\n".join([title, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation, field.metadata)} | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default in (None, (), {}):
        return ""
    return f"`{_toml(field.default)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


_NAMES: dict[Any, str] = {str: "string", int: "whole number", float: "number", bool: "true or false"}


def _type(annotation: Any, metadata: list[Any]) -> str:
    if (inner := table_model(annotation)) and inner.inline:
        return "inline table"
    if inner:
        return "tables" if get_origin(annotation) in (tuple, dict) else "table"
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Annotated:
            return _type(arguments[0], [*arguments[1:], *metadata])
        case origin if origin in (Union, UnionType):
            return next(_type(part, metadata) for part in arguments if part is not NoneType)
        case origin if origin is Literal:
            return " ".join(f"`{_toml(choice)}`" for choice in arguments)
        case origin if origin is tuple:
            return f"array of {_type(arguments[0], [])}".replace("of string", "of strings")
        case origin if origin is dict:
            return "table of strings"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " ".join(f"`{_toml(str(choice))}`" for choice in annotation)
    return _NAMES[annotation] + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    """`, >= 0, <= 10`: pydantic hides bounds in annotated-types' objects, alone or inside a FieldInfo."""
    flat = [item for entry in metadata for item in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]
    signs = {"gt": ">", "ge": ">=", "le": "<="}
    bounds = {key: getattr(item, key) for item in flat for key in signs if getattr(item, key, None) is not None}
    return "".join(f", {signs[key]} {limit:g}" for key, limit in bounds.items() if key in signs)


def renamed_keys() -> str:
    """What became of each key of the previous release, as a Markdown table."""
    rows = {_renamed_table(old, new) or f"| `{old}` | {_fate(new)} |": None for old, new in RENAMED_KEYS.items()}
    return "\n".join(["| 0.2 | now |", "|---|---|", *rows])


def _renamed_table(old: str, new: str | RemovedKey) -> str | None:
    """One row for all keys of a table that only changed its own name."""
    old_table, _, key = old.rpartition(".")
    if isinstance(new, str) and new.rpartition(".")[2] == key and new.count(".") == old.count("."):
        return f"| `{old_table}.*` | `{new.rpartition('.')[0]}.*` |"
    return None


def _fate(new: str | RemovedKey) -> str:
    return f"ignored: {new.reason}" if isinstance(new, RemovedKey) else f"`{new}`"


def update_page(page: str) -> str:
    """The page with its tables brought up to date."""
    for begin, end, text in ((BEGIN, END, tables()), (RENAMED_BEGIN, RENAMED_END, renamed_keys())):
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(update_page(path.read_text("utf-8")), "utf-8")
