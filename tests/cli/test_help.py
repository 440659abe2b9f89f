"""Help that teaches, a page that can't be stale, and a start that imports little."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from autorouter.cli import output
from tests.cli.conftest import ROOT, Home
from tests.generate_cli_docs import PAGE, commands, help_of, page

ALL = list(commands())


@pytest.mark.parametrize(("name", "command"), ALL[1:], ids=[name for name, _ in ALL[1:]])
def test_help_contains_an_example_of_this_command(name: str, command: click.Command) -> None:
    example = help_of(name, command).partition("Example")[2]
    assert re.search(rf"^ +.*{name}", example, re.MULTILINE)


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_option_is_explained(name: str, command: click.Command) -> None:
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [p.name for p in options if not p.help] == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.generate_cli_docs"


@pytest.mark.parametrize("args", ["--help", "--version", "route --help", "receipt verify --help"])
def test_help_and_version_exit_0_on_standard_output(home: Home, args: str) -> None:
    done = home.run(*args.split())
    assert done.code == 0
    assert done.out
    assert done.err == ""


def test_an_unknown_command_exits_2_with_the_nearest(home: Home) -> None:
    done = home.run("rout", "hi")
    assert done.code == 2
    assert "Did you mean `route`?" in done.err


@pytest.mark.parametrize("module", ["rich", "pydantic", "httpx", "starlette", "uvicorn"])
def test_version_and_the_list_of_commands_import_little(module: str) -> None:
    code = f"import sys, autorouter.cli as c; c.group.get_help(c.click.Context(c.group)); sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_serve_never_imports_rich() -> None:
    code = (
        "import sys, autorouter.cli.serve, autorouter.server.app, autorouter.runtime; sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "unknown"),
        (0.0, "$0"),
        (12.5, "$12.50"),
        (0.01234, "$0.0123"),
        (0.00041, "$0.000410"),
        (-0.5, "-$0.500"),
        (1.2e-9, "$0.00000000120"),
    ],
)
def test_dollars_keep_the_digits_that_count(value: float | None, shown: str) -> None:
    assert output.usd(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0.0004, "0.4 ms"), (0.04, "40 ms"), (0.42, "0.42 s"), (1.44, "1.4 s"), (61.2, "61 s")],
)
def test_seconds_keep_the_digits_that_count(value: float | None, shown: str) -> None:
    assert output.seconds(value) == shown


def test_text_from_outside_can_t_steer_the_terminal() -> None:
    assert output.plain("a\x1b[2Jb\r\n\tc\u202e👩‍💻") == "a\ufffd[2Jb\n\tc\ufffd👩‍💻"
