"""Objects of the Responses wire that stream and whole body share.

{"id": "resp_...", "object": "response", "status": "completed", "model": "openfusion/auto", "output": [...], "usage": {...}}
{"type": "function_call", "id": "fc_...", "call_id": "call_1", "name": "ls", "arguments": "", "status": "in_progress"}
"""

from __future__ import annotations

from typing import Any

from autorouter.core.types import Usage
from autorouter.wire.encoding import Heading
from autorouter.wire.events import CallStarted
from autorouter.wire.neutral import Call


def call_item(call: CallStarted | Call, heading: Heading, place: int, status: str) -> dict[str, Any]:
    """A call's output item, without its arguments."""
    kind, prefix, member = ("custom_tool_call", "ctc", "input") if call.custom else ("function_call", "fc", "arguments")
    item: dict[str, Any] = {
        "type": kind,
        "id": f"{prefix}_{heading.seed}_{place}",
        "call_id": call.id or f"call_{heading.seed}_{place}",
        "name": call.name,
    }
    if call.namespace:
        item["namespace"] = call.namespace
    return item | {member: "", "status": status}


def response_document(heading: Heading, status: str, *, output: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The response object; `usage` stays null where the upstream said nothing, for Codex acts on what stands there."""
    return {
        "id": f"resp_{heading.seed}",
        "object": "response",
        "created_at": heading.created_s,
        "status": status,
        "model": heading.model,
        "output": output or [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def responses_usage(usage: Usage) -> dict[str, Any]:
    """`Usage` as Responses spells it."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
