"""Who is speaking: the client's name, and the session and sub-agent that a request belongs to.

Session keys, in this order: `thread-id` (Codex), `x-claude-code-session-id` with `x-claude-code-agent-id`, `x-session-id`
or `x-session-affinity` (OpenCode, Aider with our settings), `prompt_cache_key`, `metadata.user_id` (JSON with a
`session_id`), `user` or `metadata.session`; else what stays the same while a conversation grows: the client, its local
key, the head of the system text and the first human message. Only digests are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

SYSTEM_HEAD_CHARS = 200
"""Later parts of a system text hold dates, directories and git states that change within a session."""
CLIENTS = (
    ("codex", "codex"),
    ("claude-cli", "claude-code"),
    ("opencode", "opencode"),
    ("ls/js", "continue"),
    ("ai-sdk/openai-compatible", "ai-sdk"),
    ("aider", "aider"),
    ("openai/python", "openai-python"),
    ("openai/js", "openai-js"),
    ("asyncopenai/python", "openai-python"),
    ("anthropic/python", "anthropic-python"),
    ("curl", "curl"),
)
"""A mark in the user agent and the name for it; the first that is found counts. Continue's SDK calls itself `ls/JS`, and
Cline names no more than the library through which it speaks."""
CLINE = "You are Cline"


def client_name(headers: Mapping[str, str], system: str) -> str:
    """The client's name, by its user agent; Aider and Cline, which speak through a library, by their system texts."""
    agent = (headers.get("originator") or headers.get("user-agent") or "").lower()
    if agent.startswith("openai/python") and system.startswith(
        ("Act as an expert software dev", "You are an expert software eng")
    ):
        return "aider"
    if agent.startswith("ai-sdk/") and system.startswith(CLINE):
        return "cline"
    for mark, name in CLIENTS:
        if mark in agent:
            return name
    return "unknown"


def session_digests(
    headers: Mapping[str, str], body: Mapping[str, Any], *, client: str, system: str, opening: str
) -> tuple[str | None, str | None]:
    """(session, sub-agent) as digests of 24 hex digits; None where there is nothing to tell sessions apart by."""
    agent = headers.get("x-claude-code-agent-id")
    key = _explicit(headers, body)
    if key is None and opening:
        local_key = headers.get("authorization", "") or headers.get("x-api-key", "")
        key = "\x1f".join((client, local_key, system[:SYSTEM_HEAD_CHARS], opening))
    return (_digest(key) if key else None), (_digest(agent) if agent else None)


def _explicit(headers: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    for name in ("thread-id", "x-claude-code-session-id", "x-session-id", "x-session-affinity"):
        if headers.get(name):
            return f"{name}:{headers[name]}"
    cache_key = body.get("prompt_cache_key")
    if isinstance(cache_key, str) and cache_key:
        return f"prompt_cache_key:{cache_key}"
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        found = _from_user_id(metadata.get("user_id")) or metadata.get("session")
        if isinstance(found, str) and found:
            return f"metadata:{found}"
    user = body.get("user")
    return f"user:{user}" if isinstance(user, str) and user else None


def _from_user_id(user_id: Any) -> str | None:
    if not isinstance(user_id, str) or not user_id.startswith("{"):
        return None
    try:
        inner = orjson.loads(user_id)
    except orjson.JSONDecodeError:
        return None
    found = inner.get("session_id") if isinstance(inner, dict) else None
    return found if isinstance(found, str) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
