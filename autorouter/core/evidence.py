"""What the tools have shown since the human last spoke: a trail of calls and results -> counters and signs of trouble.

    edit a.py, pytest red 2/40, edit a.py, pytest red 2/40, edit a.py, pytest red 2/40
    -> red_streak 3, edits 3, edits_since_run 0, signals ("tests red 3 times in a row",), wrong 0.46

One sign is not enough to change anything: `corroborated` wants two, or one that suffices. A fact counts under one sign
only: a run that stays red is no "same call" as well, an error of a repeated call is no "same error".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from autorouter.core.parsers import Finding, read_result
from autorouter.core.values import Step, ToolCall, ToolResult

# A sign shows from these counts on. Repeats: OpenHands' stuck detector stops at 3 equal failing and 4 equal actions.
RED_STREAK, RED_STREAK_CRITICAL = 3, 4
SAME_CALL, SAME_FAILING_CALL_CRITICAL = 3, 4
SAME_ERROR, EDIT_FAILURES = 2, 2
STALLED_STEPS = 12  # half of `values.TRAIL_STEPS`: the results that a full trail is sure to hold

SIGN = 0.46  # one sign's share of what is left of our confidence: 1 is below one half, 2 above (Switchyard: tanh 0.5)
RED_ONCE = 0.2  # a red run alone: tests are often written to be red first
CRITICAL = 0.9  # a sign that suffices weighs as much as four
GREEN, EDITED, IMPROVED = 0.5, 0.4, 0.3  # progress: last run green, edits of late, fewer tests fail; by judgement
RECENT_STEPS, RECENT_EDITS = 6, 2  # "of late": two edits in six steps is a steady pace (edit, look, run, twice)
FINDINGS_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Counts since the last human message. `steps` are tool results.

    `edits` took effect, `edit_failures` did not. `runs` are of tests, compilers and linters; `last_run` is None when
    none ran or the last one says nothing, and `tested` says that tests (not only a linter) were green after the last
    edit. `red_streak`: red runs in a row, counted anew when fewer fail. `repeated_calls`: the most often made identical
    call, 0 if none came twice; looking again after an edit is no repeat. `repeated_errors`: likewise one error line.
    `wrong` and `progress`: 0..1. `findings`: at most 6 lines such as "step 7 pytest red: 2 failed", the latest last.
    """

    steps: int = 0
    edits: int = 0
    edits_since_run: int = 0
    edit_failures: int = 0
    runs: int = 0
    last_run: Literal["green", "red"] | None = None
    tested: bool = False
    red_streak: int = 0
    repeated_calls: int = 0
    repeated_errors: int = 0
    errors: int = 0
    findings: tuple[str, ...] = ()
    wrong: float = 0.0
    progress: float = 0.0
    signals: tuple[str, ...] = ()
    critical: bool = False

    def corroborated(self) -> bool:
        """At least two independent signs of trouble, or one that suffices."""
        return self.critical or len(self.signals) >= 2


EMPTY = Evidence()

# --- what a call is for

_EDITS = re.compile(
    r"(?:^|[^a-z])(?:multi|notebook)?(?:write|edit|patch|replace|insert)|apply_?(?:patch|diff)|str_?replace|editor$"
    r"|(?:create|update|append)_?(?:to_?)?(?:new_?)?file"
)
_NOT_EDITS = re.compile(r"todo|stdin|plan|memory")
_READS = re.compile(r"(?:^|[^a-z])(?:read|view|open|cat|ls|list|grep|glob|search|find|fetch|get)|^codebase|todo|plan$")
_POLLS = re.compile(r"stdin|wait|poll|sleep|output|status|todo|plan")
"""Asking again is what these are for."""
_SHELLS = re.compile(r"bash|shell|exec|command|cmd|terminal|^run|console|process")
_RUN_NAMES = re.compile(r"pytest|run_?tests?|test_?runner|^tests?$")
_VIEWS = re.compile(r'"command": ?"view"')  # the str_replace editors look at files as well

