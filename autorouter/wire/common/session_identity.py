"""The session and the sub-agent that a request belongs to, as digests.

A client may name its session in a header or in the body; the profiles in `clients/` say where. Any client may use any of the
names, and headers count before the body. Otherwise a session is what stays the same while a conversation grows: the client,
its local key, the head of the system text and the first human message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from autorouter.clients.registry import SYSTEM_HEAD_CHARS, merged

_SESSION_HEADERS: Final = merged(lambda profile: profile.session_headers)
_SESSION_FIELDS: Final = merged(lambda profile: profile.session_fields)
_AGENT_HEADERS: Final = merged(lambda profile: profile.agent_headers)
_PARENT_HEADERS: Final = merged(lambda profile: profile.parent_headers)


def session_digests(
    headers: Mapping[str, str], body: Mapping[str, Any], *, client: str, system: str, opening: str
) -> tuple[str | None, str | None]:
    """(session, sub-agent) as digests of 24 hex digits; None if nothing tells sessions apart."""
    key = _explicit(headers, body)
    if key is None and opening:
        local_key = headers.get("authorization", "") or headers.get("x-api-key", "")
        key = "\x1f".join((client, local_key, system[:SYSTEM_HEAD_CHARS], opening))
    session = _digest(key) if key else None
    for name in _AGENT_HEADERS:
        if headers.get(name):
            return session, _digest(headers[name])
    for name in _PARENT_HEADERS:
        if headers.get(name):
            return session, session  # a sub-agent with a session of its own
    return session, None


def _explicit(headers: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    for name in _SESSION_HEADERS:
        if headers.get(name):
            return f"{name}:{headers[name]}"
    for path in _SESSION_FIELDS:
        if path[0] in body and (value := _text_at(body, path)):
            return f"{path[0]}:{value}"
    return None


def _text_at(value: Any, path: Sequence[str]) -> str | None:
    """The text at a path. A text on the way there is read as JSON if it is an object."""
    for name in path:
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                return None
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
