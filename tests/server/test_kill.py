"""Killed under load, again and again: it serves again, the chain holds, and only what wasn't written yet is lost.

python -m pytest -m slow tests/server/test_kill.py -s      fifty kills, with their figures
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from autorouter.receipts.reader import segment_files, verify_directory
from tests.fakes import until
from tests.server.conftest import CHAT, body
from tests.server.program import Program, end, launch

CLIENTS = 4
TEXT = """\
schema_version = 1
[dry_run]
time_scale = 0
[receipts]
dir = "receipts"
"""


class Load:
    """Clients that ask until they are stopped, and remember the receipt of each whole answer and when it came."""

    def __init__(self, url: str) -> None:
        self.answered: set[str] = set()
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=5.0, trust_env=False) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(CHAT, json=body(stream=number % 2 == 0))
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    self.answered.add(answer.headers["x-autorouter-receipt"])


def serving(folder: Path) -> tuple[Program, float]:
    """A started program, and the seconds from executing it to its first answer."""
    running = launch(folder, TEXT, "--dry-run")
    assert running.client.post(CHAT, json=body()).status_code == 200
    return running, time.monotonic() - running.began_s


class Lines:
    """What is on disk, read on from where the last look ended: ids of receipts, and what was said of recoveries."""

    def __init__(self, folder: Path) -> None:
        self.ids: list[str] = []
        self.told: list[dict[str, Any]] = []
        self._folder = folder
        self._read: dict[Path, int] = {}

    def look(self) -> None:
        for path in segment_files(self._folder):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for raw in file:
                    assert raw.endswith(b"\n"), "half a line"
                    line = json.loads(raw)
                    if line["type"] == "receipt":
                        self.ids.append(line["id"])
                    elif line["type"] == "recovered":
                        self.told.append(line)
                self._read[path] = file.tell()


def written(folder: Path) -> set[str]:
    """Ids of the receipts whose whole line is on disk now, while the program writes."""
    lines = [raw for path in segment_files(folder) for raw in path.read_bytes().splitlines(keepends=True)]
    records = [json.loads(raw) for raw in lines if raw.endswith(b"\n")]
    return {record["id"] for record in records if record["type"] == "receipt"}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_under_load_it_serves_again_and_the_chain_holds(kills: int, tmp_path: Path) -> None:
    chance = random.Random(20_261_121)
    took: list[float] = []
    lost: list[int] = []
    answered: set[str] = set()
    due: set[str] = set()
    lines = Lines(tmp_path / "receipts")
    running, first_s = serving(tmp_path)
    try:
        for _ in range(kills):
            with Load(running.url) as load:
                until(lambda: len(load.answered) > 1)
                time.sleep(chance.uniform(0.0, 1.0))
                due |= written(running.receipts)
                killed = running.process.pid
                running.process.kill()
                running.wait()
            end(running)
            answered |= load.answered
            running, one_s = serving(tmp_path)
            took.append(one_s)
            assert verify_directory(running.receipts) == []
            assert f"process {killed}) was killed" in running.log, "the loss is said"
            lines.look()
            lost.append(len(load.answered - set(lines.ids)))
    finally:
        running.process.terminate()
        code = running.wait()
        end(running)
    assert code == 0
    lines.look()
    ids = set(lines.ids)
    assert len(ids) == len(lines.ids), "each once"
    assert due, "some were written before a kill"
    assert due <= ids, "what was written is there"
    torn = list((tmp_path / "receipts").glob("*.torn-*"))
    assert len(torn) == sum(1 for line in lines.told if line["torn_bytes"]), "what was cut off is said and kept"
    print(
        f"\n{kills} kills, {len(answered)} answers: serving again after a median of {statistics.median(took):.2f} s "
        f"(first start {first_s:.2f}, longest {max(took):.2f}); {sum(lost)} receipts lost, at most {max(lost)} by one kill; "
        f"{len(torn)} torn lines, all told; {len(ids)} receipts in a valid chain"
    )
    assert len(answered) > kills
