"""A client's hang-up stops its upstream, wherever the request stands; seen at the upstream. `make bench` measures how soon."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import FIRST, STALL, WAIT_S, Part, Relay, chunk, http, stream, until
from tests.server.conftest import body, request_bytes
from tests.server.program import Program, on_disk, program
from tests.server.test_stream_buffering import CLINE, CLINES_WORDS

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


def hang_up(relay: Relay, line: socket.socket, *, reset: bool = False) -> None:
    """Close the client's connection once the upstream has its request, and wait until that sees its own closed."""
    until(lambda: bool(relay.seen))
    if reset:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()
    assert relay.seen[-1].closed.wait(WAIT_S)


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
    hang_up(relay, line, reset=reset)
    assert len(relay.seen) == 1, "nobody else was asked"
    until(lambda: len(on_disk(running.receipts)) == 1)
    (receipt,) = on_disk(running.receipts)
    assert receipt["outcome"]["result"] == "client_gone"  # type: ignore[index]


def test_a_hang_up_stops_a_held_stream(running: Program, relay: Relay) -> None:
    relay.always(STATES["streaming"])
    line = running.connection()
    ask(line, body(CLINES_WORDS, stream=True), CLINE)
    until(lambda: len(relay.seen) == 1)
    hang_up(relay, line)
    until(lambda: running.ready()["in_flight"] == 0)


def test_a_hang_up_stops_every_member_of_a_panel(running: Program, relay: Relay) -> None:
    relay.always((STALL,))
    line = running.connection()
    ask(line, body(stream=True, model="openfusion/fusion"))
    until(lambda: len(relay.seen) == 2)
    line.close()
    for seen in list(relay.seen):
        assert seen.closed.wait(WAIT_S)
    assert len(relay.seen) == 2, "nobody else was asked"
    until(lambda: running.ready()["in_flight"] == 0)


def test_a_hang_up_between_attempts_asks_nobody_else(running: Program, relay: Relay) -> None:
    gate = threading.Event()
    relay.play((gate, *stream()), to="vendor/first")
    line = running.connection()
    ask(line, body(stream=True))
    until(lambda: len(relay.seen) == 1)
    line.close()
    # The scripted upstream waits for its gate and can't see the end; the receipt is there before the gate opens.
    until(lambda: len(on_disk(running.receipts)) == 1)
    gate.set()
    assert relay.asked() == ["vendor/first"]


def test_a_queued_request_that_hangs_up_never_reaches_an_upstream(tmp_path: Path, relay: Relay) -> None:
    relay.always(STATES["streaming"])
    with program(tmp_path, relay.url, more="[limits]\nmax_parallel_requests = 1\n") as running:
        first, second = running.connection(), running.connection()
        ask(first, body(stream=True))
        until(lambda: running.ready()["in_flight"] == 1)
        ask(second, body(stream=True))
        until(lambda: running.ready()["queued"] == 1)
        second.close()
        until(lambda: running.ready()["queued"] == 0)
        hang_up(relay, first)
        until(lambda: running.ready()["in_flight"] == 0)
        assert len(relay.seen) == 1
