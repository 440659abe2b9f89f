"""The real transport against a scripted socket: what each fault is called, and that every wait ends."""

import asyncio
import gzip
import socket
import threading

import orjson
import pytest

from autorouter.core.types import Candidate
from autorouter.upstream.http import HttpTransport
from autorouter.upstream.transport import Timeouts, TransportError, UpstreamCall, UpstreamTarget, read_all
from tests.fakes import CUT, RESET, STALL, WAIT_S, Relay, chunk, http, refuse, whole

QUICK = {"first_byte_s": 0.2, "between_bytes_s": 0.2}
CHUNKED = http(200, {"transfer-encoding": "chunked"})


@pytest.fixture
def relay():
    with Relay() as running:
        yield running


def call_to(url, *, body=b'{"model":"m"}', **limits):
    target = UpstreamTarget(
        name="up",
        base_url=url,
        wire="chat",
        profile="generic",
        headers={"content-type": "application/json", "authorization": "Bearer secret"},
        key="secret",
        key_env=None,
        timeouts=Timeouts(**limits),
    )
    return UpstreamCall(
        target=target,
        candidate=Candidate(id="c", upstream="up", model="m"),
        path="/chat/completions",
        body=body,
        stream=True,
        request_id="req-1",
    )


def fetch(*calls, read=None):
    """Status and body of each call, over one transport; a failure instead of what it ended. `read` gets each chunk."""

    async def one(transport, call):
        reply = None
        parts = []
        try:
            reply = await transport.send(call)
            async for part in reply.chunks():
                parts.append(part)
                if read is not None:
                    read(b"".join(parts))
        except TransportError as failure:
            told = failure.kind if "`up`" in failure.message and "secret" not in failure.message else failure.message
            return (reply.status if reply else None), b"".join(parts), told
        finally:
            if reply is not None:
                reply.close()
        return reply.status, b"".join(parts), None

    async def all_of_them():
        transport = HttpTransport()
        try:
            async with asyncio.timeout(WAIT_S):
                return [await one(transport, call) for call in calls]
        finally:
            await transport.aclose()

    return asyncio.run(all_of_them())


def outcome(relay, *parts, **limits):
    relay.play(parts)
    return fetch(call_to(relay.url, **limits))[0]


def test_a_call_carries_its_bytes_and_headers_and_nothing_else(relay):
    body = '{"model" : "m", "text":"漢字"}\n'.encode()
    assert fetch(call_to(relay.url, body=body))[0][0] == 200
    (seen,) = relay.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", body)
    assert seen.headers["authorization"] == "Bearer secret"
    assert seen.headers["x-request-id"] == "req-1"
    assert set(seen.headers) == {"host", "content-type", "content-length", "authorization", "x-request-id", "accept"}


def test_connections_are_used_again(relay):
    fetch(*[call_to(relay.url)] * 5)
    assert [seen.connection for seen in relay.seen] == [1] * 5


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ((http(200, {}, b"abc"),), b"abc"),
        ((CHUNKED, chunk(b"ab"), chunk(b"c"), b"0\r\n\r\n"), b"abc"),
        ((CHUNKED, b"3;ext=1\r\nabc\r\n", b"0\r\nx-trailer: 1\r\n\r\n"), b"abc"),
        ((b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc", CUT), b"abc"),
        ((http(200, {"content-encoding": "gzip"}, gzip.compress(b"abc" * 1000)),), b"abc" * 1000),
        (
            (
                CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"),
                chunk(gzip.compress(b"abc")),
                b"0\r\n\r\n",
            ),
            b"abc",
        ),
        ((http(503, {"retry-after": "1"}, b"no"),), b"no"),
        ((http(302, {"location": "http://127.0.0.1:9/"}, b""),), b""),
    ],
    ids=["length", "chunked", "extensions", "until-close", "gzip", "gzip-chunked", "503", "redirect-not-followed"],
)
def test_an_answer_is_its_bytes_however_it_is_framed(parts, body, relay):
    status, found, failure = outcome(relay, *parts)
    assert (found, failure) == (body, None)
    assert parts[0].startswith(f"HTTP/1.1 {status} ".encode())


def test_chunks_come_as_soon_as_they_are_there(relay):
    gate = threading.Event()
    relay.play((CHUNKED, chunk(b"one"), gate, chunk(b"two"), b"0\r\n\r\n"))
    # The second half is only sent once the first has been read.
    ((_, body, failure),) = fetch(call_to(relay.url), read=lambda seen: gate.set() if seen == b"one" else None)
    assert (body, failure) == (b"onetwo", None)


# ---- faults


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert fetch(call_to(f"http://127.0.0.1:{port}/v1"))[0] == (None, b"", "connect")


@pytest.mark.parametrize("url", ["http://name.invalid/v1", "http://127.0.0.1:1/v1"])
def test_an_address_that_leads_nowhere(url):
    assert fetch(call_to(url))[0] == (None, b"", "connect")


def test_a_port_where_nobody_answers_the_door():
    # A listener whose queue is full takes no more connections.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(8)]
        for line in waiting:
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        found = fetch(call_to(f"http://127.0.0.1:{full.getsockname()[1]}/v1", connect_s=0.2, first_byte_s=0.2))[0]
        for line in waiting:
            line.close()
    assert found == (None, b"", "timeout")


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ((RESET,), "reset"),
        ((CUT,), "reset"),
        ((b"HTTP/1.1 200", CUT), "reset"),
        ((b"hello, this is no HTTP\r\n\r\n", CUT), "protocol"),
        ((b"\x16\x03\x01\x02\x00\r\n\r\n", CUT), "protocol"),
        ((b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", CUT), "protocol"),
        ((b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 2**17 + b"\r\n\r\n", CUT), "protocol"),
    ],
)
def test_what_happens_before_an_answer(parts, kind, relay):
    assert outcome(relay, *parts) == (None, b"", kind)


