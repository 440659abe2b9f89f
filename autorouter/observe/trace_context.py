"""W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): which trace a request belongs to.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01       version, trace, the caller's span, flags
    tracestate:  congo=t61rcWkgMzE,rojo=00f067aa0ba902b7                       other tracers' data, passed on unchanged

An invalid header is ignored, and a new trace begins: the specification's "restart". Ids aren't secrets, so they come from
`random`, which takes a quarter of a microsecond.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

SAMPLED = 1
MAX_MEMBERS = 32
MAX_STATE_CHARS = 512
"""The specification's minimum that must be passed on. Beyond it whole members are dropped, those above
`LONG_MEMBER_CHARS` first."""
LONG_MEMBER_CHARS = 128
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class TraceContext(NamedTuple):
    """Our step's place in a trace. Ids are lower-case hex; `parent_id` is the caller's span, None if the trace begins here;
    `span_id` is our step's."""

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header for upstreams, with this step as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def new_trace(*, sampled: bool) -> TraceContext:
    """A trace that begins here."""
    digits = f"{random.getrandbits(192):048x}"
    trace_id, span_id = digits[:32], digits[32:]
    if not trace_id.strip("0") or not span_id.strip("0"):
        return new_trace(sampled=sampled)
    return TraceContext(trace_id, span_id, None, sampled)


def continue_trace(parents: Iterable[str], states: Iterable[str], *, sampled: bool) -> TraceContext:
    """The caller's trace with a new span, or a new trace (with `sampled`) if theirs is invalid. Pass every header of each name:
    more than one `traceparent` is invalid, several `tracestate` are one list."""
    values = list(parents)
    parent = _parse_parent(values[0].strip(" \t")) if len(values) == 1 else None
    if parent is None:
        return new_trace(sampled=sampled)
    trace_id, parent_id, flags = parent
    return TraceContext(trace_id, _span_id(), parent_id, bool(flags & SAMPLED), _parse_state(",".join(states)))


def _parse_parent(value: str) -> tuple[str, str, int] | None:
    """Trace, parent and flags. Later versions may have more fields after the flags, version 00 may not; ff is invalid."""
    match = _PARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent_id, flags, extra = match.groups()
    if version == "ff" or (version == "00" and extra is not None):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return trace_id, parent_id, int(flags, 16)


def _parse_state(text: str) -> str:
    """The list to pass on; empty if a member is malformed or a key is repeated."""
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
