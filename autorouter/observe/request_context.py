"""What ties a request to the records that others keep of it: its request id and its place in a trace.

The server sets `CURRENT_REQUEST` before the step begins, and the dispatcher reads it where the step ends. Both run in the
request's own task, so a context variable carries it past the engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple

from autorouter.observe import trace_context
from autorouter.observe.trace_context import TraceContext

REQUEST_ID_HEADER = "x-request-id"
_VALID_ID = re.compile(r"[!-~]{1,128}")
"""Visible ASCII, so that it can be repeated in any log and any header."""


class RequestContext(NamedTuple):
    """`request_id` is the client's own; None if it sent none, or one that can't be repeated."""

    request_id: str | None
    trace: TraceContext


CURRENT_REQUEST: ContextVar[RequestContext | None] = ContextVar("autorouter_current_request", default=None)


def new_request_context(
    headers: Mapping[str, str], raw_headers: Sequence[tuple[bytes, bytes]], *, sampled: bool
) -> RequestContext:
    """The context of a request. `headers` by lower-case name; `raw_headers` as they came, repeated ones included; `sampled`:
    whether a trace that begins here is recorded."""
    request_id = request_id_of(headers)
    if "traceparent" not in headers:
        return RequestContext(request_id, trace_context.new_trace(sampled=sampled))
    # The raw headers, because `headers` keeps only one of several: two traceparents are invalid, several tracestates are a list.
    parents = [value.decode("latin-1") for name, value in raw_headers if name == b"traceparent"]
    states = [value.decode("latin-1") for name, value in raw_headers if name == b"tracestate"]
    return RequestContext(request_id, trace_context.continue_trace(parents, states, sampled=sampled))


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The client's id for the request, if it can be repeated as it is."""
    value = headers.get(REQUEST_ID_HEADER)
    return value if value is not None and _VALID_ID.fullmatch(value) else None
