"""A tool's answer -> the one thing that it proves: tests green, a build red, an edit that did not apply, an error.

    "===== 2 failed, 40 passed in 1.31s ====="   Finding("pytest", "red", 40, 2, "2 failed, 40 passed")
    "Process exited with code 0"                 Finding("exit", "green", 0, 0, "exit code 0")

A parser wants a whole line in its tool's own shape: a source file or a sentence that mentions FAILED proves nothing.
One gate stands before all parsers, as most results say nothing and shall cost microseconds. What proves more wins:

    red summary > edit that failed > green summary > exit code > traceback > the client's own error flag
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from autorouter.clients.registry import merged

ToolVerdict = Literal["green", "red", "edit_failed", "error"]
DETAIL_CHARS = 120  # a line on a receipt and in a table, not a log


@dataclass(frozen=True, slots=True)
class ToolFinding:
    """What one tool result proves. `passed` and `failed` are the tool's own counts (tests, or a compiler's errors),
    0 where it gives none. `detail`: the line that shows it, cut, without times and without what looks like a key."""

    tool: str
    verdict: ToolVerdict
    passed: int
    failed: int
    detail: str


def parse_tool_output(text: str, is_error: bool = False) -> ToolFinding | None:
    """The finding that proves most, or None when the text proves nothing ("no tests ran" is neither green nor red).

    `is_error`: the client itself marked the result as failed; that alone is an error.
    """
    text = _plain(text)
    found = _best(text) if _speaks(text) else None
    if is_error and (found is None or (found.tool == "exit" and found.verdict == "green")):
        return ToolFinding("tool", "error", 0, 0, _detail(text.strip().partition("\n")[0]))
    return found


def _best(text: str) -> ToolFinding | None:
    summaries = [found for parse in _SUMMARIES if (found := parse(text))]
    red = next((found for found in summaries if found.verdict == "red"), None)
    return red or _edit_failure(text) or next(iter(summaries), None) or _exit_code(text) or _crash(text)


_CLIENTS_EDIT_FAILURES = "|".join(merged(lambda profile: profile.edit_failures))
_HEADS = re.compile(
    r"\n(?=[A-Z=0-9✖×#<\[(*/\-abdeoprstz])(?:=+ \d|\d+ (?:pass|fail|err|skip|x|desel|rerun|warn|subt|out of)|Ran \d"
    r"|FAIL\t|ok  \t|--- (?:FAIL|PASS)|# .*\n.*\.go:\d|test result|Tests: |Test Suites: |[✖×] \d|Found |All checks"
    r"|Success: no|[Ee]rror|tool error|Hunk "
    r"|<(?:tool_use|returncode)|patch failed"
    r"|[\[(*]*[Ee]xit(?:ed)?[ _](?:code|status|with)|(?:[Tt]he )?(?:[Cc]ommand|[Pp]rocess|[Pp]rogram|[Ss]cript) (?:e|f|c)"
    r"|Traceback \(|panic: |thread '|Uncaught |[A-Z]\w*Error: |Segmentation|(?:/bin/)?(?:ba|da|z)?sh: |/\S*: line \d"
    rf"|{_CLIENTS_EDIT_FAILURES})"
)
"""How the lines begin that a parser reads; the look-ahead turns most lines of source text away at once."""
_FLAKE8_SPOT = re.compile(r"\.pyi?:\d+:\d+: [A-Z]{1,4}\d")


def _speaks(text: str) -> bool:
    """Whether a parser could find something. tsc, cargo, vitest and flake8 begin lines with a path or with blanks."""
    if "rror TS" in text or "target(s)" in text or "Duration" in text or _HEADS.search("\n" + text):
        return True
    return ".py" in text and _FLAKE8_SPOT.search(text) is not None


_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NOISE = re.compile(r"[;,]? (?:finished )?in \d[\d.]*m?s\b.*$| \([\d.]+s\)$|; \d+ ignored;.*$")
_KEYISH = re.compile(
    r"(?i)(?<=://)[^/\s@]+@|\b(?:bearer|basic)\s+\S+|\b[\w-]*(?:key|token|secret|passw(?:or)?d|pwd)[\"']?\s*[=:]\s*\S+"
    r"|\b(?:sk|pk|rk|gh[a-z]|xox[a-z]|glpat)[-_]\S{8,}|\b(?:AKIA|eyJ)\S{12,}"
    r"|\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9+=]{28,}"
)
"""What looks like a credential: in a URL, after a telling name, with a known prefix, or any long mix with digits."""


def _plain(text: str) -> str:
    """Without colours and carriage returns."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _detail(line: str) -> str:
    line = _KEYISH.sub("***", " ".join(line[: 4 * DETAIL_CHARS].split()).strip("= "))
    return line if len(line) <= DETAIL_CHARS else line[: DETAIL_CHARS - 1] + "…"


