"""`autorouter mock` as a program: what it prints, how it stops, and what it says to a wrong option."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from autorouter.simulator.faults.catalog import FAULTS
from autorouter.simulator.faults.spec import ALIASES, FAMILIES
from tests.cli.conftest import ROOT, Home
from tests.fakes import WAIT_S

BODY = {"model": "m", "messages": [{"role": "user", "content": "a secret ask"}]}


@contextmanager
def serving(home: Home, *args: str) -> Iterator[tuple[Any, str]]:
    """The process and its address, which it prints first."""
    command = [sys.executable, "-m", "autorouter", "mock", "--port", "0", *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=home.env, **pipes)  # type: ignore[call-overload]
    guard = threading.Timer(WAIT_S, process.kill)
    guard.start()
    try:
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert found is not None, first + process.stderr.read()
        yield process, found[0]
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_prints_a_line_for_each_request_and_stops(home: Home, number: int) -> None:
    with serving(home, "--scenario", "429-retry-after*1", "--key", "sk-mock") as (process, url):
        with httpx.Client(headers={"authorization": "Bearer sk-mock"}, trust_env=False) as client:
            answers = [client.post(f"{url}/v1/chat/completions", json=BODY) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [429, 200]
        assert answers[0].headers["retry-after"] == "2"
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "m whole 429-retry-after (by scenario) -> 429" in out
    assert "m whole -> 200" in out
    assert "secret" not in out + err
    assert "sk-mock" not in out + err
    assert err == "stopped\n"


def test_a_script_and_one_wire(home: Home) -> None:
    script = home.write("faults.toml", 'seed = 7\n[[rule]]\nmodel = "m"\nscenario = "529"\n')
    with (
        serving(home, "--script", script, "--wire", "chat", "--quiet") as (_, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert client.post("/v1/chat/completions", json=BODY).status_code == 529
        assert client.post("/v1/chat/completions", json=BODY | {"model": "n"}).status_code == 200
        assert client.post("/v1/messages", json=BODY).status_code == 404


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_a_router_before_it_finds_the_candidate_that_is_well(home: Home, wire: str) -> None:
    """The configuration of docs/mock.md, on each wire that an upstream may speak."""
    page = (ROOT / "docs" / "mock.md").read_text("utf-8")
    sample = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)[-1]
    with serving(home, "--wire", wire) as (_, url):
        text = sample.replace("http://127.0.0.1:8790/v1", f"{url}/v1").replace('/v1"\n', f'/v1"\nwire = "{wire}"\n', 1)
        config = home.write("router.toml", f"schema_version = 1\n{text}")
        with home.serving("--config", config) as router, httpx.Client(base_url=router, trust_env=False) as client:
            for _ in range(3):
                asked = BODY | {"model": "openfusion/auto"}
                answer = client.post("/v1/chat/completions", json=asked, timeout=WAIT_S)
                assert answer.status_code == 200, answer.text
                assert answer.headers["x-autorouter-model"] == "well"
                assert "Candidate: c." in answer.json()["choices"][0]["message"]["content"]


def test_the_list_has_every_fault_with_what_to_do(home: Home) -> None:
    done = home.run("mock", "--list", "--json")
    rows = {row["name"]: row for row in done.json()["data"]}
    assert set(rows) == set(FAULTS) | {family.display_name for family in FAMILIES}
    assert all(row["summary"] and row["advice"] and row["wires"] for row in rows.values())
    assert sorted(alias for row in rows.values() for alias in row["aliases"]) == sorted(ALIASES)
    shown = home.run("mock", "--list")
    assert shown.code == 0
    for name in rows:
        assert name in shown.out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--scenario", "cutstream"), 2, "did you mean `cut-stream`"),
        (("--wire", "grpc"), 2, "'grpc' is not one of 'all', 'chat'"),
        (("--script", "none.toml"), 3, "none.toml: No such file"),
        (("--rate", "0"), 2, "0.1"),
    ],
)
def test_a_wrong_option_is_one_clear_line(home: Home, args: tuple[str, ...], code: int, words: str) -> None:
    done = home.run("mock", *args)
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_taken_port_is_one_clear_line(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = home.run("mock", "--port", str(taken.getsockname()[1]))
    assert done.code == 3
    assert "choose another --port" in done.err
