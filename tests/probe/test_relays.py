"""The probe tells a good relay from each bad one, and names the fault: real sockets, one fault each."""

from __future__ import annotations

import asyncio
import json

import pytest
from markdown_it import MarkdownIt

from autorouter.probe import checks
from autorouter.probe.markdown import comparison_page, report_page
from autorouter.probe.relay_client import Relay as Asked
from autorouter.probe.report import REQUIRED_CHECKS, Report, client_support, from_json, to_document
from tests.probe.provider import MODEL, Provider

AT = "2026-11-20T12:00:00Z"
KEY = "sk-this-is-the-key-that-must-not-be-shown"


def report_of(relay: Provider, *, key: str | None = None, model: str | None = None, timeout_s: float = 10.0) -> Report:
    key_env = "SCRIPTED_KEY" if key else None
    asked = Asked(name="scripted", base_url=relay.url, key=key, key_env=key_env, model=model, timeout_s=timeout_s)
    return asyncio.run(checks.probe(asked, at=AT))


def failed(report: Report) -> dict[str, str]:
    return {check.name: check.evidence for check in report.of("fail")}


def test_a_good_relay_passes_every_check() -> None:
    with Provider(key=KEY) as relay:
        report = report_of(relay, key=KEY)
    assert {check.name: check.evidence for check in report.checks if check.result != "pass"} == {}
    assert report.result == "pass"
    assert report.model == MODEL
    assert [check.name for check in report.checks] == [one.name for one in checks.CHECKS]
    assert report.measured.requests == len(relay.seen)


@pytest.mark.parametrize("habit", ["crlf", "comments", "split-utf8"])
def test_what_is_legal_and_rare_passes_and_is_said(habit: str) -> None:
    with Provider(habit) as relay:
        report = report_of(relay)
    assert failed(report) == {}
    words = {"crlf": "CRLF", "comments": "comments", "split-utf8": "characters cut between packets"}
    assert words[habit] in report.named("stream.transport").evidence
    assert report.named("truth.text").result == "pass"


