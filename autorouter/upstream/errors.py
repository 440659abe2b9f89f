"""What a failed attempt means: for the next attempt, for the candidate's health, and for the client.

    400 413 422    the request's fault: final, unless it says the context is too long (another window may do)
    401 403        the upstream refuses our key: another upstream
    402, 429 with `insufficient_quota`, 400 that speaks of credit    no credit left: another upstream, for long
    404            the upstream doesn't know the model: the next candidate
    408, silence   timeout: the next candidate
    429            rate limited: a cooldown as long as `Retry-After` says, else one that grows
    503 529        overloaded: short cooldowns that grow
    5xx            the provider's fault
    reset, cut, not JSON    the same
    no slot of our own      the next candidate; its health isn't affected

What is done after each is `engine/retry`'s business, how long a candidate is left alone `core/state/health`'s.

Upstream bodies are not passed on: they may hold prompts or keys. Only the message of a refused request is, bounded and
scrubbed, because without it the request couldn't be corrected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from autorouter.errors import UpstreamError
from autorouter.privacy import secrets
from autorouter.upstream.transport import TransportError, UpstreamCall

MESSAGE_CHARS = 300
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|key|ghp|xoxb)[-_][A-Za-z0-9_-]{8,}|\bBearer\s+\S+|\bAKIA[A-Z0-9]{12,}|\beyJ[\w-]{10,}\.\S+"
)
_WORD = re.compile(r"[A-Za-z][\w.\[\]/-]{0,79}")
"""What an upstream's `code` or `param` looks like; anything else may be anything."""
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context window|prompt is too long|input is too long|too many tokens"
    r"|exceeds? the (?:model'?s? )?(?:maximum )?context",
    re.IGNORECASE,
)


_NO_CREDIT = re.compile(r"credit balance is too low|insufficient (?:balance|credits?)", re.IGNORECASE)
"""Anthropic says so with a 400."""
_QUOTA_WORDS = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "credits_exhausted"}
)
"""How providers tell an empty account from a rate limit, in an error's `code` or `type`."""
_BAD_REASONING = re.compile(
    r"invalid_encrypted_content|encrypted content|thinking`? block|signature.{0,60}(?:valid|required|missing|string)"
    r"|invalid.{0,10}signature",
    re.IGNORECASE | re.DOTALL,
)
"""How providers refuse reasoning that another one made. Some say `code: null`, so that the message counts too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureVerdict:
    """`kind` is the word on the receipt. `retry_elsewhere`: another candidate may do. `counts_against_health`:
    the candidate is to blame. `error` is what the client gets if no other candidate answers."""

    kind: str
    retry_elsewhere: bool
    counts_against_health: bool
    error: UpstreamError


STATUS_RULES: Mapping[int, tuple[str, int, str, str]] = {
    401: ("auth", 401, "upstream_auth", "authentication_error"),
    403: ("auth", 403, "upstream_forbidden", "permission_error"),
    402: ("quota", 402, "insufficient_quota", "insufficient_quota"),
    404: ("not_found", 404, "model_not_found", "invalid_request_error"),
    408: ("timeout", 504, "upstream_timeout", "server_error"),
    425: ("rate_limited", 429, "rate_limit_exceeded", "rate_limit_error"),
    429: ("rate_limited", 429, "rate_limit_exceeded", "rate_limit_error"),
    503: ("overloaded", 503, "server_is_overloaded", "server_error"),
    504: ("timeout", 504, "upstream_timeout", "server_error"),
    529: ("overloaded", 503, "server_is_overloaded", "server_error"),
}
"""Upstream status -> kind, the client's status, code, type."""
_FINAL = (400, 413, 422)
_STATUS_OF_WORD: Mapping[str, int] = {
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "server_is_overloaded": 503,
}
"""An error inside a 200 has no status of its own: its code or type, as providers write it, stands for one."""


def client_statuses() -> frozenset[int]:
    """Every status that a client may get for an upstream's failure."""
    told = {status for _, status, _, _ in STATUS_RULES.values()} | {status for status, _ in TRANSPORT_RULES.values()}
    return frozenset({*told, *_FINAL})


def classify_status(call: UpstreamCall, status: int, headers: Mapping[str, str], body: bytes) -> FailureVerdict:
    """Judge an answer that isn't a success. `body` may be cut."""
    inner = _error_object(body)
    where = f"upstream `{call.target.name}`, model `{call.candidate.model}`"
    retry_after_s = requested_wait_s(headers)
    if status in _FINAL and not _NO_CREDIT.search(str(inner.get("message") or "")):
        return _refused(call, status, inner, where)
    kind, http_status, code, error_type = STATUS_RULES.get(status, ("server", 502, "upstream_error", "server_error"))
    if kind == "rate_limited" and not _QUOTA_WORDS.isdisjoint((str(inner.get("code")), str(inner.get("type")))):
        kind, code, error_type = "quota", "insufficient_quota", "insufficient_quota"
    elif status in _FINAL:
        kind, http_status, code, error_type = STATUS_RULES[402]
    words, hint = _words(kind, status, call)
    error = UpstreamError(
        f"{where}: {words}",
        kind=kind,
        http_status=http_status,
        code=code,
        error_type=error_type,
        status=status,
        retry_after_s=retry_after_s,
        hint=hint,
    )
    return FailureVerdict(kind=kind, retry_elsewhere=True, counts_against_health=True, error=error)


