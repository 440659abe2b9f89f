"""The line of each request: its fields, its ids, and what is never in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from autorouter.observe.logs import ACCESS_LOGGER, one_line
from tests.fakes import CUT, FIRST, Relay, completion, refuse, stream, whole
from tests.observe.conftest import scraped
from tests.server.conftest import CHAT, Router, body
from tests.server.test_privacy import EVIL, LOCAL_KEY, MESSAGES, PROMPT, SECRETS, send, serving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[Router], list[dict[str, Any]]]:
    """The fields of all lines up to now; a scrape brings them up to date."""
    caplog.set_level(logging.INFO, logger=ACCESS_LOGGER)

    def read(router: Router) -> list[dict[str, Any]]:
        scraped(router)
        return [record.__dict__["fields"] for record in caplog.records if record.name == ACCESS_LOGGER]

    return read


def test_a_line_says_what_the_receipt_says(
    router: Router, relay: Relay, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    relay.play(refuse(500), refuse(500), to="vendor/first")
    answer = router.post(body(), user_agent="codex-tui/1.0")
    (line,) = lines(router)
    receipt = router.receipt(answer)
    outcome = receipt["outcome"]
    assert line["receipt"] == line["request_id"] == receipt["id"]
    assert {name: line[name] for name in ("wire", "client", "label", "stream")} == {
        "wire": "chat",
        "client": "codex",
        "label": "openfusion/auto",
        "stream": False,
    }
    for name in ("strategy", "candidate", "served_model", "status", "result", "error"):
        assert line[name] == outcome[name], name
    assert line["candidate"] == "second"
    assert line["attempts"] == len(receipt["attempts"]) > 1
    assert line["seconds"] == pytest.approx(outcome["seconds"], abs=1e-5)
    assert line["cost_usd"] == pytest.approx(outcome["cost_usd"], abs=1e-8)
    assert (line["input_tokens"], line["output_tokens"], line["ttft_s"]) == (120, 3, None)
    assert 0 < line["overhead_s"] < line["seconds"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert list(line)[:3] == ["time", "level", "event"]


def test_the_first_byte_of_a_stream_counts_from_the_request(
    router: Router, relay: Relay, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    relay.play(refuse(500), refuse(500), to="vendor/first")
    with router.client.stream("POST", CHAT, json=body(stream=True)) as answer:
        answer.read()
    (line,) = lines(router)
    (*failed, last) = router.receipt(answer)["attempts"]
    assert line["ttft_s"] > last["ttft_s"] + sum(attempt["seconds"] for attempt in failed)
    assert line["ttft_s"] <= line["seconds"]


def test_levels_tell_failures_from_the_rest(
    router: Router, relay: Relay, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    router.post(body())
    relay.play(stream(FIRST, then=CUT), to="vendor/first")
    router.raw(body(stream=True))
    relay.always(refuse(401))
    router.post(body())
    router.post(body(model="none"))
    assert [(line["result"], line["level"], line["status"]) for line in lines(router)] == [
        ("answered", "info", 200),
        ("broken", "warning", 200),
        ("failed", "warning", 401),
        ("rejected", "info", 404),
    ]


def test_a_rejected_request_has_a_line_without_what_it_asked(
    router: Router, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    router.post(body(model=f"secret-{PROMPT}"), x_request_id="mine")
    (line,) = lines(router)
    assert (line["request_id"], line["wire"], line["status"], line["error"]) == ("mine", "chat", 404, "model_not_found")
    assert PROMPT not in json.dumps(line)


def test_the_clients_ids_are_on_the_line_and_in_the_answer(
    router: Router, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    answer = router.post(body(), x_request_id="req-7", traceparent=TRACEPARENT)
    (line,) = lines(router)
    assert answer.headers["x-request-id"] == line["request_id"] == "req-7"
    assert line["trace_id"] == TRACE
    assert answer.headers["traceparent"] == f"00-{TRACE}-{line['span_id']}-01"
    assert line["span_id"] != PARENT


def test_ids_that_cannot_be_repeated_are_ours(router: Router) -> None:
    answer = router.post(body(), x_request_id="x" * 129, traceparent="00-nonsense")
    assert answer.headers["x-request-id"] == answer.headers["x-autorouter-receipt"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceparent"])
    twice = [("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT.replace("4bf9", "4bfa"))]
    answer = router.client.post(CHAT, json=body(), headers=twice)
    assert "4bf" not in answer.headers["traceparent"][:7]


def test_a_stream_and_an_error_carry_the_trace_too(router: Router, relay: Relay) -> None:
    with router.client.stream("POST", CHAT, json=body(stream=True), headers={"traceparent": TRACEPARENT}) as answer:
        answer.read()
    assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
    relay.always(refuse(401))
    assert router.post(body(), traceparent=TRACEPARENT).headers["traceparent"].startswith(f"00-{TRACE}-")


def test_upstreams_are_told_nothing_of_a_trace_by_default(router: Router, relay: Relay) -> None:
    given = {"traceparent": TRACEPARENT, "tracestate": "a=1"}
    forged = {f"x_autorouter_{name}": text for name, text in given.items()}
    assert router.post(body(), **given, **forged).status_code == 200
    assert not {"traceparent", "tracestate"} & relay.seen[-1].headers.keys()


def test_upstreams_are_told_where_the_configuration_says_so(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more="[telemetry]\nforward_traceparent = true")
    given = {"traceparent": TRACEPARENT, "tracestate": "a=1,b=2"}
    answer = router.post(body(), **given, x_autorouter_traceparent="forged")
    assert relay.seen[-1].headers["traceparent"] == answer.headers["traceparent"]
    assert relay.seen[-1].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert relay.seen[-1].headers["tracestate"] == "a=1,b=2"
    router.post(body(), x_autorouter_tracestate="forged=1")
    assert "tracestate" not in relay.seen[-1].headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", relay.seen[-1].headers["traceparent"])


def test_what_an_upstream_calls_its_model_is_bounded_and_printable(
    router: Router, relay: Relay, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    relay.always(whole(completion() | {"model": "a\x1b[31m\n" + "b" * 5000}))
    router.post(body())
    (line,) = lines(router)
    assert len(line["served_model"]) == 100
    assert line["served_model"].isprintable()


def test_the_short_line_fits_a_terminal(
    router: Router, relay: Relay, lines: Callable[[Router], list[dict[str, Any]]]
) -> None:
    router.post(body())
    router.post(body(model="none"))
    answered, rejected = (one_line(line, 0.0) for line in lines(router))
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d 200 chat unknown openfusion/auto -> first single \d+\.\d\ds 120\+3 tok \$0\.0000 ar_\w+",
        answered,
    )
    assert rejected.endswith("404 chat rejected model_not_found")


def test_the_programs_log_is_json_lines_with_nothing_private_in_it(tmp_path: Path, relay: Relay) -> None:
    headers = {"authorization": f"Bearer {LOCAL_KEY}", "x-note": PROMPT, "traceparent": TRACEPARENT}
    with serving(tmp_path, relay) as (url, log), httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        for play in EVIL[:6]:
            relay.always(play)
            send(client, streamed=False)
        relay.recover()
        send(client, streamed=True)
        client.post(CHAT, json=body(MESSAGES), headers={"authorization": f"Bearer {PROMPT}"})
    written = log.read_text("utf-8")
    assert [secret for secret in SECRETS if secret in written] == []
    found = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    requests = [line for line in found if line.get("event") == "request"]
    assert len(requests) == 8, "one for each, the last ones written at the stop"
    assert {line["trace_id"] for line in requests if line["result"] != "rejected"} == {TRACE}
    assert requests[-1]["error"] == "invalid_api_key"
