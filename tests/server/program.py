"""`autorouter serve` in a process of its own, with what a test wants to know of it from outside.

with program(tmp_path, relay.url, more="[limits]\\nmax_parallel_requests = 1\\n") as running:
    running.client.post(CHAT, json=body())
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import httpx

from autorouter.receipts.reader import read_records, segment_files, verify_directory
from tests import zygote
from tests.fakes import WAIT_S
from tests.server.conftest import KEY_ONE, KEY_TWO, POOL

KEPT = ("PATH", "SYSTEMROOT", "PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


AnyProcess: TypeAlias = zygote.Process | subprocess.Popen[bytes]


@dataclass
class Program:
    """A running program. `began_s` is when it was executed, on the monotonic clock."""

    process: AnyProcess
    url: str
    folder: Path
    began_s: float
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_S, trust_env=False)

    @property
    def receipts(self) -> Path:
        return self.folder / "receipts"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = WAIT_S) -> int:
        """Its exit code."""
        return self.process.wait(timeout_s)

    def connection(self) -> socket.socket:
        url = httpx.URL(self.url)
        assert url.port is not None
        return socket.create_connection((url.host, url.port), timeout=WAIT_S)

    def rss_mb(self) -> float:
        """Memory in use, from /proc."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def ready(self) -> dict[str, object]:
        found: dict[str, object] = self.client.get("/readyz").json()
        return found


def on_disk(folder: Path) -> list[dict[str, object]]:
    """All receipts of a directory, after its chain was verified."""
    assert verify_directory(folder) == []
    lines = [record for path in segment_files(folder) for _, record, _ in read_records(path)]
    return [record for record in lines if record["type"] == "receipt"]


WITH_CONSTANTS = """\
import importlib, json, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant), name
    setattr(importlib.import_module(module), constant, value)
import autorouter.__main__
"""
Constants = Mapping[str, float]
"""Dotted name of a constant in the package -> the value that it has in the program: tests don't wait for minutes."""


def launch(
    folder: Path,
    text: str,
    *args: str,
    port: int = 0,
    env: dict[str, str] | None = None,
    constants: Constants | None = None,
) -> Program:
    """Start it and wait for its announcement; its log goes to a file."""
    (folder / "autorouter.toml").write_text(text, "utf-8")
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environ = {**kept, "ONE_KEY": KEY_ONE, "TWO_KEY": KEY_TWO, "HOME": str(folder), **(env or {})}
    command = ["serve", "--port", str(port), "--config", str(folder / "autorouter.toml"), *args]
    began_s = time.monotonic()
    with (folder / "log").open("ab") as log:
        if constants:
            start = [sys.executable, "-c", WITH_CONSTANTS, json.dumps(dict(constants))]
            process: AnyProcess = subprocess.Popen([*start, *command], stdout=subprocess.PIPE, stderr=log, env=environ)
        else:
            process = zygote.start(command, env=environ, cwd=Path.cwd(), stdout=zygote.PIPE, stderr=log)
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(rb"http://127\.0\.0\.1:\d+", said)
    assert found is not None, (folder / "log").read_text("utf-8", "replace")
    return Program(process, found[0].decode(), folder, began_s)


def end(running: Program) -> None:
    """Stop it, if it still runs."""
    running.client.close()
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate(timeout=WAIT_S)


@contextmanager
def program(
    folder: Path,
    upstream_url: str,
    *,
    limits: str = "",
    more: str = "",
    server: str = "",
    constants: Constants | None = None,
) -> Iterator[Program]:
    """A router over the scripted upstream; killed at the end if it still runs."""
    tables = f'{more}\n[server]\n{server}\n[receipts]\ndir = "receipts"\n'
    running = launch(folder, POOL.format(url=upstream_url, limits=limits, more=tables), constants=constants)
    try:
        yield running
    finally:
        end(running)
