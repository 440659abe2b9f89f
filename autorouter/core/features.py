"""Request -> Features: what is needed, what the human asked, what the tools have shown since, and what is at risk.

Counts and set look-ups over bounded text only: the cost doesn't grow with the conversation. System and tool text never
counts as the ask; a 10 kB system prompt plus "hi" is an easy task.

    difficulty = base(kind) + sum of `Part.points`       0 easy .. 1 at the limit of today's best; "hi" is below 0
    stakes     = 1 + risk_stakes * risk                  what a wrong step costs, 1 normal
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

from autorouter.core import rules as user_rules
from autorouter.core.evidence import Evidence, read_trail
from autorouter.core.policy import Policy, Tuning
from autorouter.core.risk import Risk, read_risk
from autorouter.core.rules import Fired
from autorouter.core.values import Capability, Kind, Phase, Task
from autorouter.core.vocabulary import DEPTH_WORDS, KIND_CJK, KINDS_OF_WORD, SMALL_TALK

WORDS_CHARS = 1_500
"""Words are looked up in so many characters of the ask: instructions stand at its beginning."""
WORD = re.compile(r"[a-z0-9_#'éèêçñäöüß+]+(?:-[a-z0-9+]+)*")
PATH = re.compile(
    r"(?:[\w.-]+/)+[\w.-]+|\b[\w-]+\.(?:py|rs|go|ts|tsx|js|jsx|c|h|cc|cpp|hpp|java|kt|rb|sql|toml|ya?ml|md|sh)\b"
)
TRACE_LINE = re.compile(
    r"\s*(?:File \".+\", line \d+|at \S.*[:(]\d+|#\d+\s+(?:0x[0-9a-f]+|.+ at .+:\d+)|\S+\.\w+:\d+(?::\d+)?[: ]"
    r"|thread '.*' panicked|goroutine \d+|Segmentation fault|Traceback \(most recent|[\w.]*(?:Error|Exception): |.*SIGSEGV)"
)
TRACE_HINTS = (
    'File "',
    "0x",
    "panicked",
    "goroutine ",
    "Segmentation",
    "SIGSEGV",
    "Traceback",
    "Error",
    "Exception",
    "    at ",
)

TRACE_LINES = 3
"""So many lines make a stack trace; fewer may be a quotation."""

BASE: dict[Kind, float] = {
    Kind.EDIT: 0.30,
    Kind.DEBUG: 0.40,
    Kind.REVIEW: 0.42,
    Kind.PLAN: 0.42,
    Kind.EXPLAIN: 0.10,
    Kind.WRITE: 0.12,
    Kind.HOUSEKEEPING: -0.45,
}
"""Difficulty of a plain request of each kind. Assumed; on public per-prompt results most of what text can tell is the kind."""
EARLY_WORDS = 12.0
"""A word weighs half so many words after the beginning: people begin with what they want."""
QUESTION_WEIGHT = 0.3
"""Question words stand in front of any kind ("why does this test fail")."""
SMALL_TALK_BASE = -0.50
MAX_TEXT_POINTS = 0.35
"""Counts transfer weakly between task families, so all of them together move the difficulty by no more than this."""
EVIDENCE_POINTS = 0.40
"""What corroborated trouble adds at most. A cheap run's own course predicts its failure (AUC .65 to .80), its text doesn't."""
LONG_TURN_STEPS = 10.0
"""Text counts fade as a turn grows: after so many steps they weigh half."""


@dataclass(frozen=True, slots=True)
class Part:
    """One summand of the difficulty: what was counted, how many, and the points it gave."""

    name: str
    count: float
    points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """All that a decision knows about a request. Tokens are estimates with a relative error band `input_error`."""

    label: str
    phase: Phase
    kind: Kind
    kind_words: tuple[str, ...]
    needs: tuple[Capability, ...]
    input_tokens: float
    input_error: float
    output_tokens: float
    max_output_tokens: int | None
    expected_steps: float
    difficulty: float
    parts: tuple[Part, ...]
    risk: Risk
    stakes: float
    evidence: Evidence
    fired: tuple[Fired, ...]
    tools: int
    client: str
    session: str | None


def features(task: Task, policy: Policy) -> Features:
    """Read a task. Pure and bounded: about 40 us, whatever the size of the body."""
    tuning = policy.tuning
    evidence = read_trail(task.trail)
    phase = phase_of(task)
    fired = user_rules.fire(policy.rules, task)
    text = task.ask[:WORDS_CHARS].lower()
    words = WORD.findall(text)
    traces = _trace_lines(task.ask)
    kind, kind_words = _kind(task, phase, words, traces, fired)
    parts = _difficulty_parts(task, kind, words, traces, evidence)
    difficulty = sum(part.points for part in parts)
    risk = read_risk(words, text)
    return Features(
        label=task.label,
        phase=phase,
        kind=kind,
        kind_words=kind_words,
        needs=_needs(task),
        input_tokens=_input_tokens(task, tuning),
        input_error=tuning.input_error,
        output_tokens=_output_tokens(task, kind, tuning),
        max_output_tokens=task.max_output_tokens,
        expected_steps=_expected_steps(task, phase, difficulty, tuning),
        difficulty=difficulty,
        parts=parts,
        risk=risk,
        stakes=_stakes(kind, difficulty, risk, tuning),
        evidence=evidence,
        fired=fired,
        tools=len(task.tools),
        client=task.client,
        session=task.session,
    )


def phase_of(task: Task) -> Phase:
    """Housekeeping is known by its shape: no tools, nothing to continue, and a system text of a known sort."""
    if not task.tools and not task.trail and is_housekeeping(task.system, task.ask):
        return "housekeeping"
    return "first" if task.fresh else "continuation"


HOUSEKEEPING_SYSTEM = (
    "title generator",
    "generate a title",
    "generates concise, one-line git commit messages",
    "concise title",
    "thread title",
    "conversation title",
    "summarize the conversation",
    "summarizing conversations",
)
HOUSEKEEPING_ASK = (
    "you are performing a context checkpoint compaction",
    "generate a title for this conversation",
    "critical: respond with text only. do not call any tools",
    "write a 5-10 word title",
    "*briefly* summarize this partial conversation",
)


def is_housekeeping(system: str, ask: str) -> bool:
    """Titles, commit messages, summaries and compaction, as today's clients phrase them."""
    head = system[:1_200].lower()
    if any(mark in head for mark in HOUSEKEEPING_SYSTEM):
        return True
    start = ask[:400].lower()
    return any(mark in start for mark in HOUSEKEEPING_ASK)


