"""A client that reads nothing costs little memory, nobody else's time, and in the end its connection. And heads that never
end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.fakes import DONE, FIRST, WAIT_S, Part, Relay, chunk, delta, http, until
from tests.server.conftest import CHAT, body
from tests.server.program import Program, on_disk, program
from tests.server.test_hangup import ask

MANY_BYTES = 200 * 1024 * 1024
PIECE = chunk(delta(content="x" * 65_536))
HEAD = http(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
FLOOD: tuple[Part, ...] = (
    HEAD,
    chunk(FIRST),
    *[PIECE] * (MANY_BYTES // len(PIECE)),
    chunk(delta("stop")),
    chunk(DONE),
    b"0\r\n\r\n",
)
READ_TIMEOUT = "autorouter.server.connection.CLIENT_READ_TIMEOUT_S"
WRITE_TIMEOUT = "autorouter.server.connection.CLIENT_WRITE_TIMEOUT_S"
FLAT_MB = 32
"""What is allowed on top: buffers of the sockets' two sides in the process, and what a first stream loads."""


@pytest.fixture
def running(tmp_path: Path, relay: Relay) -> Iterator[Program]:
    with program(tmp_path, relay.url, constants={WRITE_TIMEOUT: 1.0}) as found:
        yield found


def small(line: socket.socket, count: int = 4096) -> None:
    """As little of the stream as possible waits in the system."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, count)


def test_who_reads_nothing_is_not_buffered_stalls_nobody_and_is_cut(running: Program, relay: Relay) -> None:
    assert running.client.post(CHAT, json=body(stream=True)).status_code == 200
    before_mb = running.rss_mb()
    relay.play(FLOOD)
    with running.connection() as line:
        small(line)
        ask(line, body(stream=True))
        until(lambda: len(relay.seen) == 2)
        limit_s, most_mb, served = time.monotonic() + WAIT_S, 0.0, 0
        while not relay.seen[1].closed.is_set():
            assert running.client.post(CHAT, json=body()).status_code == 200, "another client is served meanwhile"
            served += 1
            most_mb = max(most_mb, running.rss_mb())
            assert time.monotonic() < limit_s, "it was never cut"
    assert served >= 3
    assert most_mb - before_mb < FLAT_MB, f"{before_mb:.0f} -> {most_mb:.0f} MB"
    until(lambda: len(on_disk(running.receipts)) == served + 2)
    cut = [one["outcome"] for one in on_disk(running.receipts) if one["outcome"]["status"] == 499]  # type: ignore[index]
    assert [(one["result"], one["error"]) for one in cut] == [("client_gone", "client_stalled")]  # type: ignore[index]


def test_who_reads_slowly_gets_everything(tmp_path: Path, relay: Relay) -> None:
    """Nine MB with pauses that add up to more than the stall limit, while each of them is far from it."""
    relay.play((HEAD, chunk(FIRST), *[PIECE] * 144, chunk(delta("stop")), chunk(DONE), b"0\r\n\r\n"))
    seen, last = 0, b""
    with program(tmp_path, relay.url, constants={WRITE_TIMEOUT: 2.0}) as running, running.connection() as line:
        small(line, 262_144)
        ask(line, body(stream=True))
        pause_at = MANY_BYTES
        while part := line.recv(65_536):
            seen, last = seen + len(part), (last + part)[-64:]
            if seen // (3 * 1024 * 1024) != pause_at:
                pause_at = seen // (3 * 1024 * 1024)
                time.sleep(0.7)
    assert seen > 144 * 65_536
    assert last.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "a clean end"


def test_a_head_that_never_ends_is_refused(running: Program) -> None:
    with running.connection() as line:
        line.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: ")
        seen = b""
        try:
            for _ in range(64):
                line.sendall(b"y" * 16_384)
            while part := line.recv(65_536):
                seen += part
        except ConnectionError:
            pass
    assert running.client.get("/livez").status_code == 200
    assert b"yyy" not in seen


@pytest.mark.parametrize(
    "headers", [{f"x-{n}": "1" for n in range(200)}, {"x-long": "y" * 70_000}], ids=["many", "long"]
)
def test_too_large_a_head_is_a_431(headers: dict[str, str], running: Program) -> None:
    answer = running.client.get("/livez", headers=headers)
    assert answer.status_code == 431
    assert answer.json()["error"]["code"] == "headers_too_large"
    assert running.client.get("/livez").status_code == 200


def test_an_event_without_an_end_is_not_collected(running: Program, relay: Relay) -> None:
    assert running.client.post(CHAT, json=body(stream=True)).status_code == 200
    before_mb = running.rss_mb()
    endless = (HEAD, chunk(b"data: "), *[chunk(b"x" * 65_536)] * (MANY_BYTES // 65_536))
    relay.play(endless, to="vendor/first")
    answer = running.client.post(CHAT, json=body(stream=True))
    assert answer.status_code == 200
    assert answer.text.endswith(DONE.decode())
    assert running.rss_mb() - before_mb < 2 * FLAT_MB
    until(lambda: len(on_disk(running.receipts)) == 2)
    tried = on_disk(running.receipts)[1]["attempts"]
    assert [one["result"] for one in tried] == ["protocol", "answered"]  # type: ignore[attr-defined]


def test_a_request_that_stops_in_its_middle_is_ended_and_frees_what_it_held(tmp_path: Path, relay: Relay) -> None:
    """Sixteen announced bodies of 32 MiB fill `MAX_BUFFERED_BYTES`, so that nobody else is let in while they last."""
    announced = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: "
    with program(tmp_path, relay.url, constants={READ_TIMEOUT: 1.0}) as found, ExitStack() as stack:
        lines = [stack.enter_context(found.connection()) for _ in range(16)]
        for line in lines:
            line.sendall(f"{announced}{32 * 1024 * 1024}\r\n\r\n{{".encode())
        until(lambda: found.client.post(CHAT, json=body()).status_code == 429)
        ends = [b"".join(iter(lambda line=line: line.recv(4096), b"")) for line in lines]
        assert all(end.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in end for end in ends)
        assert found.client.post(CHAT, json=body()).status_code == 200
        with found.connection() as line:
            line.sendall(b"POST /v1/chat/comp")
            assert line.recv(4096).startswith(b"HTTP/1.1 408 "), "half a head"
        assert found.client.post(CHAT, json=body()).status_code == 200


def test_a_request_that_comes_slowly_is_served(tmp_path: Path, relay: Relay) -> None:
    sent = orjson.dumps(body())
    with program(tmp_path, relay.url, constants={READ_TIMEOUT: 1.0}) as found, found.connection() as line:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        line.sendall(f"{head}content-length: {len(sent)}\r\n\r\n".encode())
        for start in range(0, len(sent), len(sent) // 5 + 1):
            time.sleep(0.25)
            line.sendall(sent[start : start + len(sent) // 5 + 1])
        assert line.recv(4096).startswith(b"HTTP/1.1 200 ")
