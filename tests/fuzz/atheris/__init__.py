"""Harnesses: each takes arbitrary bytes, and raises where something doesn't hold. `tests/fuzz/run.py` lets atheris choose the
bytes by coverage, `tests/fuzz/test_targets.py` lets hypothesis; what once failed is in `tests/fuzz/test_found.py`.

No module here imports atheris: the harnesses run wherever the router does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Target:
    """A harness: the function, and inputs to begin with."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    longest: int = 4096
    """No input is longer, in bytes."""


MODULES: Mapping[str, str] = {
    "sse": "streams",
    "decode-chat": "streams",
    "decode-responses": "streams",
    "decode-messages": "streams",
    "whole": "streams",
    "request-chat": "requests",
    "request-responses": "requests",
    "request-messages": "requests",
    "config": "toml",
    "keys": "toml",
    "receipts": "receipts",
    "exported": "receipts",
    "health": "receipts",
    "words": "words",
    "edit-toml": "edits",
    "edit-json": "edits",
    "edit-yaml": "edits",
}
"""Target -> the module that has it. They are loaded one by one: what a target imports is what atheris instruments."""


def target(name: str) -> Target:
    """The harness of a name. KeyError where there is none."""
    found: Target = import_module(f"tests.fuzz.atheris.{MODULES[name]}").TARGETS[name]
    return found
