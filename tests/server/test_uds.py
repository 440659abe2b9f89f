"""The Unix socket: for its owner only; one that was left behind is replaced, one that is served is not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from autorouter.cli import listeners
from autorouter.errors import ConfigError
from tests.fakes import WAIT_S
from tests.server.conftest import CHAT, body

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")


@contextmanager
def serving(folder: Path, path: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    names = ("PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    env = {name: os.environ[name] for name in names if name in os.environ} | {"HOME": str(folder)}
    command = [sys.executable, "-m", "autorouter", "serve", "--dry-run", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=folder)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert re.search(rb"autorouter on the socket ", said), said + process.communicate(timeout=WAIT_S)[1]
        assert str(path).encode() in said
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_S)


def client(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=WAIT_S)


def test_requests_and_streams_come_over_the_socket_and_it_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "router.sock"
    with serving(tmp_path, path, "--uds", str(path)) as process:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with client(path) as talk:
            assert talk.get("/livez").json()["ok"] is True
            assert talk.post(CHAT, json=body()).status_code == 200
            assert talk.post(CHAT, json=body(stream=True)).text.rstrip().endswith("data: [DONE]")
            assert talk.get("/livez", headers={"host": "evil.example"}).status_code == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    assert not path.exists(), "it goes with its router"


def test_the_path_may_stand_in_the_file_and_is_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    config = tmp_path / "conf" / "autorouter.toml"
    config.write_text('[server]\nuds = "router.sock"\n', "utf-8")
    path = tmp_path / "conf" / "router.sock"
    with serving(tmp_path, path, "--config", str(config)), client(path) as talk:
        assert talk.get("/livez").status_code == 200


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "router.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    assert path.exists()
    with listeners.listen_unix(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
        talk.connect(str(path))


def test_a_socket_that_is_served_is_not_taken_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "router.sock"
    with listeners.listen_unix(path):
        with pytest.raises(ConfigError, match="listens there already"):
            listeners.listen_unix(path)
        listeners.remove_unix(path)
        assert path.exists()
    listeners.remove_unix(path)
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"isn.t a socket"):
        listeners.listen_unix(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 200, "no/such/folder/s"])
def test_a_path_that_cannot_be_is_one_clear_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't listen on") as raised:
        listeners.listen_unix(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 3


def test_doctor_finds_the_router_behind_its_socket(tmp_path: Path) -> None:
    """Else it would take the router's own hold of the receipts for somebody else's."""
    path = tmp_path / "router.sock"
    config = tmp_path / "autorouter.toml"
    config.write_text(f'[server]\nuds = "{path}"\n', "utf-8")
    with serving(tmp_path, path, "--config", str(config)):
        command = [sys.executable, "-m", "autorouter", "doctor", "--json", "--config", str(config)]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, env=env, cwd=tmp_path, timeout=WAIT_S, check=False)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["state"]["evidence"].endswith("is held by the router that runs")
    assert f"answers at the socket {path}" in found["port"]["evidence"]
    assert (found["state"]["state"], found["port"]["state"]) == ("ok", "ok")
