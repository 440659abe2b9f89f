"""One log line for each request: what the receipt says in a page, in a line. Never a prompt, a header or a key.

    {"time": "2026-11-21T00:52:25.123Z", "level": "info", "event": "request", "request_id": "ar_0192...", "receipt": "ar_0192...",
     "trace_id": "4bf9...", "span_id": "00f0...", "wire": "chat", "client": "codex", "label": "openfusion/auto", ...}
    00:52:25 200 chat codex openfusion/auto -> gpt-6.1-terra single 1.24s first 0.41s 2105+300 tok $0.0123 ar_0192...

The record goes through `logging` as any other, with its fields beside the message.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any

from autorouter.engine.receipt import rfc3339_utc
from autorouter.engine.trace import Attempt
from autorouter.observe.events import CompletedRequest, RejectedRequest, final_attempt, time_to_first_byte_s

ACCESS_LOGGER = "autorouter.requests"
Fields = dict[str, Any]
MODEL_CHARS = 100
"""The model's name as the upstream says it: theirs, so it is bounded."""
LEVELS = {"failed": logging.WARNING, "broken": logging.WARNING}
"""Of a result; any other is `info`."""
RECORD_TEMPLATES = {
    level: logging.LogRecord(ACCESS_LOGGER, level, "", 0, "request", None, None).__dict__
    for level in (logging.INFO, logging.WARNING)
}
"""A record of each level, to be filled in."""


class AccessLog:
    """Writes the line of each request to the logger `autorouter.requests`."""

    def __init__(self) -> None:
        self._log = logging.getLogger(ACCESS_LOGGER)

    def saw(self, seen: CompletedRequest) -> None:
        """A finished step."""
        level = LEVELS.get(seen.made.trace.result, logging.INFO)
        if self._log.isEnabledFor(level):
            self._write(level, completed_fields(seen, "info" if level == logging.INFO else "warning"))

    def rejected(self, rejected: RejectedRequest) -> None:
        """A request that never became a step."""
        if self._log.isEnabledFor(logging.INFO):
            self._write(logging.INFO, rejected_fields(rejected))

    def close(self) -> None:
        """The handlers end with `logging` itself."""

    def _write(self, level: int, fields: Fields) -> None:
        # Neither `Logger.info` nor LogRecord's own start: they look for the caller, the thread and the task.
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(RECORD_TEMPLATES[level])
        record.created = time.time()
        record.fields = fields
        self._log.handle(record)


def completed_fields(seen: CompletedRequest, level: str) -> Fields:
    """The line's fields in their order. Seconds and dollars rounded; None where something isn't known."""
    made, mark = seen
    trace, shape, plan = made.trace, made.shape, made.decision.plan
    word, cost_usd = final_attempt(trace), trace.cost_usd
    trace_id, span_id = (mark.trace.trace_id, mark.trace.span_id) if mark is not None else (None, None)
    return {
        "time": _at(made.snapshot.now_s + (trace.seconds or 0.0)),
        "level": level,
        "event": "request",
        "request_id": (mark.request_id if mark is not None else None) or made.receipt_id,
        "receipt": made.receipt_id,
        "trace_id": trace_id,
        "span_id": span_id,
        "wire": shape["wire"],
        "client": shape["client"],
        "label": shape["label"],
        "stream": shape["stream"],
        "strategy": str(plan.strategy) if plan is not None else None,
        "candidate": word.candidate if word is not None else None,
        "served_model": _bounded(word.served_model) if word is not None else None,
        "status": trace.status,
        "result": trace.result,
        "error": trace.error,
        "attempts": len(trace.attempts),
        "seconds": _rounded(trace.seconds),
        "ttft_s": _rounded(time_to_first_byte_s(trace)),
        "overhead_s": _rounded(trace.overhead_s),
        **_used(trace.attempts),
        "cost_usd": None if cost_usd is None else round(cost_usd, 8),
        "dry_run": made.dry_run,
    }


def rejected_fields(rejected: RejectedRequest) -> Fields:
    """What is known of a request that was refused before it was read to its end."""
    return {
        "time": rfc3339_utc(rejected.now_s),
        "level": "info",
        "event": "request",
        "request_id": rejected.request_id,
        "wire": rejected.wire,
        "status": rejected.status,
        "result": "rejected",
        "error": rejected.code,
    }


def one_line(fields: Fields, now_s: float) -> str:
    """The line for a person at a terminal, with the local time."""
    clock = time.strftime("%H:%M:%S", time.localtime(now_s))
    words = [clock, str(fields["status"]), fields["wire"]]
    if fields["result"] == "rejected":
        return " ".join([*words, "rejected", fields["error"]])
    words += [fields["client"], fields["label"]]
    if fields["candidate"]:
        words += ["->", fields["candidate"]]
    if fields["strategy"]:
        words.append(fields["strategy"])
    if fields["result"] != "answered":
        words += [fields["result"], fields["error"] or ""]
    if fields["attempts"] > 1:
        words.append(f"{fields['attempts']} attempts")
    words.append(f"{fields['seconds'] or 0.0:.2f}s")
    if fields["ttft_s"] is not None:
        words.append(f"first {fields['ttft_s']:.2f}s")
    words.append(f"{fields['input_tokens']}+{fields['output_tokens']} tok")
    cost_usd = fields["cost_usd"]
    words += ["$?" if cost_usd is None else f"${cost_usd:.4f}", fields["receipt"]]
    return " ".join(word for word in words if word)


def _used(attempts: list[Attempt]) -> Fields:
    """Tokens of all attempts: what was paid for."""
    tokens = cached = output = reasoning = 0
    for attempt in attempts:
        usage = attempt.usage
        if usage is not None:
            tokens += usage.input_tokens
            cached += usage.cached_tokens
            output += usage.output_tokens
            reasoning += usage.reasoning_tokens
    return {
        "input_tokens": tokens,
        "cached_tokens": cached,
        "output_tokens": output,
        "reasoning_tokens": reasoning,
    }


@lru_cache(maxsize=8)
def _second(whole_s: int) -> str:
    return rfc3339_utc(float(whole_s)).partition(".")[0]


def _at(now_s: float) -> str:
    """As the receipts' `at`; requests of one second share their reading of the calendar."""
    whole_s = int(now_s)
    return f"{_second(whole_s)}.{int((now_s - whole_s) * 1000):03d}Z"


def _bounded(name: str | None) -> str | None:
    if name is None:
        return None
    return "".join(char if char.isprintable() else "?" for char in name[:MODEL_CHARS])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
