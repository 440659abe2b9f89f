"""Risk: destructive verbs and sensitive targets in the human's words. It chooses how carefully to work, never who works.

a verb alone 0.25, of a piece of code 0.1 · a target alone 0.1 · a verb and a target 0.6 · a phrase such as "rm -rf" 0.6 ·
two targets of which one is grave (production, customers, money), or data that may be lost, 0.5 · each further word 0.1 ·
at most 1 · three quarters of it where only words are asked for, none of a title

The figures order these cases around the half of the scale, from where on a request counts as risky. They are judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from autorouter.core.signals.lexicon import (
    HARMLESS_OBJECTS,
    RISK_CJK_GRAVE_TARGETS,
    RISK_CJK_TARGETS,
    RISK_CJK_VERBS,
    RISK_GRAVE_TARGETS,
    RISK_LOSS,
    RISK_PHRASES,
    RISK_TARGETS,
    RISK_VERBS,
    RISK_WORDS,
)
from autorouter.core.types import TaskKind

VERB_ONLY, TARGET_ONLY, GRAVE, BOTH, FURTHER = 0.25, 0.10, 0.50, 0.60, 0.10
ONLY_WORDS = 0.75
"""An explanation or a text does no harm by itself, but somebody may act on it."""
_TALK = (TaskKind.EXPLAIN, TaskKind.WRITE)


@dataclass(frozen=True, slots=True)
class Risk:
    """`value` 0..1, and the words that it was read from."""

    value: float
    words: tuple[str, ...]


ZERO_RISK = Risk(0.0, ())


def read_risk(words: Sequence[str], text: str, kind: TaskKind = TaskKind.EDIT) -> Risk:
    """Risk of the ask, given as its lower-case words and text, and of the kind of work that it was read as."""
    if kind is TaskKind.HOUSEKEEPING:
        return ZERO_RISK
    known = RISK_WORDS.intersection(words)
    verbs: AbstractSet[str] = known & RISK_VERBS
    grave: AbstractSet[str] = known & RISK_GRAVE_TARGETS
    targets: AbstractSet[str] = known & RISK_TARGETS
    phrases = [phrase for phrase in RISK_PHRASES if phrase in text]
    if not text.isascii():
        verbs, grave, targets = _with_marks(text, verbs, grave, targets)
    if not (verbs or grave or targets or phrases or known):
        return ZERO_RISK
    loss = known & RISK_LOSS if "data" in words else frozenset()
    value = _value(verbs, targets, grave, phrases, loss=bool(loss), harmless=not HARMLESS_OBJECTS.isdisjoint(words))
    if kind in _TALK:
        value *= ONLY_WORDS
    found = verbs | grave | targets | loss
    said = [word for word in words if word in found] if found else []
    return Risk(value, tuple(dict.fromkeys((*sorted(phrases), *said, *sorted(found))))[:6]) if value else ZERO_RISK


def _value(
    verbs: AbstractSet[str],
    targets: AbstractSet[str],
    grave: AbstractSet[str],
    phrases: Sequence[str],
    *,
    loss: bool,
    harmless: bool,
) -> float:
    sensitive = len(targets) + len(grave)
    if phrases or (verbs and (grave or (targets and not harmless))):
        core = 2 if verbs and (phrases or sensitive) else 1  # a phrase has its verb in it
        return min(1.0, BOTH + FURTHER * max(0, len(verbs) + sensitive + len(phrases) - core))
    if loss or (grave and sensitive >= 2):
        return min(1.0, GRAVE + FURTHER * max(0, sensitive - 2))
    if verbs:
        return TARGET_ONLY if harmless else min(1.0, VERB_ONLY + FURTHER * (len(verbs) - 1))
    return TARGET_ONLY if sensitive else 0.0


def _with_marks(
    text: str, verbs: AbstractSet[str], grave: AbstractSet[str], targets: AbstractSet[str]
) -> tuple[AbstractSet[str], AbstractSet[str], AbstractSet[str]]:
    """The same with what is found in scripts without spaces."""
    return (
        verbs | {mark for mark in RISK_CJK_VERBS if mark in text},
        grave | {mark for mark in RISK_CJK_GRAVE_TARGETS if mark in text},
        targets | {mark for mark in RISK_CJK_TARGETS if mark in text},
    )
