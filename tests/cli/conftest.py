"""The program as users start it: a process of its own, with folders of its own and no key in its environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import zygote
from tests.fakes import WAIT_S

ROOT = Path(__file__).resolve().parents[2]
POOL = """\
schema_version = 1
[upstreams.relay]
base_url = "http://127.0.0.1:9/v1"
[[candidates]]
id = "cheap"
upstream = "relay"
model = "vendor/cheap"
roles = ["fast"]
price_usd_per_mtok = { input = 0.1, output = 0.4 }
benchmarks = { general = 55, coding = 45 }
[[candidates]]
id = "strong"
upstream = "relay"
model = "vendor/strong"
roles = ["coder", "reasoner"]
price_usd_per_mtok = { input = 4.0, output = 20.0 }
benchmarks = { general = 93, coding = 95 }
[[candidates]]
id = "middle"
upstream = "relay"
model = "vendor/middle"
price_usd_per_mtok = { input = 1.0, output = 4.0 }
benchmarks = { general = 75, coding = 70 }
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A user's folders, and the program run in them."""

    path: Path
    env: Mapping[str, str]

    @property
    def receipts(self) -> Path:
        return self.path / "state" / "autorouter" / "receipts"

    @property
    def config(self) -> Path:
        return self.path / "config" / "autorouter" / "autorouter.toml"

    def write(self, name: str, text: str) -> str:
        (self.path / name).write_text(text, "utf-8")
        return str(self.path / name)

    def run(self, *args: str, stdin: str = "", **env: str) -> Done:
        """Run to the end; standard input is a pipe."""
        done = zygote.run(args, input=stdin.encode(), env={**self.env, **env}, cwd=ROOT)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextmanager
    def serving(self, *args: str, **env: str) -> Iterator[str]:
        """`autorouter serve` on a free port; gives its URL, and stops it as Ctrl-C does."""
        command = ["serve", "--port", "0", *args]
        process = zygote.start(command, env={**self.env, **env}, cwd=ROOT, stdout=zygote.PIPE)
        try:
            assert process.stdout is not None
            announced = re.search(rb"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert announced is not None
            yield announced[0].decode()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)


def home_in(path: Path) -> Home:
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("AUTOROUTER_")}
    drop = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    env = {k: v for k, v in kept.items() if k not in drop and "proxy" not in k.lower()}
    env |= {"XDG_CONFIG_HOME": str(path / "config"), "XDG_STATE_HOME": str(path / "state"), "HOME": str(path)}
    return Home(path, env)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_in(tmp_path)


@pytest.fixture
def pool(home: Home) -> str:
    """A configuration of three candidates behind a relay that doesn't run."""
    return home.write("pool.toml", POOL)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the receipts of a mixed dry run: answered, failed over, failed, streamed."""
    home = home_in(tmp_path_factory.mktemp("recorded"))
    config = home.write("fast.toml", "[dry_run]\ntime_scale = 0.0\n")
    with home.serving("--dry-run", "--config", config) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for n, prompt in enumerate(("hi", "fix the bug in a.py", "design a lock-free queue", "drop the prod table")):
            for fault in ("", "500", "500*all"):
                body = {
                    "model": "openfusion/auto",
                    "messages": [{"role": "user", "content": prompt}],
                    "stream": n % 2 == 0,
                }
                client.post("/v1/chat/completions", json=body, headers={"x-autorouter-fault": fault} if fault else {})
    return home


@pytest.fixture
def copied(recorded: Home, tmp_path: Path) -> Callable[[], Path]:
    """A copy of the recorded receipts that may be spoilt; its one file."""

    def copy() -> Path:
        shutil.copytree(recorded.receipts, tmp_path / "receipts")
        (day,) = (tmp_path / "receipts").glob("*.jsonl")
        return day

    return copy
