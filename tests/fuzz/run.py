"""Fuzz by coverage, each target in a process of its own: `python -m tests.fuzz.run --seconds N [TARGET ...]`.

What was found is printed with the input's bytes and a test to paste into `tests/fuzz/test_found.py`; the exit code is 1 then.
The corpus grows from run to run in a folder outside the repository: --corpus, FUZZ_CORPUS, or the user's cache.
Without atheris (it has wheels for few versions of Python) it says so and exits with 0: `make test` has the same harnesses
under hypothesis.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.fuzz.atheris import MODULES

GRACE_S = 60
"""A process gets so much longer than its time before it is ended: it has to import, and to read its corpus."""
_PULSE = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+)(?:.*corp: (\d+))?(?:.*exec/s: (\d+))?")
_DONE = re.compile(r"Done (\d+) (?:runs )?in (\d+) second")


@dataclass(slots=True)
class Outcome:
    """What became of a target. `crash`: the input's bytes; `words`: the last lines of a process that failed."""

    name: str
    executions: int = 0
    coverage: int = 0
    corpus: int = 0
    seconds: float = 0.0
    crash: bytes | None = None
    words: str = ""

    @property
    def ok(self) -> bool:
        return self.crash is None and not self.words


def folder(given: str | None) -> Path:
    """Where corpora and crashing inputs are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given or os.environ.get("FUZZ_CORPUS") or cache / "autorouter" / "fuzz")


def fuzz(name: str, seconds: int, place: Path, progress: Progress) -> Outcome:
    """Run one target to its end."""
    corpus = place / name
    corpus.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{name}-*"):
        old.unlink()
    outcome, lines, began_s = Outcome(name), list[str](), time.monotonic()
    task = progress.add_task(name, total=seconds, told="")
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(corpus), str(seconds)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        # Beside the reading: a process that hangs in the fuzzer itself says nothing more.
        watch = threading.Timer(seconds + GRACE_S, process.kill)
        watch.start()
        assert process.stdout is not None
        for said in process.stdout:
            if not said.startswith(("#", "INFO:", "WARNING:")):
                lines = [*lines[-25:], said.rstrip()[:300]]
            _note(said, outcome)
            outcome.seconds = time.monotonic() - began_s
            told = f"{outcome.executions:,} runs, {outcome.coverage:,} edges"
            progress.update(task, completed=min(seconds, int(outcome.seconds)), told=told)
        code = process.wait()
        watch.cancel()
    progress.update(task, completed=seconds)
    found = sorted(place.glob(f"{name}-*"))
    if found:
        outcome.crash = found[0].read_bytes()
    if code < 0 and outcome.seconds > seconds:
        lines.append(f"ended: it hung, or took {GRACE_S} s more than its time")
    if code:
        outcome.words = "\n".join(lines)
    return outcome


def _note(line: str, outcome: Outcome) -> None:
    if pulse := _PULSE.match(line):
        outcome.executions, outcome.coverage = int(pulse[1]), int(pulse[2])
        outcome.corpus = int(pulse[3] or outcome.corpus)
    elif done := _DONE.match(line):
        outcome.executions = int(done[1])


def a_test(name: str, data: bytes) -> str:
    """A failing test for an input."""
    word = re.sub(r"\W", "_", name)
    return f'def test_{word}_does_not_fail() -> None:\n    target("{name}").run(bytes.fromhex("{data.hex()}"))\n'


def line(one: Outcome) -> str:
    """A target in a line."""
    rate = one.executions / one.seconds if one.seconds else 0.0
    word = "ok    " if one.ok else "FAILED"
    figures = f"{one.executions:>10,} runs  {one.seconds:7.0f} s  {rate:8.0f}/s"
    return f"{word} {one.name:18} {figures}  {one.coverage:6,} edges  {one.corpus:5,} inputs"


def report(outcomes: Sequence[Outcome], console: Console, *, lines: bool = True) -> None:
    """A line for each target; what failed in full."""
    for one in outcomes if lines else ():
        console.print(line(one), highlight=False, soft_wrap=True)
    for one in outcomes:
        if not one.ok:
            console.print(f"\n--- {one.name}\n{one.words}", markup=False, highlight=False, soft_wrap=True)
            if one.crash is not None:
                console.print(
                    f"input: {one.crash.hex()}\n\n{a_test(one.name, one.crash)}", markup=False, soft_wrap=True
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing was found; 1: something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(MODULES)}; all without one")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", metavar="FOLDER")
    given = parser.parse_args(arguments)
    if unknown := set(given.targets) - set(MODULES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    console = Console(stderr=False)
    if importlib.util.find_spec("atheris") is None:
        console.print(
            "atheris is not installed: nothing was fuzzed by coverage (tests/fuzz has the same under hypothesis)"
        )
        return 0
    place = folder(given.corpus)
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[told]}"), console=Console(stderr=True)) as progress:
        outcomes = []
        for name in given.targets or MODULES:
            outcomes.append(fuzz(name, given.seconds, place, progress))
            if not progress.console.is_terminal:
                console.print(line(outcomes[-1]), highlight=False, soft_wrap=True)
    report(outcomes, console, lines=progress.console.is_terminal)
    return 0 if all(one.ok for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
