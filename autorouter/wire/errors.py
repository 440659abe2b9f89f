"""Errors in the client's own shape.

chat, responses     {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}
messages            {"type": "error", "error": {"type": "overloaded_error", "message": ...}}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import orjson

from autorouter.clients.profile import ClientApi
from autorouter.clients.registry import PROFILES
from autorouter.core.types import Wire
from autorouter.errors import AutorouterError, RoutingError, UpstreamError

DEFAULT_RETRY_AFTER_S = 5.0
"""Sent with every 429 whose provider named no time: agents give up at once on a 429 without one."""


TOO_LONG = "context_length_exceeded"


def _overflow_opening(sentence: str, *apis: ClientApi) -> str:
    """The sentence, and what else the clients of these APIs look for before they compact a conversation. They search the message,
    whatever its code."""
    marks = [p.overflow_mark for p in PROFILES if p.api in apis and p.overflow_mark not in sentence]
    return f"{sentence} ({', '.join(dict.fromkeys(marks))}): " if marks else f"{sentence}: "


_OPENAI_OVERFLOW = _overflow_opening("Your input exceeds the context window", "chat", "responses")
OVERFLOW: Mapping[Wire, str] = {
    "chat": _OPENAI_OVERFLOW,
    "responses": _OPENAI_OVERFLOW,
    "messages": _overflow_opening("prompt is too long", "messages"),
}


def _words(error: AutorouterError, wire: Wire) -> str:
    return OVERFLOW[wire] + str(error) if error.code == TOO_LONG else str(error)


def chat_error(error: AutorouterError) -> bytes:
    """The body of an error for an OpenAI client."""
    inner = {"message": _words(error, "chat"), "type": error.error_type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": inner})


def responses_error(error: AutorouterError) -> bytes:
    """The body of an error for a Responses client: as for chat."""
    return chat_error(error)


MESSAGES_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Status -> the type by which Anthropic's clients tell errors apart; any other status is an `api_error`."""


def messages_error(error: AutorouterError) -> bytes:
    """The body of an error for a Messages client."""
    kind = MESSAGES_TYPES.get(error.http_status, "api_error")
    return orjson.dumps(
        {"type": "error", "error": {"type": kind, "message": _words(error, "messages"), "code": error.code}}
    )


def failed_response(error: AutorouterError, seed: str, created_s: int) -> bytes:
    """The error as the only event of a Responses stream. Some clients look for an overflow only here, in the code of
    `response.failed` (`ClientProfile.overflow_as_stream_event`)."""
    response = {
        "id": f"resp_{seed}",
        "object": "response",
        "created_at": created_s,
        "status": "failed",
        "error": {"code": error.code, "message": _words(error, "responses")},
        "output": [],
        "usage": None,
    }
    document = {"type": "response.failed", "sequence_number": 0, "response": response}
    return b"event: response.failed\ndata: " + orjson.dumps(document) + b"\n\n"


ERROR_ENCODERS: Mapping[Wire, Callable[[AutorouterError], bytes]] = {
    "chat": chat_error,
    "responses": responses_error,
    "messages": messages_error,
}


def retry_after_header(error: AutorouterError) -> str | None:
    """`Retry-After` in whole seconds, rounded up, where the status calls for one."""
    asked = error.retry_after_s if isinstance(error, UpstreamError | RoutingError) else None
    if asked is None and error.http_status == 429:
        asked = DEFAULT_RETRY_AFTER_S
    return None if asked is None else str(max(1, math.ceil(asked)))