def _words(kind: str, status: int, call: UpstreamCall) -> tuple[str, str | None]:
    if kind == "auth":
        key = call.target.key_env
        return (
            f"refused our key with {status}",
            f"check the key in {key}" if key else "it asks for a key: set api_key_env",
        )
    if kind == "quota":
        return f"says that the account has no credit left ({status})", "add credit there, or another upstream"
    if kind == "not_found":
        return f"doesn't know this model or path ({status})", "`autorouter models` lists what is configured"
    if kind == "rate_limited":
        return f"is rate limited ({status})", None
    if kind == "overloaded":
        return f"is overloaded ({status})", None
    if kind == "timeout":
        return f"timed out ({status})", None
    return f"answered {status}", None


def _refused(call: UpstreamCall, status: int, inner: Mapping[str, Any], where: str) -> FailureVerdict:
    said = scrub(str(inner.get("message") or ""), call.target.key)[:MESSAGE_CHARS] or "the request was refused"
    words = f"{inner.get('code')} {inner.get('type')} {inner.get('message')}"
    too_long = bool(_TOO_LONG.search(words))
    reasoning = not too_long and bool(_BAD_REASONING.search(words))
    error = UpstreamError(
        f"{where}: {said}",
        kind="context" if too_long else "reasoning" if reasoning else "refused",
        http_status=400 if too_long else status,
        code="context_length_exceeded" if too_long else _word(inner.get("code"), call) or "invalid_request",
        error_type="invalid_request_error",
        status=status,
    )
    error.param = _word(inner.get("param"), call)
    return FailureVerdict(kind=error.kind, retry_elsewhere=too_long, counts_against_health=False, error=error)


def _word(value: Any, call: UpstreamCall) -> str | None:
    """A single word without a key in it, else None."""
    if not isinstance(value, str) or not _WORD.fullmatch(value) or scrub(value, call.target.key) != value:
        return None
    return value


TRANSPORT_RULES: Mapping[str, tuple[int, str]] = {
    "timeout": (504, "upstream_timeout"),
    "connect": (502, "upstream_unreachable"),
    "reset": (502, "upstream_reset"),
    "cut": (502, "upstream_cut"),
    "too_large": (502, "upstream_too_large"),
    "protocol": (502, "upstream_protocol"),
    "busy": (429, "upstream_busy"),
}


def classify_transport_error(failure: TransportError) -> FailureVerdict:
    """Judge a call that got no usable answer at all."""
    http_status, code = TRANSPORT_RULES[failure.kind]
    ours = failure.kind == "busy"
    error = UpstreamError(
        failure.message,
        kind=failure.kind,
        http_status=http_status,
        code=code,
        error_type="rate_limit_error" if ours else "server_error",
    )
    return FailureVerdict(kind=failure.kind, retry_elsewhere=True, counts_against_health=not ours, error=error)


def classify_error_event(call: UpstreamCall, inner: Mapping[str, Any]) -> FailureVerdict:
    """Judge a stream that begins with an error: as the status that it would have had."""
    status = 502
    for told in (inner.get("code"), inner.get("type")):
        if isinstance(told, int) and 400 <= told < 600:
            status = told
        elif isinstance(told, str) and told in _STATUS_OF_WORD:
            status = _STATUS_OF_WORD[told]
        if status != 502:
            break
    return classify_status(call, status, {}, orjson.dumps({"error": dict(inner)}))


def requested_wait_s(headers: Mapping[str, str]) -> float | None:
    """So long the upstream asks us to wait: `retry-after-ms`, as some write it beside the other, or `Retry-After`."""
    value = headers.get("retry-after-ms")
    if value:
        wait_ms = parse_retry_after(value)
        if wait_ms is not None and value.strip()[:1].isdigit():
            return wait_ms / 1000.0
    return parse_retry_after(headers.get("retry-after"))


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header in either form; None where it says nothing usable."""
    if not value:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def scrub(text: str, key: str | None) -> str:
    """Take out what looks like a key, and ours wherever it stands; fold white space."""
    if key:
        text = text.replace(key, "[key]")
    raw = _KEY_LIKE.sub("[key]", text).encode("utf-8", "replace")
    return " ".join(secrets.mask(raw, secrets.scan(raw)).decode().split())


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    inner = document.get("error", document) if isinstance(document, dict) else {}
    if isinstance(inner, str):
        return {"message": inner}
    return inner if isinstance(inner, dict) else {}
