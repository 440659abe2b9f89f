"""How records become lines: no text of an exception, and nobody waits for who reads them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from io import StringIO
from typing import TextIO, cast

import pytest

from autorouter.observe import logs
from autorouter.observe.logs import DroppingQueueHandler, JsonFormatter, TextFormatter, make_formatter

SECRET = "zebra-in-the-text"


def record_of(message: str, *, name: str = "x", exc: BaseException | None = None) -> logging.LogRecord:
    info = (type(exc), exc, exc.__traceback__) if exc is not None else None
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, None, info)


def raised() -> ValueError:
    try:
        local = SECRET
        raise ValueError(local)
    except ValueError as exc:
        return exc


@pytest.mark.parametrize("shape", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_its_type_and_its_places_on_one_line(shape: logging.Formatter) -> None:
    message = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{SECRET}')>"
    line = shape.format(record_of(message, name="asyncio", exc=raised()))
    assert SECRET not in line
    assert "\n" not in line
    assert "ValueError at test_logging_setup.py:" in line
    assert "Task exception was never retrieved" in line


def test_what_asyncio_says_is_its_first_line_with_or_without_an_exception() -> None:
    assert SECRET not in JsonFormatter().format(record_of(f"Unclosed\nclient: {SECRET}", name="asyncio"))


def test_json_holds_time_level_logger_and_message() -> None:
    found = json.loads(JsonFormatter().format(record_of("two\nlines")))
    assert found.pop("time").endswith("Z")
    assert found == {"level": "error", "logger": "x", "message": "two | lines"}


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    kinds = {
        kind: (make_formatter(kind, Terminal()), make_formatter(kind, StringIO())) for kind in ("auto", "json", "text")
    }
    shapes = {kind: tuple(type(shape) for shape in pair) for kind, pair in kinds.items()}
    assert shapes == {
        "auto": (TextFormatter, JsonFormatter),
        "json": (JsonFormatter, JsonFormatter),
        "text": (TextFormatter, TextFormatter),
    }


class Held:
    """A stream whose reader has stopped, until `gate` opens."""

    def __init__(self) -> None:
        self.gate, self.reached = threading.Event(), threading.Event()
        self.text = ""

    def write(self, text: str) -> None:
        self.reached.set()
        self.gate.wait(20)
        self.text += text

    def flush(self) -> None:
        pass


def test_a_reader_that_stopped_holds_nobody_and_costs_the_newest_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_QUEUED_LINES", 10)
    held = Held()
    handler = DroppingQueueHandler(cast(TextIO, held))
    handler.emit(record_of("first"))
    assert held.reached.wait(20)
    for number in range(25):
        handler.emit(record_of(f"line {number}"))
    assert handler.dropped == 15
    held.gate.set()
    handler.close()
    assert held.text.splitlines() == ["first", *(f"line {number}" for number in range(10))]


def test_a_stream_that_is_gone_costs_its_lines_and_nothing_else() -> None:
    stream = StringIO()
    handler = DroppingQueueHandler(stream)
    stream.close()
    handler.emit(record_of("lost"))
    handler.close()
    assert handler.dropped == 1


def test_a_record_that_cannot_be_formatted_is_dropped_without_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    handler = DroppingQueueHandler(StringIO())
    record = record_of("%d")
    record.args = (SECRET,)
    handler.emit(record)
    assert handler.dropped == 1
    assert SECRET not in capsys.readouterr().err


def test_what_nobody_caught_is_a_line_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    logs.install_excepthooks()

    def fails() -> None:
        raise raised()

    thread = threading.Thread(target=fails, name="worker")
    thread.start()
    thread.join()
    exc = raised()
    sys.excepthook(ValueError, exc, exc.__traceback__)
    ended, last = (record.getMessage() for record in caplog.records)
    assert ended.startswith("the thread `worker` ended: ValueError at ")
    assert last.startswith("the process ended: ValueError at test_logging_setup.py:")
    assert SECRET not in ended + last
