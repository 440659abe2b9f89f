"""Answers as material for a judge: JSON between tags, in which no tag can stand, under letters that name nobody."""

from __future__ import annotations

from typing import Any

import orjson

from autorouter.engine.prompts import inert
from autorouter.wire.compose import calls_of, text_of
from autorouter.wire.events import Answer

PROPOSAL_CHARS = 60_000
"""A longer proposal is shown to others with its middle left out: about 15,000 tokens, more than any answer should need."""
LETTERS = "ABCDEFGH"


def proposal(letter: str, answer: Answer) -> str:
    """An answer as material for a judge."""
    text = text_of(answer)
    if len(text) > PROPOSAL_CHARS:
        text = f"{text[: PROPOSAL_CHARS // 2]}\n[... left out ...]\n{text[-PROPOSAL_CHARS // 2 :]}"
    shown: dict[str, Any] = {"text": text}
    if calls := calls_of(answer):
        shown["tool_calls"] = [{"name": call.name, "arguments": call.arguments[:PROPOSAL_CHARS]} for call in calls]
    return material("proposal", shown, letter)


def material(name: str, value: Any, letter: str | None = None) -> str:
    """A JSON value between tags; none can stand in it."""
    mark = f' id="{letter}"' if letter else ""
    return f"<{name}{mark}>\n{inert(orjson.dumps(value).decode())}\n</{name}>"