FAULTS = {
    "no-usage": {"truth.usage": "no usage", "truth.usage_stream": "no usage"},
    "no-stream-usage": {"truth.usage_stream": "no usage in the stream"},
    "zero-usage": {"truth.usage": "zero", "truth.usage_stream": "zero"},
    "wrong-usage": {"truth.usage": "can't be"},
    "wrong-model": {"truth.model": "`vendor/cheap-nano`"},
    "no-done": {"stream.end": "no `[DONE]`"},
    "finish-first": {"stream.order": "the finish comes before the content"},
    "malformed": {"stream.events": "malformed", "tools.stream": "malformed"},
    "clean-eof": {"stream.end": "clean end", "tools.stream": "no JSON object"},
    "cut": {"stream.transport": "the connection broke", "tools.stream": "the connection broke"},
    "stall": {"stream.transport": "silent for 1.5 s", "tools.stream": "silent for 1.5 s"},
    "no-stream": {"stream.transport": "answered whole"},
    "error-event": {"stream.end": "an error event", "tools.stream": "error events"},
    "cumulative": {"tools.stream": "cumulative"},
    "ids-change": {"tools.stream": "the id changes"},
    "ids-shared": {"tools.parallel": "share an id"},
    "tools-ignored": {"tools.whole": "tools are ignored", "tools.stream": "tools are ignored"},
    "json-ignored": {"format.json": "JSON mode is ignored", "format.schema": "the schema is ignored"},
    "shapeless": {"error.model": "isn't in the error shape"},
    "json-500": {"error.json": "not 400"},
    "truncates": {"error.window": "silently truncated"},
    "responses-open": {"responses.stream": "not with `response.completed`", "responses.tools": "early_end"},
    "block-open": {"messages.stream": "1 blocks begin and 0 end"},
    "wire-tools-ignored": {"responses.tools": "tools are ignored", "messages.tools": "tools are ignored"},
}
"""Fault -> the checks that fail by it, and no others, each with words that name it."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_and_named(fault: str) -> None:
    with Provider(fault) as relay:
        report = report_of(relay, timeout_s=1.5 if fault == "stall" else 10.0)
    wanted = FAULTS[fault]
    found = failed(report)
    assert found.keys() == wanted.keys()
    for name, words in wanted.items():
        assert words in found[name]
    assert report.result == "fail"


def test_an_error_inside_a_200_is_a_fail_and_not_an_answer() -> None:
    with Provider("error-200") as relay:
        report = report_of(relay)
    assert failed(report)["chat.whole"] == "an error inside a 200: `all workers are busy`"
    assert report.named("truth.usage").result == "skipped"
    assert report.named("tools.whole").result == "pass"


def test_a_key_that_comes_back_is_told_and_stands_nowhere_in_the_report() -> None:
    with Provider("echo", key="another-key-than-the-one-sent") as relay:
        report = report_of(relay, key=KEY, model=MODEL)
    page, data = report_page(report), str(to_document(report))
    assert KEY not in page + data
    assert report.result == "fail"
    assert "refuses the key (401)" in failed(report)["chat.whole"]
    assert "/chat/completions (401)" in failed(report)["error.echo"]
    with Provider("echo", key=KEY) as relay:
        report = report_of(relay, key=KEY)
    assert failed(report).keys() == {"error.echo"}
    assert checks.BAD_KEY not in report_page(report) + str(to_document(report))


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ("chat-only", "responses.whole", "not offered: 404"),
        ("chat-only", "messages.stream", "not offered: 404"),
        ("strict", "format.unknown", "refused by name"),
        ("any-model", "error.model", "any name is answered"),
    ],
)
def test_what_is_not_offered_is_degraded_and_no_fail(fault: str, name: str, words: str) -> None:
    with Provider(fault) as relay:
        report = report_of(relay)
    assert report.result == "degraded"
    assert report.named(name).result == "degraded"
    assert words in report.named(name).evidence


def test_a_relay_that_wants_the_newer_limit_is_asked_with_it() -> None:
    with Provider("new-limit") as relay:
        report = report_of(relay)
    assert failed(report) == {}
    assert "max_completion_tokens instead of max_tokens" in report.named("chat.whole").evidence


def test_a_relay_that_refuses_stream_options_is_asked_without() -> None:
    with Provider("no-options") as relay:
        report = report_of(relay)
    assert failed(report) == {}
    assert "`stream_options` is refused" in report.named("truth.usage_stream").evidence
    with Provider("no-options", "no-stream-usage") as relay:
        assert "which asks for it, is refused" in failed(report_of(relay))["truth.usage_stream"]


def test_nothing_that_listens_is_one_fail_and_asks_no_more() -> None:
    with Provider() as relay:
        url = relay.url
    report = asyncio.run(checks.probe(Asked(name="gone", base_url=url, timeout_s=5.0), at=AT))
    assert failed(report).keys() == {"chat.whole"}
    assert "can't connect" in failed(report)["chat.whole"]
    assert {check.result for check in report.checks} == {"fail", "skipped"}
    assert report.measured.requests == 1


def cells(page: str) -> list[list[int]]:
    """The number of cells in each row of each table, as a Markdown parser reads it."""
    tables: list[list[int]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append(0)
        elif token.type in ("td_open", "th_open"):
            tables[-1][-1] += 1
    return tables


def test_the_pages_are_valid_tables_whatever_a_relay_says() -> None:
    class Nasty(Provider):
        def _message(self, body: object) -> dict[str, object]:
            return {"content": "a | b `c` <script>\n| d | @someone [x](http://e) \x1b[31m"}

    with Nasty() as relay, Provider("no-done") as other:
        nasty, missing = report_of(relay), report_of(other)
    page = report_page(nasty)
    assert cells(page) == [[3] * (len(REQUIRED_CHECKS) + 1), [4] * (len(checks.CHECKS) + 1)]
    assert "\x1b" not in page
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert "<script>" not in html
    assert "href" not in html
    both = comparison_page([nasty, missing])
    assert cells(both)[0] == [3] * (len(checks.CHECKS) + 5)
    assert [set(table) for table in cells(both)[1:]] == [{3}, {4}, {3}, {4}]


def test_a_report_comes_back_from_its_json() -> None:
    with Provider("no-done") as relay:
        report = report_of(relay)
    assert from_json(json.dumps(to_document(report)).encode()) == report


def test_which_clients_can_use_a_relay_directly_is_said() -> None:
    def found(*faults: str) -> list[str]:
        with Provider(*faults) as relay:
            return [line.support for line in client_support(report_of(relay))]

    assert found() == ["yes", "yes", "yes", "yes"]
    assert found("chat-only") == ["yes", "not offered", "not offered", "yes"]
    assert found("responses-open") == ["yes", "no", "yes", "yes"]
    assert found("block-open") == ["yes", "yes", "no", "yes"]
    assert found("cumulative") == ["no", "yes", "yes", "no"]
    assert found("no-usage") == ["yes", "yes", "yes", "no"]


def test_every_check_that_a_client_needs_exists() -> None:
    names = {probe.name for probe in checks.CHECKS}
    assert {name for needed in REQUIRED_CHECKS.values() for name in needed} <= names
