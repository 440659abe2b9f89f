"""The probe against the mock, fault by fault: what a client must come through passes, all else is a fail."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from autorouter.probe.checks import probe
from autorouter.probe.relay_client import Relay
from autorouter.probe.report import Report
from autorouter.simulator.faults.catalog import FAULTS, TOLERATED
from autorouter.simulator.faults.types import ALL_WIRES
from autorouter.simulator.server.app import MockServer, MockSettings
from autorouter.simulator.server.rules import FaultChooser

KEY = "sk-mock-0123456789abcdef"
SILENCE_S = 1.0
SAID = frozenset({"agree", "verdict-revise"})
"""What a role says, which is no matter of the wire."""
UNCOUNTED = frozenset({"no-usage"})
"""A client comes through it unharmed, a router's budget doesn't."""
SWIFT = [name for name, fault in FAULTS.items() if not (fault.first_byte_delay_s or fault.event_delay_s)]
"""All but those that only take their time."""


@cache
def report_of(scenario: str) -> Report:
    async def asked() -> Report:
        server = MockServer(MockSettings(chooser=FaultChooser(None, scenario), wires=ALL_WIRES))
        host, port = await server.start("127.0.0.1", 0)
        try:
            relay = Relay(name="mock", base_url=f"http://{host}:{port}/v1", key=KEY, timeout_s=SILENCE_S)
            return await probe(relay, at="2026-11-20T12:00:00Z")
        finally:
            await server.close()

    return asyncio.run(asked())


def test_the_mock_without_a_fault_does_not_fail() -> None:
    report = report_of("")
    assert [(check.name, check.evidence) for check in report.of("fail")] == []
    assert report.dry_run


@pytest.mark.parametrize("name", SWIFT)
def test_a_fault_fails_and_what_is_tolerated_does_not(name: str) -> None:
    report = report_of(f"{name}*all")
    harmless = name in (TOLERATED | SAID) - UNCOUNTED
    assert (report.of("fail") == ()) == harmless, [(check.name, check.evidence) for check in report.of("fail")]
    assert KEY not in repr(report)


WORDS = {
    "401": ("chat.whole", "refuses the key (401)"),
    "402-quota": ("chat.whole", "no credit is left"),
    "quota": ("chat.whole", "no credit is left"),
    "404": ("chat.whole", "doesn't know the model or the path"),
    "500": ("chat.whole", "500 `"),
    "502-html": ("chat.whole", "502 (`text/html`)"),
    "hang-up": ("chat.whole", "closed before an answer"),
    "reset": ("chat.whole", "closed before an answer"),
    "timeout": ("chat.whole", "silent for 1 s before an answer"),
    "stall": ("stream.transport", "silent for 1 s in the answer"),
    "rst-stream": ("stream.transport", "the connection broke"),
    "error-in-200": ("chat.whole", "an error inside a 200"),
    "json-for-stream": ("stream.transport", "answered whole"),
    "broken-args": ("tools.stream", "arguments are no JSON object"),
    "empty": ("chat.whole", "the content is empty"),
    "refusal": ("chat.whole", "refused by the model"),
    "key-echo": ("error.echo", "the key stands in"),
    "tool-cumulative": ("tools.stream", "cumulative"),
    "wrong-model": ("truth.model", "served by"),
    "wrong-usage": ("truth.usage", "can't be"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_fault_is_called_by_its_name(name: str) -> None:
    check, words = WORDS[name]
    found = report_of(f"{name}*all").named(check)
    assert (found.result, words in found.evidence) == ("fail", True), found.evidence
