"""The structure that every file of the package keeps: imports only go down the floors (`tools/structure.py`), the core touches
nothing outside of itself, files and functions stay small."""

from __future__ import annotations

from pathlib import Path

from tools import structure

MODULES = structure.modules()
OUTSIDE_THE_CORE = {"asyncio", "os", "time", "random", "logging", "pathlib", "socket"}
PURE = {"core", "clients"}
MAX_FUNCTION_LINES = 60
LONG_FILES = {"simulator.codec"}
"""Files above `structure.LONG_FILE_LINES` that were looked at twice and have one subject all the same."""


def test_imports_only_go_down() -> None:
    assert structure.upward_imports(MODULES) == []
    assert structure.import_circles(MODULES) == []


def test_only_the_command_line_uses_the_evals() -> None:
    users = {module.folder for module in MODULES if "evals" in module.imported_folders}
    assert users <= {"evals", "cli"}


def test_the_core_touches_nothing_outside() -> None:
    pure = [module for module in MODULES if module.folder in PURE]
    assert {"core", "wire"} <= {module.folder for module in MODULES}
    impure = {(m.name, name) for m in pure for name in m.imported_names if name.split(".")[0] in OUTSIDE_THE_CORE}
    assert impure == set()


def test_files_and_functions_stay_small() -> None:
    long_files = {module.name for module in MODULES if module.lines > structure.LONG_FILE_LINES}
    assert long_files <= LONG_FILES, "look twice, then split it or add it to LONG_FILES"
    lengths = {f"{m.name}.{name}": lines for m in MODULES for name, lines in m.functions.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "core/__init__.py": "",
        "core/bad.py": "def f():\n    from autorouter import runtime\n    import os.path\n    from ..engine import deps\n",
        "core/other.py": "class Twice: ...\nfrom autorouter.core import circle\n",
        "core/circle.py": "Twice = tuple[int, str]\nfrom autorouter.core.other import Twice\n",
        "upstream/beside.py": "from autorouter.receipts import chain\n",
        "attic/old.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "autorouter" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    among = structure.modules(tmp_path / "autorouter")
    (bad,) = (module for module in among if module.name == "core.bad")
    assert bad.imported_folders == {"runtime", "engine"}
    assert "os.path" in bad.imported_names
    assert structure.upward_imports(among) == [
        "attic has no floor: give it one in tools/structure.py",
        "core.bad imports engine",
        "core.bad imports runtime",
        "upstream.beside imports receipts",
    ]
    assert structure.import_circles(among) == [["core.circle", "core.other"]]
    assert structure.duplicate_class_names(among) == {"Twice": ["core.circle", "core.other"]}
