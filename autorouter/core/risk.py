"""Risk: destructive verbs and sensitive targets in the human's words. It chooses how carefully to work, never who works.

a verb alone 0.25 · a target alone 0.1 · both 0.6 · a phrase such as "rm -rf" 0.6 · each further word 0.1 · at most 1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autorouter.core.vocabulary import RISK_PHRASES, RISK_TARGETS, RISK_VERBS

VERB_ONLY, TARGET_ONLY, BOTH, FURTHER = 0.25, 0.10, 0.60, 0.10


@dataclass(frozen=True, slots=True)
class Risk:
    """`value` 0..1, and the words that it was read from."""

    value: float
    words: tuple[str, ...]


NO_RISK = Risk(0.0, ())


def read_risk(words: Sequence[str], text: str) -> Risk:
    """Risk of the ask, given as its lower-case words and text."""
    distinct = set(words)
    verbs = distinct & RISK_VERBS
    targets = distinct & RISK_TARGETS
    phrases = [phrase for phrase in RISK_PHRASES if phrase in text]
    if not verbs and not phrases:
        return Risk(TARGET_ONLY, tuple(sorted(targets)[:6])) if targets else NO_RISK
    both = bool(phrases) or bool(targets)
    further = len(verbs) + len(targets) + len(phrases) - (2 if both else 1)
    value = min(1.0, (BOTH if both else VERB_ONLY) + FURTHER * max(0, further))
    found = sorted(phrases) + [word for word in words if word in verbs or word in targets]
    return Risk(value, tuple(dict.fromkeys(found))[:6])
