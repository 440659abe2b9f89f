"""How log records are written: formatted in the caller's thread, written by a thread of their own, so that a paused terminal
(Ctrl-S) or a full pipe blocks no request.

    json   one object per line: a request's fields; for other records time, level, logger, message and, for an exception, its
           type and site, never its text or locals, which may hold a prompt
    text   the same for people

The access log: one line per request, a summary of its receipt. Never a prompt, a header or a key.

    {"time": "2026-11-21T00:52:25.123Z", "level": "info", "event": "request", "request_id": "ar_0192...", "receipt": "ar_0192...",
     "trace_id": "4bf9...", "span_id": "00f0...", "wire": "chat", "client": "codex", "label": "openfusion/auto", ...}
    00:52:25 200 chat codex openfusion/auto -> gpt-6.1-terra single 1.24s first 0.41s 2105+300 tok $0.0123 ar_0192...

The record goes through `logging` like any other, with its fields in `record.fields`.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

import orjson

from autorouter.engine.receipt import CompletedRequest, rfc3339_utc
from autorouter.engine.trace import Attempt
from autorouter.errors import exception_site
from autorouter.observe.recorder import RejectedRequest, final_attempt, time_to_first_byte_s

BATCH_DELAY_S = 0.1
"""A burst of lines wakes the thread once and is written at once."""
MAX_QUEUED_LINES = 10_000
"""Lines kept for a reader that has stopped; beyond that the newest are dropped and counted."""
CLOSE_TIMEOUT_S = 2.0
FIRST_LINE_ONLY = ("asyncio",)
"""Loggers that append the `repr` of an exception to the message, and so its text: only their first line is written."""


class JsonFormatter(logging.Formatter):
    """One object per line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields | None = getattr(record, "fields", None)
        if fields is None:
            fields = {"time": rfc3339_utc(record.created), "level": record.levelname.lower(), "logger": record.name}
            fields["message"] = single_line_message(record)
            if record.exc_info and record.exc_info[1] is not None:
                fields["exception"] = exception_site(record.exc_info[1])
        return orjson.dumps(fields, default=str).decode()


class TextFormatter(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields | None = getattr(record, "fields", None)
        if fields is not None:
            return one_line(fields, record.created)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname} {record.name} {single_line_message(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            line += f": {exception_site(record.exc_info[1])}"
        return line


def single_line_message(record: logging.LogRecord) -> str:
    """The message as one line."""
    lines = record.getMessage().strip().splitlines() or [""]
    return lines[0] if record.exc_info or record.name.startswith(FIRST_LINE_ONLY) else " | ".join(lines)


class DroppingQueueHandler(logging.Handler):
    """Writes to a stream from a thread of its own. `dropped` counts the lines that weren't written."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._queue: deque[str] = deque()
        self._wake, self._flush = threading.Event(), threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._queue) >= MAX_QUEUED_LINES or self._closing:
            self.dropped += 1
            return
        try:
            self._queue.append(self.format(record))
        except Exception:
            # Not `handleError`: it prints the message's arguments, which may hold a prompt.
            self.dropped += 1
            return
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is queued, for at most `CLOSE_TIMEOUT_S`."""
        self._closing = True
        self._flush.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_TIMEOUT_S)
        super().close()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._flush.wait(BATCH_DELAY_S)
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._queue.popleft() for _ in range(len(self._queue))]
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


