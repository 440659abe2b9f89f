"""W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): which trace a request belongs to.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01       version, trace, the caller's span, flags
    tracestate:  congo=t61rcWkgMzE,rojo=00f067aa0ba902b7                       other tracers' own; passed on as it came

What can't be right is ignored, and a trace of our own begins: the specification's "restart". Nothing here is a secret, so
the ids come from the ordinary random numbers, at a quarter of a microsecond.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

SAMPLED = 1
MAX_MEMBERS = 32
MAX_STATE_CHARS = 512
"""As much must be passed on; of more, whole members are left out, first those of more than `LONG_MEMBER_CHARS`."""
LONG_MEMBER_CHARS = 128
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class TraceContext(NamedTuple):
    """Where our step stands in a trace. Ids in small hex digits; `parent_id` is the caller's span, None where the trace
    begins here; `span_id` is our step's."""

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header that says: this step is your parent."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def new_trace(*, sampled: bool) -> TraceContext:
    """A trace that begins here."""
    drawn = f"{random.getrandbits(192):048x}"
    trace_id, span_id = drawn[:32], drawn[32:]
    if not trace_id.strip("0") or not span_id.strip("0"):
        return new_trace(sampled=sampled)
    return TraceContext(trace_id, span_id, None, sampled)


def continue_trace(parents: Iterable[str], states: Iterable[str], *, sampled: bool) -> TraceContext:
    """The caller's trace with a span of ours, or a new one, sampled as told, where theirs can't be read. Both take every
    header of the name: more than one `traceparent` is invalid, several `tracestate` are one list."""
    values = list(parents)
    found = _parent(values[0].strip(" \t")) if len(values) == 1 else None
    if found is None:
        return new_trace(sampled=sampled)
    trace_id, parent_id, flags = found
    return TraceContext(trace_id, _span_id(), parent_id, bool(flags & SAMPLED), _state(",".join(states)))


def _parent(value: str) -> tuple[str, str, int] | None:
    """Trace, parent and flags. A later version may have more behind the flags, version 00 may not; ff is forbidden."""
    match = _PARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return trace_id, parent_id, int(flags, 16)


def _state(text: str) -> str:
    """The list as it may be passed on; nothing of it where one member is malformed, or a key stands there twice."""
    members = [member for part in text.split(",") if (member := part.strip(" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in matches if match is not None}
    if len(members) > MAX_MEMBERS or len(keys) != len(members):
        return ""
    if len(",".join(members)) > MAX_STATE_CHARS:
        members = [member for member in members if len(member) <= LONG_MEMBER_CHARS]
    while len(",".join(members)) > MAX_STATE_CHARS:
        members.pop()
    return ",".join(members)


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
