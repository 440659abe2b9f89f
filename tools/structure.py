"""The structure of the package in figures, and the rules it must keep.

    python -m tools.structure              prints the figures
    python -m tools.structure --check      exits with 1 when a rule is broken
    python -m tools.structure --root PATH  looks at another checkout

The rules: a class name is used once, no module imports itself by way of others, imports only go down the floors, and the
configuration has at most `MAX_CONFIG_KEYS` keys. `tests/test_layers.py` checks the floors, too.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "autorouter"
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "resources", "suggest"),
    ("clients",),
    ("core",),
    ("wire", "config", "privacy"),
    ("upstream", "receipts", "adapters", "state_file"),
    ("engine", "observe"),
    ("runtime", "evals", "probe", "simulator", "mock"),
    ("server", "cli", "__main__"),
)
"""The folders of the package, lowest floor first. A module may import from its own floor and from those below."""
IO_FLOOR = next(number for number, names in enumerate(FLOORS) if "upstream" in names)
"""Each folder on this floor talks to one thing outside of the process, and none of them imports another."""
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}

MAX_CONFIG_KEYS = 100
"""Keys that docs/configuration.md has a row for, tables of keys not counted."""
LONG_FILE_LINES = 500
"""A file above this length gets a second look."""
DIRECTIVE = re.compile(r"#\s*(noqa|type:|pragma|fmt:|ruff:|mypy:|!)")
"""Comments for tools; they explain nothing to a reader."""


@dataclass(frozen=True)
class Module:
    """One file of the package. `name` is dotted, without the package: `core.decision.decide`, `` for the package itself."""

    path: Path
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def folder(self) -> str:
        """What has a floor: `core`, `runtime`, `__init__`."""
        return self.name.split(".")[0] or "__init__"

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def functions(self) -> dict[str, int]:
        """Lines of each function, methods and inner functions included, by name and position."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, kinds)]
        return {f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes}

    @cached_property
    def imports(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every import anywhere in the file: (absolute module name, the names taken from it)."""
        package = (NAME, *self.name.split(".")) if self.name else (NAME,)
        if not self.is_package:
            package = package[:-1]
        collected: list[tuple[str, tuple[str, ...]]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                collected += [(alias.name, ()) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join((*above, *([node.module] if node.module else [])))
                collected.append((base, tuple(alias.name for alias in node.names)))
        return collected

    @cached_property
    def imported_names(self) -> set[str]:
        """All absolute names that an import could mean: `from autorouter import runtime` means `autorouter.runtime`."""
        return {name for base, names in self.imports for name in (base, *(f"{base}.{one}" for one in names))}

    @property
    def imported_folders(self) -> set[str]:
        """The folders of the package that the file imports from."""
        dotted = (name.split(".") for name in self.imported_names)
        return {parts[1] for parts in dotted if parts[0] == NAME and len(parts) > 1 and parts[1] != "__version__"}

    @property
    def comments(self) -> int:
        """Comments for readers; directives of tools don't count."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return sum(1 for one in tokens if one.type == tokenize.COMMENT and not DIRECTIVE.match(one.string))

    @property
    def class_names(self) -> list[str]:
        """Classes and named types at the top level."""
        return [name for node in self.tree.body if (name := _type_name(node))]


def _type_name(node: ast.stmt) -> str | None:
    """The name of a class, or of a type given a name by assignment: `Wire = Literal["chat", "messages"]`."""
    if isinstance(node, ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
        target = node.targets[0]
    elif isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
        target = node.target
    else:
        return None
    camel = isinstance(target, ast.Name) and re.fullmatch(r"_*[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*", target.id)
    return target.id if camel and isinstance(target, ast.Name) else None


def modules(package: Path = ROOT / NAME) -> list[Module]:
    """All files of the package."""

    def dotted(path: Path) -> str:
        parts = path.relative_to(package).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    return [Module(path, dotted(path), path.read_text("utf-8")) for path in sorted(package.rglob("*.py"))]


def duplicate_class_names(among: Iterable[Module]) -> dict[str, list[str]]:
    """Names of types that are defined in more than one place, with the places."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in among:
        for name in module.class_names:
            places[name].append(module.name)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def upward_imports(among: Iterable[Module]) -> list[str]:
    """Imports of a higher floor, imports across the I/O floor, and folders that have no floor."""
    broken = []
    for module in among:
        if not module.name:
            broken += [f"{NAME} imports {name}" for name in sorted(module.imported_folders)]
        elif module.folder not in FLOOR_OF:
            broken.append(f"{module.folder} has no floor: give it one in tools/structure.py")
        else:
            broken += [f"{module.name} imports {name}" for name in sorted(module.imported_folders) if _up(module, name)]
    return sorted(set(broken))


def _up(module: Module, target: str) -> bool:
    here, there = FLOOR_OF[module.folder], FLOOR_OF.get(target, len(FLOORS))
    return there > here or (there == here == IO_FLOOR and target != module.folder)


def import_graph(among: Sequence[Module]) -> dict[str, set[str]]:
    """Which module imports which. `from autorouter.core import decide` leads to the module `core.decide` if there is one,
    else to the package `core`."""
    known = {module.name for module in among}
    graph: dict[str, set[str]] = {}
    for module in among:
        targets = set()
        for base, names in module.imports:
            if base != NAME and not base.startswith(NAME + "."):
                continue
            inner = base.removeprefix(NAME).removeprefix(".")
            submodules = {one for name in names if (one := f"{inner}.{name}".removeprefix(".")) in known}
            if inner in known and inner and len(submodules) < max(1, len(names)):
                targets.add(inner)
            targets |= submodules
        graph[module.name] = targets - {module.name}
    return graph


def import_circles(among: Sequence[Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others: Tarjan's strongly connected components."""
    graph = import_graph(among)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                circles.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 4 * len(graph) + 1000))
    for name in graph:
        if name not in index:
            visit(name)
    return circles


