"""Reads JSON Lines: one object a line; empty lines and `#` lines are skipped. Errors name the file and the line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from autorouter.errors import RequestError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Far above any of the public sets; a larger file was chosen by mistake."""


def packaged_data(name: str) -> bytes:
    """A data file of the package: `routing.jsonl`, `compare.jsonl`."""
    return resources.files("autorouter.evals").joinpath("data", name).read_bytes()


def read_file(path: Path) -> bytes:
    """A file's bytes. RequestError where it can't be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RequestError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MB", hint="give a part of it")
        return path.read_bytes()
    except OSError as exc:
        raise RequestError(f"{path} can't be read: {exc.strerror}") from exc


def read_objects(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`name:line`, object) of each line. RequestError for a line that isn't a JSON object."""
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip() or line.startswith(b"#"):
            continue
        location = f"{name}:{number}"
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise RequestError(f"{location} isn't JSON: {exc}") from exc
        if not isinstance(record, dict):
            raise RequestError(f"{location} isn't a JSON object")
        yield location, record


def text_member(record: Mapping[str, Any], key: str, location: str, default: str | None = None) -> str:
    """A member that is a text and not blank."""
    value = record.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{location}: `{key}` must be a text")
    return value


def choice_member(
    record: Mapping[str, Any], key: str, choices: Collection[str], location: str, default: str | None = None
) -> str:
    """A member that is one of a few words."""
    value = record.get(key, default)
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{location}: `{key}` must be one of {', '.join(choices)}")
    return value


def reject_unknown(record: Mapping[str, Any], keys: Collection[str], location: str) -> None:
    """RequestError for an unknown member, which is most often a typo."""
    if unknown := sorted(record.keys() - set(keys)):
        raise RequestError(f"{location}: unknown member `{unknown[0]}`", hint=f"known: {', '.join(keys)}")
