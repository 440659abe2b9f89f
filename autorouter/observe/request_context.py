"""What ties a request to others' records of it: its id, and its place in a trace. Set by the server before the step begins,
read where the step ends: both run in the request's own task, so that a context variable carries it past the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import NamedTuple

from autorouter.observe import trace_context
from autorouter.observe.trace_context import TraceContext

REQUEST_ID_HEADER = "x-request-id"
_ID = re.compile(r"[!-~]{1,128}")
"""Visible ASCII, so that it can stand in any log and any header."""


class RequestContext(NamedTuple):
    """`request_id` is the client's own, None where it sent none that can be used."""

    request_id: str | None
    trace: TraceContext


CURRENT_REQUEST: ContextVar[RequestContext | None] = ContextVar("autorouter_mark", default=None)


def new_request_context(
    headers: Mapping[str, str], raw: Iterable[tuple[bytes, bytes]], *, sampled: bool
) -> RequestContext:
    """The mark of a request. `headers` by lower-case name; `raw` all of them as they came, repeated ones too; `sampled`:
    whether a trace that begins here is recorded."""
    if "traceparent" not in headers:
        return RequestContext(request_id_of(headers), trace_context.new_trace(sampled=sampled))
    many = [(name, value.decode("latin-1")) for name, value in raw if name in (b"traceparent", b"tracestate")]
    parents = [value for name, value in many if name == b"traceparent"]
    states = [value for name, value in many if name == b"tracestate"]
    return RequestContext(request_id_of(headers), trace_context.continue_trace(parents, states, sampled=sampled))


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The client's id for the request, if it can be repeated as it stands."""
    given = headers.get(REQUEST_ID_HEADER)
    return given if given is not None and _ID.fullmatch(given) else None
