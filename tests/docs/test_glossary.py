"""The glossary's words are the code's words: every name it gives exists, and no retired word is a name in the package."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text("utf-8")
TERMS = re.findall(r"^\| ([^|]+) \| [^|]+ \| `([\w.]+)` \|$", PAGE, re.MULTILINE)
RETIRED = [
    word
    for cell in re.findall(r"^\| ([\w, ]+) \| [\w, ]+ \|$", PAGE.partition("## Retired words")[2], re.MULTILINE)
    for word in cell.split(", ")
    if cell != "retired"
]


@pytest.mark.parametrize(("term", "name"), TERMS, ids=[term for term, _ in TERMS])
def test_every_term_has_the_name_that_the_glossary_gives(term: str, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(f"autorouter.{module}"), attribute), term


def names_in(path: Path) -> Iterator[str]:
    """Names that a module defines: of itself, its classes, functions, parameters, fields and module constants."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words_of(name: str) -> list[str]:
    """`VerifyScope` -> verify, scope; `max_wait_s` -> max, wait, s."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def retired_names(root: Path) -> list[str]:
    return sorted(
        {
            f"{path.relative_to(root)}: {name}"
            for path in root.rglob("*.py")
            for name in names_in(path)
            if set(words_of(name)) & set(RETIRED)
        }
    )


def test_no_retired_word_is_a_name() -> None:
    assert len(TERMS) >= 40
    assert len(RETIRED) >= 8
    assert retired_names(ROOT / "autorouter") == []


def test_a_retired_word_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class UserWish:\n    tap_level: int = 0\n\ndef f(tap):\n    return tap\n")
    assert retired_names(tmp_path) == ["a.py: UserWish", "a.py: tap", "a.py: tap_level"]
