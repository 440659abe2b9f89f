"""The runs behind the golden receipts: a dry run of the real engine with a clock, a timer and ids that are counted."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from autorouter.config.load import load
from autorouter.engine.accounting import carry_out
from autorouter.engine.request_context import RequestContext
from autorouter.engine.router import route
from autorouter.engine.step import StreamBroken
from autorouter.errors import AutorouterError
from autorouter.receipts import reader
from autorouter.runtime import Runtime, build
from autorouter.simulator.transport import DryRunTransport
from autorouter.wire.chat import request as chat_request

START_S = 1_800_000_000.0
CONFIG = """
schema_version = 1
[upstreams.relay]
base_url = "http://127.0.0.1:18080/v1"
[[candidates]]
id = "cheap"
upstream = "relay"
model = "vendor/cheap"
vendor = "one"
roles = ["fast", "writer"]
price_usd_per_mtok = { input = 0.10, output = 0.40, cache_read = 0.01, cache_write = 0.10 }
capabilities = ["tools", "vision", "json_schema"]
benchmarks = { general = 60, coding = 48, reasoning = 50, verification = 44, writing = 58 }
ttft_s = 0.8
throughput_tokens_per_s = 90
availability = 0.99
[[candidates]]
id = "strong"
upstream = "relay"
model = "vendor/strong"
vendor = "two"
roles = ["coder", "reasoner", "verifier"]
price_usd_per_mtok = { input = 3.0, output = 15.0, cache_read = 0.30, cache_write = 3.75 }
context_window_tokens = 200000
capabilities = ["tools", "json_schema"]
benchmarks = { general = 90, coding = 93, reasoning = 92, verification = 90, writing = 88 }
ttft_s = 1.4
throughput_tokens_per_s = 60
availability = 0.98
"""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "run a command",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
        },
    }
]
TITLE = "You are a title generator. You output ONLY a thread title."


@dataclass(frozen=True)
class Run:
    """One golden receipt: its name, the requests before it (in the same session), and the request itself."""

    name: str
    body: dict[str, Any]
    before: tuple[dict[str, Any], ...] = ()
    fault: str | None = None
    config: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"x-session-id": "golden"})


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "openfusion/auto", "messages": [{"role": "user", "content": text}], **more}


def loop(text: str, *results: str) -> dict[str, Any]:
    """A tool loop in which each result answers a call of its own."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    for number, result in enumerate(results):
        function = {"name": "bash", "arguments": f'{{"command":"pytest -k t{number}"}}'}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": result})
    return {"model": "openfusion/auto", "messages": messages, "tools": TOOLS, "stream": True}


RED = "FAILED tests/test_a.py::test_a\n===== 2 failed, 40 passed in 1.31s ====="
RUNS = (
    Run("small-talk", ask("hi")),
    Run("edit-streamed", ask("implement a lock-free MPSC queue in C++", stream=True, tools=TOOLS)),
    Run("tool-loop-pinned", loop("fix the parser", "ok"), before=(ask("fix the parser", tools=TOOLS),)),
    Run("tool-loop-in-trouble", loop("rename the field", *[RED] * 5), before=(ask("hi", tools=TOOLS),)),
    Run("risky", ask("delete all rows of the prod users table")),
    Run(
        "housekeeping", {**ask("hello"), "messages": [{"role": "system", "content": TITLE}, *ask("hello")["messages"]]}
    ),
    Run("role-label", ask("hi", model="openfusion/coder")),
    Run("fusion-asked-for", ask("compare two designs", model="openfusion/fusion")),
    Run("verify-accepted", ask("hi", model="openfusion/verify")),
    Run("verify-rejected", ask("hi", model="openfusion/verify", stream=True), fault="verdict-revise@verifier"),
    Run("verify-plain-step", loop("Create a file a.py that prints x", "ok") | {"model": "openfusion/verify"}),
    Run("panel-ranked", ask("compare two designs", openfusion={"panel": "code", "models": ["cheap", "strong"]})),
    Run("panel-picks-a-call", ask("Create a file a.py that prints x", model="openfusion/fusion", tools=TOOLS)),
    Run("panel-degraded", ask("compare two designs", model="openfusion/fusion"), fault="half-json@judge"),
    Run("fallback", ask("fix the bug"), fault="500"),
    Run("all-fail", ask("fix the bug"), fault="429-retry-after*all"),
    Run("broken-stream", ask("fix the bug", stream=True), fault="cut-stream"),
    Run("over-budget", ask("fix the bug"), config="[budget]\nper_request_usd = 0.0\n"),
    Run("too-long", ask("x" * 1_200_000)),
    Run(
        "image-to-the-one-that-sees",
        ask([{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
    ),  # type: ignore[arg-type]
    Run("dial-cheapest", ask("fix the bug", model="openfusion/auto:cheap")),
)


def receipt_of(run: Run, folder: Path) -> bytes:
    """Carry a run out and return its receipt with its context, as it stands in `receipts/`."""
    path = folder / "autorouter.toml"
    path.write_text(CONFIG + run.config)
    seconds, ticks, ids = itertools.count(), itertools.count(), itertools.count(1)
    runtime = build(
        load(path, env={"XDG_STATE_HOME": str(folder)}, dry_run=True),
        env={},
        transport=DryRunTransport(time_scale=0),
        clock=lambda: START_S + next(seconds),
        timer=lambda: next(ticks) / 1000,
        new_id=lambda: f"ar_golden{next(ids):03d}",
    )
    try:
        asyncio.run(_carry_out(run, runtime))
    finally:
        runtime.close()
    directory = Path(str(runtime.settings.config.receipts.dir))
    record = reader.latest_receipts(directory, 1)[0]
    record["context_record"] = reader.read_context(directory, record["context"])
    return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


async def _carry_out(run: Run, runtime: Runtime) -> None:
    for body, fault in [*((body, None) for body in run.before), (run.body, run.fault)]:
        await _step(body, fault, run, runtime)


async def _step(body: dict[str, Any], fault: str | None, run: Run, runtime: Runtime) -> None:
    deps = runtime.deps
    began_s = deps.timer()
    request = chat_request.parse(orjson.dumps(body), run.headers)
    context = RequestContext(
        request=request,
        receipt_id=deps.new_id(),
        began_s=began_s,
        deadline_s=began_s + deps.retry.deadline_s,
        fault=fault,
    )
    with (
        carry_out(context, route(request.task, deps, context.session_key), deps) as step,
        suppress(AutorouterError, StreamBroken),
    ):
        if not request.task.stream:
            await step.answer()
        else:
            async for _ in step.chunks(await step.open()):
                pass
