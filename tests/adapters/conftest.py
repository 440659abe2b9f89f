"""A user's home that is thrown away, and the program run in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autorouter.adapters.install import AdapterEnvironment
from autorouter.adapters.registry import RouterTarget
from tests import zygote

ROOT = Path(__file__).resolve().parents[2]
NOW_S = 1_800_000_000.0
KEPT = (
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LANG",
    "COVERAGE_PROCESS_START",
    "COVERAGE_FILE",
    "COVERAGE_PROCESS_CONFIG",
)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class User:
    """A home folder. Nothing of the real one is seen: neither its keys nor its clients' variables."""

    path: Path

    @property
    def env(self) -> dict[str, str]:
        ours = {"HOME": str(self.path), "XDG_STATE_HOME": str(self.path / "state"), "XDG_CONFIG_HOME": ""}
        return {k: v for k, v in os.environ.items() if k in KEPT} | ours

    @property
    def places(self) -> AdapterEnvironment:
        return AdapterEnvironment(env=self.env, clock=lambda: NOW_S)

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def tree(self) -> dict[str, bytes]:
        """Every file but ours in the state directory."""
        files = (p for p in self.path.rglob("*") if p.is_file() and "state" not in p.relative_to(self.path).parts)
        return {str(p.relative_to(self.path)): p.read_bytes() for p in files}

    def run(self, *args: str, **env: str) -> Done:
        done = zygote.run(args, env={**self.env, **env}, cwd=ROOT)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def target_in(home: Path, label: str = "openfusion/auto", base_url: str = "http://127.0.0.1:8787") -> RouterTarget:
    return RouterTarget(
        base_url=base_url, model=label, catalog=str(home / "state" / "autorouter" / "adapters" / "cat.json")
    )


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)
