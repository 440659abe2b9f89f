"""`docs/security.md` can't claim what no test shows: what it names exists, each claim names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from autorouter.privacy.secrets import RULE_NAMES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, kinds)}


def missing_from(text: str) -> list[str]:
    """Tests that a text names and that aren't there."""
    return [
        f"{file}::{name}"
        for file, name in NAMED.findall(text)
        if not (ROOT / file).is_file() or name not in functions_of(ROOT / file)
    ]


def test_every_test_that_the_page_names_exists() -> None:
    text = PAGE.read_text("utf-8")
    assert len(NAMED.findall(text)) > 50
    assert missing_from(text) == []


@pytest.mark.parametrize(
    "name", ["tests/server/test_nothing.py::test_x", f"tests/server/{Path(__file__).name}::test_x"]
)
def test_a_test_that_is_not_there_is_found(name: str) -> None:
    assert missing_from(f"`{name}`") == [name]


def test_every_claim_of_a_table_names_its_test() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    heads = [n for n, line in enumerate(rows) if line.endswith("| proved by |")]
    assert len(heads) == 5
    claims = rows[heads[0] + 1 :]
    assert [line for line in claims if not line.endswith("| proved by |") and not NAMED.search(line)] == []


def test_every_rule_of_the_scan_stands_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    assert [rule for rule in RULE_NAMES if f"`{rule}`" not in text] == []
