"""What fuzzing found, each as a test. `tests/fuzz/run.py` prints one to paste."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.adapters import changes, edits
from autorouter.adapters.registry import FileFormat
from autorouter.config import local_keys
from autorouter.core.grants import Grant
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review import verdicts
from autorouter.core.types import Usage, Wire
from autorouter.engine.strategies.tool_check import DeclaredTools
from autorouter.errors import AdapterError, BudgetExceeded, ConfigError, RequestError
from autorouter.server.access.budgets import KeyBudgets
from autorouter.wire import exchange, translate
from autorouter.wire.chat import request as chat_request
from autorouter.wire.common import lenient_json
from autorouter.wire.common.ir import StreamFailed
from autorouter.wire.common.tool_names import ToolNameMap
from autorouter.wire.common.usage import parse_chat_usage
from autorouter.wire.usage_sum import add_usage
from tests.fuzz.atheris import target
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
    for levels in (1, lenient_json.MAX_DEPTH):
        assert lenient_json.dumps_bytes(orjson.loads(b"[" * levels + b"]" * levels))
    with pytest.raises(RequestError, match="nested more than"):
        lenient_json.dumps_bytes(orjson.loads(b"[" * 300 + b"]" * 300))


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
    assert isinstance(events[-1], StreamFailed)
    assert decoder.ended


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
def test_an_upstreams_deep_answer_is_none(wire: Wire) -> None:
    document = orjson.loads(b'{"%s":[{"type":"x","a":%s}]}' % (exchange.ANSWER_MEMBER[wire].encode(), DEEP))
    assert translate.decode_answer(document, wire, ToolNameMap()).failed is not None


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


@pytest.mark.parametrize(
    "text", ['{"key":"k","verdict":"revise","findings":["a\\ud800"]}', '{"key":"k","order":["\\ud800"]}']
)
def test_half_a_surrogate_is_no_verdict(text: str) -> None:
    assert verdicts.parse_verdict(text, "k") is None
    assert verdicts.parse_judgement(text, "k", "AB") is None
    assert verdicts.parse_ranking(text, "k", "AB") is None


KEY = f'[keys.a]\nsha256 = "{"a" * 64}"\n'
CREATED = KEY + "created = 2026-01-01T00:00:00Z\n"


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 3000 + "]" * 3000,
        KEY + "created = 0001-01-01T00:00:00+23:59\n",
        KEY + "created = 9999-12-31T23:59:59-23:59\n",
        CREATED + "budget_usd_per_day = nan\n",
        CREATED + "budget_usd_per_day = inf\n",
        CREATED + "budget_usd_per_day = -1\n",
        CREATED + "budget_usd_per_day = true\n",
        CREATED + "budget_usd_per_day = 1" + "0" * 400 + "\n",
        CREATED + 'models = "openfusion/auto"\n',
    ],
    ids=["nested", "before-time", "behind-time", "nan", "inf", "negative", "flag", "long", "models-as-a-text"],
)
def test_a_file_of_keys_that_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError):
        local_keys.read_keys(path)
    path.write_text(CREATED, "utf-8")
    assert list(local_keys.read_keys(path)) == ["a"]


@pytest.mark.parametrize("spent", ["NaN", "Infinity", "-5", "[" * 3000 + "]" * 3000, "1" + "0" * 400])
def test_a_sum_that_no_budget_can_be_held_against_counts_as_none(tmp_path: Path, spent: str) -> None:
    path = tmp_path / "keys.spent.json"
    path.write_text('{"day": 1, "spent_usd": {"ci": %s}}' % spent, "utf-8")  # noqa: UP031
    budgets = KeyBudgets(path, clock=lambda: 86_400.0 * 1.5)
    grant = Grant("ci", (), (), 1.0)
    budgets.check(grant, 0.5)
    budgets.hold(grant, 0.5)
    with pytest.raises(BudgetExceeded):
        budgets.check(grant, 0.6)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("toml", "a" + ".a" * 3000 + " = 1\n"),
        ("toml", "[model_providers" + ".a" * 1500 + "]\n"),
        ("yaml", "a: &a [*a]\n"),
    ],
)
def test_a_clients_file_without_a_bottom_is_refused(form: FileFormat, text: str) -> None:
    path: changes.Path = ("model",)
    with pytest.raises(AdapterError, match="nested too deeply"):
        edits.apply_settings(text, form, [(path, "x", False)])


def checked(schema: dict[str, Any], arguments: str = '{"a": "x"}') -> Reason | None:
    """What is wrong with a call of a tool that has this schema."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    request = chat_request.parse(orjson.dumps({"model": "m", "messages": HI, "tools": tools}), {})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    return DeclaredTools.of(request).problem(translate.decode_answer(answer, "chat", ToolNameMap()))


def test_a_tools_schema_fetches_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "schema.json"
    secret.write_text('{"type": "integer"}', "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        for address in (f"http://127.0.0.1:{listener.getsockname()[1]}/x.json", secret.as_uri()):
            # A fetched schema would say that the text is no integer.
            assert checked({"properties": {"a": {"$ref": address}}}) is None
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "schema", [{"$schema": 5}, {"properties": {"a": {"pattern": "\\p{L}"}}}, {"$ref": "#"}, {"type": "strin"}]
)
def test_a_tools_schema_that_cannot_be_used_is_no_members_fault(schema: dict[str, Any]) -> None:
    assert checked(schema) is None


def test_a_tools_schema_that_can_be_used_is() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert checked(schema) == Reason.of(ReasonCode.ARGUMENTS_MISMATCH)
    assert checked(schema, '{"a": 1}') is None


def test_a_count_of_tokens_beyond_all_measure_is_none() -> None:
    """Two of them together have no place in 64 bits, and the usage that a client is told could not be written."""
    target("decode-chat").run(bytes.fromhex("0c8c9e" + "9b" * 18 + "002f9b0c5a0c" + "9b" * 11 + "002f9b0c5a0c20a0"))
    told = {"prompt_tokens": 2**64 - 1, "completion_tokens": 5, "total_tokens": 2**64 - 1}
    assert parse_chat_usage(told) == Usage(input_tokens=0, output_tokens=5)
    body = orjson.dumps({"choices": [], "usage": told})
    assert orjson.loads(add_usage(body, "chat", Usage(input_tokens=7)))["usage"]["prompt_tokens"] == 7
