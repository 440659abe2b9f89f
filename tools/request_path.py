"""Which modules one request goes through, and how often the request comes back to a module that it had left.

    python -m tools.request_path                 both requests, with every entry in order
    python -m tools.request_path --summary       the counts only
    python -m tools.request_path --root PATH     of another checkout

A program `autorouter serve --dry-run` answers one streamed chat request on its own API, first with the strategy `single`, then
with `verify`. All Python calls in it are watched (`sys.setprofile`, `threading.setprofile`) while it does. An unwatched request
goes first, so that nothing is loaded for the first time.

**Entered.** A module is entered by a fresh call of a function that it defines, from another module of the package or from outside
of it (the event loop, Starlette, a thread). These are no entries: a coroutine or a generator that goes on, a property, a special
method other than `__init__` and `__call__` unless it begins a phase, a call from inside the same module. They don't make a reader
go there.

**Phase.** A request is admitted, decided, reserved, executed, accounted, recorded. `PHASES` names the functions that begin these
phases; a request begins in `admit`. A call belongs to the phase of the innermost such function on its stack; without one, to the
phase that began last.

**Entered again.** A module is entered again when a fresh call comes to it in a phase other than the one in which it was entered
last, and a module of another phase has taken over in between. Going back and forth between two modules within one phase counts as
nothing: that is how a function and its helpers work. Each stay of a module beyond its first counts once, where a stay is all
entries of a module between two changes of the phase. A path that runs once through the six phases, and whose modules belong to
one phase each, has none. A **leaf**, a module that calls no other one of those counted here during the request (a reader of
headers, a store of sessions, a record of attempts), is used and not walked through: it may be used in any phase.

The core is left out: a pure function may be asked at any time. So is the simulator, which stands for the provider.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("admit", "decide", "reserve", "execute", "account", "record")
PHASES: dict[str, str] = {
    "server/decision.py:RequestDecider.decide": "decide",
    "engine/deps.py:Reservation.__enter__": "reserve",
    "engine/step.py:Step.__init__": "execute",
    "server/streaming.py:respond": "execute",
    "engine/accounting.py:account": "account",
    "observe/recorder.py:RequestRecorder.record": "record",
    "observe/recorder.py:RequestRecorder._notify": "record",
}
"""The functions that begin a phase, by file and qualified name."""
TIMERS = {"server/lifecycle.py:DrainingServer.on_tick"}
"""Functions that run by the clock and not for a request; what they call is left out."""
LEFT_OUT = ("core", "simulator")
"""Folders whose modules aren't counted, see above."""
WAIT_S = 30.0
SETTLE_S = 1.0
"""Metrics and log lines are written a moment after the answer."""
STRATEGIES = ("single", "verify")
CONFIG = """\
schema_version = 1
[dry_run]
time_scale = 0
[receipts]
dir = "receipts"
"""


@dataclass(frozen=True)
class Entry:
    """One fresh call into a module. `module`: `server/decision.py`."""

    module: str
    function: str
    phase: str
    caller: str | None
    """The module of the package that called; None where the event loop, a library or a thread did."""

    def __str__(self) -> str:
        return f"{self.phase:<8} {self.module}  {self.function}"


@dataclass(frozen=True)
class RequestPath:
    """All entries of one request, in order."""

    strategy: str
    entries: tuple[Entry, ...]

    @property
    def modules(self) -> list[str]:
        """Every module that was entered, in the order of first entry."""
        return list(dict.fromkeys(entry.module for entry in self.entries))

    @property
    def reentries(self) -> list[Entry]:
        """The first entry of each stay of a module after its first stay; leaves don't count."""
        callers = {entry.caller for entry in self.entries}
        leaves = {module for module in self.modules if module not in callers}
        stay, last_phase = 0, ""
        last_stay: dict[str, tuple[int, str]] = {}
        again = []
        for entry in self.entries:
            if entry.phase != last_phase:
                stay, last_phase = stay + 1, entry.phase
            before = None if entry.module in leaves else last_stay.get(entry.module)
            if before is not None and before[0] != stay and before[1] != entry.phase:
                again.append(entry)
            last_stay[entry.module] = (stay, entry.phase)
        return again

    def summary(self) -> str:
        return f"{self.strategy}: {len(self.modules)} modules entered, {len(self.reentries)} entered again in another phase"


