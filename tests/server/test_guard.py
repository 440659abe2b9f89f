"""The door against whoever tries it: Host in all its spellings, Origins, Sec-Fetch-Site, content types, methods and paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autorouter.server.guard import normalize_host, parse_host
from tests.fakes import WAIT_S, Relay
from tests.server.conftest import CHAT, Router, body


def raw(router: Router, head: str, data: bytes = b"") -> tuple[int, bytes]:
    """A request as written, byte for byte: status and all that came."""
    with router.connection() as line:
        line.settimeout(WAIT_S)
        line.sendall(head.replace("\n", "\r\n").encode() + b"connection: close\r\n\r\n" + data)
        seen = b""
        while part := line.recv(65_536):
            seen += part
    return int(seen.split()[1]), seen


GOOD = [
    "localhost",
    "LocalHost",
    "localhost.",
    "LOCALHOST.:8787",
    "localhost:",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.1.2.3",
    "[::1]",
    "[::1]:8787",
    "[0:0:0:0:0:0:0:1]",
]
BAD = [
    "evil.example",
    "localhost.evil.example",
    "evil.example.:80",
    "localhost@evil.example",
    "evil.example@localhost",
    "localhost:80@evil.example",
    "localhost:evil",
    "localhost:8787:8787",
    "localhost/evil.example",
    "localhost, evil.example",
    "evil.example localhost",
    "[::1]evil.example",
    "[::1].evil.example",
    "[evil.example]",
    "[::1",
    "::1",
    "0.0.0.0",
    "[::]",
    "169.254.169.254",
    "192.168.0.2",
    "2130706433",
    "0x7f.1",
    "127.1",
    "localhost..",
    "xn--localhost",
    "",
]


@pytest.mark.parametrize("host", GOOD)
def test_this_machine_is_let_in_however_it_is_spelled(host: str, router: Router) -> None:
    status, _ = raw(router, f"GET /livez HTTP/1.1\nhost: {host}\n")
    assert status == 200


@pytest.mark.parametrize("host", BAD)
def test_any_other_host_is_refused(host: str, router: Router) -> None:
    status, seen = raw(router, f"GET /livez HTTP/1.1\nhost: {host}\n")
    assert status == 403
    assert b"host_refused" in seen


def test_a_request_without_a_host_is_refused(router: Router) -> None:
    assert raw(router, "GET /livez HTTP/1.0\n")[0] == 403


@pytest.mark.parametrize(("one", "two"), [("localhost", "evil.example"), ("evil.example", "localhost")])
def test_two_hosts_are_one_too_many(one: str, two: str, router: Router) -> None:
    status, _ = raw(router, f"GET /livez HTTP/1.1\nhost: {one}\nhost: {two}\n")
    assert status in (400, 403)


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [("origin", "https://evil.example", "http://localhost:3000"), ("content-type", "text/plain", "application/json")],
)
def test_nor_may_an_origin_or_a_content_type_come_twice(
    name: str, one: str, two: str, route: Callable[..., Router], relay: Relay
) -> None:
    router = route(more='[server]\nallowed_origins = ["http://localhost:3000"]')
    for first, second in ((one, two), (two, one)):
        more = "" if name == "content-type" else "content-type: application/json\n"
        head = f"POST {CHAT} HTTP/1.1\nhost: localhost\n{name}: {first}\n{name}: {second}\n{more}content-length: 2\n"
        assert raw(router, head, b"{}")[0] in (400, 403, 415)
    assert relay.seen == []


def test_the_same_content_type_twice_is_none_too_many(router: Router) -> None:
    data = b'{"model": "openfusion/auto", "messages": [{"role": "user", "content": "hi"}]}'
    twice = "content-type: application/json\ncontent-type: application/json\n"
    head = f"POST {CHAT} HTTP/1.1\nhost: localhost\n{twice}content-length: {len(data)}\n"
    assert raw(router, head, data)[0] == 200


def test_the_target_may_be_a_whole_address_and_the_host_counts_as_ever(router: Router) -> None:
    # A browser writes so to a proxy only, with the same name in Host; HTTP says that servers must understand it.
    assert raw(router, "GET http://localhost/livez HTTP/1.1\nhost: localhost\n")[0] == 200
    assert raw(router, "GET http://localhost/livez HTTP/1.1\nhost: evil.example\n")[0] == 403


def test_names_that_are_allowed_are_compared_in_one_spelling(route: Callable[..., Router]) -> None:
    router = route(more='[server]\nallowed_hosts = ["Box.LAN", "fe80:0::1"]')
    for host in ("box.lan", "BOX.lan.:8787", "[fe80::1]:8787"):
        assert raw(router, f"GET /livez HTTP/1.1\nhost: {host}\n")[0] == 200
    assert raw(router, "GET /livez HTTP/1.1\nhost: x.box.lan\n")[0] == 403


def test_a_host_has_one_plain_name() -> None:
    assert parse_host("[::1]:8787") == "::1"
    assert parse_host("LOCALHOST.:1") == "localhost"
    assert parse_host("a b") is None
    assert normalize_host("[0:0:0:0:0:0:0:1]") == "::1"


# ---- web pages

FETCHED: list[tuple[dict[str, str], int]] = [
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, 403),
    ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 403),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
    ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
    ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 200),
    ({"sec-fetch-mode": "cors"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), FETCHED)
def test_what_a_web_page_loads_is_refused_also_without_an_origin(
    headers: dict[str, str], status: int, router: Router
) -> None:
    assert router.client.get("/v1/models", headers=headers).status_code == status


def test_a_form_that_navigates_here_is_refused(router: Router, relay: Relay) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert router.client.post(CHAT, json=body(), headers=headers).status_code == 403
    assert relay.seen == []


def test_a_page_of_our_own_may_ask_and_one_beside_us_may_not(router: Router) -> None:
    host = router.url.removeprefix("http://")
    port = int(host.rpartition(":")[2])
    assert router.client.get("/v1/models", headers={"origin": f"http://{host}"}).status_code == 200
    for origin in (f"http://127.0.0.1:{port + 1}", f"https://{host}", "http://127.0.0.1", f"http://localhost:{port}"):
        assert router.client.get("/v1/models", headers={"origin": origin}).status_code == 403


def test_a_rebound_name_is_not_our_own_page(router: Router) -> None:
    # The page at evil.example made its name point here: to its browser the two are one origin.
    headers = {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"}
    assert router.client.get("/v1/models", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "origin", ["null", "file://", "http://LOCALHOST:3000.evil.example", "https://localhost:3000", ""]
)
def test_an_origin_that_is_not_the_named_one_is_refused(origin: str, route: Callable[..., Router]) -> None:
    router = route(more='[server]\nallowed_origins = ["http://localhost:3000"]')
    assert router.client.get("/v1/models", headers={"origin": origin}).status_code == 403
    assert router.client.get("/v1/models", headers={"origin": "http://LOCALHOST:3000"}).status_code == 200


# ---- what is asked, and how

OTHERS = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json-seq",
    "text/plain; application/json",
    "application/jsonx",
]


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/debug/route", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_post_of_anything_but_json_is_415_and_says_what_to_send(
    kind: str, path: str, router: Router, relay: Relay
) -> None:
    answer = router.client.post(path, content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["error"]["message"]
    assert relay.seen == []


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;"])
def test_json_by_any_spelling_is_taken(kind: str, router: Router) -> None:
    assert router.client.post("/debug/route", content=b"{}", headers={"content-type": kind}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/v1/messages", "POST"),
        ("TRACE", "/livez", "GET, HEAD"),
        ("PATCH", "/v1/responses", "POST, GET, HEAD"),
    ],
)
def test_the_wrong_method_is_405_with_those_that_are_right(
    method: str, path: str, allowed: str, router: Router
) -> None:
    answer = router.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert ("type" in answer.json()) == path.startswith("/v1/messages")


@pytest.mark.parametrize(
    ("path", "headers", "anthropic"),
    [
        ("/v1/completions", {}, False),
        ("/v1/messages/batches", {}, True),
        ("/v1/files", {"anthropic-version": "2023-06-01"}, True),
        ("/v1/v1/chat/completions", {}, False),
        ("/v1/chat/completions/", {}, False),
        ("//v1/models", {}, False),
        ("/v1/models/../../livez", {}, False),
        ("/%2e%2e/livez", {}, False),
    ],
)
def test_an_unknown_path_is_404_in_the_clients_shape(
    path: str, headers: dict[str, str], anthropic: bool, router: Router
) -> None:
    more = "".join(f"{name}: {value}\n" for name, value in headers.items())
    status, seen = raw(router, f"GET {path} HTTP/1.1\nhost: localhost\n{more}")
    assert status == 404
    assert (b'"not_found_error"' in seen) == anthropic


def test_a_key_that_was_put_into_an_address_is_not_repeated(router: Router) -> None:
    key = "sk-" + "a1b2c3d4" * 4
    assert key not in router.client.get(f"/v1/{key}/chat").text


def test_a_websocket_is_never_let_in(router: Router) -> None:
    import asyncio

    from autorouter.server.app import build_app
    from autorouter.server.guard import GuardConfig

    door = GuardConfig(hosts=frozenset(), origins=frozenset(), key=None, max_body_bytes=9)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(build_app(router.runtime, door)({"type": "websocket", "path": CHAT, "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_body_in_two_lengths_is_no_way_to_smuggle_another_request(router: Router, relay: Relay) -> None:
    data = b"0\r\n\r\nPOST /v1/messages HTTP/1.1\r\nhost: evil.example\r\n\r\n"
    head = (
        f"POST {CHAT} HTTP/1.1\nhost: localhost\ncontent-type: application/json\n"
        f"content-length: {len(data)}\ntransfer-encoding: chunked\n"
    )
    try:
        status, seen = raw(router, head, data)
    except (TimeoutError, ConnectionError):
        return
    assert status == 400
    assert seen.count(b"HTTP/1.1 ") == 1
    assert relay.seen == []


def test_a_refusal_repeats_the_clients_id_for_the_request(router: Router) -> None:
    for path, sent in (("/nope", body()), (CHAT, {"model": "openfusion/auto"}), (CHAT, body(model="nobody"))):
        for given, repeated in (("mine-1", "mine-1"), ("not mine", None), ("x" * 129, None)):
            answer = router.post(sent, path, **{"x-request-id": given})
            assert answer.status_code in (400, 404)
            assert answer.headers.get("x-request-id") == repeated
