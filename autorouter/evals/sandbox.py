"""Unit tests against a generated program, in a process with limits, without a network, in a folder that goes afterwards.

    run(program, tests, limits)  ->  Verdict(passed=False, why="AssertionError: got 41")

How it is fenced stands in `fenced`. The verdict is a token that the process gets on its standard input and gives back when all
tests have run: a program that leaves early, or prints "passed", gives none. The network is taken away with `unshare` where
the system lets us; `Verdict.network` says whether it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import orjson

from autorouter.evals import sandbox_child

STDERR_BYTES = 16 * 1024
FIRST_UID = 300_000
"""A user that nobody is, where we are root: above what distributions give to people and services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Of one run. The defaults let an honest unit test of a small function run on a slow machine."""

    cpu_s: int = 5
    wall_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024
    file_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxVerdict:
    """Whether all tests passed; else why not, in one line of the program's own words. `network`: none | shared. `files`: who
    guards them, kernel | python; known where the tests passed."""

    passed: bool
    why: str
    network: str
    files: str | None = None


def run_tests(program: str, tests: str, limits: SandboxLimits | None = None) -> SandboxVerdict:
    """Run the program, then the tests in its scope. Never raises for what the program does. Blocks up to `wall_s`."""
    if sys.platform == "win32":
        return SandboxVerdict(passed=False, why="there is no sandbox on Windows", network="shared")
    limits = limits or SandboxLimits()
    token = secrets.token_hex(16)
    network, before = _unshare()
    with tempfile.TemporaryDirectory(prefix="autorouter-eval-", ignore_cleanup_errors=True) as folder:
        inside = Path(folder, "work")
        inside.mkdir()
        uid = _uid()
        if uid is not None:
            os.chown(inside, uid, uid)
            os.chmod(folder, 0o711)  # noqa: S103  (its user must be able to go through to `work`)
        arguments = {
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "uid": uid or 0,
        }
        # The file is copied: another user may not be able to read where we are installed.
        fence = shutil.copy(sandbox_child.__file__, Path(folder, "sandbox_child.py"))
        os.chmod(fence, 0o644)
        command = [*before, sys.executable, "-I", "-S", str(fence), orjson.dumps(arguments).decode()]
        spec = orjson.dumps({"program": program, "tests": tests, "token": token})
        code, out, err = _carried(command, spec, inside, limits.wall_s)
        if uid is not None:
            os.chown(inside, 0, 0)  # ours again, to be removed
    said, _, files = out.decode("utf-8", "replace").partition(" ")
    if code == 0 and said == token:
        return SandboxVerdict(passed=True, why="", network=network, files=files)
    return SandboxVerdict(passed=False, why=_why(code, err), network=network)


@cache
def detect_isolation() -> dict[str, str | None]:
    """How programs are fenced on this machine; tried once."""
    tried = run_tests("", "")
    return {"network": tried.network, "files": tried.files}


def _carried(command: Sequence[str], spec: bytes, folder: Path, wall_s: float) -> tuple[int | None, bytes, bytes]:
    """(exit code, standard output, standard error); the code is None where the time ran out. Its whole group is ended."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  (our own command; what it runs is fenced)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        code: int | None
        try:
            out, _ = process.communicate(spec, timeout=wall_s)
            code = process.returncode
        except subprocess.TimeoutExpired:
            out, code = b"", None
        finally:
            _end(process)
        said.seek(0, os.SEEK_END)
        said.seek(max(0, said.tell() - STDERR_BYTES))
        return code, out, said.read()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it began: they share a group that is theirs alone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.kill()
    process.communicate()


def _why(code: int | None, err: bytes) -> str:
    if code is None:
        return "the time ran out"
    last = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()][-1:]
    if code == sandbox_child.EXIT_NO_FENCE:
        return f"it couldn't be fenced: {last}"
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return f"ended by {signal.Signals(number).name}" if number in set(signal.Signals) else f"exit code {code}"
    return last[0][:300] if last else "it ended before all tests had run"


def _uid() -> int | None:
    """A user of its own for this run where we are root, None where we aren't."""
    if sys.platform == "win32" or os.getuid() != 0:
        return None
    return FIRST_UID + os.getpid() % 100_000


@cache
def _unshare() -> tuple[str, tuple[str, ...]]:
    """What to put before the command, so that it has no network; tried once."""
    found = shutil.which("unshare") if sys.platform == "linux" else None
    if found is not None:
        flags = ("--net",) if os.getuid() == 0 else ("--user", "--map-current-user", "--net")
        tried = subprocess.run([found, *flags, "true"], capture_output=True, check=False)  # noqa: S603
        if tried.returncode == 0:
            return "none", (found, *flags, "--")
    return "shared", ()
