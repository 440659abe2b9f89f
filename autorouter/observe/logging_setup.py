"""How log records are written: formatted where they are made, written by a thread, so that a terminal that is held (Ctrl-S)
or a pipe that nobody reads holds no request.

    json   one object a line; of a request its fields, of anything else time, level, logger, message and, of an exception,
           its type and places: never its text or its locals, which may be a prompt's
    text   the same for eyes
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
from autorouter.observe.access_log import Fields, one_line
from autorouter.observe.places import place_of

BATCH_DELAY_S = 0.1
"""A burst of lines is one write, and one time that a thread has to be woken."""
MAX_QUEUED_LINES = 10_000
"""So many wait for a reader that has stopped; of more, the newest are dropped and counted."""
CLOSE_TIMEOUT_S = 2.0
FIRST_LINE_ONLY = ("asyncio",)
"""Loggers whose messages go on with the `repr` of an exception, and so with its text."""


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields | None = getattr(record, "fields", None)
        if fields is None:
            fields = {"time": rfc3339_utc(record.created), "level": record.levelname.lower(), "logger": record.name}
            fields["message"] = single_line_message(record)
            if record.exc_info and record.exc_info[1] is not None:
                fields["exception"] = place_of(record.exc_info[1])
        return orjson.dumps(fields, default=str).decode()


class TextFormatter(logging.Formatter):
    """A line for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        fields: Fields | None = getattr(record, "fields", None)
        if fields is not None:
            return one_line(fields, record.created)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname} {record.name} {single_line_message(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            line += f": {place_of(record.exc_info[1])}"
        return line


def single_line_message(record: logging.LogRecord) -> str:
    """The message as one line."""
    lines = record.getMessage().strip().splitlines() or [""]
    return lines[0] if record.exc_info or record.name.startswith(FIRST_LINE_ONLY) else " | ".join(lines)


class DroppingQueueHandler(logging.Handler):
    """Writes to a stream from a thread of its own. `dropped`: lines that found no room or no reader."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._lines: deque[str] = deque()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= MAX_QUEUED_LINES or self._closing:
            self.dropped += 1
            return
        try:
            self._lines.append(self.format(record))
        except Exception:
            # Not `handleError`: that prints the message's arguments.
            self.dropped += 1
            return
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, as far as somebody reads it."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_TIMEOUT_S)
        super().close()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._hurry.wait(BATCH_DELAY_S)
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


def install_excepthooks() -> None:
    """From here on an exception that ends a thread, or the process, is a line as any other: its type and its places."""
    log = logging.getLogger("autorouter")

    def of_thread(given: threading.ExceptHookArgs) -> None:
        name = given.thread.name if given.thread is not None else "?"
        log.error("the thread `%s` ended: %s", name, place_of(given.exc_value) if given.exc_value else "?")

    def of_process(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, exc, trace)
        else:
            log.critical("the process ended: %s", place_of(exc))

    threading.excepthook = of_thread
    sys.excepthook = of_process


def dropped_lines() -> int:
    """Lines that the process's handlers have dropped so far."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, DroppingQueueHandler))


def make_formatter(kind: str, stream: TextIO) -> logging.Formatter:
    """`json`, `text`, or `auto`: text where the stream is a terminal."""
    wanted = kind if kind != "auto" else "text" if stream.isatty() else "json"
    return TextFormatter() if wanted == "text" else JsonFormatter()
