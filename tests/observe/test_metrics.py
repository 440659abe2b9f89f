"""Every metric moves when it should, and no client can make a series of its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from autorouter.core.state.health import Health
from autorouter.observe.metrics import MAX_SERIES, LabelledCounter
from autorouter.observe.prometheus import circuit_state
from tests.fakes import CUT, FIRST, RESET, Relay, completion, refuse, stream, whole
from tests.observe.conftest import scraped, value
from tests.server.conftest import CHAT, HI, Router, body, request_bytes

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 40},
}


def test_an_answer_counts_its_request_its_call_its_tokens_and_its_dollars(router: Router, relay: Relay) -> None:
    relay.always(whole(completion() | {"usage": USAGE}))
    assert router.post(body()).status_code == 200
    found = scraped(router)
    assert value(found, "requests_total", wire="chat", strategy="single", result="answered") == 1
    assert value(found, "attempts_total", upstream="one", phase="answer", result="answered") == 1
    kinds = {"input": 1000, "cached": 600, "output": 100, "reasoning": 40}
    assert {kind: value(found, "tokens_total", candidate="first", kind=kind) for kind in kinds} == kinds
    assert value(found, "cost_usd_total", candidate="first") == pytest.approx((1000 * 0.1 + 100 * 0.4) / 1e6)
    assert value(found, "overhead_seconds_count", wire="chat") == 1
    assert value(found, "duration_seconds_count", wire="chat") == 1
    assert 0 < value(found, "overhead_seconds_sum", wire="chat") < value(found, "duration_seconds_sum", wire="chat")
    assert value(found, "first_byte_seconds_count", candidate="first") == 0, "it was no stream"
    assert value(found, "fallbacks_total", wire="chat") == value(found, "retries_total", wire="chat") == 0


def test_a_stream_has_a_first_byte(router: Router, relay: Relay) -> None:
    with router.client.stream("POST", CHAT, json=body(stream=True)) as answer:
        answer.read()
    found = scraped(router)
    assert value(found, "first_byte_seconds_count", candidate="first") == 1
    assert value(found, "first_byte_seconds_bucket", candidate="first", le="+Inf") == 1
    assert value(found, "tokens_total", candidate="first", kind="input") == 120


def test_a_fallback_is_counted_with_both_calls(router: Router, relay: Relay) -> None:
    relay.always(refuse(500), to="vendor/first")
    assert router.post(body()).status_code == 200
    found = scraped(router)
    assert value(found, "fallbacks_total", wire="chat") == 1
    assert value(found, "attempts_total", upstream="one", phase="answer", result="server") >= 1
    assert value(found, "attempts_total", upstream="two", phase="answer", result="answered") == 1


def test_the_same_candidate_once_more_is_a_retry(router: Router, relay: Relay) -> None:
    relay.play((RESET,), to="vendor/first")
    assert router.post(body()).status_code == 200
    found = scraped(router)
    assert value(found, "retries_total", wire="chat") == 1
    assert value(found, "fallbacks_total", wire="chat") == 0
    assert value(found, "attempts_total", upstream="one", phase="answer", result="reset") == 1


def test_a_429_of_all_is_a_failed_request_and_opens_the_breakers(router: Router, relay: Relay) -> None:
    before = scraped(router)
    assert value(before, "breaker_state", candidate="first", state="closed") == 1
    relay.always(refuse(429, retry_after="60"))
    assert router.post(body()).status_code == 429
    found = scraped(router)
    assert value(found, "requests_total", wire="chat", strategy="single", result="failed") == 1
    for upstream, candidate in (("one", "first"), ("two", "second")):
        assert value(found, "attempts_total", upstream=upstream, phase="answer", result="rate_limited") >= 1
        assert value(found, "breaker_state", candidate=candidate, state="open") == 1
        assert value(found, "breaker_state", candidate=candidate, state="closed") == 0
    assert router.post(body()).status_code == 429
    found = scraped(router)
    assert value(found, "requests_total", wire="chat", strategy="none", result="refused") == 1, "nobody was left to ask"


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (Health(), "closed"),
        (Health(failures_in_row=1, cooldown_until_s=101.0), "open"),
        (Health(failures_in_row=1, cooldown_until_s=99.0), "half_open"),
    ],
)
def test_a_breaker_opens_and_half_opens_with_its_cooldown(health: Health, state: str) -> None:
    assert circuit_state(health, 100.0) == state


def test_a_broken_stream_and_one_whose_client_left_are_told_apart(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST, then=CUT), to="vendor/first")
    router.raw(body(stream=True))
    gate = threading.Event()
    head, first, *_ = stream(FIRST)
    relay.always((head, first, gate))
    with router.connection() as line:
        line.sendall(request_bytes(router.client.build_request("POST", CHAT, json=body(stream=True)).content))
        while b"data: " not in line.recv(65_536):
            pass
        assert value(scraped(router), "open_streams") == value(scraped(router), "in_flight") == 1
    gate.set()
    relay.seen[-1].closed.wait(20)
    found = scraped(router)
    assert value(found, "requests_total", wire="chat", strategy="single", result="broken") == 1
    assert value(found, "requests_total", wire="chat", strategy="single", result="client_gone") == 1
    assert value(found, "open_streams") == value(found, "in_flight") == 0


def test_each_wire_is_counted_for_itself(router: Router) -> None:
    router.post({"model": "openfusion/auto", "input": "hi"}, "/v1/responses")
    router.post({"model": "openfusion/auto", "max_tokens": 9, "messages": HI}, "/v1/messages")
    found = scraped(router)
    for wire in ("responses", "messages"):
        assert value(found, "requests_total", wire=wire, strategy="single", result="answered") == 1


@pytest.mark.parametrize("label", ["verify", "fusion"])
def test_inner_calls_are_counted_by_their_phase_and_are_no_fallbacks(router: Router, label: str) -> None:
    answer = router.post(body([{"role": "user", "content": "why is the sky blue?"}], model=f"openfusion/{label}"))
    found = scraped(router)
    assert value(found, "requests_total", wire="chat", strategy=label, result="answered") == 1
    attempts = router.receipt(answer)["attempts"]
    assert len(attempts) == 2
    for attempt in attempts:
        labels = {"upstream": attempt["upstream"], "phase": attempt["phase"], "result": attempt["result"]}
        assert value(found, "attempts_total", **labels) >= 1
    assert "answer" not in {attempt["phase"] for attempt in attempts}
    assert all(attempt["result"] == "answered" for attempt in attempts)
    assert value(found, "fallbacks_total", wire="chat") == value(found, "retries_total", wire="chat") == 0


def test_a_thousand_unknown_models_are_one_series(router: Router) -> None:
    router.post(body())
    router.post(body(model="unknown"))
    before = scraped(router)
    for number in range(1000):
        assert router.post(body(model=f"openfusion/none-{number}"), x_request_id=f"id-{number}").status_code == 404
    after = scraped(router)
    assert after.keys() == before.keys()
    assert value(after, "rejections_total", code="model_not_found") == 1001
    assert value(after, "requests_total", wire="chat", strategy="none", result="rejected") == 1001
    assert "none-" not in router.client.get("/metrics").text


def test_what_is_refused_at_the_door_is_counted_by_its_code(route: Callable[..., Router]) -> None:
    router = route(more='[server]\napi_key_env = "LOCAL"', LOCAL="sesame")
    assert router.post(body()).status_code == 401
    assert router.client.get("/metrics").status_code == 401
    assert router.client.get("/evil", headers={"authorization": "Bearer sesame"}).status_code == 404
    text = router.client.get("/metrics", headers={"authorization": "Bearer sesame"}).text
    assert 'autorouter_rejections_total{code="invalid_api_key"} 2.0' in text
    assert 'autorouter_requests_total{result="rejected",strategy="none",wire="other"} 2.0' in text
    assert "evil" not in text


def test_a_counter_that_would_grow_without_end_stops_at_other() -> None:
    counts = LabelledCounter()
    for number in range(MAX_SERIES + 50):
        counts.add((f"value-{number}", "x"))
    assert len(counts.values) == MAX_SERIES + 1
    assert counts.values["other", "other"] == 50


def test_the_scrape_says_what_runs(dry: Router) -> None:
    found = scraped(dry)
    assert value(found, "dry_run") == 1
    assert value(found, "candidates") == len(dry.runtime.deps.candidates)
    assert [dict(labels)["version"] for name, labels in found if name == "autorouter_build_info"] != []
    for name in ("receipts_backlog", "receipts_dropped_total", "queued", "held_bytes", "spent_today_usd"):
        assert (f"autorouter_{name}", frozenset()) in found
    assert ("process_resident_memory_bytes", frozenset()) in found


def test_every_metric_is_on_its_page_and_the_other_way_round(router: Router, relay: Relay) -> None:
    from tests.docs.test_docs import DOCS

    page = (DOCS / "operation.md").read_text("utf-8")
    told = {name.removesuffix("_total") for name in re.findall(r"`(autorouter_\w+)`", page)}
    text = router.client.get("/metrics").text
    served = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (autorouter_\w+) ", text, re.MULTILINE)}
    assert told - served == {"autorouter_spans_exported", "autorouter_spans_dropped"}, "those where spans are exported"
    assert {name for name in served - told if not name.endswith("_created")} == set()


def test_openmetrics_is_served_to_who_asks_for_it(router: Router) -> None:
    router.post(body())
    answer = router.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_families(answer.text)}
    assert {"autorouter_requests", "autorouter_duration_seconds"} <= names
