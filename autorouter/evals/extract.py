"""What an answer says: the number, the letter or the program in a text of a model's. Costs no more than the text is long,
whatever is in it: an answer is no reason to wait.

    "6 * 7, so\\n#### 42"   -> 42.0
    "**Answer: (B)**"       -> "B"
"""

from __future__ import annotations

import math
import re

NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?")
_MARKED = re.compile(
    r"(?:####|answer(?:\s{1,4}is)?\s{0,4}[:=]?|\\boxed\{)\s{0,4}\*{0,2}\s{0,4}\$?\s?(?=[-+.\d])", re.IGNORECASE
)
_CHOICE = re.compile(
    r"(?:(?i:answer(?:\s{1,4}is)?|option|choice)\s{0,4}[:=]?\s{0,4}|\\boxed\{(?:\\text\{)?)[\*_(\[]{0,4}([A-H])\b(?!')"
    r"|^[ \t]{0,8}[\*_(\[]{0,4}([A-H])[\*_)\].:]{0,4}[ \t]{0,8}$",
    re.MULTILINE,
)
PYTHON = frozenset({"", "python", "py", "python3"})
END_CHARS = 20_000
"""Numbers and letters are looked for in so much of an answer's end: that is where the result stands."""


def extract_number(text: str) -> float | None:
    """The number that an answer gives: the one behind its last mark, else its last one."""
    text = text[-END_CHARS:]
    marks = list(_MARKED.finditer(text))
    if marks:
        match = NUMBER.match(text, marks[-1].end())
        if match and match[0]:
            return _number(match[0])
    found = [m[0] for m in NUMBER.finditer(text) if m[0]]
    return _number(found[-1]) if found else None


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def extract_choice(text: str) -> str | None:
    """The letter that an answer gives, the last one that it names as such."""
    found = [m[1] or m[2] for m in _CHOICE.finditer(text[-END_CHARS:])]
    if found:
        return str(found[-1]).upper()
    bare = re.match(r"\s*[\*_(\[]*([A-H])[\*_)\].:]", text)
    return bare[1] if bare else None


def extract_code(text: str, entry: str = "") -> str:
    """The program in an answer: its fenced blocks of Python, together; the one that defines `entry` where one does."""
    blocks = [body for language, body in code_blocks(text) if language in PYTHON]
    if not blocks:
        return text
    defining = [body for body in blocks if entry and re.search(rf"\bdef\s+{re.escape(entry)}\b", body)]
    return defining[-1] if defining else "\n\n".join(blocks)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """(language, body) of each fenced block; one that isn't closed goes to the end, as of an answer that was cut."""
    blocks: list[tuple[str, list[str]]] = []
    inside = False
    for line in text.split("\n"):
        mark = line.strip()
        if mark.startswith("```"):
            inside = not inside
            if inside:
                words = mark.strip("`").split()
                blocks.append((words[0].lower() if words else "", []))
        elif inside:
            blocks[-1][1].append(f"{line}\n")
    return [(language, "".join(lines_of)) for language, lines_of in blocks]
