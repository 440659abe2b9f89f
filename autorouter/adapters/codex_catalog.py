"""Codex's model catalog, `model_catalog_json`: what Codex assumes about the router's labels.

Without an entry Codex warns and falls back to metadata of its own; with one it knows the window, offers `apply_patch`,
and sends a prompt of half the size. The window is the smallest among the candidates that can serve an agent, because Codex
compacts its history against it and any of them may answer next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autorouter.core import labels
from autorouter.core.types import Candidate, Capability

MIN_CONTEXT_TOKENS = 32_000
"""Below this window an agent's own prompt and tools (10 to 13 thousand tokens, measured) leave no room to work, and Codex
would compact without end. Such candidates are never asked on its long requests, so they don't count."""
INSTRUCTIONS = """\
You are a coding agent in the user's terminal. You work in the current directory with the tools that you are given.

- Read before you change: look at the files, the tests and the conventions that the task touches.
- Make the smallest change that solves the task at its root. Keep the style of the code around it.
- Edit files with apply_patch where it is offered; use the shell to search, build and test.
- Run the project's own checks after a change, and read their output. Never claim a result that you have not seen.
- Leave alone what the task doesn't concern. Never discard the user's changes, and don't commit unless asked.
- Ask nothing that you can find out. When the task is ambiguous, take the likeliest reading and say which.
- Follow the AGENTS.md files that apply to the files you touch.
- When you are done, say in a few lines what you changed and how you checked it, with paths.
"""


def safe_window(candidates: Sequence[Candidate]) -> tuple[int, int]:
    """(context, output) tokens that fit every candidate that can serve an agent."""
    with_tools = [c for c in candidates if Capability.TOOLS in c.capabilities] or list(candidates)
    eligible = [c for c in with_tools if c.context_tokens >= MIN_CONTEXT_TOKENS] or with_tools
    context = min((c.context_tokens for c in eligible), default=128_000)
    output = min((c.output_tokens for c in eligible), default=16_000)
    return context, min(output, context)


def build_catalog(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """The catalog: one entry for each label, `openfusion/auto` first."""
    context, _ = safe_window(candidates)
    images = any(Capability.VISION in c.capabilities for c in candidates)
    return {"models": [_entry(label, n + 1, context, images) for n, label in enumerate(labels.all_labels(()))]}


def catalog_json(candidates: Sequence[Candidate]) -> bytes:
    """The file's content."""
    return (json.dumps(build_catalog(candidates), indent=1) + "\n").encode()


def _entry(label: str, priority: int, context: int, images: bool) -> dict[str, Any]:
    name = label.removeprefix(labels.PREFIX)
    return {
        "slug": label,
        "display_name": f"OpenFusion {name[:1].upper()}{name[1:]}",
        "supported_reasoning_levels": [],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": False,
        "support_verbosity": False,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": True,
        "context_window": context,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if images else ["text"],
    }
