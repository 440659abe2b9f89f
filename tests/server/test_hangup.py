"""A client's hang-up stops its upstream within 250 ms, wherever the request stands; measured at the upstream."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import FIRST, STALL, WAIT_S, Part, Relay, chunk, http, stream
from tests.server.conftest import body, request_bytes
from tests.server.program import Program, on_disk, program
from tests.server.test_holding import CLINE, CLINES_WORDS
from tests.server.test_limits import until

STOPPED_S = 0.25
HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
STATES: dict[str, tuple[Part, ...]] = {
    "waiting-for-headers": (STALL,),
    "waiting-for-the-first-event": (HEAD, STALL),
    "streaming": (HEAD, chunk(FIRST), STALL),
}


@pytest.fixture
def running(tmp_path: Path, relay: Relay) -> Iterator[Program]:
    with program(tmp_path, relay.url) as found:
        yield found


def ask(line: socket.socket, document: object, headers: dict[str, str] | None = None) -> None:
    told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (headers or {}).items())
    line.sendall(request_bytes(json.dumps(document).encode()).replace(b"\r\n\r\n", f"\r\n{told}\r\n".encode(), 1))


def seconds_until_stopped(relay: Relay, line: socket.socket, *, reset: bool = False) -> float:
    """From the hang-up until the upstream sees its connection closed. The best of what a busy machine allows is one try:
    the closing itself is awaited, never polled."""
    if reset:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    began_s = time.monotonic()
    line.close()
    assert relay.seen[-1].closed.wait(WAIT_S)
    return time.monotonic() - began_s


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("state", STATES)
def test_a_hang_up_stops_the_upstream(state: str, reset: bool, streamed: bool, running: Program, relay: Relay) -> None:
    relay.always(STATES[state])
    line = running.connection()
    ask(line, body(stream=streamed))
    if state == "streaming" and streamed:
        seen = b""
        while b"One " not in seen:
            seen += line.recv(65_536)
    until(lambda: len(relay.seen) == 1)
    took_s = seconds_until_stopped(relay, line, reset=reset)
    assert took_s < STOPPED_S, f"{took_s:.3f} s"
    assert len(relay.seen) == 1, "nobody else was asked"
    until(lambda: len(on_disk(running.receipts)) == 1)
    (receipt,) = on_disk(running.receipts)
    assert receipt["outcome"]["result"] == "client_gone"  # type: ignore[index]


def test_a_hang_up_stops_a_held_stream(running: Program, relay: Relay) -> None:
    relay.always(STATES["streaming"])
    line = running.connection()
    ask(line, body(CLINES_WORDS, stream=True), CLINE)
    until(lambda: len(relay.seen) == 1)
    assert seconds_until_stopped(relay, line) < STOPPED_S


def test_a_hang_up_stops_every_member_of_a_panel(running: Program, relay: Relay) -> None:
    relay.always((STALL,))
    line = running.connection()
    ask(line, body(stream=True, model="openfusion/fusion"))
    until(lambda: len(relay.seen) == 2)
    began_s = time.monotonic()
    line.close()
    for seen in list(relay.seen):
        assert seen.closed.wait(WAIT_S)
    assert time.monotonic() - began_s < STOPPED_S
    assert len(relay.seen) == 2, "nobody else was asked"
    until(lambda: running.ready()["in_flight"] == 0)


def test_a_hang_up_between_attempts_asks_nobody_else(running: Program, relay: Relay) -> None:
    gate = threading.Event()
    relay.play((gate, *stream()), to="vendor/first")
    line = running.connection()
    ask(line, body(stream=True))
    until(lambda: len(relay.seen) == 1)
    took_s = seconds_until_stopped_by_receipt(running, line)
    gate.set()
    assert took_s < STOPPED_S + 0.25, "the receipt's own flush included"
    assert relay.asked() == ["vendor/first"]


def seconds_until_stopped_by_receipt(running: Program, line: socket.socket) -> float:
    """The scripted upstream waits for its gate and can't see the end; the receipt tells when the request ended."""
    began_s = time.monotonic()
    line.close()
    until(lambda: len(on_disk(running.receipts)) == 1)
    return time.monotonic() - began_s


def test_a_queued_request_that_hangs_up_never_reaches_an_upstream(tmp_path: Path, relay: Relay) -> None:
    relay.always(STATES["streaming"])
    with program(tmp_path, relay.url, more="[limits]\nmax_in_flight = 1\n") as running:
        first, second = running.connection(), running.connection()
        ask(first, body(stream=True))
        until(lambda: running.ready()["in_flight"] == 1)
        ask(second, body(stream=True))
        until(lambda: running.ready()["queued"] == 1)
        began_s = time.monotonic()
        second.close()
        until(lambda: running.ready()["queued"] == 0)
        assert time.monotonic() - began_s < STOPPED_S
        assert seconds_until_stopped(relay, first) < STOPPED_S
        until(lambda: running.ready()["in_flight"] == 0)
        assert len(relay.seen) == 1