class Recorder:
    """Watches all calls of this process while it is on. SIGUSR1 switches it; switching it off writes what it saw."""

    def __init__(self, package: Path, output: Path) -> None:
        self._package = str(package) + os.sep
        self._output = output
        self._on = False
        self._lock = threading.Lock()
        self._known: set[FrameType] = set()
        self._entries: list[tuple[str, str, str, str | None]] = []
        self._latest = ORDER[0]

    def install(self) -> None:
        signal.signal(signal.SIGUSR1, self._switch)
        threading.setprofile(self._watch)
        sys.setprofile(self._watch)

    def _switch(self, number: int, frame: FrameType | None) -> None:
        with self._lock:
            self._on = not self._on
            if not self._on:
                self._output.with_suffix(".part").write_text(json.dumps(self._entries), "utf-8")
                self._output.with_suffix(".part").replace(self._output)
            else:
                self._entries, self._latest = [], ORDER[0]
                self._known.clear()
                self._output.touch()

    def _watch(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._on or event != "call" or not frame.f_code.co_filename.startswith(self._package):
            return
        # A frame that is resumed reports a call, too. Known frames are kept alive, so that no address is used twice.
        if frame in self._known:
            return
        self._known.add(frame)
        module, function = self._name(frame)
        phase = self._phase(frame)
        if phase is None:
            return
        caller = self._caller(frame)
        begins_phase = f"{module}:{function}" in PHASES
        if module == caller or module.split("/")[0] in LEFT_OUT or not (begins_phase or is_a_call(frame, function)):
            return
        self._entries.append((module, function, phase, caller))

    def _name(self, frame: FrameType) -> tuple[str, str]:
        return frame.f_code.co_filename.removeprefix(self._package).replace(os.sep, "/"), frame.f_code.co_qualname

    def _phase(self, frame: FrameType) -> str | None:
        """The phase of a call; None below a timer."""
        at: FrameType | None = frame
        innermost = True
        while at is not None:
            if at.f_code.co_filename.startswith(self._package):
                place = ":".join(self._name(at))
                if place in TIMERS:
                    return None
                phase = PHASES.get(place)
                if phase is not None:
                    if innermost:
                        self._latest = phase
                    return phase
            at, innermost = at.f_back, False
        return self._latest

    def _caller(self, frame: FrameType) -> str | None:
        """The module of the package that called, through whatever lies between."""
        at = frame.f_back
        while at is not None:
            if at.f_code.co_filename.startswith(self._package):
                return self._name(at)[0]
            at = at.f_back
        return None


def is_a_call(frame: FrameType, function: str) -> bool:
    """Whether a reader would follow it: no property, no special method, no body of a class or module."""
    *owners, name = function.split(".")
    if name.startswith("<") or (name.startswith("__") and name not in ("__init__", "__call__")):
        return False
    holder: Any = frame.f_globals
    for owner in owners:
        if owner == "<locals>":
            return True
        holder = holder.get(owner) if isinstance(holder, dict) else vars(holder).get(owner)
        if holder is None:
            return True
    if not owners:
        return True
    member = vars(holder).get(name)
    return not isinstance(member, property) and type(member).__name__ != "cached_property"


def serve(package: Path, output: Path, config: Path) -> None:
    """The watched program."""
    Recorder(package, output).install()
    from autorouter.cli import main

    sys.argv = ["autorouter", "serve", "--dry-run", "--port", "0", "--config", str(config)]
    main()


@contextmanager
def watched_program(root: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """The program, its URL, and the file to which it writes what it saw."""
    config, output = folder / "autorouter.toml", folder / "calls.json"
    config.write_text(CONFIG, "utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(ROOT)]), "HOME": str(folder)}
    code = "from tools.request_path import serve; from pathlib import Path; import sys; serve(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(root / "autorouter"), str(output), str(config)]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        assert "http://" in line, "the program did not start"
        yield process, line.split()[2], output
    finally:
        process.terminate()
        process.communicate(timeout=WAIT_S)


def unknown_functions(root: Path = ROOT) -> list[str]:
    """Functions named in `PHASES` and `TIMERS` that the package no longer has."""
    return [place for place in (*PHASES, *TIMERS) if not _defined(root / "autorouter", *place.split(":"))]


def _defined(package: Path, module: str, function: str) -> bool:
    if not (package / module).exists():
        return False
    scope: list[ast.stmt] = ast.parse((package / module).read_text("utf-8")).body
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name in function.split("."):
        inner = next((node for node in scope if isinstance(node, kinds) and node.name == name), None)
        if inner is None:
            return False
        scope = inner.body
    return True


def measure(strategy: str, root: Path = ROOT) -> RequestPath:
    """The path of one streamed chat request."""
    if unknown := unknown_functions(root):
        raise LookupError(f"not in the package, mend PHASES: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as name, watched_program(root, Path(name)) as (process, url, output):
        folder = Path(name)
        with httpx.Client(base_url=url, timeout=WAIT_S, trust_env=False) as client:
            _request(client, folder, strategy, "Say hello.")
            time.sleep(SETTLE_S)
            process.send_signal(signal.SIGUSR1)
            _wait(output.exists)
            _request(client, folder, strategy, "Explain how a hash chain detects a changed line.")
            time.sleep(SETTLE_S)
            output.unlink()
            process.send_signal(signal.SIGUSR1)
            _wait(output.exists)
        entries = [Entry(*one) for one in json.loads(output.read_text("utf-8"))]
    return RequestPath(strategy, tuple(entries))


def _request(client: httpx.Client, folder: Path, strategy: str, prompt: str) -> None:
    """One request, and the wait for its receipt."""
    label = "openfusion/auto" if strategy == "single" else f"openfusion/{strategy}"
    body = {"model": label, "messages": [{"role": "user", "content": prompt}], "stream": True}
    answer = client.post("/v1/chat/completions", json=body)
    answer.raise_for_status()
    receipt = answer.headers["x-autorouter-receipt"]
    carried_out = answer.headers["x-autorouter-strategy"]
    assert carried_out == strategy, f"{carried_out} instead of {strategy}"
    _wait(lambda: any(receipt in path.read_text("utf-8") for path in folder.glob("receipts/*.jsonl")))


def _wait(condition: Any) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the watched program doesn't go on")
        time.sleep(0.02)


def measure_all(root: Path = ROOT) -> list[RequestPath]:
    """One path for each strategy."""
    return [measure(strategy, root) for strategy in STRATEGIES]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--summary", action="store_true", help="print the counts only")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to measure")
    options = parser.parse_args(arguments)
    for path in measure_all(options.root):
        if not options.summary:
            again = set(map(id, path.reentries))
            print(*(f"{'*' if id(entry) in again else ' '} {entry}" for entry in path.entries), sep="\n")
        print(path.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
