"""What fuzzing found, each as a test. `tests/fuzz/run.py` prints one to paste."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.core.values import Wire
from autorouter.errors import RequestError
from autorouter.wire import exchange, fields, translate
from autorouter.wire.events import Failed
from autorouter.wire.names import Names
from tests.server.conftest import CHAT, HI, Router, body, dry, server, start

__all__ = ["dry", "server", "start"]
DEEP: Any = b"[" * 300 + b"]" * 300


def deep_body(model: str, **more: Any) -> bytes:
    """A chat request with one member that is nested 300 levels deep: orjson reads it and can't write it."""
    return orjson.dumps({**body(model=model), **more}).replace(b'"@deep"', DEEP)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("label", ["auto", "verify", "fusion"])
def test_a_body_nested_too_deeply_is_no_fault_of_ours(dry: Router, label: str, stream: bool) -> None:
    sent = deep_body(f"openfusion/{label}", metadata="@deep", stream=stream, max_tokens=50)
    answer = dry.client.post(CHAT, content=sent, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert "nested" in answer.json()["error"]["message"]


USED = {"role": "assistant", "content": [{"type": "tool_use", "input": {"a": "@deep"}}]}
CALLED = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "@deep"}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/responses", {"input": [CALLED]}),
        ("/v1/messages", {"messages": [*HI, USED]}),
        ("/v1/messages/count_tokens", {"messages": [USED]}),
        ("/debug/route", {"system": "s", "messages": [USED]}),
        ("/v1/estimate", {"input": [CALLED]}),
    ],
)
def test_deep_arguments_in_a_history_are_refused(dry: Router, path: str, document: dict[str, Any]) -> None:
    sent = orjson.dumps({"model": "openfusion/auto", **document}).replace(b'"@deep"', DEEP)
    answer = dry.client.post(path, content=sent, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert "nested" in answer.json()["error"]["message"]


def test_only_what_is_too_deep_is_called_so() -> None:
    nested = orjson.dumps({"model": "m"})[:-1] + b',"a":%s}'
    assert fields.too_deep(nested % (b"[" * 230 + b"]" * 230)) is None
    assert isinstance(fields.too_deep(nested % (b"[" * 250 + b"]" * 250)), RequestError)


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_an_upstreams_deep_event_is_malformed_and_no_exception(wire: Wire) -> None:
    call = b'{"index":0,"id":"a","function":{"name":"f","arguments":{"a":%s}}}'
    item = b'{"type":"function_call","call_id":"c","name":"f","arguments":{"a":%s}}'
    block = b'{"type":"tool_use","id":"t","name":"f","input":{"a":%s}}'
    streams = {
        "chat": b'data: {"choices":[{"delta":{"tool_calls":[' + call + b"]}}]}\n\n",
        "responses": b'data: {"type":"response.output_item.done","output_index":0,"item":' + item + b"}\n\n",
        "messages": b'data: {"type":"content_block_start","index":0,"content_block":' + block + b"}\n\n",
    }
    decoder = translate.DECODERS[wire]()
    events = [*decoder.feed(streams[wire] % DEEP), *decoder.end()]
    assert isinstance(events[-1], Failed)
    assert decoder.ended


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_an_upstreams_deep_answer_is_none(wire: Wire) -> None:
    document = orjson.loads(b'{"%s":[{"type":"x","a":%s}]}' % (exchange.ANSWER_MEMBER[wire].encode(), DEEP))
    assert translate.answer_of(document, wire, Names()).failed is not None


def test_a_damaged_receipt_does_not_hide_the_others(dry: Router) -> None:
    receipt = dry.post(body()).headers["x-autorouter-receipt"]
    assert dry.client.get("/debug/receipts").json()["data"][0]["id"] == receipt
    (day,) = Path(dry.receipts).glob("*.jsonl")
    with day.open("ab") as file:
        file.write(b'{"type":"receipt","seq":9,"prev":"x","id":"y"}\n')
    listed = dry.client.get("/debug/receipts")
    assert listed.status_code == 200
    assert [line["id"] for line in listed.json()["data"]] == [receipt]


@pytest.mark.parametrize("count", ["%C2%B2", "1" * 5000, "0", "501", "-1", "1.0", "%D9%A3", "x"])
def test_a_count_that_is_no_number_is_refused(dry: Router, count: str) -> None:
    answer = dry.client.get(f"/debug/receipts?n={count}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"
