"""A search of the user's own: real processes that find, find nothing, are slow, fail, flood, and leave children behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from autorouter.engine.strategies import web_search as module
from autorouter.engine.strategies.web_search import (
    OUTPUT_BYTES,
    PLAIN_CHARS,
    QUESTION_CHARS,
    RESULT_CHARS,
    SearchFailed,
    search,
)

T = TypeVar("T")
WAIT_S = 20.0
LONG_S = 600
loops: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both loops that a router may run on: they end processes each in its own way."""
    factory = asyncio.new_event_loop
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    loops.append(factory)
    yield
    loops.pop()


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=loops[-1]) as runner:
        return runner.run(work)


needs_sessions = pytest.mark.skipif(sys.platform == "win32", reason="sessions of processes")


def looked(source: str, question: str = "which?", *, limit: int = 5, limit_s: float = WAIT_S) -> list[dict[str, str]]:
    """What a command finds that runs this Python."""
    return run(search([sys.executable, "-c", source], question, limit=limit, limit_s=limit_s))


def printed(value: object) -> str:
    return f"import sys; sys.stdout.write({json.dumps(value)!r})"


def test_results_keep_their_title_url_and_text_and_nothing_else() -> None:
    first = {"title": "One", "url": "https://example.org/1", "text": "words", "score": 0.9, "cookie": "c"}
    assert looked(printed([first, {"title": "Two"}])) == [
        {"title": "One", "url": "https://example.org/1", "text": "words"},
        {"title": "Two"},
    ]


def test_results_may_stand_under_a_key() -> None:
    assert looked(printed({"results": [{"text": "words"}], "took": 3})) == [{"text": "words"}]


@pytest.mark.parametrize("value", [[], {}, {"results": None}, [{}, {"score": 1}, "text", None, [1]], None])
def test_nothing_is_found_in_what_holds_no_result(value: object) -> None:
    assert looked(printed(value)) == []


@pytest.mark.parametrize("said", ["", " \n\t "])
def test_silence_is_no_result(said: str) -> None:
    assert looked(f"print({said!r})") == []


@pytest.mark.parametrize("said", ["first line\n[not json", "42", '"quoted"', "{'a': 1}"])
def test_plain_text_is_one_result(said: str) -> None:
    assert looked(f"print({said!r})") == [{"text": said}]


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert looked("import sys; sys.stdout.buffer.write(b'caf\\xe9')") == [{"text": "caf�"}]


def test_only_so_many_results_and_so_much_of_each_are_taken() -> None:
    source = "import json; print(json.dumps([dict.fromkeys(('title', 'url', 'text'), 'x' * 9_000)] * 7))"
    results = looked(source, limit=3)
    assert len(results) == 3
    assert {name: len(text) for name, text in results[0].items()} == RESULT_CHARS
    assert len(looked("print('y' * 100_000)")[0]["text"]) == PLAIN_CHARS


def test_the_question_comes_on_standard_input_cut_to_its_limit() -> None:
    echo = "import sys; print(sys.stdin.read())"
    assert looked(echo, "wo ist die Tür?") == [{"text": "wo ist die Tür?"}]
    assert looked(echo, "q" * 5_000) == [{"text": "q" * QUESTION_CHARS}]


def test_a_command_need_not_read_the_question() -> None:
    assert looked("import os; os.close(0); print('found')", "q" * 1_000) == [{"text": "found"}]


