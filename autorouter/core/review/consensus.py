"""When answers agree, and what a vote counts: answers read by their type, and none where a text has no single answer.

    tool calls        names and arguments, as JSON values
    "... the answer is 42", "\\boxed{42}", "#### 42", or a text that is a number      42
    "... the answer is (C)", or a text that is one letter                              C
    "yes", "true": a text of one word                                                  that word
    JSON              its value
    code, prose       no answer: nobody can count it

Prose and code are equal only where they are the same, white space and case aside.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from autorouter.core.types import ToolCall

_NUMBER = r"[-+]?\$?\d[\d,]*(?:\.\d+)?%?"
_OVER = r"(?=[ \t]*(?:[).:;!*_}\]]|$|because\b|since\b))"
"""What may follow a letter or a word that is the answer: "the answer is a loop" gives none, nor does "no longer"."""
_TOLD = re.compile(
    rf"(?:####|\\boxed\{{|\b(?:final )?answer(?: is)?:?)[ \t*_]*\(?\$?"
    rf"({_NUMBER}(?![\w/:-]|[.,]\d)|(?-i:[A-J]){_OVER}|(?:yes|no|true|false)\b(?:(?=,)|{_OVER}))",
    re.IGNORECASE | re.MULTILINE,
)
_ALONE = re.compile(rf"\**\(?({_NUMBER}|[A-J]|[A-Za-z]{{1,20}})\)?\**[.!]?")
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


def extract_answer(text: str) -> str | None:
    """The one answer that a text gives, in its normal form; None where it gives none that could be counted."""
    bare = text.strip()
    if value := _json(bare):
        return value
    if "```" in bare:
        return None
    if alone := _ALONE.fullmatch(bare):
        return _normal(alone[1])
    told = _TOLD.findall(bare)
    return _normal(told[-1]) if told else None


def normal_form(text: str, calls: Sequence[ToolCall]) -> str:
    """What two proposals must have in common to be the same: their calls, else their answer, else all their words."""
    if calls:
        return json.dumps([[call.name, _arguments(call.arguments)] for call in calls])
    return extract_answer(text) or " ".join(text.split()).casefold()


def consensus_form(forms: Sequence[str], members: int, quorum: int) -> str | None:
    """The form that more than half of all seats have given already, at least `quorum` of them."""
    if not forms:
        return None
    form, count = Counter(forms).most_common(1)[0]
    return form if count >= max(2, quorum) and count > members / 2 else None


def majority(answers: Sequence[str | None]) -> int | None:
    """The index of the first answer that has the most votes; None where it is shared with another, or nobody gave one."""
    votes = Counter(answer for answer in answers if answer is not None)
    top = votes.most_common(2)
    if not top or (len(top) == 2 and top[0][1] == top[1][1]):
        return None
    return answers.index(top[0][0])


def _json(text: str) -> str | None:
    fenced = _FENCE.match(text)
    inner = fenced[1] if fenced else text
    if inner[:1] not in ("{", "["):
        return None
    try:
        return json.dumps(json.loads(inner), sort_keys=True)
    except (ValueError, RecursionError):
        return None


def _arguments(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True) if text.strip() else "{}"
    except (ValueError, RecursionError):
        return text


def _normal(word: str) -> str:
    plain = word.strip("$%+").replace(",", "").casefold()
    try:
        return repr(float(plain))
    except ValueError:
        return plain
