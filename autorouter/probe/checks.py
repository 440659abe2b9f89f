"""All checks of a relay, and how they are run: what is measured first and alone, the rest three at a time.

report = await probe(Relay(name="...", base_url="http://127.0.0.1:8787/v1"), at="2026-11-20T12:00:00Z")
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx

from autorouter import __version__
from autorouter.probe import check_chat, check_errors, check_formats, check_ground_truth, check_tools, check_wires
from autorouter.probe.check_errors import BAD_KEY
from autorouter.probe.relay_client import Line, Relay, client_for
from autorouter.probe.relay_session import Bench, Probe
from autorouter.probe.report import SCHEMA, Check, Finding, Measured, Report, bounded, overall, shown_url
from autorouter.upstream.errors import scrub

FIRST: Final = (*check_chat.PROBES, *check_ground_truth.PROBES)
"""They read what is there already."""
MORE: Final = (
    *check_tools.PROBES,
    *check_formats.PROBES,
    *check_wires.PROBES,
    *check_wires.TOOL_CHECKS,
    *check_errors.PROBES,
)
PROBES: Final = (*FIRST, *MORE, *check_errors.LAST)
STEPS: Final = len(PROBES) + 1
"""How often `told` is called: once for what is asked first, then for each check."""


async def probe(
    relay: Relay, *, at: str, told: Callable[[str], None] | None = None, client: httpx.AsyncClient | None = None
) -> Report:
    """Ask everything. Never raises for what a relay does. `told` hears each name as it is done. About 30 requests."""
    began_s = time.perf_counter()
    say = told or (lambda _: None)
    own = client or client_for(relay)
    try:
        bench = Bench(Line(relay, own))
        await bench.prepare()
        say("chat")
        checks = await (_stopped(bench) if bench.stop else _run(bench, say))
    finally:
        if client is None:
            await own.aclose()
    return _report(bench, checks, at, time.perf_counter() - began_s)


async def _stopped(bench: Bench) -> tuple[Check, ...]:
    """What was seen until then; nothing else is asked."""
    seen = {"chat.models", "error.echo"} if bench.models.status else set[str]()
    if bench.streaming.seconds:
        seen |= {one.name for one in FIRST}
    found = {one.name: await one.run(bench) for one in PROBES if one.name in seen}
    found["chat.whole"] = Finding("fail", bench.stop or "")
    rest = Finding("skipped", "chat itself doesn't work")
    return tuple(_check(bench, one, found.get(one.name, rest)) for one in PROBES)


async def _run(bench: Bench, say: Callable[[str], None]) -> tuple[Check, ...]:
    async def one(given: Probe) -> Check:
        found = await given.run(bench)
        say(given.name)
        return _check(bench, given, found)

    first = [await one(given) for given in FIRST]
    more = await asyncio.gather(*(one(given) for given in MORE))
    last = [await one(given) for given in check_errors.LAST]
    return (*first, *more, *last)


def _check(bench: Bench, given: Probe, found: Finding) -> Check:
    evidence = scrub(found.evidence.replace(BAD_KEY, "[key]"), bench.relay.key)
    return Check(name=given.name, result=found.result, evidence=bounded(evidence), means=given.means)


def _report(bench: Bench, checks: tuple[Check, ...], at: str, seconds: float) -> Report:
    relay = bench.relay
    first_byte_s, first_text_s, rate = check_ground_truth.measured(bench)
    return Report(
        schema=SCHEMA,
        version=__version__,
        at=at,
        name=bounded(scrub(relay.name, relay.key), 80),
        base_url=bounded(scrub(shown_url(relay.base_url), relay.key)),
        model=bounded(scrub(bench.model, relay.key)),
        key_env=relay.key_env,
        dry_run=bench.whole.document.get("system_fingerprint") == "dry-run",
        result=overall(checks),
        measured=Measured(
            first_byte_s=_rounded(first_byte_s),
            first_text_s=_rounded(first_text_s),
            throughput_tokens_per_s=_rounded(rate),
            requests=bench.line.requests,
            input_tokens=bench.usage.input_tokens,
            output_tokens=bench.usage.output_tokens,
            seconds=round(seconds, 3),
        ),
        checks=checks,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