def _kind(
    task: Task, phase: Phase, words: Sequence[str], traces: int, fired: Sequence[Fired]
) -> tuple[Kind, tuple[str, ...]]:
    """The kind with the most weight of words, an early word counting more; the words that spoke for it."""
    if phase == "housekeeping":
        return Kind.HOUSEKEEPING, ()
    for rule in fired:
        if rule.kind is not None:
            return rule.kind, (f"rule: {rule.reason}",)
    scores, hits = _word_scores(words)
    if not task.ask.isascii():
        _cjk(task.ask[:WORDS_CHARS], scores, hits)
    if traces >= TRACE_LINES:
        scores[Kind.DEBUG] = scores.get(Kind.DEBUG, 0.0) + 1.5
        hits.setdefault(Kind.DEBUG, []).append("stack trace")
    if not scores:
        return (Kind.EDIT, ("code in the message",)) if "```" in task.ask else (Kind.EXPLAIN, ())
    best = max(scores, key=lambda kind: scores[kind])
    if best is Kind.EDIT and Kind.WRITE in scores:
        best = Kind.WRITE  # "write the README", "update the docs": the thing says more than the verb
    return best, tuple(hits[best][:4])


def _word_scores(words: Sequence[str]) -> tuple[dict[Kind, float], dict[Kind, list[str]]]:
    scores: dict[Kind, float] = {}
    hits: dict[Kind, list[str]] = {}
    for position, word in enumerate(words):
        for kind in KINDS_OF_WORD.get(word, ()):
            found = hits.setdefault(kind, [])
            if word not in found:
                found.append(word)
                weight = QUESTION_WEIGHT if kind is Kind.EXPLAIN else 1.0
                scores[kind] = scores.get(kind, 0.0) + weight / (1.0 + position / EARLY_WORDS)
    return scores, hits


def _cjk(text: str, scores: dict[Kind, float], hits: dict[Kind, list[str]]) -> None:
    for kind, marks in KIND_CJK.items():
        found = [mark for mark in marks if mark in text]
        if found:
            scores[kind] = scores.get(kind, 0.0) + len(found)
            hits.setdefault(kind, []).extend(found)


def _trace_lines(ask: str) -> int:
    """Lines that look like a stack trace's; the pattern runs only where one of its hints stands."""
    if not any(hint in ask for hint in TRACE_HINTS):
        return 0
    return sum(1 for line in ask.split("\n") if TRACE_LINE.match(line))


