"""The dry run inside the router and the mock behind a socket play the same: what one gives the engine, the network's own
transport gets from the other."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import orjson
import pytest

from autorouter.core.types import Candidate
from autorouter.simulator.faults.catalog import FAULTS, PLACEHOLDER_KEY
from autorouter.simulator.transport import DryRunTransport
from autorouter.upstream.http import HttpTransport
from autorouter.upstream.transport import Timeouts, Transport, TransportError, UpstreamCall, UpstreamTarget
from tests.lanes import one_each
from tests.simulator.server.conftest import PATHS, Start, body

SILENT = {"timeout", "stall"}
LIMITS = {True: Timeouts(first_byte_s=0.3, between_bytes_s=0.3), False: Timeouts(first_byte_s=20, between_bytes_s=20)}
"""Short only where a limit is waited for."""
NAMES = ["", *(name for name in FAULTS if not name.startswith("slow"))]
CASES = one_each(
    pytest.param(*case, id=f"{case[0] or 'good'}-{case[1]}-{'streamed' if case[2] else 'whole'}")
    for case in itertools.product(NAMES, PATHS, (False, True))
)


def call(url: str, wire: str, name: str, stream: bool) -> UpstreamCall:
    headers = {"content-type": "application/json", "authorization": f"Bearer {PLACEHOLDER_KEY}"}
    target = UpstreamTarget(
        name="mock",
        base_url=url,
        wire=wire,
        profile="openai",
        headers=headers,
        key=None,
        key_env=None,
        timeouts=LIMITS[name in SILENT],
    )
    return UpstreamCall(
        target=target,
        candidate=Candidate(id="m", upstream="mock", model="m", ttft_s=0, throughput_tokens_per_s=1e9),
        path=PATHS[wire],
        body=orjson.dumps(body(wire, stream=stream)),
        stream=stream,
        request_id="r",
        fault=name or None,
        headers={"x-autorouter-fault": name} if name else {},
    )


async def fetch(transport: Transport, one: UpstreamCall) -> tuple[int, str, bytes, str]:
    """Status, kind of content, body, and the kind of the failure that ended it."""
    status, kind, data = 0, "", b""
    try:
        reply = await transport.send(one)
        status, kind = reply.status, reply.headers["content-type"]
        try:
            async for chunk in reply.chunks():
                data += chunk
        finally:
            reply.close()
    except TransportError as failure:
        return status, kind, data, failure.kind
    finally:
        await transport.aclose()
    return status, kind, data, ""


@pytest.mark.parametrize(("name", "wire", "stream"), CASES)
def test_a_fault_is_the_same_in_the_process_and_behind_a_socket(
    start: Start, name: str, wire: str, stream: bool
) -> None:
    one = call(start().url, wire, name, stream)
    dry = asyncio.run(fetch(DryRunTransport(time_scale=0), one))
    real = asyncio.run(fetch(HttpTransport(), replace(one, fault=None)))
    if name in ("rst-stream", "bad-framing"):
        # What was sent before may be lost on the way, and with it the status.
        assert real[3] in ("cut", "reset", "protocol")
        assert dry[2].startswith(real[2])
        return
    assert real == dry
