"""Errors in the client's own shape.

chat     {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}
"""

from __future__ import annotations

import math

import orjson

from autorouter.errors import AutorouterError, RoutingError, UpstreamError

DEFAULT_RETRY_AFTER_S = 5.0
"""Sent with every 429 whose provider named no time: agents give up at once on a 429 without one."""


def chat_error(error: AutorouterError) -> bytes:
    """The body of an error for an OpenAI client."""
    inner = {"message": str(error), "type": error.error_type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": inner})


def retry_after(error: AutorouterError) -> str | None:
    """`Retry-After` in whole seconds, rounded up, where the status calls for one."""
    asked = error.retry_after_s if isinstance(error, UpstreamError | RoutingError) else None
    if asked is None and error.http_status == 429:
        asked = DEFAULT_RETRY_AFTER_S
    return None if asked is None else str(max(1, math.ceil(asked)))
