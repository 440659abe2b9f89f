"""A search of your own, for panels: a command that gets the question and prints what it found.

    command = ["my-search", "--json"]     question on standard input; on standard output
    [{"title": "...", "url": "https://...", "text": "..."}, ...]   or plain text

It runs without a shell, with a time limit, and only so much of its output is read. What it prints is material for models, and
goes to them as JSON in which no tag can stand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

QUESTION_CHARS = 1_000
OUTPUT_BYTES = 200_000
RESULT_CHARS = 4_000
"""So much of each result is handed on: about 1,000 tokens."""


class SearchFailed(Exception):
    """The command could not be run, failed, or took too long; the message names no question and no result."""


async def search(command: Sequence[str], question: str, *, limit: int, limit_s: float) -> list[dict[str, str]]:
    """At most `limit` results within `limit_s` seconds. Raises SearchFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=OUTPUT_BYTES,
        )
    except OSError as exc:
        raise SearchFailed(f"{command[0]} can't be run: {exc.strerror}") from exc
    try:
        async with asyncio.timeout(limit_s):
            found = await _told(process, question[:QUESTION_CHARS])
            code = await process.wait()
    except TimeoutError as exc:
        raise SearchFailed(f"{command[0]} took more than {limit_s:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
    if code != 0:
        raise SearchFailed(f"{command[0]} ended with {code}")
    return _results(found)[:limit]


async def _told(process: asyncio.subprocess.Process, question: str) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(question.encode())
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass  # It may well answer without reading the question to its end.
    parts: list[bytes] = []
    while sum(map(len, parts)) < OUTPUT_BYTES and (part := await process.stdout.read(65_536)):
        parts.append(part)
    if sum(map(len, parts)) >= OUTPUT_BYTES:
        process.kill()
        raise SearchFailed(f"it printed more than {OUTPUT_BYTES:,} bytes")
    return b"".join(parts)


def _results(output: bytes) -> list[dict[str, str]]:
    try:
        found: Any = orjson.loads(output)
    except orjson.JSONDecodeError:
        text = output.decode("utf-8", "replace").strip()
        return [{"text": text[: 4 * RESULT_CHARS]}] if text else []
    entries = found.get("results") if isinstance(found, dict) else found
    results = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            kept = {key: str(entry[key])[:RESULT_CHARS] for key in ("title", "url", "text") if entry.get(key)}
            if kept:
                results.append(kept)
    return results
