"""What the tools have shown since the human last spoke: a trail of calls and results -> counters and signs of trouble.

    three times edit a.py, pytest "2 failed"  ->  edits 3, last_run "red", signals (tests_red, times 3), wrong 0.46

One sign changes nothing (`corroborated`), and a fact makes one sign only: a run that stays red is no "same call" as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from autorouter.clients.registry import merged
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.tool_output import ToolFinding, ToolVerdict, parse_tool_output
from autorouter.core.types import ToolCall, ToolEvent, ToolResult

# A sign shows from these counts on. OpenHands' stuck detector stops an agent at 3 equal failing and 4 equal actions.
RED_STREAK, SAME_CALL, SAME_ERROR, EDIT_FAILURES = 3, 3, 2, 2
RED_STREAK_CRITICAL, SAME_FAILING_CALL_CRITICAL = 4, 4
STALLED_STEPS = 12  # half of `values.TRAIL_STEPS`: the results that a full trail is sure to hold
SIGN = 0.46  # a sign's share of the confidence that is left: one stays below .5, two pass it (Switchyard: tanh 0.5)
RED_ONCE = 0.2  # the last run red and no more: tests are often written to be red first
CRITICAL = 0.9  # a sign that suffices weighs like four
GREEN, EDITED = 0.5, 0.5  # what progress is made of: last run green, edits of late; judged, not measured
RECENT_STEPS, RECENT_EDITS, FINDINGS_SHOWN = 6, 2, 6  # "of late": edit, look, run, twice


@dataclass(frozen=True, slots=True)
class RunFinding:
    """What the result of a step showed, by counts only: an error's line may quote what a receipt must not keep."""

    step: int
    tool: str
    verdict: ToolVerdict
    failed: int
    passed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEvidence:
    """Counts since the last human message; `steps` are tool results.

    `edits` took effect, `edit_failures` did not. `runs` are of tests, compilers and linters; `last_run` is None when none ran or
    the last one told nothing; `tested`: tests, not only a linter, were green after the last edit. `red_streak`: red runs in a
    row, counted anew when fewer fail. `repeated_calls`: how often the most frequent call was made alike, 0 for once; to look or
    run again after an edit is no repeat. `repeated_errors`: likewise an error's line. `wrong`, `progress`: 0..1.
    `findings`: the latest, latest last.
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
    findings: tuple[RunFinding, ...] = ()
    wrong: float = 0.0
    progress: float = 0.0
    signals: tuple[Reason, ...] = ()
    critical: bool = False

    def is_corroborated(self) -> bool:
        """At least two independent signs of trouble, or one that suffices."""
        return self.critical or len(self.signals) >= 2


NO_EVIDENCE = ToolEvidence()

_KNOWN_TOOLS = {
    **dict.fromkeys(merged(lambda p: (*p.write_tools, *p.patch_tools, *p.edit_tools)), "edit"),
    **dict.fromkeys(merged(lambda p: p.look_tools), "look"),
    **dict.fromkeys(merged(lambda p: p.poll_tools), "poll"),
    **dict.fromkeys(merged(lambda p: p.shell_tools), "shell"),
}
"""What the tools of known clients are for; other names are read by `_NAMES`."""
# A call is for: edit, test, check (compile, lint), look, poll (to ask again is its nature), or anything a shell can do.
_NAMES = re.compile(
    r"(?P<poll>.*(?:todo|stdin|memory|wait|poll|sleep|output|status|plan$))|(?P<edit>.*(?:apply_?(?:patch|diff)|str_?replace"
    r"|editor$|(?:create|update)_?file|(?:\b|_|multi|notebook)(?:write|edit|patch|replace|insert)))|(?P<test>.*(?:\b|_|py)tests?\b)"
    r"|(?P<shell>.*(?:bash|shell|exec|command|cmd|terminal|\brun|console|process))"
    r"|(?P<look>.*(?:\b|_)(?:read|view|open|cat|ls|list|grep|glob|search|find|fetch|get))"
)
_COMMAND = re.compile(  # where a command begins, what may stand before its name, and the names
    r"(?:^|(?<!\\)\"|[;&(\n]|(?P<pipe>\|)) *(?:bash -l?c \\?[\"'])?(?:(?:[A-Z_][A-Z0-9_]*=[^\s;|&(\"]*|sudo|time|env|exec|npx"
    r"|bunx|timeout \S+|(?:uv|poetry|pdm|hatch|pipenv) run|(?:pnpm|yarn|bundle) exec|[\w./~-]*python[\d.]* -m) +)*(?:[\w.~/-]*/)?"
    r"(?:(?P<test>pytest|py\.test|unittest|tox|nox|ctest|rspec|phpunit|jest|vitest|mocha|node --test|gradlew? .*test"
    r"|(?:go|cargo|deno|bun|mix|dotnet|mvn|swift|rails|npm|pnpm|yarn|make|just)(?: -\S+)* (?:run )?(?:t|[\w-]*test[\w:-]*|ci))"
    r"|(?P<check>tsc|eslint|ruff|flake8|mypy|pyright|pylint|biome|golangci-lint|py_compile|compileall|make|cmake --build|gcc"
    r"|cargo (?:build|check|clippy)|go (?:build|vet)|(?:npm|pnpm|yarn|bun) (?:run )?(?:build|lint|type-?check|check)|g\+\+"
    r"|gradlew? .*build|mvn .*(?:compile|package)|dotnet build|javac|clang)"
    r"|(?P<edit>apply_patch|(?:sed|perl) (?:-\w+ )*-\w*i|git apply|patch)"
    r"|(?P<look>cat|head|less|grep|rg|ag|ls|find|fd|nl|wc|tree|sed -n|git (?:diff|log|show|grep)))(?![\w.-])"
)
_REDIRECT = re.compile(r"(?<=[\s'\"])>>?\s*(?!/dev/|/tmp/)[\w./~$-]*\w")


def call_uses(call: ToolCall) -> set[str]:
    """What a call is for, by its tool's name and, for a shell, by the commands in its arguments: edit, test, check, look, poll,
    shell; an empty word where nobody can tell."""
    name = re.split(r"__|[.:/]", call.name)[-1].lower()
    named = None if name in _KNOWN_TOOLS else _NAMES.match(name)
    use = str(named.lastgroup) if named else _KNOWN_TOOLS.get(name, "")
    if use == "edit" and re.search(r'"command": ?"view"', call.arguments):
        return {"look"}
    if use != "shell":
        return {use}
    commands = _COMMAND.finditer(call.arguments.replace("\\n", "\n"))
    found = {str(at.lastgroup) for at in commands if not (at["pipe"] and at["look"])}
    if not found & {"test", "check"} and _REDIRECT.search(call.arguments):
        found.add("edit")  # a run whose output goes to a file changes no code
    return found | {"shell"}


RunOutcome = Literal["green", "red", "mute"]
_UNKNOWN, _NOTHING = ToolCall("", ""), ToolFinding("", "green", 0, 0, "")
_SHELLS_OWN = ("exit", "tool", "traceback", "panic", "segfault", "exception", "shell")
_NO_TESTS = ("lint", "mypy", "eslint", "tsc", "cargo", "go build")


def _answers(trail: Sequence[ToolEvent]) -> Iterator[tuple[ToolCall, ToolResult]]:
    """Calls with their results. A batch is answered in order; where the window cut its first calls off, the last fit."""
    calls, results = list[ToolCall](), list[ToolResult]()
    for step in (*trail, _UNKNOWN):
        if isinstance(step, ToolResult):
            results.append(step)
        elif results:
            yield from zip([_UNKNOWN] * (len(results) - len(calls)) + calls, results, strict=False)
            calls, results = [step], []
        else:
            calls.append(step)


@dataclass(frozen=True, slots=True)
class _Act:
    """A call and what came of it. `key`: equal for a repeat, which takes the same call with no edit in between."""

    step: int
    key: tuple[ToolCall, int]
    edited: bool
    tests: bool
    run: RunOutcome | None
    found: ToolFinding


def _acts(trail: Sequence[ToolEvent], steps: int | None) -> Iterator[_Act]:
    answers, edits = list(_answers(trail)), 0
    for step, (call, result) in enumerate(answers, max(0, (steps or 0) - len(answers)) + 1):
        uses = call_uses(call)
        found = _found(uses, result)
        edited = "edit" in uses and (found is None or found.verdict != "edit_failed")
        tests = "test" in uses if found is None or found.tool in _SHELLS_OWN else found.tool not in _NO_TESTS
        key = (call, -step if "poll" in uses or not call.name else 0 if "edit" in uses else 1 + edits)
        yield _Act(step, key, edited, tests, _run(uses, call, result, found), found or _NOTHING)
        edits += edited


def _found(uses: set[str], result: ToolResult) -> ToolFinding | None:
    """What was read or written may hold any summary and proves nothing; `grep` ends with 1 when nothing matches."""
    found = parse_tool_output(result.text, result.is_error)
    if found is None or uses not in ({"edit"}, {"look"}, {"look", "shell"}):
        return found
    own = result.is_error or (found.tool == "exit" and found.verdict == "error")
    if "edit" in uses:
        return ToolFinding("edit", "edit_failed", 0, 0, found.detail) if own or found.tool == "edit" else None
    return ToolFinding("tool", "error", 0, 0, found.detail) if own and found.detail != "exit code 1" else None


def _run(uses: set[str], call: ToolCall, result: ToolResult, found: ToolFinding | None) -> RunOutcome | None:
    run, piped = bool(uses & {"test", "check"}), "|" in call.arguments
    if found is None:  # compilers say nothing when all is well
        return None if not run else "mute" if piped or result.text.strip() else "green"
    if found.verdict == "edit_failed" or (found.tool in _SHELLS_OWN and not run):
        return None
    hidden = found.tool == "exit" and piped  # a pipe hides the run's own code
    return "red" if found.verdict != "green" else "mute" if hidden else "green"


def _red_streak(runs: Sequence[_Act]) -> int:
    streak = before = 0
    for act in runs:
        failed = act.found.failed if act.run == "red" else 0
        streak = (0 if act.run == "green" or 0 < failed < before else streak) + (act.run == "red")
        before = failed or before
    return streak


def _most(keys: Iterable[object]) -> int:
    return max((n for n in Counter(keys).values() if n > 1), default=0)


def _counted(acts: Sequence[_Act]) -> ToolEvidence:
    edits, runs = [act.step for act in acts if act.edited], [act for act in acts if act.run]
    tests = [act.run for act in runs if act.tests and act.step >= max(edits, default=0)]
    errors = [act for act in acts if act.found.verdict == "error" and not act.run]
    told = [act for act in acts if act.found.tool and (act.run or act.found.verdict != "green")][-FINDINGS_SHOWN:]
    return ToolEvidence(
        steps=acts[-1].step,
        edits=len(edits),
        edits_since_run=sum(step > max((run.step for run in runs), default=0) for step in edits),
        edit_failures=sum(act.found.verdict == "edit_failed" for act in acts),
        runs=len(runs),
        last_run=None if not runs or runs[-1].run == "mute" else runs[-1].run,
        tested=bool(tests) and tests[-1] == "green",
        red_streak=_red_streak(runs),
        repeated_calls=_most(act.key for act in acts),
        repeated_errors=_most(line for _, line in {(act.key, act.found.detail) for act in errors}),
        errors=len(errors),
        findings=tuple(RunFinding(a.step, a.found.tool, a.found.verdict, a.found.failed, a.found.passed) for a in told),
    )


def read_tool_trace(tool_history: Sequence[ToolEvent], *, steps: int | None = None) -> ToolEvidence:
    """Evidence from the calls and results since the last human message, oldest first. `steps`: how many results there
    were in all, when the trail holds only the latest of them."""
    acts = tuple(_acts(tool_history, steps))
    if not acts:
        return NO_EVIDENCE
    seen = _counted(acts)
    spins = _most(act.key for act in acts if act.run != "red" and act.found.verdict != "edit_failed")
    failing = _most(act.key for act in acts if act.run == "red" or act.found.verdict in ("edit_failed", "error"))
    moved = max((act.step for act in acts if act.edited or act.run == "green"), default=acts[0].step - 1)
    signs = (
        (seen.red_streak, RED_STREAK, ReasonCode.TESTS_RED),
        (spins, SAME_CALL, ReasonCode.SAME_CALL),
        (seen.repeated_errors, SAME_ERROR, ReasonCode.SAME_ERROR),
        (seen.edit_failures, EDIT_FAILURES, ReasonCode.EDIT_FAILED),
        (seen.steps - moved, STALLED_STEPS, ReasonCode.STALLED),
    )
    signals = tuple(Reason.of(code, times=n) for n, least, code in signs if n >= least)
    critical = seen.red_streak >= RED_STREAK_CRITICAL or failing >= SAME_FAILING_CALL_CRITICAL
    calm = (1 - SIGN) ** len(signals) * (1 - RED_ONCE * (0 < seen.red_streak < RED_STREAK))
    recent = sum(act.edited and act.step > seen.steps - RECENT_STEPS for act in acts)
    slack = (1 - GREEN * (seen.last_run == "green")) * (1 - EDITED * min(1.0, recent / RECENT_EDITS))
    wrong, progress = round(max(1 - calm, CRITICAL * critical), 4), round(1 - slack, 4)
    return replace(seen, wrong=wrong, progress=progress, signals=signals, critical=critical)


_CLAIM = re.compile(
    r"(?i)\btests?(?: suites?)?:?(?: (?:are|is|all|now|still|have|has|cases?|both)){0,3} (?:pass(?:es|ed|ing)?|green|succeed)\b"
    r"|\b\d+ passed\b|\ball green\b|\beverything (?:now )?(?:works|passes)\b"
    r"|\b(?:verified|confirmed|tested)\b.{0,60}\b(?:works?|working|pass(?:es|ing)?)\b"
)
_HEDGE = re.compile(
    r"(?i)\b(?:not|no|never|none|cannot|without|should|would|will|could|may|might|must|once|if|when|until|unless|whether|ensure"
    r"|make sure|to (?:verify|confirm|check|see)|expect\w*|except|apart|but (?:one|for|\d)|only \d)\b|n't\b|\?|[1-9]\d* failed"
)


def claims_success(text: str) -> bool:
    """Whether a draft says that tests pass or that it was verified: as a fact, not as a wish, and not in a code block."""
    prose = re.sub(r"```.*?(?:```|\Z)", "", text.replace("\u2019", "'"), flags=re.S)
    return any(_CLAIM.search(part) and not _HEDGE.search(part) for part in re.split(r"(?<=[.!?;])\s|\n", prose))


def contradicting_evidence(text: str, evidence: ToolEvidence) -> str | None:
    """Why a draft's claim of success doesn't hold, or None. Without an edit or a run to hold it against, it may."""
    reason = None
    if evidence.last_run == "red":
        reason = "claims success, but the last run was red"
    elif evidence.edits_since_run:
        reason = "claims success, but nothing was run after the last edit"
    elif evidence.last_run == "green" and not evidence.tested and "test" in text.lower():
        reason = "claims passing tests, but only a compiler or linter was green after the last edit"
    return reason if reason and claims_success(text) else None
