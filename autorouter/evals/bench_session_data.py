"""Recorded sessions of agents, as the requests that they sent.

    one gzipped JSON Lines file a source, a session a line:
    {"id", "agent", "wire", "variant", "base", "deltas", "usage", "times", "outcome": {"resolved": true} | null}

`base` is the request's body without its history; `deltas[k]` is what request k adds to it, or {"reset": [...]} where the
history begins anew. Usage is {input, cached, written, output} tokens as billed, or null; times are ISO 8601 or Unix
seconds, or null.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from autorouter.core.types import Wire
from autorouter.errors import RequestError
from autorouter.evals.bench_economics import RecordedStep

STEP_S = 20.0
"""How long a step takes where the recording doesn't say."""
BYTES_PER_TOKEN = 4
SAMPLE_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A session as it stands in its file: parsed where it is replayed, for a long one has megabytes."""

    source: str
    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request: its body as sent, and what was recorded of it."""

    body: bytes
    step: RecordedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """A session; `solved` None where no outcome is known. `calls_tools`: by request, whether its answer called a tool."""

    id: str
    agent: str
    variant: str
    wire: Wire
    headers: Mapping[str, str]
    solved: bool | None
    requests: tuple[RecordedRequest, ...]


def session_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and those of folders. RequestError where there is none."""
    files = [
        file
        for path in paths
        for file in (sorted((*path.glob("*.jsonl.gz"), *path.glob("*.sessions.jsonl"))) if path.is_dir() else [path])
    ]
    if not files:
        raise RequestError("There is no session file", hint="expected *.jsonl.gz")
    return files


def read_lines(path: Path, most: int | None) -> list[SessionLine]:
    """The sessions of a file, or a sample of it that is the same each time."""
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as exc:
        raise RequestError(f"{path} can't be read: {exc}") from exc
    lines = [line for line in text.split(b"\n") if line.strip()]
    if most is not None and len(lines) > most:
        lines = random.Random(SAMPLE_SEED).sample(lines, most)  # noqa: S311  (a sample, no secret)
    source = path.name.split(".jsonl")[0]
    return [SessionLine(source=source, line=line) for line in lines]


def parse_session(entry: SessionLine) -> RecordedSession:
    """A session's requests. RequestError for another form."""
    try:
        record = orjson.loads(entry.line)
        return RecordedSession(
            id=str(record["id"]),
            agent=str(record["agent"]),
            variant=str(record.get("variant", "native")),
            wire=record["wire"],
            headers=client_headers(str(record["agent"]), str(record["id"])),
            solved=_solved(record.get("outcome")),
            requests=tuple(_requests(record)),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError) as exc:
        raise RequestError(f"{entry.source}: not a recorded session ({type(exc).__name__}: {exc})") from exc


def _solved(outcome: Any) -> bool | None:
    resolved = outcome.get("resolved") if isinstance(outcome, dict) else None
    return bool(resolved) if resolved is not None else None


def _requests(record: Mapping[str, Any]) -> Iterator[RecordedRequest]:
    base = record["base"]
    key = "input" if record["wire"] == "responses" else "messages"
    first = list(base.get(key) or [])
    history, at_s, before = list(first), 0.0, 0
    system_tokens = len(orjson.dumps({**base, key: first})) // BYTES_PER_TOKEN
    for number, delta in enumerate(record["deltas"]):
        reset = isinstance(delta, dict)
        history = [*first, *delta["reset"]] if isinstance(delta, dict) else [*history, *delta]
        body = orjson.dumps({**base, key: history})
        usage = record["usage"][number] if number < len(record.get("usage") or ()) else None
        at_s = _time(record, number, at_s)
        tokens = int(usage["input"]) if usage and usage.get("input") else len(body) // BYTES_PER_TOKEN
        yield RecordedRequest(
            body=body,
            step=RecordedStep(
                at_s=at_s,
                input_tokens=tokens,
                output_tokens=_output_tokens(record, number, usage),
                kept_tokens=min(system_tokens, tokens) if reset else before,
            ),
        )
        before = tokens


def _time(record: Mapping[str, Any], number: int, before_s: float) -> float:
    """Seconds; never earlier than the step before, which a recording's clock may be."""
    times = record.get("times") or ()
    said = times[number] if number < len(times) else None
    if said is None:
        return before_s + STEP_S
    text = str(said)
    at_s = float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    return max(before_s, at_s)


def _output_tokens(record: Mapping[str, Any], number: int, usage: Mapping[str, Any] | None) -> int:
    """As billed, or by the size of the answer, which the next request repeats."""
    if usage and usage.get("output"):
        return int(usage["output"])
    deltas = record["deltas"]
    if number + 1 >= len(deltas) or isinstance(deltas[number + 1], dict):
        return 0
    said = [
        item for item in deltas[number + 1] if item.get("role") == "assistant" or "call" in str(item.get("type", ""))
    ]
    return len(orjson.dumps(said)) // BYTES_PER_TOKEN if said else 0


def client_headers(agent: str, session: str) -> dict[str, str]:
    """The headers by which the router knows the agent and its session."""
    if agent.startswith("Claude Code"):
        return {
            "user-agent": "claude-cli/2.1.329 (external, cli)",
            "anthropic-version": "2023-06-01",
            "x-claude-code-session-id": session,
        }
    if agent == "Codex":
        return {"user-agent": "codex_cli_rs/0.169.0", "originator": "codex_cli_rs", "thread-id": session}
    if agent.startswith("OpenCode"):
        return {"user-agent": "opencode/1.18.33", "x-session-id": session}
    return {"user-agent": "OpenAI/Python 3.52.0", "x-session-id": session}
