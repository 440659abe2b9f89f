"""The inner roles of a panel in the dry run: the task that the engine appends to a request, and the answer to it.

    <autorouter-task role="verifier" key="k1">
    ... <proposal id="A">"a JSON string"</proposal> ...
    </autorouter-task>

    member, reviser, debater, refiner, synthesizer    answer the client's own ask, as if the block weren't there
    verifier    {"key": "k1", "verdict": "accept", "findings": []}
    judge       {"key": "k1", "consensus": [...], ..., "best": "A"}      best: by the seed
    ranker      {"key": "k1", "order": ["B", "A"]}                       by a digest of each text: whichever is shown first
    grader      {"key": "k1", "winner": "A", "why": "dry run"}           likewise; equal texts are a tie
                {"key": "k1", "met": [1, 3], "why": "dry run"}           where a block `criteria` stands: by a digest too

The last four answer JSON and nothing else, whatever tools are declared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

ANSWERING_ROLES: Final = frozenset({"member", "reviser", "debater", "refiner", "synthesizer"})
"""Roles that answer the client's ask."""
JSON_ROLES: Final = frozenset({"verifier", "judge", "ranker", "grader"})
"""Roles that answer JSON."""
ROLES: Final = ANSWERING_ROLES | JSON_ROLES
REVISED_SUFFIX: Final = " (revised)"
"""Ends a reviser's text, so that it can be told from the draft."""
_BLOCK: Final = re.compile(r'<autorouter-task role="([a-z]+)" key="([^"\\]*)">(.*)</autorouter-task>', re.DOTALL)
_OPENING: Final = re.compile(r'<autorouter-task role="[a-z]+" key="[^"\\]*">')
_PROPOSAL: Final = re.compile(
    r'<proposal id="([^"\\]+)"[^>]*>\s*("(?:[^"\\]|\\.)*"|\{[^<]*\})\s*</proposal>', re.DOTALL
)
"""A JSON text, or an object of text and calls, in which no tag can stand."""

_CRITERIA: Final = re.compile(r'<criteria>\s*("(?:[^"\\]|\\.)*")\s*</criteria>', re.DOTALL)
_NUMBER: Final = re.compile(r"^([0-9]{1,4})\.", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RoleProposal:
    """What a member answered. `letter` hides who it was."""

    letter: str
    text: str


@dataclass(frozen=True, slots=True)
class RoleTask:
    """An inner role's task. `criteria`: their numbers, for a grader that is to check them."""

    role: str
    key: str
    proposals: tuple[RoleProposal, ...] = ()
    criteria: tuple[int, ...] = ()

    @property
    def answers_json(self) -> bool:
        """It wants JSON."""
        return self.role in JSON_ROLES


def take_role_task(message: Mapping[str, Any]) -> tuple[RoleTask | None, Mapping[str, Any]]:
    """The task in a message of the user's, and the message without it."""
    content = message.get("content")
    if message.get("role") != "user":
        return None, message
    if isinstance(content, str):
        task, rest = split_role_task(content)
        return task, {**message, "content": rest} if task else message
    parts = list(content) if isinstance(content, list) else []
    for place in reversed(range(len(parts))):
        part = parts[place]
        task, rest = (
            split_role_task(part["text"])
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else (None, "")
        )
        if task is not None:
            parts[place] = {**part, "text": rest}
            return task, {**message, "content": parts}
    return None, message


def split_role_task(text: str) -> tuple[RoleTask | None, str]:
    """The latest task in a text, None where there is none or its role is unknown; and the text without it. Within a
    proposal nothing is found: there the quotes are escaped."""
    starts = [match.start() for match in _OPENING.finditer(text)]
    match = _BLOCK.match(text, starts[-1]) if starts else None
    if match is None or match[1] not in ROLES:
        return None, text
    proposals = tuple(RoleProposal(found[1], _json_text(found[2])) for found in _PROPOSAL.finditer(match[3]))
    listed = _CRITERIA.search(match[3])
    found = _NUMBER.findall(_json_text(listed[1])) if listed else ()
    criteria = tuple(dict.fromkeys(int(number) for number in found))
    return RoleTask(match[1], match[2], proposals, criteria), (text[: match.start()] + text[match.end() :]).strip()


def _json_text(quoted: str) -> str:
    try:
        found = orjson.loads(quoted)
    except orjson.JSONDecodeError:  # line breaks that weren't escaped, say
        return quoted
    return found if isinstance(found, str) else quoted


def role_answer(task: RoleTask, seed: bytes, *, revise: bool = False) -> dict[str, Any]:
    """What a judging role answers, before it is written as JSON. `revise`: the verifier finds something."""
    letters = [proposal.letter for proposal in task.proposals]
    match task.role:
        case "verifier":
            answer: dict[str, Any] = {
                "verdict": "revise" if revise else "accept",
                "findings": [FINDING] if revise else [],
            }
        case "judge":
            answer = _judge_answer(letters, seed)
        case "ranker":
            answer = {"order": _ranking(task.proposals)}
        case _ if task.criteria:
            answer = {"met": _criteria_met(task), "why": "dry run"}
        case _:
            answer = {"winner": _winner(task.proposals), "why": "dry run"}
    return {"key": task.key, **answer}


FINDING: Final = "The answer was not checked: this is a dry run (fault verdict-revise)."
"""The one finding of a verifier that wants a revision."""


def _judge_answer(letters: Sequence[str], seed: bytes) -> dict[str, Any]:
    best = letters[int.from_bytes(seed[4:8], "big") % len(letters)] if letters else None
    return {
        "consensus": ["This is a dry run: nothing was compared."],
        "contradictions": [],
        "partial_coverage": [],
        "unique_insights": [],
        "blind_spots": [],
        "best": best,
    }


def _ranking(proposals: Sequence[RoleProposal]) -> list[str]:
    return [proposal.letter for proposal in sorted(proposals, key=lambda one: (_digest(one), one.letter))]


def _winner(proposals: Sequence[RoleProposal]) -> str:
    if len({proposal.text for proposal in proposals}) < 2:
        return "tie"
    return _ranking(proposals)[0]


def _criteria_met(task: RoleTask) -> list[int]:
    """About half of the criteria, by the answer and the number."""
    answer = b"".join(_digest(proposal) for proposal in task.proposals)
    return [n for n in task.criteria if hashlib.sha256(answer + str(n).encode()).digest()[0] % 2 == 0]


def _digest(proposal: RoleProposal) -> bytes:
    return hashlib.sha256(proposal.text.encode("utf-8", "replace")).digest()
