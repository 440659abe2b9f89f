"""Web search by the user's own command, run once before the members of a panel are asked (`web.mode = "local"`).

    command = ["my-search", "--json"]     question on standard input; on standard output
    [{"title": "...", "url": "https://...", "text": "..."}, ...]   or plain text

The command runs without a shell, with a timeout and a limit on its output; its children are killed with it. The results go
to models as JSON that can't contain a tag.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from autorouter.core.decision import cost
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.engine.attempts import StepContext
from autorouter.engine.web import MAX_SEARCH_RESULTS, lookup_allowed
from autorouter.receipts.messages import sentence

QUESTION_CHARS = 1_000
OUTPUT_BYTES = 200_000
RESULT_CHARS = {"title": 300, "url": 500, "text": 4_000}
"""How much of each result is passed on: about 1,200 tokens."""
PLAIN_CHARS = 16_000
"""How much of a plain text output is passed on."""

REAP_S = 2.0
"""A killed process is gone within milliseconds, unless the system itself hangs."""


class SearchFailed(Exception):
    """The command couldn't be run, failed, or took too long. The reason contains no question and no result."""

    def __init__(self, code: ReasonCode, **params: Any) -> None:
        self.reason = Reason(code, params)
        super().__init__(sentence(self.reason))


async def search(command: Sequence[str], question: str, *, limit: int, limit_s: float) -> list[dict[str, str]]:
    """At most `limit` results within `limit_s` seconds. Raises SearchFailed."""
    name = Path(command[0]).name
    process = await _start(command, name)
    try:
        async with asyncio.timeout(limit_s):
            await process.send_question(question[:QUESTION_CHARS])
    except TimeoutError as exc:
        raise SearchFailed(ReasonCode.SEARCH_TIMED_OUT, command=name, limit_s=limit_s) from exc
    finally:
        await process.wait_closed()
    if process.overflowed:
        raise SearchFailed(ReasonCode.SEARCH_OUTPUT_TOO_LONG, command=name, limit_bytes=OUTPUT_BYTES)
    if process.code != 0:
        raise SearchFailed(ReasonCode.SEARCH_EXITED, command=name, exit_code=process.code)
    return _results(bytes(process.output))[:limit]


async def _start(command: Sequence[str], name: str) -> _SearchProcess:
    """Start the command in its own session, so that its children can be killed with it."""
    try:
        _, process = await asyncio.get_running_loop().subprocess_exec(
            _SearchProcess,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as exc:
        raise SearchFailed(ReasonCode.SEARCH_NOT_STARTED, command=name, error=exc.strerror) from exc
    except ValueError as exc:
        raise SearchFailed(ReasonCode.SEARCH_NOT_STARTED, command=name, error=str(exc)) from exc
    return process


class _SearchProcess(asyncio.SubprocessProtocol):
    """The running command. `code` is None until it ends."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.overflowed = False
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[None] = loop.create_future()
        self._output_done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    @property
    def code(self) -> int | None:
        return self._transport.get_returncode()

    async def send_question(self, question: str) -> None:
        """Write the question and wait until the output is read, or is too long. The command may ignore the question."""
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.write(question.encode("utf-8", "replace"))
        stdin.close()
        await self._output_done

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data
        if len(self.output) > OUTPUT_BYTES:
            self.overflowed = True
            self.stop()
            self._finish_output()

    def process_exited(self) -> None:
        # A child left behind may hold the pipe open, and the output would never end.
        self._kill()
        self._exit.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish_output()

    def stop(self) -> None:
        """Kill the command and everything it has started."""
        if self.code is None:
            self._kill()
        self._transport.close()

    async def wait_closed(self) -> None:
        """Stop the command and wait until it is gone."""
        self.stop()
        await asyncio.wait({self._exit}, timeout=REAP_S)

    def _finish_output(self) -> None:
        if not self._output_done.done():
            self._output_done.set_result(None)

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self._transport.get_pid(), signal.SIGKILL)


def _results(output: bytes) -> list[dict[str, str]]:
    try:
        parsed: Any = orjson.loads(output)
    except orjson.JSONDecodeError:
        parsed = ""
    if isinstance(parsed, str | int | float):
        text = output.decode("utf-8", "replace").strip()
        return [{"text": text[:PLAIN_CHARS]}] if text else []
    entries = parsed.get("results") if isinstance(parsed, dict) else parsed
    results = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            kept = {key: str(entry[key])[:most] for key, most in RESULT_CHARS.items() if entry.get(key)}
            if kept:
                results.append(kept)
    return results


async def search_results(context: StepContext) -> list[dict[str, str]]:
    """The results of the user's own search for this request. Empty if it is off, the request is private, the results don't fit
    the budget, or the search fails (the last two are listed as degraded)."""
    web, task = context.deps.web, context.request.task
    if (
        web.mode != "local"
        or not web.command
        or context.deps.dry_run
        or not task.prompt
        or not lookup_allowed(context.deps.policy, task)
    ):
        return []
    context.progress.report("search")
    try:
        parsed = await search(web.command, task.prompt, limit=MAX_SEARCH_RESULTS, limit_s=web.command_timeout_s)
    except SearchFailed as exc:
        context.trace.degraded.append(exc.reason)
        return []
    if parsed and not _results_within_budget(context, parsed):
        context.trace.degrade(ReasonCode.SEARCH_OVER_BUDGET)
        return []
    return parsed


def _results_within_budget(context: StepContext, parsed: list[dict[str, str]]) -> bool:
    """Whether the budget allows the plan with the results sent to each member; the plan was priced without them."""
    plan, tuning = context.routed.decision.plan, context.deps.policy.tuning
    assert plan is not None
    tokens = len(orjson.dumps(parsed)) / tuning.bytes_per_token
    prices = [cost.price_of(context.deps.by_id[name], tuning).input for name in plan.members]
    return context.within_budget(plan.reserve_usd + tokens * sum(prices) * cost.PER_MTOK)
