"""The part of the fault catalogue that answers with an error status.

A Messages upstream says the same in its own shape, and with words of its own where clients look at them.
"""

from __future__ import annotations

from typing import Final

from autorouter.upstream.fault import Fault, Refusal

RETRY_AFTER_S: Final = 2
PLACEHOLDER_KEY: Final = "sk-dry-run-not-a-key"
"""Echoed by the dry run, which never shows a true key."""
_ELSEWHERE: Final = "elsewhere; rest this candidate a while"
_CONFIGURED: Final = "elsewhere, and tell the person: a retry can't help"
_LIMITED: Final = ("rate_limit_exceeded", "rate_limit_error", "Rate limit reached (dry-run fault).")


def _refused(
    name: str,
    status: int,
    code: str,
    error_type: str,
    message: str,
    *,
    advice: str = _ELSEWHERE,
    summary: str = "",
    anthropic: str = "",
    html: bool = False,
    echo: bool = False,
) -> Fault:
    refusal = Refusal(
        status=status,
        code=code,
        error_type=error_type,
        message=f"{message} (dry-run fault).",
        anthropic=f"{anthropic} (dry-run fault)." if anthropic else "",
        html=html,
        echo=echo,
    )
    return Fault(name=name, summary=summary or f"{status} {code}", advice=advice, refusal=refusal)


def limited(name: str, *, retry_after: str | None = None, date_s: int | None = None) -> Fault:
    """A 429. `retry_after` in seconds as sent, `date_s` for the form that is a date."""
    code, error_type, message = _LIMITED
    told = f"Retry-After: {retry_after}" if retry_after else "no Retry-After"
    if date_s is not None:
        told = f"Retry-After: a date in {date_s} s"
    advice = "elsewhere; wait as long as is asked for" if retry_after or date_s else "elsewhere; wait longer each time"
    refusal = Refusal(
        status=429,
        code=code,
        error_type=error_type,
        message=message,
        headers={"retry-after": retry_after} if retry_after else {},
        retry_date_s=date_s,
    )
    return Fault(name=name, summary=f"429 {code}, {told}", advice=advice, refusal=refusal)


REFUSALS: Final = (
    limited("429-retry-after", retry_after=str(RETRY_AFTER_S)),
    limited("429-retry-after-date", date_s=RETRY_AFTER_S),
    limited("429-no-header"),
    _refused("500", 500, "server_error", "server_error", "The server had an error", anthropic="Internal server error"),
    _refused("503", 503, "service_unavailable", "server_error", "The server is not available"),
    _refused("529", 529, "overloaded", "overloaded_error", "Overloaded"),
    _refused(
        "502-html",
        502,
        "bad_gateway",
        "server_error",
        "Bad Gateway",
        summary="502, a proxy's HTML page",
        advice="elsewhere; don't parse it, don't show it",
        html=True,
    ),
    _refused(
        "401",
        401,
        "invalid_api_key",
        "authentication_error",
        "Incorrect API key",
        advice=_CONFIGURED,
        anthropic="invalid x-api-key",
    ),
    _refused(
        "key-echo",
        401,
        "invalid_api_key",
        "authentication_error",
        "Incorrect API key provided",
        summary="401 whose message repeats the key that was sent",
        advice="as for 401; never pass on or log an upstream's words unscrubbed",
        echo=True,
    ),
    _refused("403", 403, "permission_denied", "permission_error", "No access to this model", advice=_CONFIGURED),
    _refused(
        "404",
        404,
        "model_not_found",
        "invalid_request_error",
        "The model does not exist",
        advice=_CONFIGURED,
        anthropic="model: no such model",
    ),
    _refused(
        "quota",
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your quota",
        summary="429 insufficient_quota, no Retry-After",
        advice="elsewhere; a wait can't help, though it is a 429",
    ),
    _refused(
        "402-quota",
        402,
        "insufficient_quota",
        "insufficient_quota",
        "Insufficient credits",
        advice=_CONFIGURED,
        anthropic="Your credit balance is too low",
    ),
    _refused(
        "window-400",
        400,
        "context_length_exceeded",
        "invalid_request_error",
        "The messages are longer than this model's maximum context length",
        advice="one with a larger window; else tell the client with this very code: agents compact on it",
        anthropic="prompt is too long: 213462 tokens > 200000 maximum",
    ),
    _refused(
        "signature-400",
        400,
        "invalid_encrypted_content",
        "invalid_request_error",
        "The encrypted content for item rs_0 could not be verified",
        summary="400: the reasoning in the history isn't this provider's",
        advice="once more without the reasoning that others made",
        anthropic="messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
)
