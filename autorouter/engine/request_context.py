"""What is known of a request besides its body: made once, after the parse, and never changed.

    context = RequestContext(request=..., receipt_id=..., began_s=..., deadline_s=..., principal=..., trace=..., ...)
    context.session_key         the session that a decision continues
    context.trace.traceparent   its place in a trace, as it is told to upstreams

Trace headers follow W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/):

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01       version, trace, the caller's span, flags
    tracestate:  congo=t61rcWkgMzE,rojo=00f067aa0ba902b7                       other tracers' data, passed on unchanged

An invalid header is ignored, and a new trace begins: the specification's "restart". Ids aren't secrets, so they come from
`random`, which takes a quarter of a microsecond.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from typing_extensions import TypedDict

from autorouter.core.grants import Grant
from autorouter.core.types import Task, Wire
from autorouter.wire.common.request_body import ClientRequest

SAMPLED = 1
MAX_MEMBERS = 32
MAX_STATE_CHARS = 512
"""The specification's minimum that must be passed on. Beyond it whole members are dropped, those above
`LONG_MEMBER_CHARS` first."""
LONG_MEMBER_CHARS = 128
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


REQUEST_ID_HEADER = "x-request-id"
_VALID_ID = re.compile(r"[!-~]{1,128}")
"""Visible ASCII, so that it can be repeated in any log and any header."""


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

    @property
    def upstream_headers(self) -> dict[str, str]:
        """Both headers for upstreams."""
        headers = {"traceparent": self.traceparent}
        return headers | {"tracestate": self.state} if self.state else headers


class Principal(NamedTuple):
    """Who sends a request. `key`: the name of its local key, None without one or with the server's own; `grant`: what that key
    allows, None if everything; `address`: the client's, as far as the server knows it."""

    key: str | None = None
    grant: Grant | None = None
    address: str = "local"

    @property
    def name(self) -> str:
        """By which its requests are counted together."""
        return self.key or self.address


LOCAL = Principal()
"""This process: evals and tests."""


class RequestShape(TypedDict):
    """Counts and names of the request; session and agent are digests, `trace_id` is W3C Trace Context's,
    `key` the name of the local key that the client came with."""

    wire: Wire
    label: str
    stream: bool
    client: str
    session: str | None
    agent: str | None
    body_bytes: int
    prompt_bytes: int
    messages: int
    prompt_chars: int
    tools: int
    images: int
    tool_history_steps: int
    max_output_tokens: int | None
    trace_id: str | None
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """A request, with who sends it and how it is found again. Times are seconds of `deps.timer`. `fault`: one that the dry run
    plays; `trace` and `request_id` are None if no server is involved or, for the latter, the client sent none."""

    request: ClientRequest
    receipt_id: str
    began_s: float
    deadline_s: float
    """No retry and no fallback starts later."""
    principal: Principal = LOCAL
    trace: TraceContext | None = None
    request_id: str | None = None
    fault: str | None = None
    session_key: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session_key", session_key(self.request.task))

    @property
    def task(self) -> Task:
        """The request as decisions read it."""
        return self.request.task

    def shape(self) -> RequestShape:
        """Counts and names for the receipt, no content."""
        task = self.task
        return {
            "wire": task.wire,
            "label": task.label,
            "stream": task.stream,
            "client": task.client,
            "session": task.session,
            "agent": task.agent,
            "body_bytes": len(task.body),
            "prompt_bytes": task.prompt_bytes,
            "messages": task.messages,
            "prompt_chars": len(task.prompt),
            "tools": len(task.tools),
            "images": task.images,
            "tool_history_steps": len(task.tool_history),
            "max_output_tokens": task.max_output_tokens,
            "trace_id": self.trace.trace_id if self.trace is not None else None,
            "key": self.principal.key,
        }


def session_key(task: Task) -> str | None:
    """The key of the task's session; None without a session."""
    # A sub-agent has its own prompt, and so its own cache: it is a session of its own.
    if task.session is None:
        return None
    return f"{task.session}/{task.agent}" if task.agent else task.session


def trace_of(headers: Mapping[str, str], raw_headers: Sequence[tuple[bytes, bytes]], *, sampled: bool) -> TraceContext:
    """The trace that a request belongs to. `headers` by lower-case name; `raw_headers` as they came, repeated ones included;
    `sampled`: whether a trace that begins here is recorded."""
    if "traceparent" not in headers:
        return new_trace(sampled=sampled)
    # The raw headers, because `headers` keeps only one of several: two traceparents are invalid, several tracestates are a list.
    parents = [value.decode("latin-1") for name, value in raw_headers if name == b"traceparent"]
    states = [value.decode("latin-1") for name, value in raw_headers if name == b"tracestate"]
    return continue_trace(parents, states, sampled=sampled)


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


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The client's id for the request, if it can be repeated as it is."""
    value = headers.get(REQUEST_ID_HEADER)
    return value if value is not None and _VALID_ID.fullmatch(value) else None
