"""The OpenAI SDK, unmodified, against a router on the dry run: as its own documentation uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.server.conftest import Router

ASK = "Create a file. PROBE_FILE={path} PROBE_TEXT=hello-sdk"
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Run a shell command.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
        },
    }
]


@pytest.fixture
def sdk(dry: Router) -> Iterator[openai.OpenAI]:
    http_client = httpx.Client(trust_env=False)
    with openai.OpenAI(base_url=f"{dry.url}/v1", api_key="local", max_retries=0, http_client=http_client) as client:
        yield client


def whole(sdk: openai.OpenAI, messages: list[Any], **more: Any) -> dict[str, Any]:
    answer = sdk.chat.completions.create(model="openfusion/auto", messages=messages, **more)
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    return answer.choices[0].message.model_dump(exclude_none=True)


def streamed(sdk: openai.OpenAI, messages: list[Any], **more: Any) -> dict[str, Any]:
    """The message put together from its chunks, as the common loop does it."""
    text, calls, finish = "", [], None
    for chunk in sdk.chat.completions.create(model="openfusion/auto", messages=messages, stream=True, **more):
        delta = chunk.choices[0].delta
        finish = chunk.choices[0].finish_reason or finish
        text += delta.content or ""
        for call in delta.tool_calls or []:
            assert call.function is not None
            if call.id:
                calls.append(
                    {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": ""}}
                )
            calls[call.index]["function"]["arguments"] += call.function.arguments or ""
    assert finish == ("tool_calls" if calls else "stop")
    return {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})


BOTH = pytest.mark.parametrize("ask", [whole, streamed])


@BOTH
def test_a_question_is_answered(ask: Any, sdk: openai.OpenAI) -> None:
    assert "dry run" in ask(sdk, [{"role": "user", "content": "Explain λ"}])["content"].lower()


@BOTH
def test_a_tool_loop_comes_to_its_end(ask: Any, sdk: openai.OpenAI, dry: Router, tmp_path: Path) -> None:
    path = tmp_path / "probe.txt"
    messages: list[Any] = [{"role": "user", "content": ASK.format(path=path)}]
    said: list[str] = []
    for _ in range(5):
        message = ask(sdk, messages, tools=TOOLS)
        messages.append(message)
        if not message.get("tool_calls"):
            break
        for call in message["tool_calls"]:
            said.append(json.loads(call["function"]["arguments"])["command"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": "hello-sdk"})
    assert messages[-1]["content"] == f"PROBE_DONE wrote {path}"
    assert len(said) == 2
    assert "hello-sdk" in said[0]
    assert str(path) in said[0]
    receipts = dry.client.get("/debug/receipts").json()["data"]
    assert len(receipts) == 3
    shown = [dry.receipt(found["id"]) for found in receipts]
    assert [receipt["features"]["phase"] for receipt in shown] == ["continuation", "continuation", "first"]
    assert len({receipt["request"]["session"] for receipt in shown}) == 1
    assert {receipt["request"]["client"] for receipt in shown} == {"openai-python"}
    assert len({receipt["outcome"]["candidate"] for receipt in shown}) == 1, "the loop stays with its model"


def test_usage_of_a_stream_comes_last_and_only_when_asked_for(sdk: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    create = sdk.chat.completions.create
    chunks = list(
        create(model="openfusion/auto", messages=messages, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None for chunk in create(model="openfusion/auto", messages=messages, stream=True))


def test_the_stream_helper_of_the_sdk_works(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(model="openfusion/auto", messages=[{"role": "user", "content": "hi"}]) as events:
        for _ in events:
            pass
        final = events.get_final_completion()
    assert "dry run" in (final.choices[0].message.content or "").lower()


def test_structured_output_is_parsed(sdk: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    content = whole(sdk, [{"role": "user", "content": "a number"}], response_format=wanted)["content"]
    assert isinstance(json.loads(content)["n"], int)


def test_models_are_listed_and_found(sdk: openai.OpenAI) -> None:
    assert "openfusion/auto" in [model.id for model in sdk.models.list()]
    assert sdk.models.retrieve("openfusion/auto").id == "openfusion/auto"


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("429-no-header*all", openai.RateLimitError),
        ("401*all", openai.AuthenticationError),
        ("404*all", openai.NotFoundError),
        ("500*all", openai.InternalServerError),
        ("window-400*all", openai.BadRequestError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(
    stream: bool, fault: str, raised: type[openai.APIStatusError], sdk: openai.OpenAI
) -> None:
    with pytest.raises(raised) as caught:
        sdk.chat.completions.create(
            model="openfusion/auto",
            messages=[{"role": "user", "content": "hi"}],
            stream=stream,
            extra_headers={"x-autorouter-fault": fault},
        )
    assert caught.value.code
    assert caught.value.body


def test_an_unknown_model_is_the_sdks_not_found(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean `openfusion/auto`"):
        sdk.chat.completions.create(model="openfusion/aut", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("fault", ["cut-stream*all", "clean-eof*all", "error-event*all", "half-json*all"])
def test_a_broken_stream_raises(fault: str, sdk: openai.OpenAI) -> None:
    chunks = sdk.chat.completions.create(
        model="openfusion/auto",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        extra_headers={"x-autorouter-fault": fault},
    )
    with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
        list(chunks)


@pytest.mark.parametrize(
    "fault", ["500", "reset", "429-retry-after", "crlf", "split-utf8", "comments", "huge-line", "no-usage"]
)
def test_what_is_absorbed_or_legal_is_not_noticed(fault: str, sdk: openai.OpenAI) -> None:
    for ask in (whole, streamed) if fault != "no-usage" else (streamed,):
        message = ask(sdk, [{"role": "user", "content": "hi"}], extra_headers={"x-autorouter-fault": fault})
        assert "dry run" in message["content"].lower()
