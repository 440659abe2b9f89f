"""What the human wants done, and where in the turn a step stands.

A kind has the weight of its words, an early word counting more, the one that leads the ask most ("please swap the two"):

    weight = sign / (1 + position / EARLY_WORDS)     and + LEADS where the sign is a command's and leads

A stack trace speaks for debugging; so does a statement that asks for nothing ("dates are one day off in Brazil"). In a
question a verb is no command. Words never choose a model: they say what sort of work it is, and so which benchmark column
counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from autorouter.clients.registry import merged
from autorouter.core.signals.lexicon import (
    CJK_SIGNALS,
    COMMAND,
    FILLERS,
    HINT,
    MAKE_VERBS,
    PAIR_SIGNALS,
    QUESTIONS,
    REVIEW_ADJECTIVES,
    SIGNAL_WORDS,
    SMALL_TALK,
    TOPIC,
    WORD_SIGNALS,
    YES_NO,
    KindSignal,
)
from autorouter.core.signals.rules import RuleMatch
from autorouter.core.types import Task, TaskKind, TurnPhase

WORDS_CHARS = 1_500
"""Words are looked up in so many characters of the ask: instructions stand at its beginning."""
KIND_WORDS = 60
"""Words that are looked at for the kind: one that stands after them would have a sixth of its weight, and long texts have
a word of everything in them."""
WORD = re.compile(r"\w+(?:[-'’]\w+|\+\+|#)*")
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
LEADS, QUESTION_LEADS = 0.8, 0.3
"""What leading the ask adds to a sign. A question word leads any kind ("why does this test fail"), so that it adds less."""
NO_COMMAND = 0.3
"""What is left of a command's weight in a question ("how do I rename a column")."""
STATEMENT, STATEMENT_WORDS = 0.35, range(6, KIND_WORDS)
"""Who states something in so many words and asks for nothing, complains: a little more than a weak sign. To an
agent, or with another sign of trouble; longer texts are material."""
ASKED = 0.3
"""What a question mark says for an explanation: as much as a question word."""
CHOICE_WORDS = 5
"""Where "or" stands when a choice is put ("REST or GraphQL?")."""
OBJECT_WORDS = 5
"""The object of a verb stands within so many words of it."""


def phase_of(task: Task) -> TurnPhase:
    """Housekeeping is known by its shape: nothing to continue, and a known system text without tools, or a known request
    (a compaction may keep the tools)."""
    if not task.tool_history and (
        asks_housekeeping(task.prompt) or (not task.tools and is_housekeeping(task.system, task.prompt))
    ):
        return "housekeeping"
    return "first" if task.is_new_turn else "continuation"


HOUSEKEEPING_SYSTEMS = merged(lambda profile: profile.housekeeping_systems)
COMPACTION_PROMPTS = merged(lambda profile: profile.compaction_prompts)
HOUSEKEEPING_PROMPTS = COMPACTION_PROMPTS + merged(lambda profile: profile.housekeeping_prompts)


def is_housekeeping(system: str, ask: str) -> bool:
    """Titles, commit messages, summaries and compaction, as today's clients phrase them."""
    return (bool(system) and _holds(system[:1_200].lower(), HOUSEKEEPING_SYSTEMS)) or asks_housekeeping(ask)


def asks_housekeeping(ask: str) -> bool:
    """The request itself is a client's own."""
    return _holds(ask[:400].lower(), HOUSEKEEPING_PROMPTS)


def asks_compaction(ask: str) -> bool:
    """The client asks for a summary that is to replace the conversation."""
    return _holds(ask[:400].lower(), COMPACTION_PROMPTS)


def _holds(text: str, marks: Sequence[str]) -> bool:
    for mark in marks:  # noqa: SIM110  (three times as fast as `any`, and on the way of every request)
        if mark in text:
            return True
    return False


def read_kind(
    task: Task, phase: TurnPhase, words: Sequence[str], traces: int, fired: Sequence[RuleMatch]
) -> tuple[TaskKind, tuple[str, ...]]:
    """The kind with the most weight of words, an early word counting more; the words that spoke for it."""
    if phase == "housekeeping":
        return TaskKind.HOUSEKEEPING, ()
    for rule in fired:
        if rule.kind is not None:
            return rule.kind, (f"rule: {rule.reason}",)
    lead = next((place for place, word in enumerate(words) if word not in FILLERS), 0)
    asked = _asks(task.prompt)
    found = _signs(words, lead, task.prompt, asked=asked)
    if not task.prompt.isascii():
        found += _marks(task.prompt[:WORDS_CHARS])
    scores = _scores(found, lead, words, asked=asked, agent=bool(task.tools))
    if traces >= TRACE_LINES:
        scores[TaskKind.DEBUG] = scores.get(TaskKind.DEBUG, 0.0) + 1.5
        found.append((0, "stack trace", KindSignal(TaskKind.DEBUG, 1.5)))
    if not scores:
        return _unsaid(task, words)
    best = _object(max(scores, key=lambda kind: scores[kind]), found)
    return best, tuple(dict.fromkeys(word for _, word, sign in found if sign.kind is best))[:4]


