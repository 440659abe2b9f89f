"""How difficult a request is: a base per kind, bounded counts over the human's words, and trouble that tools have shown.

0 easy .. 1 at the limit of today's best; "hi" is at -0.5
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

from autorouter.core.evidence import Evidence
from autorouter.core.kinds import WORDS_CHARS
from autorouter.core.values import Kind, Task
from autorouter.core.vocabulary import DEPTH_WORDS, SMALL_TALK

PATH = re.compile(
    r"(?:[\w.-]+/)+[\w.-]+|\b[\w-]+\.(?:py|rs|go|ts|tsx|js|jsx|c|h|cc|cpp|hpp|java|kt|rb|sql|toml|ya?ml|md|sh)\b"
)
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


def difficulty_parts(task: Task, kind: Kind, words: Sequence[str], traces: int, evidence: Evidence) -> tuple[Part, ...]:
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


def _paths(ask: str) -> int:
    """Different words that look like a file's name."""
    if "." not in ask and "/" not in ask:
        return 0
    return len({word for word in ask[:WORDS_CHARS].split() if ("/" in word or "." in word[1:-1]) and PATH.search(word)})
