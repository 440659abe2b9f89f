"""`autorouter chat`: one question, a pipe, a conversation on a terminal; a running router, and one of its own."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator
from typing import Any

import pytest

from autorouter.cli.chat import complete_blocks
from tests import zygote
from tests.cli.conftest import POOL, ROOT, Home
from tests.fakes import WAIT_S

INSTANT = "[dry_run]\ntime_scale = 0.0\n"
FOOTER = re.compile(r"(\S+) · \$[\d.]+ · \d[\d.]* m?s · (ar_[0-9a-f]+)")


@pytest.fixture
def instant(home: Home) -> str:
    return home.write("instant.toml", INSTANT)


def written(home: Home, receipt_id: str) -> Any:
    """The receipt, once the router has written it: a quarter of a second after the answer, by default."""
    for _ in range(20):
        done = home.run("receipt", "show", receipt_id, "--json")
        if done.code == 0:
            return done.json()
    raise AssertionError(done.err)


def test_one_question_through_a_running_router(home: Home, instant: str) -> None:
    with home.serving("--dry-run", "--config", instant) as url:
        done = home.run("chat", "hello there", "--url", f"{url}/v1")
        assert done.code == 0, done.err
        assert "hello there" in done.out
        footer = FOOTER.fullmatch(done.err.strip())
        assert footer is not None
        assert footer[1] in done.out
        shown = written(home, footer[2])
    assert shown["outcome"]["candidate"] == footer[1]
    assert shown["request"]["stream"] is True


def test_json_has_the_answer_and_its_summary(home: Home, instant: str) -> None:
    with home.serving("--dry-run", "--config", instant) as url:
        done = home.run("chat", "-", "--url", url, "--json", "--model", "openfusion/fast", stdin="hello there")
    found = done.json()
    assert "hello there" in found["text"]
    assert found["openfusion"]["receipt"].startswith("ar_")
    assert found["openfusion"]["cost_usd"] > 0
    assert found["finish_reason"] == "stop"


def test_without_a_running_router_one_is_started_inside_and_leaves_receipts(home: Home, instant: str) -> None:
    port = "1"  # nobody listens there
    done = home.run("chat", "--config", instant, stdin="hello there", AUTOROUTER_PORT=port)
    assert done.code == 0, done.err
    assert "hello there" in done.out
    assert FOOTER.search(done.err)
    assert home.run("receipt", "verify").code == 0


def test_it_says_so_when_another_process_holds_the_receipts(home: Home, instant: str) -> None:
    with home.serving("--dry-run", "--config", instant):
        done = home.run("chat", "hello there", "--dry-run", "--config", instant)
    assert done.code == 0
    assert "no receipts are written: another autorouter writes receipts in" in done.err
    assert FOOTER.search(done.err), "the summary tells the cost where no receipt does"


def test_a_local_key_is_sent_to_the_router_on_this_machine(home: Home) -> None:
    path = home.write("locked.toml", INSTANT + '[server]\napi_key_env = "MY_LOCAL"\n')
    with home.serving("--dry-run", "--config", path, MY_LOCAL="sesame") as url:
        assert home.run("chat", "hi", "--url", url, "--config", path, MY_LOCAL="sesame").code == 0
        wrong = home.run("chat", "hi", "--url", url, "--config", path, MY_LOCAL="simsim")
    assert wrong.code == 2
    assert "local key" in wrong.err
    assert "sesame" not in wrong.err + wrong.out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("hi", "--url", "http://127.0.0.1:1"), 4, "autorouter serve"),
        (("hi", "--url", "ftp://127.0.0.1"), 2, "is not an http URL"),
        (("hi", "--dry-run", "--model", "openfusion/coderr"), 2, "openfusion/coder"),
        (("hi", "--url", "http://127.0.0.1:1", "--dry-run"), 2, "exclude each other"),
        (("hi", "--config", "/nowhere.toml"), 3, "no such file"),
    ],
)
def test_errors_are_the_routers_own_with_the_code_of_their_kind(
    home: Home, args: tuple[str, ...], code: int, said: str
) -> None:
    done = home.run("chat", *args)
    assert (done.code, done.out) == (code, "")
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_refusal_exits_5_and_a_failed_upstream_4(home: Home) -> None:
    nobody = home.write("none.toml", POOL + '[policy]\nallow = ["nobody"]\n')
    refused = home.run("chat", "hi", "--dry-run", "--config", nobody)
    assert refused.code == 5
    assert "not on the allow list" in refused.err
    down = home.run("chat", "hi", "--config", home.write("down.toml", POOL), AUTOROUTER_PORT="1")
    assert down.code == 4
    assert down.err.splitlines()[-1].startswith("error: ")


class Terminal:
    """The program on a pseudo-terminal."""

    def __init__(self, home: Home, *args: str) -> None:
        import pty

        self._master, slave = pty.openpty()
        env = {**home.env, "TERM": "xterm", "COLUMNS": "200"}
        self.process = zygote.start(args, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=ROOT)
        os.close(slave)
        self.text = ""

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def until(self, said: str) -> str:
        """What was printed up to and with `said`, since the last call."""
        deadline_s = time.monotonic() + WAIT_S
        while said not in self.text:
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if ready:
                self.text += os.read(self._master, 65_536).decode("utf-8", "replace")
            assert time.monotonic() < deadline_s, f"no {said!r} in {self.text!r}"
        before, _, self.text = self.text.partition(said)
        return before + said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(home: Home, instant: str) -> Iterator[Terminal]:
    pytest.importorskip("pty")
    found = Terminal(home, "chat", "--dry-run", "--config", instant)
    yield found
    found.close()


def test_a_conversation_on_a_terminal(terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("/why")
    terminal.until("nothing was answered yet")
    terminal.type("hello there")
    footer = terminal.until("ar_")
    assert "$" in footer
    terminal.type("/why")
    terminal.until("runner-up")
    terminal.type("/cost")
    terminal.until("for 1 answer")
    terminal.type("/model openfusion/codr")
    terminal.until("did you mean")
    terminal.type("/model openfusion/coder")
    terminal.until("model: openfusion/coder")
    terminal.type("/clear")
    terminal.until("forgotten")
    terminal.type("/nonsense")
    terminal.until("/help lists the commands")
    terminal.type("/quit")
    assert terminal.process.wait(20) == 0


def test_what_is_printed_for_good_ends_at_an_empty_line_outside_of_code() -> None:
    assert complete_blocks("one\n\ntwo") == 5
    assert complete_blocks("one\ntwo") == 0
    text = "one\n\n```\na\n\nb"
    assert text[: complete_blocks(text)] == "one\n\n"
    assert complete_blocks(text + "\n```\n\nend") == len(text + "\n```\n\n")
