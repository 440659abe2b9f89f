"""Requests of clients: whatever a body holds, it is read or refused with a RequestError; and what was read can be sent on.

byte 0   which headers come with it, and what an inner call changes
byte 1   below 128: the rest is the body; else it says how a good body is changed
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from autorouter.core.policy import Policy
from autorouter.core.signals.features import extract_features
from autorouter.core.types import Wire
from autorouter.errors import RequestError
from autorouter.privacy import secrets
from autorouter.wire import exchange, inner_request
from autorouter.wire.common import lenient_json
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import InnerRequestOptions
from autorouter.wire.parse import parse_request
from tests.fuzz.atheris import Target
from tests.fuzz.mutate import near_body

HEADERS = (
    {},
    {"user-agent": "codex_cli_rs/0.98.0", "x-codex-turn-metadata": '{"turn_id":"1","request_kind":"compaction"}'},
    {"anthropic-version": "2023-06-01", "user-agent": "claude-cli/2.1.0", "x-autorouter-strategy": "verify"},
    {"x-autorouter-models": "a, b", "x-autorouter-max-usd": "0.5", "x-autorouter-dial": "3", "thread-id": "t"},
)
SHAPES = (
    InnerRequestOptions(stream=False, tools="none", keep_output_options=False),
    InnerRequestOptions(stream=True, temperature=0.0, max_tokens=100),
    InnerRequestOptions(stream=True),
    InnerRequestOptions(stream=False, keep_output_options=False, max_tokens=5),
)
POLICY = Policy()
WIRES: tuple[Wire, ...] = ("chat", "responses", "messages")
CHAT = (
    b'{"model":"openfusion/auto","stream":true,"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text",'
    b'"text":"fix it"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aa"}}]},{"role":"assistant","content":null,'
    b'"tool_calls":[{"id":"c1","type":"function","function":{"name":"bash","arguments":"{\\"command\\":\\"ls\\"}"}}]},{"role":"tool",'
    b'"tool_call_id":"c1","content":"ok"}],"tools":[{"type":"function","function":{"name":"bash","parameters":{"type":"object"}}}],'
    b'"max_tokens":10,"stream_options":{"include_usage":true},"reasoning_effort":"low","stop":["x"],'
    b'"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"openfusion":{"strategy":"fusion","max_usd":1}}',
    b'{"messages":[{"role":"user","content":"\\"model\\": \\"x\\""}],"model":"a",'
    b'"tool_choice":{"type":"function","function":{"name":"f"}}}',
)
RESPONSES = (
    b'{"model":"openfusion/auto","instructions":"s","input":[{"type":"message","role":"developer","content":[{"type":"input_text",'
    b'"text":"d"}]},{"role":"user","content":"fix it"},{"type":"reasoning","id":"r","summary":[{"type":"summary_text",'
    b'"text":"t"}],'
    b'"encrypted_content":"e"},{"type":"function_call","call_id":"c","name":"shell","arguments":"{}"},{"type":'
    b'"function_call_output",'
    b'"call_id":"c","output":"exit code 1"},{"type":"custom_tool_call","call_id":"d","name":"apply_patch","input":"***"}],'
    b'"tools":[{"type":"function","name":"shell","parameters":{}},{"type":"custom","name":"apply_patch"},{"type":"web_search"}],'
    b'"stream":true,"max_output_tokens":9,"reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema","name":"n","schema":{}}},'
    b'"client_metadata":{"x-codex-turn-metadata":"{}"},"include":["reasoning.encrypted_content"],"prompt_cache_key":"k"}',
    b'{"model":"a","input":"hi","previous_response_id":null,"tool_choice":"none"}',
)
MESSAGES = (
    b'{"model":"openfusion/auto","max_tokens":10,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],'
    b'"messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>x</system-reminder>"},{"type":"text","text":"fix"},'
    b'{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aa"}}]},{"role":"assistant","content":[{"type":'
    b'"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls"}}]},{"role":"user",'
    b'"content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"}]}]}],"tools":[{"name":'
    b'"Bash","input_schema":{"type":"object"}}],"tool_choice":{"type":"auto"},"thinking":{"type":"enabled","budget_tokens":1024},'
    b'"metadata":{"user_id":"u_session_1"},"stream":true,"stop_sequences":["x"],"output_format":{"type":"json_schema","schema":{}}}',
    b'{"model":"a","max_tokens":1,"messages":[{"role":"user","content":"hi"},{"role":"system","content":"env"}],"output_config":{"format":{}}}',
)
BODIES: Mapping[Wire, tuple[bytes, ...]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


def run(wire: Wire, data: bytes) -> None:
    """Read the body; then make every body of it that the router may send."""
    how, mode = (data[0], data[1]) if len(data) > 1 else (0, 0)
    body = data[2:] if mode < 128 else near_body(BODIES[wire][mode % 2], data[2:])
    try:
        request = parse_request(wire, body, HEADERS[how % 4])
    except RequestError as error:
        if error.http_status != 400:
            raise
        return
    extract_features(request.task, POLICY)
    hits = secrets.scan(body)
    orjson.loads(secrets.mask(body, hits))
    _sent_on(request, stream=request.task.stream)
    shape = SHAPES[how // 4 % 4]
    inner_request.has_output_options(request)
    try:
        inner_request.declared_tools(request)
        inner = inner_request.compose(request, "<more>\n", shape)
    except lenient_json.TooDeepError:
        return
    parse_request(wire, inner.task.body, {})
    _sent_on(inner, stream=shape.stream)


def _sent_on(request: ClientRequest, *, stream: bool) -> None:
    for upstream in WIRES:
        for strip in (False, True):
            try:
                sent = exchange.open_exchange(
                    request,
                    upstream,
                    "v/m",
                    origin="one/m",
                    seed="ar_1",
                    created_s=1,
                    stream_usage=True,
                    strip_reasoning=strip,
                )
            except lenient_json.TooDeepError:
                continue
            document = orjson.loads(sent.body)
            assert document["model"] == "v/m"
            assert (document.get("stream") or False) == stream
            assert "openfusion" not in document
            sent.observer()


def _target(wire: Wire) -> Target:
    raw = (bytes([how, 0]) + body for body in BODIES[wire] for how in (0, 5, 10, 15))
    near = (bytes([how, 128, 7 * how, how, how, 250 - how, 1, how]) for how in range(32))
    return Target(lambda data: run(wire, data), (*raw, *near))


TARGETS = {f"request-{wire}": _target(wire) for wire in WIRES}
