"""What each tool's answer proves. The fixtures are written by us after the tools' real outputs; decoys only look alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.signals import tool_output
from autorouter.core.signals.tool_output import DETAIL_CHARS, parse_tool_output

RESULTS = Path(__file__).parent / "fixtures" / "results"
NAMES = sorted(path.stem for path in RESULTS.glob("*.txt"))

SUMMARIES: dict[str, tuple[str, str, int, int]] = {
    "pytest_green": ("pytest", "green", 42, 0),
    "pytest_red": ("pytest", "red", 40, 2),
    "pytest_quiet_green": ("pytest", "green", 42, 0),
    "pytest_zero_failed_green": ("pytest", "green", 12, 0),
    "pytest_collection_error": ("pytest", "red", 0, 1),
    "pytest_in_codex_red": ("pytest", "red", 1, 1),
    "pytest_coloured_red": ("pytest", "red", 7, 1),
    "pytest_then_ruff_red": ("lint", "red", 0, 1),
    "pytest_cut_in_the_middle_red": ("pytest", "red", 910, 3),
    "unittest_green": ("unittest", "green", 2, 0),
    "unittest_red": ("unittest", "red", 9, 2),
    "go_green": ("go test", "green", 2, 0),
    "go_verbose_green": ("go test", "green", 2, 0),
    "go_red": ("go test", "red", 1, 1),
    "go_build_failed_red": ("go build", "red", 0, 1),
    "go_vet_red": ("go build", "red", 0, 1),
    "cargo_green": ("cargo test", "green", 3, 0),
    "cargo_red": ("cargo test", "red", 1, 1),
    "cargo_build_red": ("cargo", "red", 0, 2),
    "cargo_build_green": ("cargo", "green", 0, 0),
    "jest_green": ("jest", "green", 5, 0),
    "jest_red": ("jest", "red", 3, 2),
    "jest_suite_broken_red": ("jest", "red", 0, 1),
    "vitest_green": ("vitest", "green", 5, 0),
    "vitest_red": ("vitest", "red", 3, 2),
    "tsc_red": ("tsc", "red", 0, 2),
    "tsc_pretty_red": ("tsc", "red", 0, 1),
    "ruff_red": ("lint", "red", 0, 2),
    "ruff_fixed_green": ("lint", "green", 0, 0),
    "ruff_green": ("lint", "green", 0, 0),
    "mypy_red": ("mypy", "red", 0, 1),
    "mypy_green": ("mypy", "green", 0, 0),
    "flake8_red": ("lint", "red", 0, 2),
    "eslint_red": ("eslint", "red", 0, 1),
    "eslint_warnings_green": ("eslint", "green", 0, 0),
}
ERRORS = {
    "exit_claude_error": ("exit", "exit code 1"),
    "exit_brackets_error": ("exit", "exit code 2"),
    "exit_shell_error": ("exit", "exit code 127"),
    "exit_with_traceback_error": ("exit", "exit code 1: ValueError: no rows"),
    "go_panic": ("exit", "exit code 2: panic: runtime error: index out of range [3] with length 3"),
    "rust_panic": ("panic", "thread 'main' panicked at src/main.rs:4:10:"),
    "traceback_error": ("traceback", "shop.errors.Missing: no id"),
    "node_error": ("exception", "TypeError: Cannot read properties of undefined (reading 'x')"),
    "segfault_error": ("segfault", "bash: line 1: 12345 Segmentation fault (core dumped) ./a.out"),
    "not_found_error": ("shell", "/bin/bash: line 1: pytest: command not found"),
}
EDITS = [name for name in NAMES if name.endswith("edit_failed")]
NOTHING = [name for name in NAMES if name.startswith("decoy") or name.endswith(("no_tests", "all_deselected"))]


def result(name: str) -> str:
    return (RESULTS / f"{name}.txt").read_bytes().decode()


def test_every_fixture_is_expected_to_prove_something_or_nothing() -> None:
    assert sorted([*SUMMARIES, *ERRORS, *EDITS, *NOTHING, "exit_codex_green"]) == NAMES


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_is_read_with_its_counts(name: str) -> None:
    found = parse_tool_output(result(name))
    assert found is not None
    assert (found.tool, found.verdict, found.passed, found.failed) == SUMMARIES[name]


@pytest.mark.parametrize("name", ERRORS)
def test_a_failure_without_a_summary_shows_the_line_that_tells_it(name: str) -> None:
    found = parse_tool_output(result(name))
    assert found is not None
    assert (found.tool, found.verdict, found.detail) == (ERRORS[name][0], "error", ERRORS[name][1])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_that_did_not_apply_is_seen(name: str) -> None:
    found = parse_tool_output(result(name))
    assert found is not None
    assert found.verdict == "edit_failed"
    assert "<" not in found.detail


@pytest.mark.parametrize("name", NOTHING)
def test_what_only_looks_like_a_result_proves_nothing(name: str) -> None:
    assert parse_tool_output(result(name)) is None


@pytest.mark.parametrize("name", NAMES)
def test_windows_line_ends_change_nothing(name: str) -> None:
    text = result(name)
    assert parse_tool_output(text.replace("\n", "\r\n")) == parse_tool_output(text)


@pytest.mark.parametrize("name", NAMES)
def test_the_gate_lets_through_all_that_a_parser_reads(name: str) -> None:
    text = tool_output._plain(result(name))
    assert tool_output._speaks(text) or tool_output._best(text) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOTHING])
def test_a_line_of_a_source_file_with_its_number_proves_nothing(name: str) -> None:
    text = tool_output._plain(result(name))
    assert parse_tool_output("\n".join(f"{n:6}→{line}" for n, line in enumerate(text.split("\n"), 1))) is None


def test_a_clean_exit_is_green() -> None:
    found = parse_tool_output(result("exit_codex_green"))
    assert found is not None
    assert (found.tool, found.verdict) == ("exit", "green")


def test_a_summary_says_more_than_the_exit_code_and_the_traceback_in_it() -> None:
    found = parse_tool_output("Exit code 1\n" + result("traceback_error") + result("pytest_red"))
    assert found is not None
    assert found.tool == "pytest"


def test_a_red_summary_says_more_than_a_green_one_and_an_edit_failure_lies_between() -> None:
    green, red, edit = result("pytest_green"), result("mypy_red"), result("git_apply_edit_failed")
    verdicts = [found.verdict for text in (green + red, green + edit, edit + red) if (found := parse_tool_output(text))]
    assert verdicts == ["red", "edit_failed", "red"]


def test_a_logged_traceback_of_a_command_that_ended_well_is_no_error() -> None:
    found = parse_tool_output("Process exited with code 0\nOutput:\n" + result("traceback_error"))
    assert found is not None
    assert found.verdict == "green"


@pytest.mark.parametrize("text", ["", "File does not exist.", "Process exited with code 0\n"])
def test_the_clients_own_error_flag_is_an_error(text: str) -> None:
    found = parse_tool_output(text, is_error=True)
    assert found is not None
    assert (found.tool, found.verdict) == ("tool", "error")


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefgh12345678",
        "postgres://app:hunter2pw@db/x",
        "API_KEY=9f8e7d6c",
        "password: hunter2pw",
        "Bearer abc.def.ghi",
        "0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_a_detail_never_shows_a_key(secret: str) -> None:
    text = f'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nRuntimeError: refused {secret}\n'
    found = parse_tool_output(text)
    assert found is not None
    assert found.detail.startswith("RuntimeError: refused")
    assert "***" in found.detail
    assert not any(
        part in found.detail for part in ("hunter2pw", "9f8e7d6c", "abc.def", "abcdefgh", "0123456789abcdef")
    )


texts = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.one_of(st.sampled_from([line for name in NAMES for line in result(name).split("\n")]), st.text(max_size=60))
    ).map("\n".join),
)


@given(texts, st.booleans())
def test_any_text_is_read_without_fail_and_always_alike(text: str, is_error: bool) -> None:
    found = parse_tool_output(text, is_error)
    assert found == parse_tool_output(text, is_error)
    assert not is_error or found is not None
    if found is not None:
        assert len(found.detail) <= DETAIL_CHARS
        assert "\n" not in found.detail
        assert (found.failed > 0) <= (found.verdict == "red")


# vitest's own line begins with blanks like most source lines: its output passes the gate by its "Duration" line.
heads = [
    line for name in NAMES if not name.startswith("vitest") for line in tool_output._plain(result(name)).split("\n")
]


@given(st.lists(st.sampled_from(heads) | st.text(max_size=20)))
def test_the_gate_hides_no_line_that_a_parser_reads(lines: list[str]) -> None:
    text = tool_output._plain("\n".join(lines))
    assert tool_output._speaks(text) or tool_output._best(text) is None