def test_it_never_gets_a_shell(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    question = f"$(touch {mark}); `touch {mark}` | touch {mark} && touch {mark} #"
    told = "import sys, json; print(json.dumps([{'title': sys.argv[1], 'text': sys.stdin.read()}]))"
    word = f"; touch {mark} $HOME *"
    (results,) = run(search([sys.executable, "-c", told, word], question, limit=1, limit_s=WAIT_S))
    assert results == {"title": word, "text": question}
    assert not mark.exists()


def test_a_question_is_no_argument() -> None:
    assert looked("import sys; print(len(sys.argv))", "--help") == [{"text": "1"}]


def failure(source: str, *, limit_s: float = WAIT_S) -> str:
    with pytest.raises(SearchFailed) as caught:
        looked(source, "a secret question", limit_s=limit_s)
    assert "secret" not in str(caught.value)
    assert os.sep not in str(caught.value).partition(" ")[0], "the place of a command is nobody's business"
    return str(caught.value)


def test_a_failing_command_says_its_code() -> None:
    assert failure("print('some'); raise SystemExit(3)").endswith("ended with 3")


@needs_sessions
def test_a_command_that_is_killed_says_by_what() -> None:
    assert failure("import os; os.kill(os.getpid(), 9)").endswith("ended with -9")


@pytest.mark.parametrize("command", ["/nowhere/at/all/my-search", "my\0search", ""])
def test_a_command_that_can_t_be_run_says_so(command: str) -> None:
    with pytest.raises(SearchFailed, match="can't be run"):
        run(search([command], "which?", limit=1, limit_s=WAIT_S))


def test_a_file_that_may_not_be_executed_can_t_be_run(tmp_path: Path) -> None:
    (tmp_path / "search").write_text("#!/bin/sh\n")
    with pytest.raises(SearchFailed, match="search can't be run: Permission denied"):
        run(search([str(tmp_path / "search")], "which?", limit=1, limit_s=WAIT_S))


def test_a_slow_command_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    said = failure(f"{noting(mark)}; time.sleep({LONG_S})", limit_s=1.0)
    assert said.endswith("took more than 1 s")
    gone(int(mark.read_text()))


def test_a_flood_is_cut_and_its_command_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    said = failure(f"{noting(mark)}; import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert said.endswith(f"printed more than {OUTPUT_BYTES:,} bytes")
    gone(int(mark.read_text()))


def test_as_much_as_the_limit_is_no_flood() -> None:
    assert looked(f"print('x' * {OUTPUT_BYTES - 1})")[0]["text"].startswith("x")


def noting(mark: Path) -> str:
    """Python that writes its process id to a file."""
    return f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid()))"


def told(mark: Path) -> bool:
    return eventually(lambda: mark.exists() and bool(mark.read_text()))


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds before the longest wait is over."""
    until_s = time.monotonic() + WAIT_S
    while not (held := holds()) and time.monotonic() < until_s:
        time.sleep(0.01)
    return held


def gone(pid: int) -> None:
    """Waits until a process has ended; a zombie, which nobody has reaped yet, has."""
    assert eventually(lambda: not runs(pid)), f"{pid} still runs"


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (ProcessLookupError, FileNotFoundError):
        return False


def child(mark: Path, then: str) -> str:
    """Python that starts a child which holds the pipe, waits until that has told its id, and goes on."""
    lingering = f"{noting(mark)}; time.sleep({LONG_S})"
    return (
        f"import subprocess, sys, time, os\nsubprocess.Popen([sys.executable, '-c', {lingering!r}])\n"
        f"while not (os.path.exists({str(mark)!r}) and open({str(mark)!r}).read()): time.sleep(0.01)\n{then}"
    )


@needs_sessions
def test_a_child_that_lingers_is_killed_and_the_results_count(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    assert looked(child(mark, "print('found')")) == [{"text": "found"}]
    gone(int(mark.read_text()))


@needs_sessions
def test_the_child_of_a_slow_command_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    assert "took more than" in failure(child(mark, f"time.sleep({LONG_S})"), limit_s=2.0)
    gone(int(mark.read_text()))


@needs_sessions
def test_who_hangs_up_ends_the_command_and_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"

    async def hang_up() -> None:
        command = [sys.executable, "-c", child(mark, f"time.sleep({LONG_S})")]
        asking = asyncio.create_task(search(command, "which?", limit=1, limit_s=WAIT_S))
        assert await asyncio.to_thread(told, mark)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(hang_up())
    gone(int(mark.read_text()))


@needs_sessions
def test_a_daemon_that_left_the_session_holds_nobody_up(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    away = child(mark, "print('found')").replace("])\n", "], start_new_session=True)\n", 1)
    try:
        assert "took more than" in failure(away, limit_s=2.0)
    finally:
        os.kill(int(mark.read_text()), 9)


@needs_sessions
def test_no_descriptor_is_left_open() -> None:
    async def often() -> bool:
        command = [sys.executable, "-c", "print('found')"]
        await search(command, "which?", limit=1, limit_s=WAIT_S)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            await search(command, "which?", limit=1, limit_s=WAIT_S)
            with pytest.raises(SearchFailed):
                await search([sys.executable, "-c", f"import time; time.sleep({LONG_S})"], "", limit=1, limit_s=0.1)
        # Pipes are closed by the loop a moment later.
        return await asyncio.to_thread(eventually, lambda: len(os.listdir("/proc/self/fd")) <= before)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    assert run(often())


def test_the_module_knows_no_shell() -> None:
    source = Path(module.__file__).read_text("utf-8")
    assert "subprocess_shell" not in source
    assert "shell=" not in source
