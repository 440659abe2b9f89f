"""What judges say, parsed strictly: one JSON object with the key that only this call carries, or nothing.

    {"key": "k3f9...", "verdict": "revise", "findings": ["parse_range() drops the last element"]}
    {"key": "k3f9...", "order": ["B", "A"]}
    {"key": "k3f9...", "consensus": [...], ..., "best": "B"}

A text that was judged can't speak in the judge's place: it doesn't know the key, and prose around the object, a second
object or an unknown letter make it no verdict. Whoever asked then goes on without one, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import orjson

MAX_FINDINGS, FINDING_CHARS = 12, 600
LISTS = ("consensus", "contradictions", "partial_coverage", "unique_insights", "blind_spots")
_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewVerdict:
    """A verifier's word on a draft."""

    word: Literal["accept", "revise"]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelJudgement:
    """What a judge found about a panel's answers, which it knows by their letters."""

    consensus: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    partial_coverage: tuple[str, ...] = ()
    unique_insights: tuple[str, ...] = ()
    blind_spots: tuple[str, ...] = ()
    best: str | None = None


def parse_verdict(text: str, key: str) -> ReviewVerdict | None:
    """A verifier's verdict; None where the text is none. A rejection has to say why."""
    found = _object(text, key)
    if found is None:
        return None
    findings = _sentences(found.get("findings", []))
    if findings is None:
        return None
    if found.get("verdict") == "accept":
        return ReviewVerdict(word="accept", findings=findings)
    if found.get("verdict") == "revise" and findings:
        return ReviewVerdict(word="revise", findings=findings)
    return None


def parse_judgement(text: str, key: str, letters: Collection[str]) -> PanelJudgement | None:
    """A judge's comparison; None where the text is none."""
    found = _object(text, key)
    if found is None:
        return None
    lists: dict[str, tuple[str, ...]] = {}
    for name in LISTS:
        sentences = _sentences(found.get(name, []))
        if sentences is None:
            return None
        lists[name] = sentences
    best = found.get("best")
    # In a tuple, for a part of a text of letters is no letter, and a model may write anything here.
    if best is not None and best not in tuple(letters):
        return None
    return PanelJudgement(best=best, **lists)


def parse_ranking(text: str, key: str, letters: Collection[str]) -> tuple[str, ...] | None:
    """A ranking, best first; None unless every letter stands in it exactly once."""
    found = _object(text, key)
    order = found.get("order") if found else None
    if not isinstance(order, list) or not all(isinstance(letter, str) for letter in order):
        return None
    return tuple(order) if sorted(order) == sorted(letters) else None


def _object(text: str, key: str) -> dict[str, Any] | None:
    bare = text.strip()
    fenced = _FENCED.match(bare)
    try:
        # orjson refuses half a surrogate, which no request and no receipt could be written with.
        found = orjson.loads(fenced[1] if fenced else bare)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("key") == key else None


def _sentences(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(item[:FINDING_CHARS] for item in value[:MAX_FINDINGS])
