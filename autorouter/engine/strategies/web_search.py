"""A search of your own, for panels: a command that gets the question and prints what it found.

    command = ["my-search", "--json"]     question on standard input; on standard output
    [{"title": "...", "url": "https://...", "text": "..."}, ...]   or plain text

It runs without a shell, with a time limit, and only so much of its output is read. With it ends whatever it has started: a child
that stays behind is killed. What it prints is material for models, and goes to them as JSON in which no tag can stand.

What the user's own search finds for a panel: run once, before its members are asked. See `web`.
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
from autorouter.engine.context import StepContext
from autorouter.engine.web import lookup_allowed

QUESTION_CHARS = 1_000
OUTPUT_BYTES = 200_000
RESULT_CHARS = {"title": 300, "url": 500, "text": 4_000}
"""So much of each result is handed on: about 1,200 tokens."""
PLAIN_CHARS = 16_000
"""So much of plain text."""

REAP_S = 2.0
"""A process that was killed is gone within milliseconds, unless the system itself hangs."""


class SearchFailed(Exception):
    """The command could not be run, failed, or took too long; the message names no question and no result."""


async def search(command: Sequence[str], question: str, *, limit: int, limit_s: float) -> list[dict[str, str]]:
    """At most `limit` results within `limit_s` seconds. Raises SearchFailed."""
    name = Path(command[0]).name
    running = await _start(command, name)
    try:
        async with asyncio.timeout(limit_s):
            await running.ask(question[:QUESTION_CHARS])
    except TimeoutError as exc:
        raise SearchFailed(f"{name} took more than {limit_s:g} s") from exc
    finally:
        await running.ended()
    if running.flooded:
        raise SearchFailed(f"{name} printed more than {OUTPUT_BYTES:,} bytes")
    if running.code != 0:
        raise SearchFailed(f"{name} ended with {running.code}")
    return _results(bytes(running.output))[:limit]


async def _start(command: Sequence[str], name: str) -> _Running:
    """The command in a session of its own, so that all it starts can be ended with it."""
    try:
        _, running = await asyncio.get_running_loop().subprocess_exec(
            _Running,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as exc:
        raise SearchFailed(f"{name} can't be run: {exc.strerror}") from exc
    except ValueError as exc:
        raise SearchFailed(f"{name} can't be run: {exc}") from exc
    return running


class _Running(asyncio.SubprocessProtocol):
    """The command at work. `code` None: it hasn't ended yet."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.flooded = False
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    @property
    def code(self) -> int | None:
        return self._transport.get_returncode()

    async def ask(self, question: str) -> None:
        """Until it has ended and its output is read, or there was too much of that. It needn't read the question."""
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.write(question.encode("utf-8", "replace"))
        stdin.close()
        await self._over

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output += data
        if len(self.output) > OUTPUT_BYTES:
            self.flooded = True
            self.stop()
            self._end()

    def process_exited(self) -> None:
        # What it has left behind may hold the pipe open: then nobody would ever see the end of the output.
        self._kill()
        self._exit.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def stop(self) -> None:
        """End it, and all that it has started, wherever it stands."""
        if self.code is None:
            self._kill()
        self._transport.close()

    async def ended(self) -> None:
        """Stop it, and wait until the system has taken it back: nothing is left running behind a search."""
        self.stop()
        await asyncio.wait({self._exit}, timeout=REAP_S)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self._transport.get_pid(), signal.SIGKILL)


def _results(output: bytes) -> list[dict[str, str]]:
    try:
        found: Any = orjson.loads(output)
    except orjson.JSONDecodeError:
        found = ""
    if isinstance(found, str | int | float):
        text = output.decode("utf-8", "replace").strip()
        return [{"text": text[:PLAIN_CHARS]}] if text else []
    entries = found.get("results") if isinstance(found, dict) else found
    results = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            kept = {key: str(entry[key])[:most] for key, most in RESULT_CHARS.items() if entry.get(key)}
            if kept:
                results.append(kept)
    return results


async def found_for(run: StepContext) -> list[dict[str, str]]:
    """What the user's own search finds for this request; nothing where it is off, private, too dear, or fails (the latter
    two are listed as degraded)."""
    web, task = run.deps.web, run.request.task
    if (
        web.how != "local"
        or not web.command
        or run.deps.dry_run
        or not task.prompt
        or not lookup_allowed(run.deps.policy, task)
    ):
        return []
    run.progress.say("search")
    try:
        found = await search(web.command, task.prompt, limit=web.results, limit_s=web.limit_s)
    except SearchFailed as exc:
        run.trace.degraded.append(f"search: {exc}")
        return []
    if found and not _affords(run, found):
        run.trace.degraded.append("search: what was found is left out: the budget holds no more")
        return []
    return found


def _affords(run: StepContext, found: list[dict[str, str]]) -> bool:
    """Whether the budget holds the plan with this fed to each member; the plan was counted without it."""
    plan, tuning = run.routed.decision.plan, run.deps.policy.tuning
    assert plan is not None
    tokens = len(orjson.dumps(found)) / tuning.bytes_per_token
    prices = [cost.price_of(run.deps.by_id[name], tuning).input for name in plan.members]
    return run.affords(plan.reserve_usd + tokens * sum(prices) * cost.PER_MTOK)