def _matches(text: str, shape: re.Pattern[str], *needles: str) -> list[re.Match[str]]:
    """The lines that are the shape from end to end. None is looked at when the text holds none of the needles."""
    if needles and not any(needle in text for needle in needles):
        return []
    return [match for line in text.split("\n") if (match := shape.fullmatch(line))]


def _finding(tool: str, passed: int, failed: int, line: str) -> ToolFinding:
    return ToolFinding(tool, "red" if failed else "green", passed, failed, _detail(_NOISE.sub("", line)))


# --- test runners
_COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")
_PYTEST = (
    r"(?:=+ )?(?:\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|rerun|warnings?|subtests passed)"
    r"(?:, |(?= in )))+ in \d[\d.]*s(?: \([\d:]+\))?(?: =+)?\s*"
)


def _counted(tool: str, shape: str, *needles: str) -> Callable[[str], ToolFinding | None]:
    """A parser for a runner that writes "2 failed, 40 passed" on its summary line; several summaries add up."""
    line = re.compile(shape)

    def parse(text: str) -> ToolFinding | None:
        lines = [match[0] for match in _matches(text, line, *needles)]
        counts = [(int(n[:9]), word) for shown in lines for n, word in _COUNT.findall(shown)]
        passed = sum(n for n, word in counts if word == "passed")
        failed = sum(n for n, word in counts if word != "passed")
        shown = lines[0] if len(lines) == 1 else f"{failed} failed, {passed} passed"
        return _finding(tool, passed, failed, shown) if passed or failed else None

    return parse


_UNITTEST = re.compile(r"^Ran (\d{1,9}) tests? in [\d.]+s\n+(?:OK|FAILED)(?: \(([^)\n]*)\))?$", re.M)


def _unittest(text: str) -> ToolFinding | None:
    passed = failed = 0
    for ran, extra in _UNITTEST.findall(text) if "Ran " in text else ():
        counts = {key.strip(): int(n[:9]) for key, n in re.findall(r"([a-z ]+)=(\d+)", extra)}
        bad = sum(counts.get(key, 0) for key in ("failures", "errors", "unexpected successes"))
        passed += max(0, int(ran) - bad - counts.get("skipped", 0))
        failed += bad
    return _finding("unittest", passed, failed, f"{failed} failed, {passed} passed") if passed or failed else None


_GO_FAIL = re.compile(r"--- FAIL: \S+ \([\d.]+s\)|FAIL\t\S+(?:\t[\d.]+s| \[(?:build|setup) failed\])")
_GO_PASS = re.compile(r"--- PASS: \S+ \([\d.]+s\)|ok  \t\S+\t(?:[\d.]+s|\(cached\))(?!.*\[no tests to run\]).*")
_GO_BUILD = re.compile(r"^# [\w./-]+(?: \[[^\]\n]*\])?\n(?:# \[.*\]\n)?(?:vet: )?([\w./-]+\.go:\d+:\d+: .+)$", re.M)


def _go(text: str) -> ToolFinding | None:
    """Counts tests where `-v` or a failure names them, packages otherwise."""
    bad = [match[0] for match in _matches(text, _GO_FAIL, "--- FAIL: ", "FAIL\t")]
    good = [match[0] for match in _matches(text, _GO_PASS, "--- PASS: ", "ok  \t")]
    if ".go:" in text and (build := _GO_BUILD.search(text)):
        return _finding("go build", 0, 1, build[1])
    if not bad and not good:
        return None
    passed, failed = (sum(line.startswith("---") for line in lines) or len(lines) for lines in (good, bad))
    return _finding("go test", passed, failed, " ".join((bad or good[-1:])[0].split("\t")[:2]))


# --- compilers and linters
_CARGO_BROKEN = re.compile(r"error: could not compile `.+?` .*due to (?:(\d{1,9}) )?previous errors?.*")
_CARGO_BUILT = re.compile(r" *Finished .*target\(s\) in .*")
_TSC = re.compile(r"[^\s:(][^:(]*(?:\(\d+,\d+\):|:\d+:\d+ -) error TS\d+: .+|error TS\d+: .+")
_FLAKE8 = re.compile(r"[^\s:]+\.pyi?:\d+:\d+: [A-Z]{1,4}\d{2,4} .+")
_FOUND = re.compile(
    r"Found (\d{1,9}) errors?(?:\.| \(\d+ fixed, (?P<left>\d{1,9}) remaining\)\.| in [^ ]+(?: files?)?\.?(?: \(.*)?)"
    r"|All checks passed!|Success: no issues found in \d+ source files?"
)
_ESLINT = re.compile(r"[✖×] \d+ problems? \((\d{1,9}) errors?, \d+ warnings?\)")


