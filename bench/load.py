"""A closed-loop load generator: each connection sends its next request when the last one is answered.

    python -m bench.load --port 9100 --body agent --stream --connections 32 --secs 2

Every reply is checked: status 200, and a needle in the body. Latency runs from the write of a request to the end of
its reply, first byte from the write to the first byte of the body. Only replies that end inside the window count;
failures count from the first second, warm-up included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import httptools

from bench import bodies, machine, mock

MAX_ERRORS = 100
"""After so many failures the run ends: the target is broken, and its numbers would mean nothing."""
DRAIN_S = 10.0
"""How long the requests in flight at the end may take before they count as failures."""
REDIAL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send: connection i sends `bodies[i % len(bodies)]`."""

    port: int
    bodies: Sequence[bytes]
    needle: bytes
    connections: int = 1
    secs: float = 2.0
    warm: float = 0.5
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ("Authorization: Bearer local",)

    def request(self, number: int) -> bytes:
        body = self.bodies[number % len(self.bodies)]
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *self.headers,
        ]
        return "\r\n".join([*lines, "\r\n"]).encode() + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Times in microseconds. `cpu_s`: what `probe` grew by inside the window, None if it can't tell."""

    replies: int
    errors: int
    error: str
    secs: float
    per_s: float
    p50_us: float
    p99_us: float
    first_byte_p50_us: float
    first_byte_p99_us: float
    cpu_s: float | None


@dataclass(slots=True)
class Tally:
    needle: bytes
    counting: bool = False
    stopping: bool = False
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    errors: int = 0
    error: str = ""

    def fail(self, why: str) -> None:
        self.errors += 1
        self.error = self.error or why
        self.stopping = self.stopping or self.errors >= MAX_ERRORS


class Connection(asyncio.Protocol):
    def __init__(self, request: bytes, tally: Tally) -> None:
        self.request = request
        self.tally = tally
        self.parser = httptools.HttpResponseParser(self)
        self.closed = asyncio.get_running_loop().create_future()
        self.body: list[bytes] = []
        self.waiting = False
        self.sent = self.first = 0.0

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        self.transport: asyncio.Transport = transport
        self.send()

    def send(self) -> None:
        self.body.clear()
        self.waiting = True
        self.first = 0.0
        self.sent = perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self.give_up(f"not HTTP: {exc!r}")

    def on_body(self, data: bytes) -> None:
        if not self.first:
            self.first = perf_counter()
        self.body.append(data)

    def on_message_complete(self) -> None:
        end = perf_counter()
        status = self.parser.get_status_code()
        if status < 200:
            return  # 100 Continue and its like: the reply is still to come
        body = b"".join(self.body)
        if status != 200 or self.tally.needle not in body:
            self.give_up(f"status {status}: {body[:300].decode(errors='replace')}")
            return
        self.waiting = False
        if self.tally.counting:
            self.tally.latencies.append(end - self.sent)
            self.tally.first_bytes.append(self.first - self.sent)
        if self.tally.stopping or not self.parser.should_keep_alive():
            self.transport.close()
        else:
            self.send()

    def give_up(self, why: str) -> None:
        if self.waiting:
            self.waiting = False
            self.tally.fail(why)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting:
            self.give_up(f"connection lost: {exc!r}" if exc else "connection closed before the reply was whole")
        if not self.closed.done():
            self.closed.set_result(None)


async def keep_busy(load: Load, number: int, tally: Tally) -> None:
    """One connection for the whole run; a new one after a failure."""
    loop = asyncio.get_running_loop()
    request = load.request(number)
    while not tally.stopping:
        before = tally.errors
        try:
            _, connection = await loop.create_connection(lambda: Connection(request, tally), "127.0.0.1", load.port)
        except OSError as exc:
            tally.fail(f"can't connect: {exc}")
        else:
            try:
                await connection.closed
            except asyncio.CancelledError:
                connection.give_up(f"no reply within {DRAIN_S:g} s after the end")
                raise
        if tally.errors > before:
            await asyncio.sleep(REDIAL_S)


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0


def result(tally: Tally, secs: float, cpu_s: float | None) -> Result:
    latencies, first_bytes = ([t * 1e6 for t in sorted(times)] for times in (tally.latencies, tally.first_bytes))
    return Result(
        replies=len(latencies),
        errors=tally.errors,
        error=tally.error,
        secs=secs,
        per_s=len(latencies) / secs,
        p50_us=quantile(latencies, 0.50),
        p99_us=quantile(latencies, 0.99),
        first_byte_p50_us=quantile(first_bytes, 0.50),
        first_byte_p99_us=quantile(first_bytes, 0.99),
        cpu_s=cpu_s,
    )


async def drive(load: Load, probe: Callable[[], float | None] = lambda: None) -> Result:
    """Runs the load. `probe` is read at both ends of the window, for instance a process's CPU time."""
    tally = Tally(load.needle)
    tasks = [asyncio.create_task(keep_busy(load, number, tally)) for number in range(load.connections)]
    await asyncio.wait(tasks, timeout=load.warm)
    cpu_before, start = probe(), perf_counter()
    tally.counting = True
    await asyncio.wait(tasks, timeout=load.secs)
    tally.counting = False
    secs, cpu_after = perf_counter() - start, probe()
    tally.stopping = True
    if not tally.latencies:
        tally.fail("no reply ended inside the window")
    _, stuck = await asyncio.wait(tasks, timeout=DRAIN_S)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    cpu_s = None if cpu_before is None or cpu_after is None else cpu_after - cpu_before
    return result(tally, secs, cpu_s)


def run(load: Load, probe: Callable[[], float | None] = lambda: None) -> Result:
    gc.collect()
    gc.disable()  # a collection of ours would be taken for a pause of the target
    try:
        return machine.run(drive(load, probe))
    finally:
        gc.enable()


def main() -> None:
    parser = argparse.ArgumentParser(description="A closed-loop load generator.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", choices=("small", "agent"), default="small")
    parser.add_argument("--model", default="openfusion/auto")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--secs", type=float, default=2.0)
    parser.add_argument("--warm", type=float, default=0.5)
    args = parser.parse_args()
    sent = [bodies.build(args.body, args.model, stream=args.stream, session=i) for i in range(args.connections)]
    needle = mock.DONE if args.stream else mock.NEEDLE
    load = Load(
        port=args.port, bodies=sent, needle=needle, connections=args.connections, secs=args.secs, warm=args.warm
    )
    print(json.dumps(asdict(run(load)), indent=2))


if __name__ == "__main__":
    main()
