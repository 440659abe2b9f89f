"""What a trail of calls and results shows: the counters, the signs of trouble, and whether a claim holds against them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.tool_trace import (
    FINDINGS_SHOWN,
    NO_EVIDENCE,
    RunFinding,
    claims_success,
    contradicting_evidence,
    read_tool_trace,
)
from autorouter.core.types import ToolCall, ToolEvent, ToolResult
from autorouter.receipts.messages import run_finding

GREEN, RED = "12 passed in 0.31s", "2 failed, 10 passed in 0.31s"
NOT_FOUND = "<tool_use_error>String to replace not found in file.</tool_use_error>"

Pair = tuple[ToolCall, ToolResult]


def bash(command: str, text: str = "", is_error: bool = False) -> Pair:
    return ToolCall("Bash", json.dumps({"command": command})), ToolResult(text, is_error)


def pytest_run(text: str) -> Pair:
    return bash("cd /repo && python -m pytest -q", text)


def edit(path: str = "a.py", text: str = "The file has been updated.", is_error: bool = False) -> Pair:
    return ToolCall("Edit", json.dumps({"file_path": path})), ToolResult(text, is_error)


def read(path: str, text: str = "x = 1") -> Pair:
    return ToolCall("Read", json.dumps({"file_path": path})), ToolResult(text)


def trail(*pairs: Pair) -> tuple[ToolEvent, ...]:
    return tuple(step for pair in pairs for step in pair)


def test_no_trail_is_no_evidence() -> None:
    assert read_tool_trace(()) == NO_EVIDENCE
    assert not NO_EVIDENCE.is_corroborated()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("write", '{"filePath":"a.py"}'),
        ("Edit", "{}"),
        ("MultiEdit", "{}"),
        ("NotebookEdit", "{}"),
        ("apply_patch", "*** Begin Patch"),
        ("str_replace_based_edit_tool", '{"command": "str_replace"}'),
        ("create_file", "{}"),
        ("update_file", "{}"),
        ("editor", '{"path":"a.py","new_text":"x"}'),
        ("write_to_file", "{}"),
        ("mcp__fs__write_file", "{}"),
        ("replace", "{}"),
        ("exec_command", '{"cmd":"apply_patch <<\'EOF\'\\n*** Begin Patch"}'),
        ("exec_command", '{"cmd":"cd src && sed -i s/a/b/ a.py"}'),
        ("shell", '{"command":["bash","-lc","cat > a.py <<\'EOF\'\\nx = 1\\nEOF"]}'),
        ("run_commands", '{"commands":["echo x >> notes.md"]}'),
    ],
)
def test_an_edit_is_known_by_its_name_or_its_command(name: str, arguments: str) -> None:
    assert read_tool_trace((ToolCall(name, arguments), ToolResult("done"))).edits == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TodoWrite", "{}"),
        ("update_plan", "{}"),
        ("write_stdin", '{"chars":""}'),
        ("Read", "{}"),
        ("str_replace_based_edit_tool", '{"command": "view", "path": "a.py"}'),
        ("Bash", '{"command":"ls 2>/dev/null"}'),
        ("Bash", '{"command":"sed -n 1,20p a.py"}'),
        ("Bash", '{"command":"pytest -q > out.txt 2>&1"}'),
        ("Bash", '{"command":"pytest -q | tee out.txt"}'),
        ("Bash", '{"command":"git log --format=%h->%s"}'),
    ],
)
def test_what_changes_no_code_is_no_edit(name: str, arguments: str) -> None:
    assert read_tool_trace((ToolCall(name, arguments), ToolResult("done"))).edits == 0


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q",
        "cd a && PYTHONPATH=. timeout 60 .venv/bin/python -m pytest tests",
        "uv run pytest",
        "go test ./...",
        "cargo test",
        "cargo build",
        "npm test",
        "npm run test:unit",
        "pnpm exec vitest run",
        "npx tsc --noEmit",
        "make test",
        "ruff check .",
        "ls\npytest",
        "bash -lc 'pytest -q'",
    ],
)
def test_a_run_is_known_by_its_command(command: str) -> None:
    assert read_tool_trace(trail(bash(command, "...", False))).runs == 1


@pytest.mark.parametrize(
    "command", ["grep -rn pytest .", "pip install pytest", "cat tests/test_a.py", "ls", "python app.py"]
)
def test_what_only_names_a_runner_is_no_run(command: str) -> None:
    assert read_tool_trace(trail(bash(command, "tests/conftest.py:1:import pytest"))).runs == 0


def test_a_summary_is_a_run_whatever_was_called() -> None:
    evidence = read_tool_trace(trail(bash("./ci.sh", RED)))
    assert (evidence.runs, evidence.last_run) == (1, "red")


@pytest.mark.parametrize(
    "pair", [read("log.txt", RED), bash("cat log.txt", RED), bash("git show HEAD:log.txt", RED), edit(text=RED)]
)
def test_a_summary_that_was_read_or_written_is_no_run(pair: Pair) -> None:
    assert (read_tool_trace(trail(pair)).runs, read_tool_trace(trail(pair)).findings) == (0, ())


def test_grep_without_a_match_is_no_error() -> None:
    assert read_tool_trace(trail(bash("grep -rn nope .", "Exit code 1", True))).errors == 0
    assert read_tool_trace(trail(bash("cat nope.txt", "Exit code 1\ncat: nope.txt: No such file", True))).errors == 0
    assert (
        read_tool_trace(trail(read("nope"), (ToolCall("Read", "{}"), ToolResult("File does not exist.", True)))).errors
        == 1
    )


@pytest.mark.parametrize(
    ("pair", "last_run"),
    [
        (bash("pytest -q", "Exit code 1\nINTERNALERROR", True), "red"),
        (bash("npm test", "Process exited with code 0\nOutput:\nok"), "green"),
        (bash("npm test | tail -3", "Process exited with code 0\nOutput:\nok"), None),
        (bash("npx tsc --noEmit", ""), "green"),
        (bash("npx tsc --noEmit | head", ""), None),
        (bash("make test", "all sorts of words"), None),
    ],
)
def test_a_run_without_a_summary_is_judged_by_its_exit(pair: Pair, last_run: str | None) -> None:
    assert read_tool_trace(trail(pair)).last_run == last_run


def test_edits_count_from_the_last_run_and_a_failed_edit_is_none() -> None:
    evidence = read_tool_trace(
        trail(edit(), pytest_run(GREEN), edit(), edit(text=NOT_FOUND, is_error=True), edit("b.py"))
    )
    assert (evidence.edits, evidence.edits_since_run, evidence.edit_failures) == (3, 2, 1)
    assert evidence.last_run == "green"
    assert not evidence.tested


def test_one_command_may_edit_and_then_run() -> None:
    evidence = read_tool_trace(trail(bash("sed -i s/a/b/ a.py && pytest -q", GREEN)))
    assert (evidence.edits, evidence.edits_since_run, evidence.tested) == (1, 0, True)


def test_three_red_runs_are_one_sign_and_four_suffice() -> None:
    three = read_tool_trace(trail(*[pair for n in range(3) for pair in (edit(f"{n}.py"), pytest_run(RED))]))
    assert three.signals == (Reason.of(ReasonCode.TESTS_RED, times=3),)
    assert three.wrong < 0.5
    assert not three.is_corroborated()
    four = read_tool_trace(trail(*[pair for n in range(4) for pair in (edit(f"{n}.py"), pytest_run(RED))]))
    assert four.red_streak == 4
    assert four.critical
    assert four.is_corroborated()


def test_fewer_failures_begin_the_streak_anew_and_green_ends_it() -> None:
    runs = [pytest_run(f"{n} failed, 3 passed in 0.1s") for n in (9, 5, 2, 1)]
    assert read_tool_trace(trail(*runs)).red_streak == 1
    assert read_tool_trace(trail(pytest_run(RED), pytest_run(RED), pytest_run(GREEN))).red_streak == 0


def test_the_same_call_is_a_sign_only_while_nothing_was_edited() -> None:
    stuck = read_tool_trace(trail(*[read("a.py")] * 3))
    assert (stuck.repeated_calls, stuck.signals) == (3, (Reason.of(ReasonCode.SAME_CALL, times=3),))
    working = read_tool_trace(trail(*[pair for n in range(3) for pair in (read("a.py"), edit(f"{n}.py"))]))
    assert working.signals == ()


def test_the_same_edit_over_and_over_is_a_sign_even_where_it_takes_effect() -> None:
    there_and_back = [edit("a.py"), edit("b.py")] * 3
    assert read_tool_trace(trail(*there_and_back)).signals == (Reason.of(ReasonCode.SAME_CALL, times=3),)


def test_asking_again_is_what_polling_is_for() -> None:
    poll = (ToolCall("write_stdin", '{"chars":""}'), ToolResult("still running"))
    assert read_tool_trace(trail(*[poll] * 6)).repeated_calls == 0


def test_the_same_failing_call_suffices_at_four() -> None:
    call = bash("python app.py", "Exit code 1\nboom", True)
    assert not read_tool_trace(trail(*[call] * 3)).critical
    assert read_tool_trace(trail(*[call] * 4)).critical


def test_one_fact_makes_one_sign() -> None:
    crash = 'Exit code 1\nTraceback (most recent call last):\n  File "app.py", line 1, in <module>\nValueError: no rows'
    assert read_tool_trace(trail(*[bash("python app.py", crash, True)] * 3)).signals == (
        Reason.of(ReasonCode.SAME_CALL, times=3),
    )
    assert read_tool_trace(trail(*[pytest_run(RED)] * 3)).signals == (Reason.of(ReasonCode.TESTS_RED, times=3),)
    assert read_tool_trace(trail(*[edit(text=NOT_FOUND, is_error=True)] * 3)).signals == (
        Reason.of(ReasonCode.EDIT_FAILED, times=3),
    )


def test_the_same_error_after_an_edit_and_failed_edits_corroborate_each_other() -> None:
    crash = bash("python app.py", "Process exited with code 1\nOutput:\nbash: app: command not found")
    bad = edit(text=NOT_FOUND, is_error=True)
    evidence = read_tool_trace(trail(crash, edit(), crash, bad, bad))
    assert evidence.signals == (Reason.of(ReasonCode.SAME_ERROR, times=2), Reason.of(ReasonCode.EDIT_FAILED, times=2))
    assert (evidence.errors, evidence.repeated_errors) == (2, 2)
    assert evidence.is_corroborated()
    assert evidence.wrong > 0.5
    assert not evidence.critical


def test_twelve_steps_without_an_edit_or_a_green_run_are_a_sign() -> None:
    looks = [read(f"{n}.py") for n in range(12)]
    assert read_tool_trace(trail(*looks)).signals == (Reason.of(ReasonCode.STALLED, times=12),)
    assert read_tool_trace(trail(*looks[:11])).signals == ()
    assert read_tool_trace(trail(*looks[:6], edit(), *looks[6:])).signals == ()


def test_an_edit_and_a_green_run_are_progress() -> None:
    assert read_tool_trace(trail(edit(), edit("b.py"), pytest_run(GREEN))).progress == 0.75
    assert read_tool_trace(trail(read("a.py"))).progress == 0.0


def test_steps_are_numbered_from_the_turns_start() -> None:
    evidence = read_tool_trace(trail(read("a.py"), pytest_run(RED)), steps=7)
    assert evidence.steps == 7
    assert evidence.findings == (RunFinding(7, "pytest", "red", 2, 10),)


def test_a_batch_is_answered_in_order_and_a_cut_batch_from_its_end() -> None:
    (first, look), (second, red) = read("a.py", RED), pytest_run(RED)
    assert read_tool_trace((first, second, look, red)).runs == 1
    assert read_tool_trace((first, look, red)) == read_tool_trace((look, first, red))
    assert read_tool_trace((second, look, red)).edits_since_run == 0


def test_findings_are_few_and_the_latest_is_last() -> None:
    evidence = read_tool_trace(trail(*(pytest_run(f"{n} failed in 0.1s") for n in range(1, 10))))
    assert len(evidence.findings) == FINDINGS_SHOWN
    assert evidence.findings[-1] == RunFinding(9, "pytest", "red", 9, 0)


pieces = st.lists(
    st.one_of(
        st.builds(
            ToolCall, st.sampled_from(["Bash", "Edit", "read", "exec_command", "write_stdin", ""]), st.text(max_size=80)
        ),
        st.builds(ToolResult, st.sampled_from([GREEN, RED, NOT_FOUND, "", "Exit code 2", "ok"]), st.booleans()),
    ),
    max_size=24,
)


@given(pieces, st.none() | st.integers(0, 500))
def test_any_trail_is_read_without_fail_and_always_alike(steps: list[ToolEvent], total: int | None) -> None:
    evidence = read_tool_trace(steps, steps=total)
    assert evidence == read_tool_trace(tuple(steps), steps=total)
    assert 0 <= evidence.wrong <= 1
    assert 0 <= evidence.progress <= 1
    assert evidence.edits_since_run <= evidence.edits
    assert evidence.repeated_calls != 1
    assert len(evidence.findings) <= FINDINGS_SHOWN
    assert all(len(run_finding(finding)) <= 160 for finding in evidence.findings)
    assert not evidence.is_corroborated() or evidence.wrong > 0.5


@given(
    st.permutations(
        [
            read("a.py"),
            read("b.py"),
            bash("ls"),
            bash("python x.py", "Exit code 3", True),
            read("a.py"),
            bash("id", "me"),
        ]
    )
)
def test_the_order_of_unrelated_calls_changes_no_counter(pairs: list[Pair]) -> None:
    evidence = read_tool_trace(trail(*pairs))
    assert replace(evidence, findings=()) == replace(NO_EVIDENCE, steps=6, repeated_calls=2, errors=1)


@pytest.mark.parametrize(
    "text",
    [
        "All tests pass.",
        "Done. The tests are passing now.",
        "The test suite is green and the bug is fixed.",
        "I fixed the bug. 42 passed, 0 failed.",
        "I ran it and verified that it works.",
        "- tests: all passing",
        "All tests succeed.",
    ],
)
def test_a_claim_of_success_is_heard(text: str) -> None:
    assert claims_success(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The tests don't pass yet.",
        "The tests don’t pass yet.",
        "Not all tests pass.",
        "All tests should pass now.",
        "Run the suite to check that the tests pass.",
        "Once the tests pass, merge it.",
        "Do the tests pass?",
        "2 failed, 40 passed.",
        "All tests pass except one.",
        "I added a test for the empty cart.",
        "Expected output:\n```\n42 passed in 1.3s\n```\nThat is all.",
        "You pass the test client to the app.",
    ],
)
def test_a_wish_a_question_and_a_quote_are_no_claim(text: str) -> None:
    assert not claims_success(text)


CLAIM = "Fixed. All tests pass."


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([edit(), pytest_run(RED)], "the last run was red"),
        ([pytest_run(GREEN), edit()], "nothing was run after the last edit"),
        ([edit()], "nothing was run after the last edit"),
        ([edit(), bash("ruff check .", "All checks passed!")], "only a compiler or linter was green"),
    ],
)
def test_a_claim_without_a_green_test_run_after_the_last_edit_is_contradicted(pairs: list[Pair], reason: str) -> None:
    evidence = read_tool_trace(trail(*pairs))
    assert reason in (contradicting_evidence(CLAIM, evidence) or "")
    assert contradicting_evidence("The tests still fail; I need another look.", evidence) is None


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [read("a.py")],
        [edit(), pytest_run(GREEN)],
        [edit(), pytest_run(RED), edit(), pytest_run(GREEN), read("a.py")],
        [edit(), pytest_run(GREEN), bash("ruff check .", "All checks passed!")],
        [edit(), bash("make test", "all sorts of words")],
    ],
)
def test_a_claim_that_the_tools_bear_out_or_say_nothing_of_stands(pairs: list[Pair]) -> None:
    assert contradicting_evidence(CLAIM, read_tool_trace(trail(*pairs))) is None