def _paths(ask: str) -> int:
    """Different words that look like a file's name."""
    if "." not in ask and "/" not in ask:
        return 0
    return len({word for word in ask[:WORDS_CHARS].split() if ("/" in word or "." in word[1:-1]) and PATH.search(word)})


def _difficulty_parts(
    task: Task, kind: Kind, words: Sequence[str], traces: int, evidence: Evidence
) -> tuple[Part, ...]:
    if kind is Kind.HOUSEKEEPING:
        return (Part("housekeeping", 1, BASE[kind]),)
    small = len(words) <= 6 and kind is Kind.EXPLAIN and all(word in SMALL_TALK for word in words)
    base = Part("small talk", len(words), SMALL_TALK_BASE) if small else Part(f"kind {kind}", 1, BASE[kind])
    text = [] if small else _text_parts(task, words, traces)
    parts = (base, *_bounded(text, evidence.steps), *_evidence_parts(evidence))
    return tuple(part for part in parts if part.points)


def _text_parts(task: Task, words: Sequence[str], traces: int) -> list[Part]:
    ask = task.ask
    depth = len({word for word in words if word in DEPTH_WORDS})
    paths = _paths(ask)
    lines = ask.count("\n") + 1
    return [
        Part("words", len(words), 0.015 * log1p(len(words))),
        Part("lines", lines, 0.012 * log1p(lines)),
        Part("code fences", ask.count("```") // 2, 0.02 * min(3, ask.count("```") // 2)),
        Part("paths", paths, 0.015 * min(5, paths)),
        Part("trace lines", traces, 0.03 * log1p(traces)),
        Part("deep subjects", depth, 0.07 * min(4, depth)),
    ]


def _bounded(parts: list[Part], steps: int) -> list[Part]:
    """Scale the text's parts so that together they stay within `MAX_TEXT_POINTS`, and fade as the turn grows."""
    total = sum(part.points for part in parts)
    scale = 1.0 / (1.0 + steps / LONG_TURN_STEPS)
    if total > MAX_TEXT_POINTS:
        scale *= MAX_TEXT_POINTS / total
    return [Part(part.name, part.count, part.points * scale) for part in parts if part.points]


def _evidence_parts(evidence: Evidence) -> tuple[Part, ...]:
    if not evidence.corroborated():
        return ()
    return (Part("trouble shown by tools", len(evidence.signals), EVIDENCE_POINTS * evidence.wrong),)


def _needs(task: Task) -> tuple[Capability, ...]:
    needs: list[Capability] = []
    if task.tools:
        needs.append(Capability.TOOLS)
    if task.images:
        needs.append(Capability.VISION)
    if task.json_schema:
        needs.append(Capability.JSON_SCHEMA)
    if task.reasoning_effort not in (None, "none", "minimal"):
        needs.append(Capability.REASONING)
    return tuple(needs)


IMAGE_TOKENS = 1_000
"""An image's input tokens, as an order of magnitude: providers bill 85 to 1,600 for common sizes."""


def _input_tokens(task: Task, tuning: Tuning) -> float:
    return task.prompt_bytes / tuning.bytes_per_token + IMAGE_TOKENS * task.images


OUTPUT_SHARE: dict[Kind, float] = {
    Kind.EDIT: 1.0,
    Kind.DEBUG: 1.0,
    Kind.REVIEW: 1.2,
    Kind.PLAN: 1.5,
    Kind.EXPLAIN: 0.6,
    Kind.WRITE: 1.2,
    Kind.HOUSEKEEPING: 0.1,
}
"""Expected output of each kind, relative to `Tuning.output_tokens`. Assumed."""


def _output_tokens(task: Task, kind: Kind, tuning: Tuning) -> float:
    expected = tuning.output_tokens * OUTPUT_SHARE[kind]
    return expected if task.max_output_tokens is None else min(expected, float(task.max_output_tokens))


def _expected_steps(task: Task, phase: Phase, difficulty: float, tuning: Tuning) -> float:
    """Steps still to come in this turn, this one included. Memoryless: a turn that has run long may run on."""
    if not task.tools or phase == "housekeeping":
        return 1.0
    expected = 1.0 + (tuning.turn_steps - 1.0) * min(1.0, max(0.0, difficulty))
    return max(2.0, expected) if phase == "continuation" else expected


def _stakes(kind: Kind, difficulty: float, risk: Risk, tuning: Tuning) -> float:
    if kind is Kind.HOUSEKEEPING or difficulty < 0.0:
        return tuning.housekeeping_stakes
    return 1.0 + tuning.risk_stakes * risk.value