def _cargo_build(text: str) -> ToolFinding | None:
    if broken := _matches(text, _CARGO_BROKEN, "could not compile `"):
        why = re.search(r"^error\[E.*", text, re.M)
        return _finding("cargo", 0, int(broken[0][1] or 1), (why or broken[0])[0])
    built = _matches(text, _CARGO_BUILT, "target(s) in ")
    return _finding("cargo", 0, 0, built[-1][0]) if built else None


def _lint(text: str) -> ToolFinding | None:
    if errors := _matches(text, _TSC, "error TS"):
        return _finding("tsc", 0, len(errors), errors[0][0])
    if found := _matches(text, _FOUND, "Found ", "All checks passed!", "Success: no issues"):
        line, left = found[-1][0], found[-1]["left"] or found[-1][1] or 0
        return _finding("mypy" if "source file" in line else "lint", 0, int(left), line)
    if problems := _matches(text, _ESLINT, " problem"):
        return _finding("eslint", 0, int(problems[-1][1]), problems[-1][0])
    errors = _matches(text, _FLAKE8, ".py:", ".pyi:")
    return _finding("lint", 0, len(errors), errors[0][0]) if errors else None


_SUMMARIES: tuple[Callable[[str], ToolFinding | None], ...] = (
    _counted("pytest", _PYTEST, " passed", " failed", " error"),
    _unittest,
    _go,
    _counted("cargo test", r"test result: (?:ok|FAILED)\. \d+ passed; \d+ failed;.*", "test result: "),
    _counted("jest", r"Tests: +(?:\d+ \w+, )*\d+ total", "Tests: "),
    _counted("jest", r"Test Suites: +\d+ failed, .*\d+ total", "Test Suites: "),
    _counted("vitest", r" *Tests +\d+ \w+(?: \| \d+ \w+)* \(\d+\)\s*", " Tests "),
    _cargo_build,
    _lint,
)

# --- edits, exit codes, crashes
_EDIT = re.compile(
    rf"(?:<tool_use_error>|[Ee]rror: |tool error: )*(?:{_CLIENTS_EDIT_FAILURES}|\S+: patch does not apply"
    r"|patch failed: \S+:\d+|Hunk #\d+ FAILED at .*|\d+ out of \d+ hunks? (?:FAILED|failed)\b.*)"
)
_EXIT = re.compile(
    r"(?i)(?:[\[(*]*(?:(?:the )?(?:command|process|program|script) )?(?:(?:failed|finished|completed) with )?exit(?:ed)?"
    r"(?: with)?(?: non-zero)?(?: exit)?[ _](?:code|status)\W{0,3}|<returncode>)(\d{1,10})(?:</returncode>|\W*)"
)
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$", re.M)
_CRASH = re.compile(
    r"(?P<panic>panic: .+|thread '[^']*' (?:\(\d+\) )?panicked at .+)|(?P<shell>\S*sh: .*command not found.*)"
    r"|(?P<segfault>(?:.*: )?(?: *\d+ )?Segmentation fault\b.*)|(?P<exception>(?:Uncaught )?[A-Z]\w*Error: .+)"
)


def _edit_failure(text: str) -> ToolFinding | None:
    failures = [re.sub("</?tool_use_error>", "", match[0]) for match in _matches(text, _EDIT)]
    return ToolFinding("edit", "edit_failed", 0, 0, _detail(failures[0])) if failures else None


def _exit_code(text: str) -> ToolFinding | None:
    """The first code: clients that wrap an output put theirs on top. With the crash that explains it, if any."""
    codes = _matches(text, _EXIT, "xit", "<returncode>")
    if not codes or int(codes[0][1]) == 0:
        return ToolFinding("exit", "green", 0, 0, "exit code 0") if codes else None
    why = _crash(text)
    return ToolFinding("exit", "error", 0, 0, _detail(f"exit code {codes[0][1]}" + (f": {why.detail}" if why else "")))


def _crash(text: str) -> ToolFinding | None:
    at = ("\n" + text).rfind("\nTraceback (most recent call last):\n  File ")
    if at >= 0:
        raised = _RAISED.search(text, text.find("\n", at) + 1)
        return ToolFinding("traceback", "error", 0, 0, _detail(raised[0] if raised else "Traceback"))
    for match in _matches(text, _CRASH, "panic", "command not", "Segmentation", "\n    at "):
        # A JavaScript error counts with its stack: "TypeError: x" alone is also how a README quotes one.
        if match.lastgroup != "exception" or "\n    at " in text:
            return ToolFinding(str(match.lastgroup), "error", 0, 0, _detail(match[0]))
    return None
