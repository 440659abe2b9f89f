"""All checks of a relay, and how they run: those that measure first and alone, the rest three at a time.

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
"""These read the responses that `RelaySession.prepare` has fetched."""
CONCURRENT_CHECKS: Final = (
    *check_tools.CHECKS,
    *check_formats.CHECKS,
    *check_wires.CHECKS,
    *check_wires.TOOL_CHECKS,
    *check_errors.CHECKS,
)
CHECKS: Final = (*SEQUENTIAL_CHECKS, *CONCURRENT_CHECKS, *check_errors.FINAL_CHECKS)
STEPS: Final = len(CHECKS) + 1
"""How often `on_progress` is called: once after the preparation, then after each check."""


async def probe(
    relay: Relay, *, at: str, on_progress: Callable[[str], None] | None = None, client: httpx.AsyncClient | None = None
) -> Report:
    """Run every check, with about 30 requests. Never raises for what a relay does. `on_progress` gets the name of each
    finished check."""
    began_s = time.perf_counter()
    report_progress = on_progress or (lambda _: None)
    http_client = client or client_for(relay)
    try:
        session = RelaySession(RelayClient(relay, http_client))
        await session.prepare()
        report_progress("chat")
        checks = await (_stopped_checks(session) if session.stop_reason else _run_checks(session, report_progress))
    finally:
        if client is None:
            await http_client.aclose()
    return _report(session, checks, at, time.perf_counter() - began_s)


async def _stopped_checks(session: RelaySession) -> tuple[Check, ...]:
    """The checks for which there are responses already; the others are skipped, without a request."""
    runnable = {"chat.models", "error.echo"} if session.models.status else set[str]()
    if session.stream_response.seconds:
        runnable |= {check.name for check in SEQUENTIAL_CHECKS}
    findings = {check.name: await check.run(session) for check in CHECKS if check.name in runnable}
    findings["chat.whole"] = CheckFinding("fail", session.stop_reason or "")
    skipped = CheckFinding("skipped", "chat itself doesn't work")
    return tuple(_report_line(session, check, findings.get(check.name, skipped)) for check in CHECKS)


async def _run_checks(session: RelaySession, report_progress: Callable[[str], None]) -> tuple[Check, ...]:
    async def run(check: RelayCheck) -> Check:
        finding = await check.run(session)
        report_progress(check.name)
        return _report_line(session, check, finding)

    sequential = [await run(check) for check in SEQUENTIAL_CHECKS]
    concurrent = await asyncio.gather(*(run(check) for check in CONCURRENT_CHECKS))
    # Last, because `error.echo` looks at every response of the others.
    final = [await run(check) for check in check_errors.FINAL_CHECKS]
    return (*sequential, *concurrent, *final)


def _report_line(session: RelaySession, check: RelayCheck, finding: CheckFinding) -> Check:
    evidence = bounded(scrub(finding.evidence.replace(BAD_KEY, "[key]"), session.relay.key))
    return Check(name=check.name, result=finding.result, evidence=evidence, means=check.means, code=finding.code)


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
