"""A place to work in that is thrown away: a home, a git repository, routers, and a line that breaks."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
"""Nothing else of the caller's environment is seen: no key, no client's setting, no proxy."""
CLIENT_S = 120
START_S = 60


@dataclass(frozen=True)
class Done:
    """How a client ended. `code` is None where it didn't end in time."""

    code: int | None
    said: str


@dataclass(frozen=True)
class Place:
    """One client's home and repository. `HOME` is set to the one, clients are started in the other."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    def make(self) -> Place:
        for path in (self.home, self.repo, self.folder / "tmp"):
            path.mkdir(parents=True)
        (self.repo / "calc.py").write_text("def add(a, b):\n    return a - b\n")
        for command in (
            ["init", "-q"],
            ["config", "user.email", "test@example.com"],
            ["config", "user.name", "Test"],
            ["add", "."],
            ["commit", "-qm", "Start"],
        ):
            self.git(*command)
        return self

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.repo, env=self.environment(), check=True, capture_output=True, text=True
        ).stdout

    def environment(self) -> dict[str, str]:
        ours = {"HOME": str(self.home), "TMPDIR": str(self.folder / "tmp"), "GIT_CONFIG_NOSYSTEM": "1"}
        return {name: value for name, value in os.environ.items() if name in KEPT} | ours | dict(self.env)

    def file(self, name: str, text: str) -> Path:
        """A file below the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None, limit_s: float = CLIENT_S) -> Done:
        """Run in the repository, to the end or to the limit."""
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.repo,
            env=self.environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            # The whole group: npm's launchers start the client as a child of theirs.
            os.killpg(process.pid, 9)
            said, _ = process.communicate()
            return Done(None, said)
        return Done(process.returncode, said)


class Router:
    """`autorouter serve` on a free port, with receipts and a home of its own."""

    def __init__(self, folder: Path, config: str | None = None) -> None:
        folder.mkdir()
        self.env = {name: value for name, value in os.environ.items() if name in KEPT}
        self.env |= {"HOME": str(folder), "AUTOROUTER_RECEIPTS_DIR": str(folder / "receipts")}
        arguments = ["--dry-run"]
        if config is not None:
            (folder / "autorouter.toml").write_text(config)
            arguments = ["--config", str(folder / "autorouter.toml")]
        self._folder = folder
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autorouter", "serve", "--port", "0", *arguments],
            cwd=folder,
            env=self.env | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        alarm = threading.Timer(START_S, self._process.kill)
        alarm.start()
        first = self._process.stdout.readline()
        alarm.cancel()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", first)
        if found is None:
            self.stop()
            raise RuntimeError(f"the router didn't start: {first}{(folder / 'log').read_text()}")
        self.url, self.port = found[0], int(found[1])

    def cli(self, *arguments: str) -> Done:
        """Another command of the program, in the router's environment."""
        done = subprocess.run(
            [sys.executable, "-m", "autorouter", *arguments],
            cwd=self._folder,
            env=self.env | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def relay(base_url: str, wire: str) -> str:
    """The configuration of a router in front of another one, to which it speaks `wire`: two candidates, so that it can
    fail over."""
    candidates = "".join(
        f'[[candidates]]\nid = "{name}"\nupstream = "relay"\nmodel = "openfusion/auto"\nroles = ["{role}"]\n'
        f"price_usd_per_mtok = {{ input = {price}, output = {price} }}\n"
        'capabilities = ["tools", "vision", "json_schema", "reasoning"]\n'
        f"benchmarks = {{ general = {score}, coding = {score}, reasoning = {score}, verification = {score} }}\n"
        for name, role, price, score in (("small", "fast", 0.1, 50), ("large", "coder", 3, 90))
    )
    return f'schema_version = 1\n[upstreams.relay]\nbase_url = "{base_url}/v1"\nwire = "{wire}"\n{candidates}'


class Breaker:
    """A line to a server. The first `times` connections are cut after `after` bytes of the answer: 0 is before its first
    byte, a few hundred inside its stream."""

    def __init__(self, port: int, *, after: int, times: int) -> None:
        self._port, self._after, self._left = port, after, times
        self.cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        """What the server says, up to where it is cut."""
        passed = 0
        try:
            while data := server.recv(4096):
                if self._left > 0 and passed + len(data) > self._after:
                    self._left -= 1
                    self.cut += 1
                    client.sendall(data[: max(0, self._after - passed)])
                    break
                passed += len(data)
                client.sendall(data)
        except OSError:
            pass
        _hang_up(client, server)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        _hang_up(source, target)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