def install_excepthooks() -> None:
    """Log uncaught exceptions of threads and of the process like any other record: type and site, no text."""
    log = logging.getLogger("autorouter")

    def on_thread_exception(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        log.error("the thread `%s` ended: %s", name, exception_site(args.exc_value) if args.exc_value else "?")

    def on_process_exception(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, exc, trace)
        else:
            log.critical("the process ended: %s", exception_site(exc))

    threading.excepthook = on_thread_exception
    sys.excepthook = on_process_exception


def dropped_lines() -> int:
    """Lines that the root logger's handlers have dropped so far."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, DroppingQueueHandler))


def make_formatter(kind: str, stream: TextIO) -> logging.Formatter:
    """For `json`, `text`, or `auto`: text if the stream is a terminal."""
    resolved = kind if kind != "auto" else "text" if stream.isatty() else "json"
    return TextFormatter() if resolved == "text" else JsonFormatter()


ACCESS_LOGGER = "autorouter.requests"
Fields = dict[str, Any]
MODEL_CHARS = 100
"""Limit of the served model's name: it comes from the upstream."""
LEVELS = {"failed": logging.WARNING, "broken": logging.WARNING}
"""By result; any other is `info`."""
RECORD_TEMPLATES = {
    level: logging.LogRecord(ACCESS_LOGGER, level, "", 0, "request", None, None).__dict__
    for level in (logging.INFO, logging.WARNING)
}
"""A blank record per level, to be copied."""


class AccessLog:
    """Writes the line of each request to the logger `autorouter.requests`."""

    def __init__(self) -> None:
        self._log = logging.getLogger(ACCESS_LOGGER)

    def on_request(self, completed: CompletedRequest) -> None:
        """A finished step."""
        level = LEVELS.get(completed.trace.result, logging.INFO)
        if self._log.isEnabledFor(level):
            self._write(level, completed_fields(completed, "info" if level == logging.INFO else "warning"))

    def on_rejected(self, rejected: RejectedRequest) -> None:
        """A request that never became a step."""
        if self._log.isEnabledFor(logging.INFO):
            self._write(logging.INFO, rejected_fields(rejected))

    def close(self) -> None:
        """Nothing to do: `logging` closes its handlers."""

    def _write(self, level: int, fields: Fields) -> None:
        # Not `Logger.info` or LogRecord(): both look up the caller, the thread and the task, which costs more than the line.
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(RECORD_TEMPLATES[level])
        record.created = time.time()
        record.fields = fields
        self._log.handle(record)


def completed_fields(completed: CompletedRequest, level: str) -> Fields:
    """The fields in their order. Seconds and dollars are rounded; None is unknown."""
    trace, shape, plan = completed.trace, completed.shape, completed.decision.plan
    final, cost_usd = final_attempt(trace), trace.cost_usd
    place = completed.trace_context
    return {
        "time": _at(completed.snapshot.now_s + (trace.seconds or 0.0)),
        "level": level,
        "event": "request",
        "request_id": completed.request_id or completed.receipt_id,
        "receipt": completed.receipt_id,
        "trace_id": place.trace_id if place is not None else None,
        "span_id": place.span_id if place is not None else None,
        "wire": shape["wire"],
        "client": shape["client"],
        "label": shape["label"],
        "stream": shape["stream"],
        "strategy": str(plan.strategy) if plan is not None else None,
        "candidate": final.candidate if final is not None else None,
        "served_model": _bounded(final.served_model) if final is not None else None,
        "status": trace.status,
        "result": trace.result,
        "error": trace.error,
        "attempts": len(trace.attempts),
        "seconds": _rounded(trace.seconds),
        "ttft_s": _rounded(time_to_first_byte_s(trace)),
        "overhead_s": _rounded(trace.overhead_s),
        **_usage_fields(trace.attempts),
        "cost_usd": None if cost_usd is None else round(cost_usd, 8),
        "dry_run": completed.dry_run,
    }


def rejected_fields(rejected: RejectedRequest) -> Fields:
    """What is known of a request that was rejected before it was fully read."""
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
    return " ".join(final for final in words if final)


def _usage_fields(attempts: list[Attempt]) -> Fields:
    """Tokens of all attempts, which is what is billed."""
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
def _date_to_second(whole_s: int) -> str:
    return rfc3339_utc(float(whole_s)).partition(".")[0]


def _at(now_s: float) -> str:
    """Like `at` in receipts. The part up to the second is cached: formatting a date costs more than the rest of the line."""
    whole_s = int(now_s)
    return f"{_date_to_second(whole_s)}.{int((now_s - whole_s) * 1000):03d}Z"


def _bounded(name: str | None) -> str | None:
    if name is None:
        return None
    return "".join(char if char.isprintable() else "?" for char in name[:MODEL_CHARS])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
