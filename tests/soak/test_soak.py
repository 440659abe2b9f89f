"""200 streams at once of mixed sorts, through a router and an upstream in processes of their own. It takes two minutes in the
slow lane, and as long as AUTOROUTER_SOAK_S says otherwise:

    make soak         30 minutes

No byte lost or doubled, each request has one receipt, memory is flat, nothing leaks, nothing raises.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from autorouter.receipts.reader import read_records, segment_files, verify_directory
from tests.soak.load import Client, Tally

SOAK_S = float(os.environ.get("AUTOROUTER_SOAK_S", "120"))
STREAMS = 200
SAMPLE_S = 2.0
WARM = 0.5
"""Share of the time that is warm-up: sessions, pools and the allocator's arenas fill."""
SLOPE_MB_PER_MIN = 4.0 if SOAK_S < 600 else 0.5
"""In a minute or two the allocator's steps weigh as much as a leak would."""
CANDIDATE = """
[[candidates]]
id = "c{number}"
upstream = "soak"
model = "vendor/c{number}"
roles = ["fast", "coder", "reasoner", "writer", "verifier"]
capabilities = ["tools", "vision", "json_schema"]
context_window_tokens = 1000000
price_usd_per_mtok = {{ input = 0.1, output = 0.4 }}
benchmarks = {{ general = 80, coding = 80, reasoning = 80, verification = 80, writing = 80 }}
"""
CONFIG = """\
schema_version = 1
[upstreams.soak]
base_url = "http://127.0.0.1:{port}/v1"
api_key_env = "SOAK_KEY"
[receipts]
dir = "receipts"
"""


@contextmanager
def started(module: str, log: Path, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that tells its port; its errors go to the log."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    assert process.stdout is not None
    try:
        told = process.stdout.readline()
        assert told, log.read_text()
        yield process, int(told)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


async def sampled(session: aiohttp.ClientSession, url: str, until_s: float) -> list[dict[str, Any]]:
    found = []
    while time.monotonic() < until_s:
        found.append(await counts(session, url))
        await asyncio.sleep(SAMPLE_S)
    return found


async def counts(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url + "/soak") as answer:
        found: dict[str, Any] = await answer.json()
    return {**found, "at_s": time.monotonic()}


async def soaked(url: str, upstream: subprocess.Popen[bytes]) -> tuple[Tally, list[dict[str, Any]], Any, Any]:
    """What the clients saw, the samples, and the counts before and after all of it."""
    tally = Tally()
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, read_bufsize=8192
    ) as session:
        first = await counts(session, url)
        until_s = time.monotonic() + SOAK_S
        clients = [Client(number, session, url, tally) for number in range(STREAMS)]
        samples, *_ = await asyncio.gather(sampled(session, url, until_s), *(one.run(until_s) for one in clients))
    upstream.communicate(timeout=20)  # its end closes the connections that the router keeps open to it
    async with aiohttp.ClientSession() as session:
        limit_s = time.monotonic() + 20
        last = await counts(session, url)
        while time.monotonic() < limit_s and (
            last["tasks"] > first["tasks"] or last["descriptors"] > first["descriptors"]
        ):
            await asyncio.sleep(0.2)
            last = await counts(session, url)
    return tally, samples, first, last


def slope(samples: list[dict[str, Any]]) -> float:
    """Growth of memory behind the warm-up, MB per minute."""
    kept = samples[int(len(samples) * WARM) :]
    return statistics.linear_regression([one["at_s"] / 60 for one in kept], [one["rss_mb"] for one in kept]).slope


def receipts_of(folder: Path) -> Counter[str]:
    assert verify_directory(folder) == []
    return Counter(
        record["id"]
        for path in segment_files(folder)
        for _, record, _ in read_records(path)
        if record["type"] == "receipt"
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory and descriptors are read from /proc")
def test_a_long_day_with_two_hundred_streams(tmp_path: Path) -> None:
    config, log = tmp_path / "autorouter.toml", tmp_path / "router.log"
    with ExitStack() as stack:
        upstream, port = stack.enter_context(started("tests.soak.upstream", tmp_path / "upstream.log"))
        text = CONFIG.format(port=port) + "".join(CANDIDATE.format(number=number) for number in range(12))
        config.write_text(text, "utf-8")
        router, port = stack.enter_context(started("tests.soak.router", log, str(config)))
        tally, samples, first, last = asyncio.run(soaked(f"http://127.0.0.1:{port}", upstream))
        router.terminate()
        assert router.wait(30) == 0
    grown, most = slope(samples), max(one["rss_mb"] for one in samples)
    open_at_once = statistics.median(one["open_streams"] for one in samples)
    written = receipts_of(tmp_path / "receipts")
    print(
        f"\n{SOAK_S:g} s, {sum(tally.kinds.values())} requests {dict(tally.kinds)}; {open_at_once:g} streams at once; "
        f"memory {first['rss_mb']:.0f} -> {samples[-1]['rss_mb']:.0f} MB, most {most:.0f}, {grown:+.2f} MB/min; "
        f"descriptors {first['descriptors']} -> {last['descriptors']}, tasks {first['tasks']} -> {last['tasks']}; "
        f"{len(written)} receipts"
    )
    assert not tally.wrong, tally.wrong[:5]
    assert open_at_once > STREAMS * 0.7
    assert {"answered", "failed over", "cut", "hung up", "whole", "left early"} <= set(tally.kinds)
    assert set(written.values()) == {1}, "each receipt once"
    assert len(tally.ids) == len(set(tally.ids))
    assert set(tally.ids) <= set(written), "each answer has its receipt"
    assert len(written.keys() - set(tally.ids)) <= tally.unnamed, "and nothing else has"
    assert (last["in_flight"], last["open_streams"], last["queued"], last["held_bytes"]) == (0, 0, 0, 0)
    assert last["tasks"] <= first["tasks"]
    assert last["descriptors"] <= first["descriptors"]
    assert grown < SLOPE_MB_PER_MIN
    said = log.read_text("utf-8", "replace")
    assert "Traceback" not in said, said[:2000]
    assert "ERROR" not in said, said[:2000]
