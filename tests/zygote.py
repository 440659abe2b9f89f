"""The program in a process of its own, without the time that Python needs to import it.

    process = start(["route", "hi"], env=env, cwd=ROOT, stdout=PIPE)        like subprocess.Popen
    done = run(["route", "hi"], env=env, cwd=ROOT, input=b"")              like subprocess.run

A process that has imported the program (the zygote) forks for each call. The child gets the caller's environment, folder and
file descriptors, and runs `autorouter.cli.main`. It does what `python -m autorouter` does. Only its command line in `ps`, the
time of its imports and the end of its interpreter differ; tests of these use `subprocess`.

Between the zygote and the program is a parent that waits for it and reports how it ended, so that the zygote itself never waits.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn

import autorouter
from autorouter.cli import main
from autorouter.config.schema import Config

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
ROOT = Path(__file__).resolve().parents[1]
STANDARD = (0, 1, 2)
MAX_MESSAGE = 1 << 20
_FORKS = sys.platform == "linux"


class Process:
    """A running program: the part of `subprocess.Popen` that tests use."""

    def __init__(self, connection: socket.socket, pipes: Mapping[int, IO[bytes]]) -> None:
        self._connection = connection
        self._reports = connection.makefile("rb")
        self.stdin, self.stdout, self.stderr = (pipes.get(number) for number in STANDARD)
        self.pid = int(self._reports.readline())
        self.returncode: int | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._wait_for_report, name="zygote report", daemon=True).start()

    def _wait_for_report(self) -> None:
        with self._reports, self._connection:
            line = self._reports.readline()
        self.returncode = int(line) if line else -signal.SIGKILL
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("autorouter", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write the input, read both outputs to their ends, and wait."""
        end_s = None if timeout is None else time.monotonic() + timeout
        texts: dict[int, bytes] = {}
        readers = [
            threading.Thread(target=lambda n=number, p=pipe: texts.update({n: p.read()}), daemon=True)
            for number, pipe in ((1, self.stdout), (2, self.stderr))
            if pipe is not None and not pipe.closed
        ]
        for reader in readers:
            reader.start()
        if self.stdin is not None and not self.stdin.closed:
            try:
                self.stdin.write(input or b"")
                self.stdin.close()
            except BrokenPipeError:
                pass
        self.wait(timeout)
        for reader in readers:
            reader.join(None if end_s is None else max(0.0, end_s - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired("autorouter", timeout or 0.0)
        self._close_pipes()
        return texts.get(1, b""), texts.get(2, b"")

    def _close_pipes(self) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_pipes()
        self.wait()


def start(
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: int | IO[bytes] = DEVNULL,
    stdout: int | IO[bytes] = DEVNULL,
    stderr: int | IO[bytes] = DEVNULL,
) -> Process | subprocess.Popen[bytes]:
    """Start `autorouter` with these arguments."""
    if not _FORKS:
        command = [sys.executable, "-m", "autorouter", *args]
        return subprocess.Popen(command, env=dict(env), cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
    pipes: dict[int, IO[bytes]] = {}
    theirs: list[int] = []
    opened: list[int] = []
    for number, given in enumerate((stdin, stdout, stderr)):
        if given == PIPE:
            reading, writing = os.pipe()
            inner, outer = (reading, writing) if number == 0 else (writing, reading)
            pipes[number] = open(outer, "wb" if number == 0 else "rb")  # noqa: SIM115
            opened.append(inner)
        elif given == DEVNULL:
            inner = os.open(os.devnull, os.O_RDWR)
            opened.append(inner)
        else:
            inner = given if isinstance(given, int) else given.fileno()
        theirs.append(inner)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(_address())
        order = json.dumps({"args": list(args), "env": dict(env), "cwd": str(cwd)}).encode()
        socket.send_fds(connection, [f"{len(order)}\n".encode()], theirs)
        connection.sendall(order)
        return Process(connection, pipes)
    finally:
        for inner in opened:
            os.close(inner)


def run(
    args: Sequence[str], *, env: Mapping[str, str], cwd: Path, input: bytes = b"", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end, with standard input as a pipe."""
    process = start(args, env=env, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        out, err = process.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode is not None
    return subprocess.CompletedProcess(list(args), process.returncode, out, err)


_zygote: tuple[subprocess.Popen[bytes], str] | None = None


def _address() -> str:
    """The socket of this process's zygote, which is started when it is first needed. It ends with its standard input."""
    global _zygote
    if _zygote is None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdin is not None
        address = process.stdout.readline().decode().strip()
        process.stdout.close()
        atexit.register(process.wait)
        atexit.register(process.stdin.close)
        _zygote = process, address
    return "\0" + _zygote[1]


# ---- the zygote's own side


def serve() -> None:
    """Fork for each connection, until standard input ends."""
    _import_the_program()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    name = f"autorouter-zygote-{os.getpid()}"
    listener.bind("\0" + name)
    listener.listen(64)
    # Nobody waits for the parents of single programs, and Ctrl-C is the test run's.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(1, f"{name}\n".encode())
    while True:
        readable, _, _ = select.select([0, listener], [], [])
        if listener not in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _start_and_report(connection)
        connection.close()


def _import_the_program() -> None:
    for module in pkgutil.walk_packages(autorouter.__path__, "autorouter."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Pydantic builds a model's validator when it is first used, which takes a third of a second.
    Config.model_validate({"schema_version": 1})
    gc.freeze()


def _start_and_report(connection: socket.socket) -> NoReturn:
    """Fork the program, tell its process id, and later how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, descriptors, _, _ = socket.recv_fds(connection, 32, len(STANDARD))
    length, _, order = text.partition(b"\n")
    while len(order) < int(length):
        order += connection.recv(MAX_MESSAGE)
    program = os.fork()
    if program:
        for descriptor in (*descriptors, *STANDARD):
            os.close(descriptor)
        connection.sendall(f"{program}\n".encode())
        _, status = os.waitpid(program, 0)
        try:
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        finally:
            os._exit(0)
    connection.close()
    for number, descriptor in zip(STANDARD, descriptors, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    _become(**json.loads(order))


def _become(args: Sequence[str], env: Mapping[str, str], cwd: str) -> NoReturn:
    """Run the program, after what a fresh interpreter sets up by itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [str(ROOT / "autorouter" / "__main__.py"), *args]
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    code: object = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(120)
    # Taking the interpreter down object by object costs more than most commands.
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    serve()
