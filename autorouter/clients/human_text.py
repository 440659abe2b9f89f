"""What the human wrote, found among what agents wrap around it.

The last message is rarely it: clients append environment blocks, reminders, edit-format rules, few-shot examples and tool
results. The marks below were read off the clients' own requests (docs/clients.md).
"""

from __future__ import annotations

import re
from typing import Any

from autorouter.core.types import EXCERPT_CHARS, PROMPT_CHARS

WRAPPERS = (
    "system-reminder",
    "environment_context",
    "environment_details",
    "user_instructions",
    "skills_instructions",
    "permissions instructions",
    "INSTRUCTIONS",
    "local-command-stdout",
    "command-message",
    "command-name",
    "turn_aborted",
    "autorouter-task",
)
"""Blocks of these names are the client's, not the human's."""
_WRAPPED = re.compile("|".join(rf"<{name}\b[^>]*>.*?</{name.split(' ')[0]}[^>]*>" for name in WRAPPERS), re.DOTALL)
_UNWRAP = re.compile(r"</?(?:task|user_message|user_query|feedback|user_input)>")
APPENDED = (
    "\n\nTo suggest changes to a file you MUST",
    "\n\n# *SEARCH/REPLACE block* Rules",
    "\n\n# File editing rules:",
    "\n\nReply in English.",
)
"""Where an edit-format reminder begins that is appended to the human's message (Aider)."""
FEW_SHOT = (
    "Change the greeting to be more casual",
    "Change get_factorial() to use math.factorial",
    "Refactor hello() into its own file.",
    "I switched to a new code base.",
    "Here are summaries of some files present",
    "Don't try and edit any existing code without asking",
    "I have *added these files to the chat*",
    "I am not sharing any files",
)
"""How messages begin that a client puts before the human's first one (Aider)."""
COMPACTION_SUMMARIES = (
    "Another language model started to solve this problem",
    "This session is being continued from a previous",
)
"""How summaries begin that stand in the human's place after a compaction."""


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
    """What the human wrote in a user message, at most `ASK_CHARS`; empty where nothing of it is the human's."""
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
        text = _UNWRAP.sub("", _WRAPPED.sub("", text))
    for mark in APPENDED:
        cut = text.find(mark)
        if cut > 0:
            text = text[:cut]
    return text.strip()[:PROMPT_CHARS]


def is_client_text(text: str) -> bool:
    """A few-shot message, or a summary that stands in the human's place."""
    return text.startswith(FEW_SHOT) or text.startswith(COMPACTION_SUMMARIES)


def excerpt(text: str) -> str:
    """Head and tail of a tool's text, within `EXCERPT_CHARS`."""
    if len(text) <= EXCERPT_CHARS:
        return text
    return text[: EXCERPT_CHARS // 4] + "\n" + text[-(EXCERPT_CHARS * 3 // 4 - 1) :]
