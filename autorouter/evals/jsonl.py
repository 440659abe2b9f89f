"""Cases in files: JSON Lines, one object a line, `#` lines and empty ones left out. Errors name the file and the line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from autorouter.errors import RequestError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Far above any of the public sets; a file beyond it is another one than was meant."""


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
    """(`name:line`, object) of each line. RequestError for a line that is no object."""
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip() or line.startswith(b"#"):
            continue
        place = f"{name}:{number}"
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise RequestError(f"{place} isn't JSON: {exc}") from exc
        if not isinstance(found, dict):
            raise RequestError(f"{place} isn't a JSON object")
        yield place, found


def text_member(found: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
    """A member that is a text with something in it."""
    value = found.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{place}: `{key}` must be a text")
    return value


def choice_member(
    found: Mapping[str, Any], key: str, choices: Collection[str], place: str, default: str | None = None
) -> str:
    """A member that is one of a few words."""
    value = found.get(key, default)
    if not isinstance(value, str) or value not in choices:
        raise RequestError(f"{place}: `{key}` must be one of {', '.join(choices)}")
    return value


def reject_unknown(found: Mapping[str, Any], keys: Collection[str], place: str) -> None:
    """RequestError for a member that nobody reads: it is most often a slip of the pen."""
    if strange := sorted(found.keys() - set(keys)):
        raise RequestError(f"{place}: unknown member `{strange[0]}`", hint=f"known: {', '.join(keys)}")
