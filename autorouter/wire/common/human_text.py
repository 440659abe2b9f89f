"""What the human wrote, among what clients wrap around it.

The last message is rarely it: clients append environment blocks, reminders, edit-format rules, few-shot examples and tool
results. Their profiles (`clients/`) say how to tell; the rules are merged over all clients.
"""

from __future__ import annotations

import re
from typing import Any, Final

from autorouter.clients.profile import ClientProfile
from autorouter.clients.registry import merged
from autorouter.core.types import EXCERPT_CHARS, PROMPT_CHARS

WRAPPERS: Final = merged(lambda profile: profile.wrappers)
_WRAPPED: Final = re.compile(
    "|".join(rf"<{name}\b[^>]*>.*?</{name.split(' ')[0]}[^>]*>" for name in WRAPPERS), re.DOTALL
)
_PROMPT_TAG: Final = re.compile(f"</?(?:{'|'.join(merged(lambda profile: profile.prompt_tags))})>")
_APPENDED: Final = merged(lambda profile: profile.appended)
_FEW_SHOT: Final = merged(lambda profile: profile.few_shot)
COMPACTION_SUMMARIES: Final = merged(lambda profile: profile.compaction_summaries)


def text_of(content: Any) -> str:
    """The text of a content value: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def human_text(content: Any) -> str:
    """What the human wrote in a user message, at most `PROMPT_CHARS`; empty if nothing of it is the human's."""
    if isinstance(content, list):
        parts = [
            _bare(part["text"]) for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        return "\n".join(part for part in parts if part)[:PROMPT_CHARS]
    return _bare(content) if isinstance(content, str) else ""


def _bare(text: str) -> str:
    if len(text) > 4 * PROMPT_CHARS:
        # Pasted logs and files: the words stand before or behind them.
        text = text[: 2 * PROMPT_CHARS] + "\n" + text[-2 * PROMPT_CHARS :]
    if "<" in text:
        text = _PROMPT_TAG.sub("", _WRAPPED.sub("", text))
    for mark in _APPENDED:
        cut = text.find(mark)
        if cut > 0:
            text = text[:cut]
    return text.strip()[:PROMPT_CHARS]


def is_client_text(text: str) -> bool:
    """A few-shot message, or a summary that stands in the human's place."""
    return text.startswith(_FEW_SHOT) or text.startswith(COMPACTION_SUMMARIES)


def is_observation(text: str, profile: ClientProfile) -> bool:
    """Whether a user message is a tool's result, as agents that speak text send it."""
    starts = any(re.match(pattern, text) for pattern in profile.observation_starts)
    return starts or text.endswith(profile.observation_ends)


def excerpt(text: str) -> str:
    """Head and tail of a tool's text, within `EXCERPT_CHARS`."""
    if len(text) <= EXCERPT_CHARS:
        return text
    return text[: EXCERPT_CHARS // 4] + "\n" + text[-(EXCERPT_CHARS * 3 // 4 - 1) :]
