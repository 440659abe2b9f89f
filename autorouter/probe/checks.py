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
from autorouter.probe.relay_client import Relay, RelayClient, client_for
from autorouter.probe.relay_session import RelayCheck, RelaySession
from autorouter.probe.report import SCHEMA, Check, CheckFinding, Measured, Report, bounded, overall, shown_url
from autorouter.upstream.errors import scrub

SEQUENTIAL_CHECKS: Final = (*check_chat.CHECKS, *check_ground_truth.CHECKS)
"""They read what is there already."""
CONCURRENT_CHECKS: Final = (
    *check_tools.CHECKS,
    *check_formats.CHECKS,
    *check_wires.CHECKS,
    *check_wires.TOOL_CHECKS,
    *check_errors.CHECKS,
)
CHECKS: Final = (*SEQUENTIAL_CHECKS, *CONCURRENT_CHECKS, *check_errors.FINAL_CHECKS)
STEPS: Final = len(CHECKS) + 1
"""How often `told` is called: once for what is asked first, then for each check."""


async def probe(
    relay: Relay, *, at: str, told: Callable[[str], None] | None = None, client: httpx.AsyncClient | None = None
) -> Report:
    """Ask everything. Never raises for what a relay does. `told` hears each name as it is done. About 30 requests."""
    began_s = time.perf_counter()
    say = told or (lambda _: None)
    own = client or client_for(relay)
    try:
        session = RelaySession(RelayClient(relay, own))
        await session.prepare()
        say("chat")
        checks = await (_stop_reason(session) if session.stop_reason else _run(session, say))
    finally:
        if client is None:
            await own.aclose()
    return _report(session, checks, at, time.perf_counter() - began_s)


async def _stop_reason(session: RelaySession) -> tuple[Check, ...]:
    """What was seen until then; nothing else is asked."""
    response = {"chat.models", "error.echo"} if session.models.status else set[str]()
    if session.stream_response.seconds:
        response |= {one.name for one in SEQUENTIAL_CHECKS}
    found = {one.name: await one.run(session) for one in CHECKS if one.name in response}
    found["chat.whole"] = CheckFinding("fail", session.stop_reason or "")
    rest = CheckFinding("skipped", "chat itself doesn't work")
    return tuple(_check(session, one, found.get(one.name, rest)) for one in CHECKS)


async def _run(session: RelaySession, say: Callable[[str], None]) -> tuple[Check, ...]:
    async def one(given: RelayCheck) -> Check:
        found = await given.run(session)
        say(given.name)
        return _check(session, given, found)

    first = [await one(given) for given in SEQUENTIAL_CHECKS]
    more = await asyncio.gather(*(one(given) for given in CONCURRENT_CHECKS))
    last = [await one(given) for given in check_errors.FINAL_CHECKS]
    return (*first, *more, *last)


def _check(session: RelaySession, given: RelayCheck, found: CheckFinding) -> Check:
    evidence = scrub(found.evidence.replace(BAD_KEY, "[key]"), session.relay.key)
    return Check(name=given.name, result=found.result, evidence=bounded(evidence), means=given.means, code=found.code)


def _report(session: RelaySession, checks: tuple[Check, ...], at: str, seconds: float) -> Report:
    relay = session.relay
    first_byte_s, first_text_s, rate = check_ground_truth.measure_speed(session)
    return Report(
        schema=SCHEMA,
        version=__version__,
        at=at,
        name=bounded(scrub(relay.name, relay.key), 80),
        base_url=bounded(scrub(shown_url(relay.base_url), relay.key)),
        model=bounded(scrub(session.model, relay.key)),
        key_env=relay.key_env,
        dry_run=session.whole_response.document.get("system_fingerprint") == "dry-run",
        result=overall(checks),
        measured=Measured(
            first_byte_s=_rounded(first_byte_s),
            first_text_s=_rounded(first_text_s),
            throughput_tokens_per_s=_rounded(rate),
            requests=session.client.requests,
            input_tokens=session.usage.input_tokens,
            output_tokens=session.usage.output_tokens,
            seconds=round(seconds, 3),
        ),
        checks=checks,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
