"""The nearest known name to a mistyped one, for "did you mean" hints."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MAX_WORD_CHARS = 80
"""Longer words are neither compared nor repeated: they aren't names."""


def close_matches(word: object, known: Iterable[str], *, limit: int = 1, cutoff: float = 0.6) -> list[str]:
    """Up to `limit` of the known names that resemble `word`, most similar first; letter case is ignored."""
    if not isinstance(word, str) or len(word) > MAX_WORD_CHARS:
        return []
    by_lowercase = {name.lower(): name for name in known}
    return [by_lowercase[name] for name in get_close_matches(word.lower(), by_lowercase, n=limit, cutoff=cutoff)]


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``; did you mean `x`?``, to be appended to a message, or an empty string."""
    matches = close_matches(word, known)
    return f"; did you mean `{matches[0]}`?" if matches else ""