_Found = list[tuple[int, str, KindSignal]]
"""Place of a word, the word, its sign."""


def _signs(words: Sequence[str], lead: int, ask: str, *, asked: bool) -> _Found:
    found: _Found = []
    seen: set[str] = set()
    for place, word in enumerate(words[:KIND_WORDS]):
        if word in SIGNAL_WORDS and word not in seen:
            seen.add(word)
            sign = WORD_SIGNALS.get(word)
            if place and word in PAIR_SIGNALS:
                sign = PAIR_SIGNALS[word].get(words[place - 1], sign)
            if sign is not None:
                found.append((place, word, sign))
    if "rror" in ask or "xception" in ask:
        found += [
            (place, word, KindSignal(TaskKind.DEBUG, TOPIC)) for place, word in enumerate(words) if _is_error(word)
        ]
    if asked and words and words[lead] in YES_NO:
        found += [
            (place, word, KindSignal(TaskKind.REVIEW, COMMAND))
            for place, word in enumerate(words[:40])
            if word in REVIEW_ADJECTIVES
        ]
    elif asked and words and words[lead] not in QUESTIONS and "or" in words[1:CHOICE_WORDS]:
        found.append((0, "or", KindSignal(TaskKind.PLAN, TOPIC)))
    return found


def _is_error(word: str) -> bool:
    """A class's name, such as KeyError."""
    return word.endswith(("error", "exception")) and word not in WORD_SIGNALS


def _marks(text: str) -> _Found:
    """Signs in scripts without spaces; two characters are about a word."""
    return [(at // 2, mark, sign) for mark, sign in CJK_SIGNALS if (at := text.find(mark)) >= 0]


def _asks(ask: str) -> bool:
    """Whether it puts a question: not every `?` does, code is full of them."""
    return ("?" in ask and ("? " in ask or "?\n" in ask or ask.rstrip().endswith("?"))) or "？" in ask


def _scores(found: _Found, lead: int, words: Sequence[str], *, asked: bool, agent: bool) -> dict[TaskKind, float]:
    scores: dict[TaskKind, float] = {}
    first = words[lead] if words else ""
    question = first in QUESTIONS
    for place, _, (kind, weight) in found:
        if place == lead:
            weight += QUESTION_LEADS if question else LEADS if weight != TOPIC else 0.0
        elif question and weight == COMMAND and kind is TaskKind.EDIT:
            weight *= NO_COMMAND
        scores[kind] = scores.get(kind, 0.0) + weight / (1.0 + place / EARLY_WORDS)
    sign = WORD_SIGNALS.get(first)
    states = lead == 0 and not question and (sign is None or sign.weight < COMMAND) and len(words) in STATEMENT_WORDS
    if asked and (not question or first in YES_NO):
        scores[TaskKind.EXPLAIN] = scores.get(TaskKind.EXPLAIN, 0.0) + ASKED
    elif not asked and states and (agent or TaskKind.DEBUG in scores):
        scores[TaskKind.DEBUG] = scores.get(TaskKind.DEBUG, 0.0) + STATEMENT
    return scores


def _object(best: TaskKind, found: _Found) -> TaskKind:
    """The thing says more than the verb: "write the README" and "fix the typo" are prose, "write an RFC" is a plan."""
    if best not in (TaskKind.EDIT, TaskKind.DEBUG):
        return best
    verb = next((place for place, word, _ in found if word in MAKE_VERBS), None)
    if verb is None or any(sign == (TaskKind.DEBUG, TOPIC) for _, _, sign in found):
        return best
    for place, _, sign in found:
        if verb < place <= verb + OBJECT_WORDS and sign.kind in (TaskKind.WRITE, TaskKind.PLAN) and sign.weight != HINT:
            return sign.kind
    return best


def _unsaid(task: Task, words: Sequence[str]) -> tuple[TaskKind, tuple[str, ...]]:
    """No word speaks for a kind."""
    if "```" in task.prompt:
        return TaskKind.EDIT, ("code in the message",)
    if not words or all(word in SMALL_TALK for word in words):
        return TaskKind.EXPLAIN, ()
    return (TaskKind.EDIT, ("said to an agent",)) if task.tools else (TaskKind.EXPLAIN, ())


def trace_lines(ask: str) -> int:
    """Lines that look like a stack trace's; the pattern runs only where one of its hints stands."""
    if not _holds(ask, TRACE_HINTS):
        return 0
    return sum(1 for line in ask.split("\n") if TRACE_LINE.match(line))
