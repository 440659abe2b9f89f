"""Wishes in a request's body and headers: read strictly, bounded, never an address or a key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.panels import MAX_MEMBERS
from autorouter.core.types import NO_OVERRIDES, RequestOverrides, Strategy
from autorouter.errors import RequestError
from autorouter.wire import exchange, overrides
from autorouter.wire.overrides import NAMES, parse_overrides
from autorouter.wire.parse import parse_request

ALL = {
    "strategy": "fusion",
    "panel": "quality",
    "models": ["a", "b"],
    "judge": "a",
    "synthesizer": "b",
    "verify": "always",
    "max_usd": 0.05,
    "dial": 2,
}
READ = RequestOverrides(
    strategy=Strategy.FUSION,
    panel="quality",
    models=("a", "b"),
    judge="a",
    synthesizer="b",
    verify="always",
    max_usd=0.05,
    dial=2.0,
)


def headers(said: dict[str, Any]) -> dict[str, str]:
    told = {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in said.items()}
    return {f"x-autorouter-{name.replace('_', '-')}": value for name, value in told.items()}


def test_body_and_headers_say_the_same() -> None:
    assert parse_overrides(ALL, {}) == READ
    assert parse_overrides(None, headers(ALL)) == READ
    assert sorted(ALL) == sorted(NAMES)


def test_a_header_goes_before_the_body() -> None:
    found = parse_overrides({"dial": 2, "verify": "off"}, {"x-autorouter-dial": "9", "user-agent": "x"})
    assert found == RequestOverrides(dial=9.0, verify="off")


def test_headers_of_0_2_are_accepted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    overrides._warn_of_old_headers.cache_clear()
    old = {name.replace("x-autorouter-", "x-openfusion-"): value for name, value in headers(ALL).items()}
    for _ in range(2):
        assert parse_overrides(None, old) == READ
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "x-autorouter-* now" in caplog.text
    assert parse_overrides(None, {"x-autorouter-dial": "3", "x-openfusion-dial": "9"}).dial == 3.0


def test_progress_is_asked_for_under_both_names() -> None:
    assert overrides.wants_progress_events({"x-autorouter-progress": "events"})
    assert overrides.wants_progress_events({"x-openfusion-progress": "events"})
    assert not overrides.wants_progress_events({"x-autorouter-progress": "no"})


@pytest.mark.parametrize("name", ["x-autorouter-max-us", "x-openfusion-max-us", "x-autorouter-api-key"])
def test_an_unknown_header_of_the_family_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        parse_overrides(None, {name: "1"})


def test_other_headers_of_the_family_are_no_overrides() -> None:
    others = {f"x-autorouter-{name}": "x" for name in ("progress", "fault", "traceparent", "tracestate")}
    assert parse_overrides(None, others) == NO_OVERRIDES


@pytest.mark.parametrize("nothing", [None, {}, {"strategy": None}, {"strategy": "auto", "models": None}])
def test_nothing_said_is_no_wish(nothing: Any) -> None:
    assert parse_overrides(nothing, {"x-autorouter-progress": "events"}) == NO_OVERRIDES


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_wishes_are_read_on_every_wire_and_never_sent_on(wire: Any) -> None:
    talk = (
        {"input": "hi"} if wire == "responses" else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    )
    body = json.dumps({"model": "openfusion/auto", **talk, "openfusion": {"dial": 2}}).encode()
    request = parse_request(wire, body, {"x-autorouter-judge": "a"})
    assert request.task.overrides == RequestOverrides(dial=2.0, judge="a")
    sent = exchange.open_exchange(request, wire, "m", origin="o/m", seed="s", created_s=0, stream_usage=True).body
    assert "openfusion" not in json.loads(sent)


WRONG: dict[str, tuple[Any, str]] = {
    "no-object": ([], "openfusion"),
    "strategy": ({"strategy": "many"}, "openfusion.strategy"),
    "strategy-type": ({"strategy": ["fusion"]}, "openfusion.strategy"),
    "verify": ({"verify": "sometimes"}, "openfusion.verify"),
    "verify-type": ({"verify": True}, "openfusion.verify"),
    "panel": ({"panel": 5}, "openfusion.panel"),
    "panel-empty": ({"panel": ""}, "openfusion.panel"),
    "panel-long": ({"panel": "x" * 301}, "openfusion.panel"),
    "models": ({"models": "a"}, "openfusion.models"),
    "models-none": ({"models": []}, "openfusion.models"),
    "models-many": ({"models": ["a"] * (MAX_MEMBERS + 1)}, "openfusion.models"),
    "models-type": ({"models": [{"url": "http://x"}]}, "openfusion.models"),
    "dial-low": ({"dial": -0.1}, "openfusion.dial"),
    "dial-high": ({"dial": 10.5}, "openfusion.dial"),
    "dial-type": ({"dial": "5"}, "openfusion.dial"),
    "dial-truth": ({"dial": True}, "openfusion.dial"),
    "usd-low": ({"max_usd": -1}, "openfusion.max_usd"),
    "usd-nan": ({"max_usd": float("nan")}, "openfusion.max_usd"),
    "usd-inf": ({"max_usd": float("inf")}, "openfusion.max_usd"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_wish_is_named(case: str) -> None:
    said, name = WRONG[case]
    with pytest.raises(RequestError) as found:
        parse_overrides(said, {})
    assert (found.value.http_status, found.value.param) == (400, name)


@pytest.mark.parametrize(
    ("header", "value"), [("max-usd", "cheap"), ("dial", ""), ("max-usd", "nan"), ("dial", "1e999")]
)
def test_a_header_that_is_no_number_is_named(header: str, value: str) -> None:
    with pytest.raises(RequestError) as found:
        parse_overrides(None, {f"x-autorouter-{header}": value})
    assert found.value.http_status == 400
    assert header.replace("-", "_") in str(found.value).replace("-", "_")


@pytest.mark.parametrize("name", ["url", "base_url", "api_key", "key", "headers", "upstream", "__proto__"])
def test_addresses_and_keys_are_refused(name: str) -> None:
    for said, told in (({name: "http://evil"}, {}), (None, headers({name: "http://evil"}))):
        with pytest.raises(RequestError) as found:
            parse_overrides(said, told)
        assert found.value.http_status == 400
        assert "come from the configuration only" in str(found.value)
        assert "evil" not in str(found.value)


def test_a_slip_gets_a_hint() -> None:
    with pytest.raises(RequestError) as found:
        parse_overrides({"max_us": 1}, {})
    assert found.value.hint == "did you mean `max_usd`?"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "url"]), inner, max_size=3),
    max_leaves=8,
)


@given(anything)
def test_anything_is_read_or_refused(said: Any) -> None:
    status, found = 200, None
    try:
        found = parse_overrides(said, {})
    except RequestError as error:
        status = error.http_status
    assert status in (200, 400)
    assert found is None or found.max_usd is None or found.max_usd >= 0
