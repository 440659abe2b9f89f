"""The bench measures what it says: real sockets, no assertion about time."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import bodies, gateway, load, mock, report

PASSTHROUGH = Path(__file__).with_name("passthrough.py")


def drive(sent: bytes, needle: bytes, *, connections: int = 2, path: str = "/v1/chat/completions") -> load.Result:
    async def scenario() -> load.Result:
        server = await mock.listen()
        what = load.Load(
            port=mock.port_of(server),
            bodies=[sent],
            needle=needle,
            connections=connections,
            secs=0.15,
            warm=0.0,
            path=path,
        )
        async with server:
            return await load.drive(what)

    return asyncio.run(scenario())


async def exchange(request: bytes, until: bytes) -> bytes:
    server = await mock.listen()
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", mock.port_of(server))
        writer.write(request)
        answer = await asyncio.wait_for(reader.readuntil(until), 10)
        writer.close()
        await writer.wait_closed()
    return answer


def request(body: bytes) -> bytes:
    return load.Load(port=1, bodies=[body], needle=b"").request(0)


def test_bodies_are_the_same_every_time_and_of_the_stated_size() -> None:
    agent = json.loads(bodies.build("agent", "openfusion/auto"))
    assert bodies.agent(3) == bodies.agent(3) != bodies.agent(4)
    assert 200 <= len(bodies.build("small", "openfusion/auto")) <= 260
    assert 60_000 <= len(bodies.build("agent", "openfusion/auto")) <= 64_000
    assert (len(agent["tools"]), len(agent["messages"])) == (20, 14)
    assert len(agent["messages"][0]["content"]) == 12_000


def test_every_tool_result_answers_the_call_before_it() -> None:
    messages = bodies.agent(0)["messages"]
    calls = [m["tool_calls"][0]["id"] for m in messages if m["role"] == "assistant"]
    results = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
    assert calls == results
    assert len(set(calls)) == bodies.TOOL_CALLS


def test_mock_answers_a_whole_reply_of_the_stated_length() -> None:
    answer = asyncio.run(exchange(request(bodies.build("small", "m")), b'"total_tokens":12050}}'))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert f"content-length: {len(body)}".encode() in head
    assert mock.NEEDLE in body
    assert json.loads(body)["choices"][0]["finish_reason"] == "stop"


def test_mock_streams_fifty_tokens_then_usage_then_done() -> None:
    answer = asyncio.run(exchange(request(bodies.build("agent", "m", stream=True)), b"0\r\n\r\n"))
    events = [line[6:] for line in answer.split(b"\r\n")[1:] if line.startswith(b"data: ")]
    parsed = [json.loads(data) for data in events[:-1]]
    assert [p["choices"][0]["delta"] for p in parsed] == [{"content": " token"}] * 50 + [{}]
    assert parsed[-1]["usage"] == mock.USAGE
    assert events[-1].strip() == mock.DONE


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_quotes_the_stream_key_is_no_stream_request(stream: bool) -> None:
    body = {"messages": [{"role": "user", "content": '{"stream":true}'}], "stream": stream}
    assert mock.wants_stream(json.dumps(body).encode()) is stream
    assert mock.wants_stream(mock.compact(body)) is stream


@pytest.mark.parametrize(("stream", "needle"), [(False, mock.NEEDLE), (True, mock.DONE)])
def test_load_generator_counts_good_replies(stream: bool, needle: bytes) -> None:
    result = drive(bodies.build("agent", "m", stream=stream), needle)
    assert (result.errors, result.error) == (0, "")
    assert result.replies > 0
    assert 0 < result.first_byte_p50_us <= result.p50_us <= result.p99_us


def test_load_generator_catches_an_answer_without_the_needle() -> None:
    result = drive(bodies.build("small", "m"), b"something else")
    assert result.replies == 0
    assert result.errors > 0
    assert "status 200" in result.error


def test_load_generator_catches_a_status_that_is_not_200() -> None:
    result = drive(bodies.build("small", "m"), b"mock", path="/v1/other")
    assert result.replies == 0
    assert "status 404" in result.error


def test_load_generator_gives_up_where_nobody_listens() -> None:
    what = load.Load(port=gateway.free_port(), bodies=[b"{}"], needle=b"", connections=2, secs=0.05, warm=0.0)
    result = asyncio.run(load.drive(what))
    assert result.errors > 0
    assert "can't connect" in result.error


def test_a_reply_that_is_cut_short_is_an_error() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nneedle")
        await writer.drain()
        writer.close()

    async def scenario() -> load.Result:
        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await load.drive(load.Load(port=port, bodies=[b"{}"], needle=b"needle", secs=0.1, warm=0.0))

    result = asyncio.run(scenario())
    assert result.replies == 0
    assert result.errors > 0


def test_the_generated_configuration_has_eight_candidates_of_different_prices(tmp_path: Path) -> None:
    config = tomllib.loads(gateway.config("http://127.0.0.1:1/v1", 2, tmp_path / 'a "b" c'))
    prices = [c["price_usd_per_mtok"]["input"] for c in config["candidates"]]
    assert prices == sorted(set(prices))
    assert len(prices) == 8
    assert config["receipts"]["dir"] == str(tmp_path / 'a "b" c')


def figures(p50_us: float, **more: float | str | None) -> load.Result:
    base = {"replies": 100, "errors": 0, "error": "", "secs": 1.0, "per_s": 100.0, "p99_us": 9.0, "cpu_s": 0.5}
    return load.Result(**(base | {"p50_us": p50_us, "first_byte_p50_us": 1.0, "first_byte_p99_us": 2.0} | more))


CELLS = [f"{load}-{body}" for load in ("latency", "busy", "busy-stream") for body in ("small", "agent")]
CELLS.append("stream-agent")


def one_round(direct_us: float, gateway_us: float, **more: float | str | None) -> report.Round:
    return report.Round(
        direct={name: figures(direct_us) for name in CELLS},
        gateway={name: figures(gateway_us, **more) for name in CELLS},
        cold_start_s=0.5,
    )


def test_table_subtracts_within_a_round_and_shows_min_median_max() -> None:
    rounds = [one_round(10, 110), one_round(50, 250), one_round(20, 920)]
    text = report.markdown({"cores": 2}, {"rounds": 3}, rounds)
    assert "cores: 2; rounds: 3" in text
    assert "| added latency p50, small body | µs | 100 | 200 | 900 |" in text
    assert "| requests per CPU-second, agent body | 1/s | 200 | 200 | 200 |" in text
    assert "| cold start to the first good answer | s | 0.50 | 0.50 | 0.50 |" in text


def test_what_the_system_does_not_tell_is_said_to_be_not_measured() -> None:
    text = report.markdown({}, {}, [one_round(10, 20, cpu_s=None)])
    nothing = "not measured | not measured | not measured"
    assert f"| streams per CPU-second, small body | 1/s | {nothing} |" in text
    assert f"| memory (PSS) idle | MB | {nothing} |" in text


def test_wrong_replies_are_named_beside_the_figures() -> None:
    text = report.markdown({}, {}, [one_round(10, 20, errors=3, error="status 500: no")])
    assert "round 1, gateway, busy-small: 3 errors, first: status 500: no" in text


def test_a_whole_run_against_a_plain_proxy(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    proxy = f"{shlex.quote(sys.executable)} {shlex.quote(str(PASSTHROUGH))} {{port}} {{mock}}"
    words = [sys.executable, "-m", "bench.run", "--rounds", "1", "--secs", "0.1", "--warm", "0.05"]
    done = subprocess.run(
        [*words, "--cmd", proxy, "--json", str(raw)],
        cwd=gateway.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "| added latency p50, agent body | µs |" in done.stdout
    written = json.loads(raw.read_text())
    assert set(written["rounds"][0]["gateway"]) == set(CELLS)
    assert all(cell["replies"] > 0 for cell in written["rounds"][0]["gateway"].values())


def test_a_gateway_that_ends_at_once_is_reported_with_its_last_words() -> None:
    command = f"{shlex.quote(sys.executable)} -c \"raise SystemExit('no such option')\""
    words = [sys.executable, "-m", "bench.run", "--rounds", "1", "--cmd", command]
    done = subprocess.run(words, cwd=gateway.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "no such option" in done.stderr