CONFIG_KEYS_SCRIPT = """
import typing
from pydantic import BaseModel
from {package}.config.schema import Config

def tables(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in typing.get_args(annotation) for table in tables(part)]

def leaves(model, path):
    for name, field in model.model_fields.items():
        inner = [table for table in tables(field.annotation) if not getattr(table, "inline", False)]
        if not inner:
            print(path + name)
        for table in inner:
            leaves(table, path + name + ".")

leaves(Config, "")
"""


def config_keys(root: Path = ROOT) -> list[str]:
    """Every documented key of the configuration that holds a value: `policy.dial`, `candidates.id`. An inline table such as
    `candidates.price_usd_per_mtok` is one key. Read by a process of its own, so that `--root` means the other checkout's schema
    and not the installed one's."""
    command = [sys.executable, "-c", CONFIG_KEYS_SCRIPT.format(package=NAME)]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=True)  # noqa: S603
    return sorted(set(done.stdout.split()))


def spread(values: Iterable[int]) -> str:
    """`median 107 / p90 240 / longest 480`."""
    ordered = sorted(values)
    if not ordered:
        return "none"
    p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    return f"median {statistics.median_low(ordered)} / p90 {p90} / longest {ordered[-1]}"


def broken_rules(root: Path = ROOT) -> list[str]:
    """One line for each broken rule."""
    among = modules(root / NAME)
    lines = [
        f"class name {name} is used more than once: {', '.join(where)}"
        for name, where in duplicate_class_names(among).items()
    ]
    lines += [f"import circle: {' -> '.join(circle)}" for circle in import_circles(among)]
    lines += [f"upward import: {line}" for line in upward_imports(among)]
    keys = len(config_keys(root))
    if keys > MAX_CONFIG_KEYS:
        lines.append(f"{keys} configuration keys; at most {MAX_CONFIG_KEYS}")
    return lines


def report(root: Path = ROOT) -> str:
    """The figures, for a reader."""
    among = modules(root / NAME)
    files = [module for module in among if not module.is_package]
    functions = [lines for module in among for lines in module.functions.values()]
    total = sum(module.lines for module in among)
    duplicates, circles, upward = duplicate_class_names(among), import_circles(among), upward_imports(among)
    keys = config_keys(root)
    rows = {
        "modules": f"{len(among)} files, {len(files)} without __init__; {total:,} lines",
        "per folder": _per_folder(files),
        "lines of a file": spread(module.lines for module in files),
        "files under 60 lines": str(sum(module.lines < 60 for module in files)),
        "second look": _named({module.name: module.lines for module in files if module.lines > LONG_FILE_LINES}),
        "functions": str(len(functions)),
        "lines of a function": spread(functions),
        "comments per 100 lines": f"{100 * sum(module.comments for module in among) / total:.1f}",
        "class names used twice": f"{len(duplicates)} {_named({k: len(v) for k, v in duplicates.items()})}".strip(),
        "import circles": f"{len(circles)} {'; '.join(' -> '.join(one) for one in circles)}".strip(),
        "upward imports": f"{len(upward)} {'; '.join(upward)}".strip(),
        "configuration keys": f"{len(keys)} ({_named(Counter(_table(key) for key in keys))})",
    }
    width = max(map(len, rows)) + 2
    return "\n".join(f"{name:<{width}}{value or '-'}" for name, value in rows.items())


def _per_folder(files: Iterable[Module]) -> str:
    return _named(Counter(module.folder for module in files if "." in module.name))


def _table(key: str) -> str:
    return ".".join(key.split(".")[:-1]) or "top level"


def _named(counts: Mapping[str, int]) -> str:
    """`cli 42, wire 24`, largest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 when a rule is broken")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to look at")
    options = parser.parse_args(arguments)
    if not options.check:
        print(report(options.root))
        return 0
    broken = broken_rules(options.root)
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
