"""A live router, as clients meet it: streams, tools, sessions, previews, the door, and the small endpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import (
    CUT,
    DONE,
    FIRST,
    STALL,
    USAGE_EVENT,
    WAIT_S,
    Play,
    Relay,
    completion,
    delta,
    http,
    refuse,
    stream,
    whole,
)
from tests.server.conftest import CHAT, HI, Router, body, request_bytes

ODD_ID = 'call_"Ü/漢字\\u0000.-_' + "x" * 60
CALLS = [{"id": ODD_ID, "type": "function", "function": {"name": "edit", "arguments": '{ "path" :"a.py",\n"n": 1.0}'}}]
TOOLS = [{"type": "function", "function": {"name": "edit", "parameters": {"type": "object", "properties": {}}}}]
LOOP: list[dict[str, Any]] = [
    {"role": "user", "content": "fix the off-by-one in parse_range()"},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": ODD_ID, "content": "edited"},
]
TITLE: list[dict[str, Any]] = [
    {"role": "system", "content": "You are a title generator. You output ONLY a thread title."},
    {"role": "user", "content": "fix the off-by-one"},
]


# ---- answers


def test_an_answer_is_the_upstreams_with_a_summary_of_ours(router: Router, relay: Relay) -> None:
    found = completion("Hello", tool_calls=CALLS) | {"unknown": {"kept": [1, 2.50]}}
    relay.play(whole(found))
    answer = router.post(body())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    summary = answer.json().pop("openfusion")
    assert {k: v for k, v in answer.json().items() if k != "openfusion"} == found
    assert answer.content.startswith(json.dumps(found).encode()[:-1]), "its bytes are untouched"
    assert len(orjson.dumps(summary)) <= 2_048
    assert summary["receipt"] == answer.headers["x-autorouter-receipt"]
    assert (summary["candidate"], summary["model"], summary["strategy"]) == ("first", "vendor/first", "single")
    assert summary["cost_usd"] == pytest.approx((120 * 0.1 + 3 * 0.4) / 1e6)
    assert float(answer.headers["x-autorouter-cost-usd"]) == pytest.approx(summary["cost_usd"], abs=1e-8)
    assert answer.headers["x-openfusion-cost-usd"] == answer.headers["x-autorouter-cost-usd"], "its name up to 0.2"
    assert summary["why"]


def test_the_headers_say_who_answered_and_which_receipt_tells_why(router: Router) -> None:
    for streamed in (False, True):
        answer = router.post(body(stream=streamed), x_request_id="mine-1")
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["x-autorouter-model"] == "first"
        assert answer.headers["x-autorouter-strategy"] == "single"
        receipt = router.receipt(answer)
        assert receipt["id"] == answer.headers["x-autorouter-receipt"]
        assert receipt["outcome"]["candidate"] == "first"
        assert receipt["request"]["stream"] is streamed
        assert receipt["attempts"][0]["served_model"] == "served/model"
    assert router.post(body()).headers["x-request-id"].startswith("ar_")


def test_a_stream_of_tool_calls_comes_byte_for_byte(router: Router, relay: Relay) -> None:
    events = (
        FIRST,
        delta(tool_calls=[{"index": 0, **CALLS[0]}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "é漢"}}]),
        b": a comment\r\n\r\n",
        b'data:{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],  "odd":1.0}\r\n\r\n',
        USAGE_EVENT,
        DONE,
    )
    relay.play(stream(*events))
    answer = router.post(body(stream=True, stream_options={"include_usage": True}))
    assert answer.content == b"".join(events)
    assert answer.headers["content-type"].startswith("text/event-stream")
    usage = router.receipt(answer)["attempts"][0]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (120, 3)


def test_each_event_arrives_before_the_next_is_sent(router: Router, relay: Relay) -> None:
    gates = [threading.Event() for _ in range(4)]
    events = (FIRST, *(delta(content=f"{n}") for n in range(3)), delta("stop"))
    parts: list[Any] = list(stream(*events)[:-1])
    for place, gate in reversed(list(enumerate(gates, 2))):
        parts.insert(place, gate)
    relay.play((*parts, b"0\r\n\r\n"))
    seen = b""
    with router.client.stream("POST", CHAT, json=body(stream=True)) as answer:
        for piece in answer.iter_raw():
            seen += piece
            # Everything up to here was asked for one by one: the upstream waits for the gate.
            arrived = seen.count(b"\n\n")
            if arrived <= len(gates):
                gates[arrived - 1].set()
    assert seen == b"".join(events)


@pytest.mark.parametrize("asked", [None, {"include_usage": False}, {"include_usage": True}])
def test_usage_is_streamed_to_those_who_ask_and_counted_for_all(asked: Any, router: Router, relay: Relay) -> None:
    answer = router.post(body(stream=True) if asked is None else body(stream=True, stream_options=asked))
    assert (b"prompt_tokens" in answer.content) == bool(asked and asked["include_usage"])
    assert answer.content.endswith(DONE)
    assert relay.seen[0].document["stream_options"]["include_usage"] is True
    attempt = router.receipt(answer)["attempts"][0]
    assert attempt["usage"]["input_tokens"] == 120
    assert attempt["usage_source"] == "reported"


def test_who_reports_no_usage_is_estimated(router: Router, relay: Relay) -> None:
    relay.play(stream(FIRST, delta("stop"), DONE))
    attempt = router.receipt(router.post(body(stream=True)))["attempts"][0]
    assert attempt["usage_source"] == "estimated"
    assert attempt["usage"]["output_tokens"] > 0
    assert attempt["cost_usd"] > 0


def test_the_upstream_gets_the_clients_bytes(router: Router, relay: Relay) -> None:
    sent = json.dumps(
        {"messages": LOOP, "model": "openfusion/auto", "tools": TOOLS, "x": {"model": 1.0}}, indent=2
    ).encode()
    router.client.post(CHAT, content=sent, headers={"content-type": "application/json; charset=utf-8"})
    assert relay.seen[0].body == sent.replace(b'"openfusion/auto"', b'"vendor/first"')
    assert relay.seen[0].headers["authorization"] == "Bearer upstream-key-number-one"


def test_what_a_client_sends_of_keys_and_cookies_stays_here(router: Router, relay: Relay) -> None:
    router.post(
        body(openfusion={"strategy": "single"}),
        authorization="Bearer clients-own",
        cookie="clients-own",
        x_api_key="clients-own",
    )
    assert "clients-own" not in str(relay.seen[0].headers)
    assert b"openfusion" not in relay.seen[0].body


def test_a_candidate_can_be_asked_for_by_its_id(router: Router, relay: Relay) -> None:
    assert router.post(body(model="second")).headers["x-autorouter-model"] == "second"
    assert router.post(body(model="openfusion/coder")).headers["x-autorouter-model"] == "first"
    assert relay.asked() == ["vendor/second", "vendor/first"]


# ---- sessions


STRONG = """
[policy]
dial = 0.0
[[candidates]]
id = "strong"
upstream = "two"
model = "vendor/strong"
price_usd_per_mtok = { input = 2.0, output = 8.0 }
benchmarks = { general = 99, coding = 99, reasoning = 99, verification = 99, writing = 99 }
"""


def test_a_tool_loop_stays_with_its_model_and_housekeeping_moves_nothing(route: Callable[..., Router]) -> None:
    router = route(more=STRONG)
    session = {"x_session_id": "s1"}
    other = router.post(body(LOOP, tools=TOOLS), x_session_id="s2")
    assert other.headers["x-autorouter-model"] == "strong", "who has no pin gets the best"
    router.post(body(LOOP[:1], tools=TOOLS, model="first"), **session)
    title = router.post(body(TITLE, model="second"), **session)
    assert router.receipt(title)["features"]["phase"] == "housekeeping"
    messages = list(LOOP)
    for number in range(4):
        answer = router.post(body(messages, tools=TOOLS, stream=number % 2 == 0), **session)
        assert answer.headers["x-autorouter-model"] == "first"
        receipt = router.receipt(answer)
        assert receipt["features"]["phase"] == "continuation"
        assert receipt["snapshot"]["session"]["incumbent"] == "first", "the title didn't move the pin"
        messages += LOOP[1:]


def test_a_pinned_model_that_fails_hands_over_and_the_next_step_doesnt_wait_for_it(
    router: Router, relay: Relay
) -> None:
    session = {"x_session_id": "s1"}
    assert router.post(body(LOOP[:1], tools=TOOLS), **session).headers["x-autorouter-model"] == "first"
    relay.always(refuse(503), to="vendor/first")
    moved = router.post(body(LOOP, tools=TOOLS), **session)
    assert router.attempts(moved) == [("first", "overloaded"), ("second", "answered")]
    after = router.post(body(LOOP, tools=TOOLS), **session)
    assert router.attempts(after) == [("second", "answered")]
    assert router.receipt(after)["snapshot"]["session"]["incumbent"] == "second"


def test_tool_ids_arrive_unchanged_on_both_ways_even_after_a_change_of_model(router: Router, relay: Relay) -> None:
    relay.always(refuse(500), to="vendor/first")
    relay.play(whole(completion(None, tool_calls=CALLS)), to="vendor/second")  # type: ignore[arg-type]
    answer = router.post(body(LOOP, tools=TOOLS))
    assert answer.json()["choices"][0]["message"]["tool_calls"] == CALLS
    for seen in relay.seen:
        assert seen.document["messages"] == LOOP
        assert seen.document["tools"] == TOOLS


# ---- preview and execution

asks = st.sampled_from(
    ["hi", "fix the off-by-one", "design a lock-free queue in C++", "drop the prod users table", "write the README", ""]
)
requests = st.fixed_dictionaries(
    {"ask": asks, "loop": st.booleans(), "tools": st.booleans(), "stream": st.booleans()},
    optional={
        "max_tokens": st.integers(1, 5_000),
        "model": st.sampled_from(["openfusion/auto:cheap", "openfusion/coder", "openfusion/fusion", "first"]),
    },
)


def as_body(request: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": request["ask"]}, *(LOOP[1:] if request["loop"] else [])]
    more = {name: request[name] for name in ("max_tokens", "model") if name in request}
    return body(messages, stream=request["stream"], **({"tools": TOOLS} if request["tools"] else {}), **more)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(requests, min_size=1, max_size=3), session=st.sampled_from(["", "s1", "s2"]))
def test_what_is_previewed_is_what_is_done(steps: list[dict[str, Any]], session: str, router: Router) -> None:
    headers = {"x_session_id": session} if session else {}
    for step in steps:
        document = as_body(step)
        preview = router.post(document, "/debug/route", **headers).json()
        answer = router.post(document, **headers)
        receipt = router.receipt(answer)
        assert receipt["decision"] == preview["decision"]
        assert receipt["features"] == preview["features"]
        assert receipt["context"] == preview["context"]
        assert receipt["attempts"][0]["candidate"] == preview["decision"]["plan"]["primary"]


def test_a_preview_calls_nobody_and_leaves_nothing_behind(router: Router, relay: Relay) -> None:
    before = router.post(body(), "/debug/route", x_session_id="s").json()
    after = router.post(body(), "/debug/route", x_session_id="s").json()
    assert before["snapshot"] | {"now_s": 0} == after["snapshot"] | {"now_s": 0}
    assert relay.seen == []
    assert router.client.get("/debug/receipts").json()["data"] == []


# ---- hanging up


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_hangs_up_stops_the_upstream(streamed: bool, router: Router, relay: Relay) -> None:
    head = http(200, {"content-type": "application/json", "content-length": "999"}, b'{"id":')
    play: Play = stream(FIRST, then=STALL) if streamed else (head, STALL)
    relay.play(play)
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body(stream=streamed)).encode()))
        if streamed:
            assert b"x-autorouter-receipt" in line.recv(65_536)
        else:
            until(lambda: bool(relay.seen))
    assert relay.seen[0].closed.wait(WAIT_S)
    until(lambda: bool(listed(router)))
    (found,) = listed(router)
    assert (found["result"], found["status"]) == ("client_gone", 499)
    assert router.attempts(found["id"]) == [("first", "client_gone")]
    assert router.receipt(found["id"])["attempts"][0]["usage_source"] in (None, "estimated_partial")
    assert router.client.get("/readyz").json()["cooling_down"] == [], "nobody's fault"
    assert router.post(body()).status_code == 200


def test_a_client_that_hangs_up_before_the_answer_stops_the_upstream_too(router: Router, relay: Relay) -> None:
    relay.play((STALL,))
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body(stream=True)).encode()))
        until(lambda: bool(relay.seen))
    assert relay.seen[0].closed.wait(WAIT_S)
    until(lambda: bool(listed(router)))
    assert [found["result"] for found in listed(router)] == ["client_gone"]
    assert relay.asked() == ["vendor/first"], "nobody else is tried for a client that left"


def test_a_body_that_never_comes_to_its_end_leaves_nothing(router: Router, relay: Relay) -> None:
    with router.connection() as line:
        line.sendall(request_bytes(json.dumps(body()).encode())[:-10])
    assert router.post(body()).status_code == 200
    assert len(listed(router)) == 1
    assert len(relay.seen) == 1


def until(holds: Callable[[], bool]) -> None:
    """Wait for what must come."""
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


def listed(router: Router) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = router.client.get("/debug/receipts").json()["data"]
    return data


# ---- refusals


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unknown_model_is_404_with_the_nearest_names(streamed: bool, router: Router, relay: Relay) -> None:
    for path in (CHAT, "/debug/route"):
        answer = router.post(body(model="openfusion/auot", stream=streamed), path)
        assert answer.status_code == 404
        error = error_of(answer)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "`openfusion/auto`" in error["message"]
    assert router.post(body(model="gpt-99")).status_code == 404
    assert relay.seen == [], "never a hidden fusion"


@pytest.mark.parametrize("streamed", [False, True])
def test_what_fits_no_budget_is_402(streamed: bool, route: Callable[..., Router], relay: Relay) -> None:
    router = route(more="[budget]\nper_request_usd = 0.0000001")
    answer = router.post(body(stream=streamed))
    assert answer.status_code == 402
    assert error_of(answer)["code"] == "budget_exceeded"
    assert router.receipt(answer)["outcome"]["result"] == "refused"
    assert relay.seen == []


def test_what_fits_no_window_is_400_with_the_code_that_agents_know(route: Callable[..., Router]) -> None:
    answer = route().post(body([{"role": "user", "content": "word " * 400_000}]))
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("document", "field"),
    [({}, "messages"), (body([]), "messages"), (body(stream="x"), "stream"), (body(max_tokens=0), "max_tokens")],  # type: ignore[arg-type]
)
def test_a_bad_body_is_400_and_the_field_is_named(document: Any, field: str, router: Router) -> None:
    answer = router.post(document)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == field
    assert error_of(answer)["type"] == "invalid_request_error"


# ---- the door


def test_what_is_too_large_is_413_announced_or_not(route: Callable[..., Router]) -> None:
    router = route(more="[server]\nmax_body_bytes = 1000")
    large = json.dumps(body([{"role": "user", "content": "x" * 2_000}])).encode()
    kind = {"content-type": "application/json"}
    announced = router.client.post(CHAT, content=large, headers=kind)
    chunked = router.client.post(CHAT, content=iter([large[:900], large[900:]]), headers=kind)
    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "body_too_large"
    assert router.post(body()).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_only_json_is_taken(kind: str | None, router: Router, relay: Relay) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = router.client.post(CHAT, content=json.dumps(body()), headers=headers)
    assert answer.status_code == 415
    assert error_of(answer)["code"] == "unsupported_media_type"
    assert relay.seen == []


PATHS = [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/debug/receipts"), ("GET", "/livez"), ("POST", "/debug/route")]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "0.0.0.0", "localhost.evil.example", ""]
)
def test_a_foreign_host_is_refused_everywhere(method: str, path: str, host: str, router: Router) -> None:
    answer = router.client.request(method, path, json=body(), headers={"host": host})
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "host_refused"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:8787", "[::1]:8787", "127.0.0.2"])
def test_this_machine_is_no_foreign_host(host: str, router: Router) -> None:
    assert router.client.get("/livez", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*PATHS, ("OPTIONS", CHAT)])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8787"])
def test_web_pages_are_refused_everywhere(method: str, path: str, origin: str, router: Router) -> None:
    answer = router.client.request(method, path, json=body(), headers={"origin": origin})
    assert answer.status_code == 403
    assert error_of(answer)["code"] == "origin_refused"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_hosts_and_origins_that_are_named_are_let_in(route: Callable[..., Router]) -> None:
    router = route(more='[server]\nallowed_hosts = ["box.lan"]\nallowed_origins = ["http://localhost:3000"]')
    headers = {"host": "box.lan:8787", "origin": "http://localhost:3000"}
    assert router.client.get("/v1/models", headers=headers).status_code == 200
    assert router.client.get("/v1/models", headers=headers | {"host": "lan"}).status_code == 403


def test_the_local_key_is_asked_for_where_one_is_set(route: Callable[..., Router], relay: Relay) -> None:
    router = route(more='[server]\napi_key_env = "LOCAL_KEY"', LOCAL_KEY="open sesame")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "open sesame"}, {"x-api-key": "open"}):
        for method, path in PATHS:
            answer = router.client.request(method, path, json=body(), headers=headers)
            if path == "/livez":
                assert answer.status_code == 200
                continue
            assert answer.status_code == 401
            assert error_of(answer)["code"] == "invalid_api_key"
            assert "sesame" not in answer.text
    assert relay.seen == []
    for headers in ({"authorization": "Bearer open sesame"}, {"x-api-key": "open sesame"}):
        assert router.client.post(CHAT, json=body(), headers=headers).status_code == 200
    assert "sesame" not in str([seen.headers for seen in relay.seen])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CHAT),
        ("PUT", CHAT),
        ("DELETE", CHAT),
        ("OPTIONS", CHAT),
        ("POST", "/v1/models"),
        ("GET", "/debug/route"),
        ("DELETE", "/debug/receipts"),
        ("POST", "/livez"),
    ],
)
def test_the_wrong_method_is_405(method: str, path: str, router: Router) -> None:
    answer = router.client.request(method, path, json=body())
    assert answer.status_code == 405
    assert error_of(answer)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/api/hello", "/v1/nothing", "/%2e%2e/etc/passwd"]
)
def test_an_unknown_path_is_404_at_once(path: str, router: Router) -> None:
    answer = router.client.get(path)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"
    assert router.client.head(path).status_code == 404


# ---- the small endpoints


def test_the_models_are_our_labels_and_every_candidate(router: Router) -> None:
    listed = router.client.get("/v1/models", params={"limit": 1000}).json()
    names = [entry["id"] for entry in listed["data"]]
    assert listed["object"] == "list"
    assert names[0] == "openfusion/auto"
    assert {"openfusion/fusion", "openfusion/coder", "openfusion/auto:cheap", "first", "second"} <= set(names)
    assert len(names) == len(set(names))
    for entry in listed["data"]:
        assert entry["object"] == "model"
        assert entry["context_length"] == 128_000
        assert router.client.get(f"/v1/models/{entry['id']}").json() == entry
    first = next(entry for entry in listed["data"] if entry["id"] == "first")
    assert first["openfusion"]["price_usd_per_mtok"]["output"] == 0.4
    assert router.client.get("/v1/models/openfusion/auto").json()["id"] == "openfusion/auto"


def test_an_unknown_model_of_the_list_is_404(router: Router) -> None:
    answer = router.client.get("/v1/models/openfusion/aut")
    assert answer.status_code == 404
    assert "`openfusion/auto`" in error_of(answer)["message"]


def test_livez_and_readyz(router: Router, relay: Relay) -> None:
    assert router.client.get("/livez").json()["ok"] is True
    ready = router.client.get("/readyz").json()
    assert (ready["ok"], ready["candidates"], ready["dry_run"], ready["cooling_down"]) == (True, 2, False, [])
    relay.play(refuse(500), to="vendor/first")
    router.post(body())
    assert router.client.get("/readyz").json()["cooling_down"] == ["first"]
    assert router.client.head("/livez").status_code == 200


def test_receipts_are_listed_newest_first_and_shown_by_id(router: Router) -> None:
    ids = [router.post(body(HI, stream=n % 2 == 0)).headers["x-autorouter-receipt"] for n in range(3)]
    assert [found["id"] for found in listed(router)] == ids[::-1]
    assert [found["id"] for found in router.client.get("/debug/receipts?n=2").json()["data"]] == ids[:0:-1]
    assert router.receipt(ids[1])["id"] == ids[1]
    for n in ("0", "-1", "x", "501"):
        assert router.client.get(f"/debug/receipts?n={n}").status_code == 400
    answer = router.client.get("/debug/receipts/ar_nothing")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "receipt_not_found")


def test_a_connection_serves_one_request_after_another(router: Router, relay: Relay) -> None:
    relay.play(refuse(500), (CUT,))
    for _ in range(10):
        for streamed in (False, True):
            assert router.post(body(stream=streamed)).status_code == 200
        router.post(body(model="nobody"))
    assert len(listed(router)) == 20


# ---- the dry run


@pytest.mark.parametrize(
    ("fault", "result", "status"),
    [
        ("500*all", "failed", 502),
        ("429-retry-after*all", "failed", 429),
        ("401", "answered", 200),
        ("wrong-model", "answered", 200),
    ],
)
def test_faults_of_the_dry_run_are_real_to_all_around_it(fault: str, result: str, status: int, dry: Router) -> None:
    answer = dry.post(body(), x_autorouter_fault=fault)
    assert answer.status_code == status
    assert dry.receipt(answer)["outcome"]["result"] == result
    assert dry.receipt(answer)["dry_run"] is True


def test_a_fault_that_nobody_knows_is_the_clients(dry: Router) -> None:
    answer = dry.post(body(), x_autorouter_fault="500s")
    assert answer.status_code == 400
    assert "unknown fault" in error_of(answer)["message"]


def test_a_real_upstream_hears_of_no_fault(router: Router, relay: Relay) -> None:
    assert router.post(body(), x_autorouter_fault="500*all").status_code == 200
    assert "x-autorouter-fault" not in relay.seen[0].headers
