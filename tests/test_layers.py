"""The house has floors, and imports only go down; the core touches nothing; files and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "autorouter"
FLOORS = (
    ("errors", "resources"),
    ("core",),
    ("wire", "config"),
    ("upstream", "receipts", "adapters"),
    ("engine", "observe"),
    ("runtime", "evals", "probe", "mock"),
    ("server", "cli", "__main__"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
OUTSIDE_THE_CORE = {"asyncio", "os", "time", "random", "logging", "pathlib", "socket"}
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
FILES = sorted(PACKAGE.rglob("*.py"))
LONG_FILES: set[str] = set()
"""Longer than they should be; this list only gets shorter."""

each_file = pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])


def room(path: Path) -> str:
    """The first name under the package: `core/decide.py` -> `core`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it: `autorouter.core.decision.decide`, `asyncio`."""
    package = ("autorouter", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *([node.module] if node.module else [])))
            yield base
            # `from autorouter import runtime` names a module behind `import`.
            yield from (f"{base}.{alias.name}" for alias in node.names if base == "autorouter")


def ours(path: Path) -> Iterator[str]:
    """The rooms that a file imports from."""
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "autorouter" and len(parts) > 1 and not parts[1].startswith("__version"):
            yield parts[1]


@each_file
def test_imports_only_go_down(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        assert not list(ours(path))
        return
    assert here in FLOOR, f"{here} has no floor yet: put it on one"
    upward = {name for name in ours(path) if FLOOR.get(name, 99) > FLOOR[here]}
    assert not upward, f"{here} is on floor {FLOOR[here]}"
    beside = {name for name in ours(path) if FLOOR.get(name) == FLOOR[here] and name != here}
    assert FLOOR[here] != FLOOR["upstream"] or not beside, "one outside thing each"


@each_file
def test_only_the_command_line_uses_the_evals(path: Path) -> None:
    assert room(path) in ("evals", "cli") or "evals" not in set(ours(path))


@each_file
def test_the_core_touches_nothing_outside(path: Path) -> None:
    if room(path) == "core":
        assert not {name.split(".")[0] for name in imported(path)} & OUTSIDE_THE_CORE


@each_file
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    excused = path.relative_to(PACKAGE).as_posix() in LONG_FILES
    assert excused == (lines > MAX_FILE_LINES), f"{lines} lines"


@each_file
def test_no_function_is_too_long(path: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, kinds)]
    lengths = {f"{f.name}:{f.lineno}": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES}


def test_the_rules_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "core").mkdir()
    bad = tmp_path / "core" / "bad.py"
    bad.write_text("def f():\n    from autorouter import runtime\n    import os.path\n    from ..engine import deps\n")
    monkeypatch.setattr("tests.test_layers.PACKAGE", tmp_path)
    assert set(ours(bad)) == {"runtime", "engine"}
    assert "os.path" in set(imported(bad))
