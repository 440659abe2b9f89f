"""How log records are written: formatted in the caller's thread, written by a thread of their own, so that a paused terminal
(Ctrl-S) or a full pipe blocks no request.

    json   one object per line: a request's fields; for other records time, level, logger, message and, for an exception, its
           type and site, never its text or locals, which may hold a prompt
    text   the same for people
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import TextIO

import orjson

from autorouter.engine.receipt import rfc3339_utc
from autorouter.errors import exception_site
from autorouter.observe.access_log import Fields, one_line

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