@pytest.mark.parametrize(
    "parts",
    [
        (http(200, {"content-length": "9"}, b"abc"), CUT),
        (CHUNKED, chunk(b"abc"), CUT),
        (CHUNKED, chunk(b"abc"), b"5\r\nde", CUT),
    ],
)
def test_an_answer_that_breaks_off_is_cut(parts, relay):
    status, body, failure = outcome(relay, *parts)
    assert (status, failure) == (200, "cut")
    assert b"abcde".startswith(body)


@pytest.mark.parametrize(
    "tail",
    [(RESET,), (b"zz\r\nno chunk\r\n", CUT), (b"3\r\nabcXX\r\n", CUT), (b"zz\r\nno chunk\r\n", STALL)],
    ids=["reset", "bad-size", "bad-end", "bad-size-and-open"],
)
def test_an_answer_that_breaks_after_it_began_is_cut(tail, relay):
    gate = threading.Event()
    relay.play((CHUNKED, chunk(b"one"), gate, *tail))
    ((status, body, failure),) = fetch(call_to(relay.url), read=lambda seen: gate.set())
    assert (status, failure) == (200, "cut")
    assert body.startswith(b"one")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_claims_to_be_compressed_and_is_not_is_a_failure(coding, relay):
    _, body, failure = outcome(relay, http(200, {"content-encoding": coding}, b"\xffnot at all" * 20))
    assert (body, failure) in ((b"", "cut"), (b"", "protocol"))


def test_silence_before_the_answer_is_a_timeout(relay):
    assert outcome(relay, STALL, **QUICK) == (None, b"", "timeout")
    assert outcome(relay, b"HTTP/1.1 200 OK\r\n", STALL, **QUICK) == (None, b"", "timeout")


def test_silence_behind_the_headers_is_a_timeout(relay):
    assert outcome(relay, CHUNKED, STALL, **QUICK) == (200, b"", "timeout")


def test_silence_inside_the_answer_is_a_timeout(relay):
    assert outcome(relay, CHUNKED, chunk(b"one"), STALL, **QUICK) == (200, b"one", "timeout")


def test_the_first_byte_may_take_longer_than_the_next_ones(relay):
    late = threading.Event()
    timer = threading.Timer(0.5, late.set)
    timer.start()
    found = outcome(relay, late, CHUNKED, chunk(b"one"), STALL, first_byte_s=WAIT_S, between_bytes_s=0.1)
    timer.join()
    assert found == (200, b"one", "timeout")


def test_the_next_bytes_may_take_longer_than_the_first(relay):
    late = threading.Event()
    timers = []

    def soon(_):
        timers.append(threading.Timer(0.5, late.set))
        timers[-1].start()

    relay.play((CHUNKED + chunk(b"one"), late, chunk(b"two"), b"0\r\n\r\n"))
    ((_, body, failure),) = fetch(call_to(relay.url, first_byte_s=0.3, between_bytes_s=WAIT_S), read=soon)
    for timer in timers:
        timer.join()
    assert (body, failure) == (b"onetwo", None)


def test_a_client_that_reads_slowly_is_no_silence(relay):
    async def slowly():
        transport = HttpTransport()
        relay.play((CHUNKED, *(chunk(b"x") for _ in range(3)), b"0\r\n\r\n"))
        reply = await transport.send(call_to(relay.url, **QUICK))
        seen = b""
        async for part in reply.chunks():
            seen += part
            await asyncio.sleep(0.5)
        reply.close()
        await transport.aclose()
        return seen

    assert asyncio.run(slowly()) == b"xxx"


def test_closing_a_reply_stops_the_upstream(relay):
    async def hang_up():
        transport = HttpTransport()
        relay.play((CHUNKED, chunk(b"one"), STALL))
        reply = await transport.send(call_to(relay.url))
        source = reply.chunks()
        first = await anext(source)
        reply.close()
        closed = await asyncio.to_thread(relay.seen[0].closed.wait, WAIT_S)
        await source.aclose()
        await transport.aclose()
        return first, closed

    assert asyncio.run(hang_up()) == (b"one", True)


def test_an_answer_beyond_the_limit_is_refused(relay):
    async def read(limit):
        transport = HttpTransport()
        relay.play((http(200, {}, b"x" * 1_000),))
        reply = await transport.send(call_to(relay.url))
        try:
            return len(await read_all(reply, limit))
        finally:
            reply.close()
            await transport.aclose()

    assert asyncio.run(read(1_000)) == 1_000
    with pytest.raises(TransportError) as caught:
        asyncio.run(read(999))
    assert caught.value.kind == "too_large"


def test_after_a_fault_the_same_transport_answers(relay):
    relay.play((RESET,), (CHUNKED, chunk(b"a"), CUT), refuse(500))
    call = call_to(relay.url)
    *faults, good = fetch(call, call, call, call)
    assert [failure for _, _, failure in faults] == ["reset", "cut", None]
    assert good[0] == 200
    assert orjson.loads(good[1])["choices"]


def test_answers_of_one_upstream_can_be_read_at_once(relay):
    async def both():
        transport = HttpTransport()
        gate = threading.Event()
        relay.play((CHUNKED, chunk(b"slow "), gate, chunk(b"end"), b"0\r\n\r\n"), whole({"quick": True}))
        slow = await transport.send(call_to(relay.url))
        quick = await transport.send(call_to(relay.url))
        first = await read_all(quick, 1_000)
        gate.set()
        second = await read_all(slow, 1_000)
        quick.close()
        slow.close()
        await transport.aclose()
        return first, second

    assert asyncio.run(both()) == (b'{"quick": true}', b"slow end")
