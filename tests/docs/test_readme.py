"""The README's two minutes, done as it says: the server it starts, the request it sends, the receipts it looks at."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.cli.conftest import ROOT, home_in

README = (ROOT / "README.md").read_text("utf-8")
LIMIT_S = 60.0
"""A program that hangs is given up after this."""
KEY = "a-key-of-the-clients-own"


def request() -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of the README's curl."""
    found = re.search(r"^curl .*?(?=\n\S)", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    words = shlex.split(found[0].replace("\\\n", " "))
    given = dict(itertools.pairwise(words))
    (url,) = (word for word in words if word.startswith("http://"))
    name, _, value = given["-H"].partition(": ")
    return url.partition(":8787")[2], {name: value}, given["-d"].encode()


def looks() -> list[list[str]]:
    """The README's `autorouter receipt ...` commands, without the program's name."""
    lines = re.findall(r"^\.venv/bin/autorouter (receipt .*)$", README, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_the_two_minutes_of_the_readme(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    log = tmp_path / "log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "autorouter", "serve", "--dry-run", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(home.env),
            cwd=ROOT,
        )
        try:
            assert server.stdout is not None
            announced = re.search(rb"http://127\.0\.0\.1:\d+", server.stdout.readline())
            assert announced is not None
            path, headers, body = request()
            with httpx.Client(base_url=announced[0].decode(), trust_env=False, timeout=LIMIT_S) as client:
                answer = client.post(path, headers={**headers, "authorization": f"Bearer {KEY}"}, content=body)
            assert answer.status_code == 200, answer.text
            receipt = answer.headers["x-autorouter-receipt"]
            summary = answer.json()["openfusion"]
            assert summary["receipt"] == receipt
            # The server is still running, as it is for a reader: receipts are there without stopping it.
            wait_for(home.receipts, receipt)
            listed, shown, explained, verified = (home.run(*words) for words in looks())
        finally:
            server.terminate()
            rest, _ = server.communicate(timeout=LIMIT_S)

    for done in (listed, shown, explained, verified):
        assert done.code == 0, done.err
    page = (ROOT / "docs" / "http.md").read_text("utf-8")
    told = [*summary, *(name for name in answer.headers if name.startswith("x-"))]
    assert [name for name in told if f"`{name}`" not in page] == []

    assert [line for line in listed.out.splitlines() if receipt in line and "answered" in line]
    assert receipt in shown.out
    assert re.search(r"^cost +\$", shown.out, re.MULTILINE)
    assert "Calls" in shown.out
    assert receipt in explained.out
    assert all(term in explained.out for term in ("task fit", "benchmark", "price", "latency", "availability"))
    assert summary["candidate"] in explained.out
    assert re.search(r"^ok: .*1 receipt in 1 file, 1 decision made again", verified.out, re.MULTILINE)

    prompt = json.loads(body)["messages"][0]["content"]
    written = rest + log.read_bytes() + b"".join(file.read_bytes() for file in home.receipts.iterdir())
    assert receipt.encode() in written
    assert [word for word in (prompt, "parse_range", KEY) if word.encode() in written] == []


def wait_for(folder: Path, receipt: str) -> None:
    """Until the receipt is on disk; it is written a moment after its answer."""
    until_s = time.monotonic() + LIMIT_S
    while not any(receipt.encode() in file.read_bytes() for file in folder.glob("*.jsonl")):
        assert time.monotonic() < until_s, "the receipt wasn't written"
        time.sleep(0.02)
