"""How it ends: SIGTERM and SIGINT drain, a second one cuts, receipts are written, and a second instance says who is there."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import DONE, FIRST, STALL, WAIT_S, Part, Relay, chunk, delta, until
from tests.fakes import http as answer_bytes
from tests.server.conftest import CHAT, POOL, body
from tests.server.program import Program, on_disk, program
from tests.server.test_hangup import ask

HEAD = answer_bytes(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
STALLED: tuple[Part, ...] = (HEAD, chunk(FIRST), STALL)
CLEAN_END = b"0\r\n\r\n"
stop_signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as running:
        yield running


def read_on(running: Program, document: dict[str, Any], started: threading.Event) -> bytes:
    """All bytes of an answer up to the end of its connection."""
    seen = b""
    with running.connection() as line:
        ask(line, document)
        try:
            while part := line.recv(65_536):
                seen += part
                if b"data: " in seen:
                    started.set()
        except ConnectionError:
            pass
    return seen


def outcome(running: Program) -> tuple[str, str | None]:
    (receipt,) = on_disk(running.receipts)
    found: Any = receipt["outcome"]
    return found["result"], found["error"]


@stop_signals
def test_a_running_stream_is_carried_to_its_end(
    number: int, tmp_path: Path, relay: Relay, pool: ThreadPoolExecutor
) -> None:
    gate, started = threading.Event(), threading.Event()
    relay.play((HEAD, chunk(FIRST), gate, chunk(delta("stop")), chunk(DONE), CLEAN_END))
    with program(tmp_path, relay.url, server="graceful_shutdown_timeout_s = 20.0") as running:
        stream = pool.submit(read_on, running, body(stream=True), started)
        assert started.wait(WAIT_S)
        running.signal(number)
        until(lambda: running.client.get("/readyz").status_code == 503)
        assert running.ready()["problems"] == ["the router is stopping"]
        refused = running.client.post(CHAT, json=body())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "router_stopping")
        assert "retry-after" in refused.headers
        assert running.process.poll() is None
        gate.set()
        assert stream.result(WAIT_S).endswith(b"data: [DONE]\n\n\r\n" + CLEAN_END)
        assert running.wait() == 0
        assert outcome(running) == ("answered", None)
        assert "Traceback" not in running.log


def test_a_stalled_stream_is_cut_after_drain_s(tmp_path: Path, relay: Relay, pool: ThreadPoolExecutor) -> None:
    relay.play(STALLED)
    started = threading.Event()
    with program(tmp_path, relay.url, server="graceful_shutdown_timeout_s = 0.5") as running:
        stream = pool.submit(read_on, running, body(stream=True), started)
        assert started.wait(WAIT_S)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert not stream.result(WAIT_S).endswith(CLEAN_END), "cut, never ended cleanly"
        assert relay.seen[0].closed.wait(WAIT_S), "its upstream is stopped"
        assert outcome(running) == ("client_gone", "router_stopped")
        assert "ERROR" not in running.log, running.log


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_second_signal_cuts_at_once(streamed: bool, tmp_path: Path, relay: Relay, pool: ThreadPoolExecutor) -> None:
    relay.play(STALLED if streamed else (STALL,))
    with program(tmp_path, relay.url, server="graceful_shutdown_timeout_s = 600.0") as running:
        stream = pool.submit(read_on, running, body(stream=streamed), threading.Event())
        until(lambda: running.ready()["in_flight"] == 1)
        until(lambda: len(relay.seen) == 1)
        running.signal(signal.SIGTERM)
        until(lambda: running.client.get("/readyz").status_code == 503)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        seen = stream.result(WAIT_S)
        assert not seen.endswith(CLEAN_END)
        assert outcome(running) == ("client_gone", "router_stopped")


def test_a_panel_is_cut_with_all_its_members(tmp_path: Path, relay: Relay, pool: ThreadPoolExecutor) -> None:
    relay.always((STALL,))
    with program(tmp_path, relay.url, server="graceful_shutdown_timeout_s = 0.2") as running:
        stream = pool.submit(read_on, running, body(stream=True, model="openfusion/fusion"), threading.Event())
        until(lambda: len(relay.seen) == 2)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert not stream.result(WAIT_S).endswith(CLEAN_END)
        assert outcome(running) == ("client_gone", "router_stopped")
        assert "ERROR" not in running.log, running.log


def test_who_waits_in_the_queue_is_sent_away(tmp_path: Path, relay: Relay, pool: ThreadPoolExecutor) -> None:
    gate = threading.Event()
    relay.play((HEAD, chunk(FIRST), gate, chunk(delta("stop")), chunk(DONE), CLEAN_END))
    with program(tmp_path, relay.url, more="[limits]\nmax_parallel_requests = 1\n") as running:
        first = pool.submit(read_on, running, body(stream=True), threading.Event())
        until(lambda: running.ready()["in_flight"] == 1)
        second = pool.submit(read_on, running, body(), threading.Event())
        until(lambda: running.ready()["queued"] == 1)
        running.signal(signal.SIGTERM)
        assert b"router_stopping" in second.result(WAIT_S)
        gate.set()
        assert first.result(WAIT_S).endswith(CLEAN_END)
        assert running.wait() == 0


def test_an_idle_router_stops_at_once_with_a_client_connected(tmp_path: Path, relay: Relay) -> None:
    with program(tmp_path, relay.url, server="graceful_shutdown_timeout_s = 600.0") as running:
        line = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=WAIT_S)
        line.request("GET", "/livez")
        assert line.getresponse().read()
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        line.close()


# ---- a second one


def second(tmp_path: Path, port: int, receipts: Path) -> tuple[int, str]:
    """Exit code and words of another instance."""
    config = tmp_path / "second.toml"
    more = f'[receipts]\ndir = "{receipts}"\n'
    config.write_text(POOL.format(url="http://127.0.0.1:1/v1", limits="", more=more), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "autorouter", "serve", "--port", str(port), "--config", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "ONE_KEY": "1", "TWO_KEY": "2"},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_port_in_use_is_one_clear_line(tmp_path: Path, relay: Relay) -> None:
    with program(tmp_path, relay.url) as running:
        port = int(running.url.rpartition(":")[2])
        code, words = second(tmp_path, port, tmp_path / "other")
        assert code == 3
        (line,) = words.splitlines()
        assert f"127.0.0.1:{port}" in line
        assert "--port" in line
        assert running.client.get("/livez").status_code == 200


def test_a_taken_receipts_folder_names_its_holder(tmp_path: Path, relay: Relay) -> None:
    with program(tmp_path, relay.url) as running:
        code, words = second(tmp_path, 0, running.receipts)
        assert code == 6
        (line,) = words.splitlines()
        assert f"stop process {running.process.pid}" in line
        assert "[receipts].dir" in line
