"""What the bench asks of the operating system: pins, CPU time, memory, a description.

Linux answers everything from /proc. Elsewhere the functions return None and the report says "not measured".
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PROC = Path("/proc")


def loop_factory() -> Any:
    """uvloop's where it is installed, else None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def cores() -> tuple[int, int] | None:
    """The first and the last core we may use (the same one if there is but one); None where pins don't exist."""
    if sys.platform != "linux":
        return None
    allowed = os.sched_getaffinity(0)
    return min(allowed), max(allowed)


def threads(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []


def pin(pid: int, core: int) -> None:
    """Puts every thread of one process on one core; its later children and threads inherit that."""
    if sys.platform == "linux":
        for thread in threads(pid):
            try:
                os.sched_setaffinity(thread, {core})
            except ProcessLookupError:
                pass  # ended since it was listed


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process on `core` for a while, so that what it starts is born there."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    pin(os.getpid(), core)
    try:
        yield
    finally:
        for thread in threads(os.getpid()):
            os.sched_setaffinity(thread, before)


def family(pid: int) -> list[int]:
    """The process and all its descendants; only itself where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def cpu_s(pid: int) -> float | None:
    """Seconds the living threads of the process and its descendants have run on a core."""
    total = 0
    seen = False
    for member in family(pid):
        for thread in threads(member):
            try:
                total += int((PROC / str(member) / "task" / str(thread) / "schedstat").read_text().split()[0])
                seen = True
            except OSError:
                continue
    return total / 1e9 if seen else None


def pss_mb(pid: int) -> float | None:
    """Memory of the process and its descendants; shared pages count in proportion to their sharers."""
    total = 0
    for member in family(pid):
        try:
            lines = (PROC / str(member) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024 if total else None


def model_name() -> str:
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def describe() -> dict[str, Any]:
    return {
        "processor": model_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loop": "uvloop" if loop_factory() else "asyncio",
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
