from __future__ import annotations

import json
import socket

import pytest

from autorouter.simulator.server.app import SHOWN_CHARS
from autorouter.simulator.server.connection import MAX_BODY_BYTES
from tests.simulator.server.conftest import PATHS, Mock, Start, body


def test_a_connection_is_kept_and_answers_come_in_order(mock: Mock) -> None:
    with mock.line() as wire:
        for number in range(3):
            raw = wire.ask(PATHS["chat"], body("chat", ask=f"number {number}.", stream=number == 1))
            assert f"number {number}.".encode() in raw.data.replace(b'"}', b"") or raw.chunks
            assert raw.end == "whole"
        assert wire.ask("/v1/models", method="GET").status == 200


def test_requests_sent_at_once_are_answered_one_after_another(mock: Mock) -> None:
    data = json.dumps(body("chat")).encode()
    head = f"POST {PATHS['chat']} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", mock.port), 20) as client:
        client.sendall((head + data) * 2 + head.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost") + data)
        got = b""
        while more := client.recv(65536):
            got += more
    assert got.count(b"HTTP/1.1 200 OK") == 3


def test_an_old_client_gets_no_chunks(mock: Mock) -> None:
    data = json.dumps(body("chat", stream=True)).encode()
    with socket.create_connection(("127.0.0.1", mock.port), 20) as client:
        client.sendall(f"POST {PATHS['chat']} HTTP/1.0\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
        got = b""
        while more := client.recv(65536):
            got += more
    head, _, rest = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert rest.endswith(b"data: [DONE]\n\n")


def test_a_client_that_asks_first_is_told_to_go_on(mock: Mock) -> None:
    data = json.dumps(body("chat")).encode()
    with socket.create_connection(("127.0.0.1", mock.port), 20) as client:
        client.sendall(
            f"POST {PATHS['chat']} HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(data)
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 no http\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request_is_refused(mock: Mock, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", mock.port), 20) as client:
        client.sendall(sent)
        assert client.recv(100).split()[1] == status
    assert mock.ask("/v1/models", method="GET").status == 200


def test_a_body_beyond_all_bounds_is_refused(mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BODY_BYTES > 2**25
    monkeypatch.setattr("autorouter.simulator.server.connection.MAX_BODY_BYTES", 1000)
    assert mock.ask(PATHS["chat"], {"x": "y" * 2000}).status == 413


def test_models_are_listed_in_both_vendors_shape(start: Start) -> None:
    listed = start(models=("a", "b")).ask("/v1/models", method="GET").document
    assert [entry["id"] for entry in listed["data"]] == ["a", "b"]
    assert {entry["object"] for entry in listed["data"]} == {"model"}
    assert (listed["first_id"], listed["has_more"]) == ("a", False)


def test_tokens_are_counted_by_bytes(mock: Mock) -> None:
    assert mock.ask("/v1/messages/count_tokens", {"x": "y" * 393}).document == {"input_tokens": 100}


def test_a_path_without_a_prefix_is_served_and_others_are_not(mock: Mock) -> None:
    assert mock.ask("/chat/completions", body("chat")).status == 200
    assert mock.ask("/api/v1/messages?beta=true", body("messages")).status == 200
    assert mock.ask("/v1/embeddings", {}).status == 404
    assert mock.ask(PATHS["chat"], method="GET").status == 404
    assert mock.ask(PATHS["responses"], method="GET").status == 426
    assert "autorouter mock" in mock.ask("/", method="GET").document["name"]


def test_one_wire_alone(start: Start) -> None:
    only = start(wires=frozenset({"messages"}))
    assert only.post("messages").status == 200
    assert only.post("chat").status == 404
    assert only.post("responses").status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer sk-right"}, 200),
        ({"x_api_key": "sk-right"}, 200),
    ],
)
def test_a_key_is_asked_for(start: Start, headers: dict[str, str], status: int) -> None:
    mock = start(key="sk-right")
    raw = mock.ask(PATHS["messages"], body("messages"), **headers)
    assert raw.status == status
    assert b"sk-right" not in raw.data
    assert mock.ask("/v1/models", method="GET", **headers).status == status


def test_a_scenario_stands_for_every_request_or_the_first_few(start: Start) -> None:
    always, twice = start("503"), start("503*2")
    assert [always.post("chat").status for _ in range(3)] == [503] * 3
    assert [twice.post("chat").status for _ in range(3)] == [503, 503, 200]


def test_a_models_mark_chooses_and_is_cut_off(mock: Mock) -> None:
    assert mock.post("chat", model="m#529").status == 529
    good = mock.post("chat", model="gpt-x#no-usage")
    assert good.document["model"] == "gpt-x"
    assert good.headers["x-autorouter-mock"] == "no-usage"
    unknown = mock.post("chat", model="m#cutstream")
    assert unknown.status == 400
    assert "`cut-stream`" in unknown.document["error"]["message"]


def test_a_fault_can_be_for_one_model_or_one_role(start: Start) -> None:
    mock = start("503@bad,half-json@judge")
    assert [mock.post("chat", model=name).status for name in ("bad", "good")] == [503, 200]
    task = '<autorouter-task role="judge" key="k"><proposal id="A">"x"</proposal></autorouter-task>'
    judged = mock.post("chat", ask=f"hi\n{task}").document["choices"][0]["message"]["content"]
    assert judged.startswith('{"key":"k"')
    assert not judged.endswith("}")


def test_a_script_plays_on_the_socket(start: Start) -> None:
    rule = {"model": "gpt-*", "nth": 2, "scenario": "cut-after-3", "stream": True}
    mock = start(script={"rule": [rule, {"model": "late", "delay_s": 0.2}]})
    assert [mock.post("chat", model="gpt-5", stream=True).end for _ in range(3)] == ["whole", "closed", "whole"]
    assert mock.post("chat", model="late").status == 200
    *_, late = [mock.logged() for _ in range(4)]
    assert late.duration_s >= 0.2 * 0.8, "the delay of its rule"


def test_the_same_requests_get_the_same_bytes_from_a_fresh_mock(start: Start) -> None:
    first, second = start(), start()
    for wire in PATHS:
        assert first.post(wire, stream=True).data == second.post(wire, stream=True).data


def test_a_line_tells_what_was_done_and_no_secret(start: Start) -> None:
    mock = start()
    mock.ask(
        PATHS["chat"] + "?key=sk-in-url",
        body("chat", stream=True, ask="words of a human", model="gpt-5#cut-after-3"),
        authorization="Bearer sk-secret",
    )
    text = mock.logged().text()
    assert text.startswith("POST /v1/chat/completions gpt-5 stream cut-after-3 (by model) -> 200, ")
    assert "in 3 pieces, connection closed" in text
    for secret in ("sk-", "words", "human"):
        assert secret not in text


def test_a_line_cannot_steer_the_terminal(start: Start) -> None:
    mock = start()
    mock.post("chat", model="a\x1b[2J\n" + "b" * 1000)
    text = mock.logged().text()
    assert text.isprintable()
    assert "b" * SHOWN_CHARS not in text


@pytest.mark.parametrize("fault", ["timeout", "stall", "slow-first-byte", "slow-stream"])
def test_a_client_that_leaves_ends_the_waiting(start: Start, fault: str) -> None:
    mock = start()
    mute = fault in ("timeout", "slow-first-byte")
    raw = mock.post("chat", fault, silence_s=0.2, mute=mute, stream=True)
    assert raw.end == "silent"
    note = mock.logged()
    assert note.ending in ("client left", "silence until the client left")
    assert note.duration_s < 10


def test_the_pace_of_a_good_answer_is_kept(start: Start) -> None:
    mock = start(ttft_s=0.2, tokens_per_s=100.0)
    raw = mock.post("chat", stream=True)
    assert raw.end == "whole"
    assert mock.logged().duration_s > 0.2 * 0.8


def test_closing_lets_nobody_wait(start: Start) -> None:
    mock = start()
    with mock.line() as wire:
        data = json.dumps(body("chat")).encode()
        head = f"POST {PATHS['chat']} HTTP/1.1\r\nx-autorouter-fault: timeout\r\ncontent-length: {len(data)}\r\n\r\n"
        wire.socket.sendall(head.encode() + data)
        mock.ask("/v1/models", method="GET")
        mock._call(mock._server.close())
        wire.socket.settimeout(20)
        with pytest.raises(ConnectionResetError):
            wire.socket.recv(1)