_STARTS = (
    r"(?:^|(?<!\\)\"|[;&|(\n])\s*(?:(?:[A-Z_][A-Z0-9_]*=\S*|sudo|time|env|exec|npx|bunx|(?:uv|poetry|pdm|hatch|pipenv) run"
    r"|timeout (?:-\S+ )*\S+|(?:pnpm|yarn|bundle) exec|[\w./~-]*python[\d.]* -m|bash -l?c \\?[\"'])\s*)*(?:[\w.~-]*/)*"
)
"""Where a command begins: at the start of a string or line, or after `;`, `&&`, `|`, with what may stand before it."""
_TESTS = re.compile(
    _STARTS + r"(?:pytest|py\.test|unittest|tox|nox|ctest|rspec|phpunit|jest|vitest|mocha|(?:go|cargo|deno|bun|mix|dotnet"
    r"|mvn|swift|zig build|rails|npm|pnpm|yarn)(?: -\S+)* (?:run )?(?:t|test[\w:-]*|nextest)"
    r"|(?:make|just|task)(?: -\S+)* (?:[\w-]*test\w*|check|ci)|\.?/?gradlew? .*test|node --test|manage\.py test)(?![\w.-])"
)
_CHECKS = re.compile(
    _STARTS + r"(?:tsc|eslint|ruff|flake8|mypy|pyright|pylint|biome|golangci-lint|clippy-driver|py_compile|compileall"
    r"|cargo (?:build|check|clippy|run)|go (?:build|vet)|(?:npm|pnpm|yarn|bun) (?:run )?(?:build|lint|type-?check|check)"
    r"|make|cmake --build|gradlew? .*build|mvn .*(?:compile|package)|dotnet build|javac|gcc|g\+\+|clang)(?![\w.-])"
)
_LOOKS = re.compile(_STARTS + r"(?:cat|head|less|grep|rg|ag|ls|find|fd|nl|wc|tree|sed -n|git (?:diff|log|show|grep))\b")
_SHELL_EDIT = re.compile(_STARTS + r"(?:apply_patch|sed (?:-\w+ )*-\w*i|perl (?:-\w+ )*-\w*i|patch|git apply|tee)(?![\w.])")
_REDIRECT = re.compile(r"(?<=[\s\w])(?<!\d)>>?\s*(?!/dev/|/tmp/)[\w./~$-]*[\w]")
_SILENT = re.compile(_STARTS + r"(?:tsc|go (?:build|vet)|eslint|py_compile|javac|gcc|g\+\+|clang)(?![\w.-])")
"""These say nothing when all is well."""


@dataclass(frozen=True, slots=True)
class _Use:
    """What a call does; several at once for `sed -i ... && pytest`."""

    edit: bool = False
    test: bool = False
    check: bool = False
    look: bool = False
    poll: bool = False
    silent: bool = False
    piped: bool = False


def _use(call: ToolCall) -> _Use:
    name = re.split(r"__|[.:/]", call.name)[-1].lower()
    poll = _POLLS.search(name) is not None
    if _RUN_NAMES.search(name):
        return _Use(test=True)
    if _EDITS.search(name) and not _NOT_EDITS.search(name):
        return _Use(look=True) if _VIEWS.search(call.arguments) else _Use(edit=True)
    if _SHELLS.search(name) and not poll:
        return _shell(call.arguments.replace("\\n", "\n"))
    return _Use(look=_READS.search(name) is not None, poll=poll)


def _shell(command: str) -> _Use:
    test, check = _TESTS.search(command) is not None, _CHECKS.search(command) is not None
    run = test or check
    # A run's output sent to a file changes no code.
    edit = _SHELL_EDIT.search(command) is not None or (not run and _REDIRECT.search(command) is not None)
    look = not run and not edit and _LOOKS.search(command) is not None
    return _Use(edit, test, check, look, False, _SILENT.search(command) is not None, "|" in command)


