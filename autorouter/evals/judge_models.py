"""Models as graders: blind, in both orders, with a strict verdict format.

    <autorouter-task role="grader" key="9f…">
    … grader.md …
    <task>"a JSON string"</task>  <proposal id="A">"a JSON string"</proposal>  <proposal id="B">"a JSON string"</proposal>
    </autorouter-task>
    ->  {"key": "9f…", "winner": "A", "why": "B forgets the empty list"}

Nothing tells a grader whose answer it reads: model names are redacted, and each pair is shown in both orders. If the two
verdicts disagree, it is a tie. The key is new for each question and made after the answers, so no answer can contain a valid
verdict. Answers are JSON strings without angle brackets, so none can close its block. Anything but exactly one verdict is
`unparsed`, never a win.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import orjson

from autorouter.receipts.chain import digest

Winner = Literal["A", "B", "tie"]
PairResult = Literal["win", "loss", "tie", "unparsed"]
"""Of ours against theirs."""
PAIR, CRITERIA = "grader.md", "grader-criteria.md"
MAX_ANSWER_CHARS = 40_000
"""Beyond it the middle of an answer is left out, and the grader is told so."""
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerdict:
    """One grader's verdict on one pair. `verdicts`: on ours, first shown as A, then as B."""

    result: PairResult
    verdicts: tuple[PairResult, PairResult]
    receipts: tuple[str, ...]
    cost_usd: float | None = 0.0


def read_instruction(name: str) -> str:
    """A grader's instruction, with a place for the key."""
    return resources.files("autorouter").joinpath("prompts", name).read_text("utf-8")


def instruction_digests() -> dict[str, str]:
    """Digests of the instructions, by file."""
    return {f"prompts/{name}": digest(read_instruction(name).encode()) for name in (PAIR, CRITERIA)}


def pair_prompt(key: str, task: str, first: str, second: str) -> str:
    """The prompt for a pair of answers; A is the first."""
    blocks = (_block("task", task), _block("proposal", first, "A"), _block("proposal", second, "B"))
    return _tagged(PAIR, key, *blocks)


def criteria_prompt(key: str, task: str, answer: str, criteria: Sequence[tuple[int, str]]) -> str:
    """The prompt for judging one answer against criteria."""
    listed = "\n".join(f"{number}. {text}" for number, text in criteria)
    blocks = (_block("task", task), _block("criteria", listed), _block("proposal", answer, "A"))
    return _tagged(CRITERIA, key, *blocks)


def _tagged(name: str, key: str, *blocks: str) -> str:
    content = "\n\n".join((read_instruction(name).strip().replace("{key}", key), *blocks))
    return f'<autorouter-task role="grader" key="{key}">\n{content}\n</autorouter-task>'


def _block(name: str, text: str, letter: str | None = None) -> str:
    """A text as a JSON string without angle brackets, in a block of its own."""
    if len(text) > MAX_ANSWER_CHARS:
        half = MAX_ANSWER_CHARS // 2
        text = f"{text[:half]}\n[… {len(text) - MAX_ANSWER_CHARS} characters left out …]\n{text[-half:]}"
    quoted = orjson.dumps(text).decode().replace("<", "\\u003c").replace(">", "\\u003e")
    opening = f'{name} id="{letter}"' if letter else name
    return f"<{opening}>\n{quoted}\n</{name}>"


def redact_names(text: str, names: Iterable[str]) -> str:
    """An answer with the names that would identify its author replaced."""
    for name in sorted({n for n in names if len(n) > 2}, key=lambda n: (-len(n), n)):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "[model]", text, flags=re.IGNORECASE)
    return text


def parse_winner(text: str, key: str) -> Winner | None:
    """A verdict on a pair; None for anything but exactly one."""
    verdict = _parse_verdict(text, key, "winner")
    winner = verdict.get("winner") if verdict else None
    return winner if winner in ("A", "B", "tie") else None


def parse_met_criteria(text: str, key: str, numbers: Iterable[int]) -> set[int] | None:
    """The criteria that are met; None for anything but exactly one verdict on them."""
    verdict = _parse_verdict(text, key, "met")
    met = verdict.get("met") if verdict else None
    if not isinstance(met, list) or not all(type(n) is int for n in met) or not set(met) <= set(numbers):
        return None
    return set(met)


def _parse_verdict(text: str, key: str, member: str) -> dict[str, object] | None:
    """The whole text as one JSON object with our key and the three members, in a fence or not."""
    fenced = _FENCED.fullmatch(text)
    try:
        verdict = orjson.loads(fenced[1] if fenced else text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(verdict, dict) or verdict.keys() != {"key", member, "why"}:
        return None
    return verdict if verdict["key"] == key and isinstance(verdict["why"], str) else None


def of_ours(winner: Winner | None, shown_as: Literal["A", "B"]) -> PairResult:
    """A verdict on a pair, as one on ours."""
    if winner is None:
        return "unparsed"
    return "tie" if winner == "tie" else "win" if winner == shown_as else "loss"


def both(first: PairResult, second: PairResult) -> PairResult:
    """The verdict of two orders: unparsed where one is, a tie where they disagree."""
    if "unparsed" in (first, second):
        return "unparsed"
    return first if first == second else "tie"


def majority(results: Sequence[PairResult]) -> PairResult:
    """Several graders: more wins than losses is a win; unparsed only where all are."""
    parsed = [r for r in results if r != "unparsed"]
    if not parsed:
        return "unparsed"
    lead = parsed.count("win") - parsed.count("loss")
    return "win" if lead > 0 else "loss" if lead < 0 else "tie"
