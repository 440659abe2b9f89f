"""Which drafts deserve a second look: final answers, and tool calls that can't be taken back.

final    no tool call: the turn ends with it
risky    a shell or an unknown tool, whose arguments hold a destructive verb at a sensitive target, or a phrase like `rm -rf`
plain    everything else: to look, to edit and to test can be looked at again, edited again, run again
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from autorouter.core.signals.risk import BOTH, read_risk
from autorouter.core.signals.tool_trace import call_uses
from autorouter.core.types import ToolCall, VerifyScope

DraftKind = Literal["final", "risky", "plain"]
_WORD = re.compile(r"[a-z_]+")
_BREAK = re.compile(r"\\[nrt]")
HARMLESS = frozenset({"look", "poll", "edit", "test", "check"})
"""What a call may be for without being risky, whatever its arguments say: a file's text may speak of deleting users."""
ARGUMENT_CHARS = 8_000


def is_harmless_tool(name: str) -> bool:
    """Whether calls of this tool are plain whatever their arguments are."""
    uses = call_uses(ToolCall(name, ""))
    return bool(uses) and uses <= HARMLESS


def is_risky(call: ToolCall) -> bool:
    """Whether a call may do what can't be undone."""
    if is_harmless_tool(call.name):
        return False
    # Line breaks stand escaped in a call's JSON, and would else become the first letter of a line's first word.
    text = _BREAK.sub(" ", call.arguments[:ARGUMENT_CHARS].lower())
    return read_risk(_WORD.findall(text), text).value >= BOTH


def draft_kind(calls: Sequence[ToolCall]) -> DraftKind:
    """The weight of an answer with these calls."""
    if not calls:
        return "final"
    return "risky" if any(is_risky(call) for call in calls) else "plain"


def needs_review(kind: DraftKind, scope: VerifyScope) -> bool:
    """Whether a draft of this weight is looked at under this care."""
    match scope:
        case "always":
            return True
        case "final":
            return kind != "plain"
        case "risky":
            return kind == "risky"
        case "off":
            return False
