"""How difficult a request is: a base per kind, bounded counts over the human's words, and trouble that tools have shown.

0 easy .. 1 at the limit of today's best; "hi" is at -0.5
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p
from typing import Literal

from autorouter.core.signals.lexicon import DEEP_CJK, SMALL_TALK, WORD_CATEGORY
from autorouter.core.signals.task_kind import WORDS_CHARS
from autorouter.core.signals.tool_trace import ToolEvidence
from autorouter.core.types import Task, TaskKind

PATH = re.compile(
    r"(?:[\w.-]+/)+[\w.-]+|\b[\w-]+\.(?:py|rs|go|ts|tsx|js|jsx|c|h|cc|cpp|hpp|java|kt|rb|sql|toml|ya?ml|md|sh)\b"
)
UNSPACED, UNSPACED_CHARS = re.compile(r"[\u3040-\u9fff]{1,2}"), 200
"""Two characters of a script without spaces are about a word."""
BASE: dict[TaskKind, float] = {
    TaskKind.EDIT: 0.22,
    TaskKind.DEBUG: 0.29,
    TaskKind.REVIEW: 0.30,
    TaskKind.PLAN: 0.32,
    TaskKind.EXPLAIN: 0.12,
    TaskKind.WRITE: 0.12,
    TaskKind.HOUSEKEEPING: -0.45,
}
"""Difficulty of a plain request of each kind, about the border of its first third. Assumed; on public per-prompt results most
of what text can tell is the kind."""
SMALL_TALK_BASE = -0.50
SMALL_TALK_WORDS = 6
MIN_TEXT_POINTS, MAX_TEXT_POINTS = -0.10, 0.55
"""Counts transfer weakly between task families, so all of them together move the difficulty by no more than this: enough
to lift plain work of any kind into the hard third, and never so far down that it looks like small talk."""
DEEP_POINTS, TECHNICAL_POINTS, RARE_POINTS, SCOPE_POINTS, TRIVIAL_POINTS = 0.15, 0.05, 0.10, 0.05, -0.08
"""A word of each sort. Judged: one deep subject lifts plain work into the middle third, three into the hard one."""
WORD_POINTS, WORDS_MOST, MORE_POINTS = 0.008, 30, 0.02
"""Up to two sentences each different word is another condition; what is longer is mostly material, and says a little (length
alone orders public prompts with an APGR of .42 to .58, where .5 is chance)."""
DEEP_MOST, TECHNICAL_MOST, RARE_MOST, SCOPE_MOST, TRIVIAL_MOST = 3, 3, 1, 3, 2
EVIDENCE_POINTS = 0.45
"""What corroborated trouble adds at most. A cheap run's own course predicts its failure (AUC .65 to .80), its text doesn't."""
LONG_TURN_STEPS = 10.0
"""Text counts fade as a turn grows: after so many steps they weigh half."""


DifficultyName = Literal[
    "kind",
    "housekeeping",
    "small_talk",
    "distinct_words",
    "lines",
    "code_fences",
    "paths",
    "trace_lines",
    "deep_subjects",
    "technical_words",
    "rare_words",
    "scope_words",
    "trivial_words",
    "tool_trouble",
]


@dataclass(frozen=True, slots=True)
class DifficultyTerm:
    """One summand of the difficulty: what was counted, how many, and the points it gave."""

    name: DifficultyName
    count: float
    points: float


def difficulty_terms(
    task: Task, kind: TaskKind, words: Sequence[str], traces: int, evidence: ToolEvidence
) -> tuple[DifficultyTerm, ...]:
    if kind is TaskKind.HOUSEKEEPING:
        return (DifficultyTerm("housekeeping", 1, BASE[kind]),)
    if kind is TaskKind.EXPLAIN and len(words) <= SMALL_TALK_WORDS and all(word in SMALL_TALK for word in words):
        return (DifficultyTerm("small_talk", len(words), SMALL_TALK_BASE), *_evidence_parts(evidence))
    text = _bounded(_counts(task, words, traces), evidence.steps)
    return (DifficultyTerm("kind", 1, BASE[kind]), *text, *_evidence_parts(evidence))


def _counts(task: Task, words: Sequence[str], traces: int) -> list[tuple[DifficultyName, int, float]]:
    """Name, count and points of what was counted in the text."""
    ask = task.prompt
    distinct = set(words)
    sorts = [WORD_CATEGORY[word] for word in distinct if word in WORD_CATEGORY]
    lines, fences, paths = ask.count("\n") + 1, ask.count("```") // 2, _paths(ask)
    deep, technical, rare = sorts.count("deep"), sorts.count("technical"), sorts.count("rare")
    scope, trivial = sorts.count("scope"), sorts.count("trivial")
    length = len(distinct)
    if not ask.isascii():
        deep += sum(mark in ask for mark in DEEP_CJK)
        length = max(length, len(UNSPACED.findall(ask[:UNSPACED_CHARS])))
    return [
        (
            "distinct_words",
            length,
            WORD_POINTS * min(WORDS_MOST, length) + MORE_POINTS * log1p(max(0, length - WORDS_MOST)),
        ),
        ("lines", lines, 0.012 * log1p(lines)),
        ("code_fences", fences, 0.02 * min(3, fences)),
        ("paths", paths, 0.015 * min(5, paths)),
        ("trace_lines", traces, 0.03 * log1p(traces)),
        ("deep_subjects", deep, DEEP_POINTS * min(DEEP_MOST, deep)),
        ("technical_words", technical, TECHNICAL_POINTS * min(TECHNICAL_MOST, technical)),
        ("rare_words", rare, RARE_POINTS * min(RARE_MOST, rare)),
        ("scope_words", scope, SCOPE_POINTS * min(SCOPE_MOST, scope)),
        ("trivial_words", trivial, TRIVIAL_POINTS * min(TRIVIAL_MOST, trivial)),
    ]


def _bounded(counts: list[tuple[DifficultyName, int, float]], steps: int) -> list[DifficultyTerm]:
    """Scale the text's points so that together they stay within their bounds, and fade as the turn grows."""
    total = sum(points for _, _, points in counts)
    scale = 1.0 / (1.0 + steps / LONG_TURN_STEPS)
    if total > MAX_TEXT_POINTS:
        scale *= MAX_TEXT_POINTS / total
    elif total < MIN_TEXT_POINTS:
        scale *= MIN_TEXT_POINTS / total
    return [DifficultyTerm(name, count, points * scale) for name, count, points in counts if points]


def _evidence_parts(evidence: ToolEvidence) -> tuple[DifficultyTerm, ...]:
    if not evidence.is_corroborated():
        return ()
    return (DifficultyTerm("tool_trouble", len(evidence.signals), EVIDENCE_POINTS * evidence.wrong),)


def _paths(ask: str) -> int:
    """Different words that look like a file's name."""
    if "." not in ask and "/" not in ask:
        return 0
    return len({word for word in ask[:WORDS_CHARS].split() if ("/" in word or "." in word[1:-1]) and PATH.search(word)})
