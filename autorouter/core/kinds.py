"""What the human wants done, and where in the turn a step stands.

A kind has the weight of its words, an early word counting more; a stack trace speaks for debugging. Words never choose a
model: they say what sort of work it is, and so which benchmark column counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from autorouter.core.rules import Fired
from autorouter.core.values import Kind, Phase, Task
from autorouter.core.vocabulary import KIND_CJK, KINDS_OF_WORD

WORDS_CHARS = 1_500
"""Words are looked up in so many characters of the ask: instructions stand at its beginning."""
WORD = re.compile(r"[a-z0-9_#'éèêçñäöüß+]+(?:-[a-z0-9+]+)*")
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
EARLY_WORDS = 12.0
"""A word weighs half so many words after the beginning: people begin with what they want."""
QUESTION_WEIGHT = 0.3
"""Question words stand in front of any kind ("why does this test fail")."""


def phase_of(task: Task) -> Phase:
    """Housekeeping is known by its shape: nothing to continue, and a known system text without tools, or a known request
    (a compaction may keep the tools)."""
    if not task.trail and (asks_housekeeping(task.ask) or (not task.tools and is_housekeeping(task.system, task.ask))):
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
    return asks_housekeeping(ask)


def asks_housekeeping(ask: str) -> bool:
    """The request itself is a client's own."""
    start = ask[:400].lower()
    return any(mark in start for mark in HOUSEKEEPING_ASK)


def read_kind(
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


def trace_lines(ask: str) -> int:
    """Lines that look like a stack trace's; the pattern runs only where one of its hints stands."""
    if not any(hint in ask for hint in TRACE_HINTS):
        return 0
    return sum(1 for line in ask.split("\n") if TRACE_LINE.match(line))
