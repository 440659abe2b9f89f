"""The catalog of faults: each way in which an upstream can misbehave, and what a good client or router does about it.

The advice is what this router does, and what its fault matrix of real clients says they should do. Faults that answer
with an error status come first. A Messages upstream uses its own error shape, and its own text where clients match it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autorouter.simulator import roles
from autorouter.simulator.codec import ArgumentChunking
from autorouter.simulator.faults import answers, bodies
from autorouter.simulator.faults.types import ErrorResponse, Fault

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
    refusal = ErrorResponse(
        status=status,
        code=code,
        error_type=error_type,
        message=f"{message} (dry-run fault).",
        messages_text=f"{anthropic} (dry-run fault)." if anthropic else "",
        html_page=html,
        echoes_key=echo,
    )
    return Fault(name=name, summary=summary or f"{status} {code}", advice=advice, error_response=refusal)


def rate_limited(name: str, *, retry_after: str | None = None, date_s: int | None = None) -> Fault:
    """A 429. `retry_after` in seconds as sent, `date_s` for the form that is a date."""
    code, error_type, message = _LIMITED
    told = f"Retry-After: {retry_after}" if retry_after else "no Retry-After"
    if date_s is not None:
        told = f"Retry-After: a date in {date_s} s"
    advice = "elsewhere; wait as long as is asked for" if retry_after or date_s else "elsewhere; wait longer each time"
    refusal = ErrorResponse(
        status=429,
        code=code,
        error_type=error_type,
        message=message,
        headers={"retry-after": retry_after} if retry_after else {},
        retry_after_date_s=date_s,
    )
    return Fault(name=name, summary=f"429 {code}, {told}", advice=advice, error_response=refusal)


REFUSALS: Final = (
    rate_limited("429-retry-after", retry_after=str(RETRY_AFTER_S)),
    rate_limited("429-retry-after-date", date_s=RETRY_AFTER_S),
    rate_limited("429-no-header"),
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


SLOW_S: Final = 20.0
"""Silence before a slow first byte: longer than any model of the catalog's, shorter than the default limit of 60 s."""
PACE_S: Final = 1.0
"""Between the pieces of a slow stream."""
WRONG_FACTOR: Final = 1000
"""How far off a wrong usage is: enough that a budget notices."""
_BREAKS: Final = (
    "never end the answer cleanly; break the client's line too, or send an error event, so that it asks again"
)
_SAME: Final = "nothing: it is legal"
_NO_ANSWER: Final = (
    Fault(
        name="reset",
        summary="the connection is reset before an answer",
        advice="once more on a new connection, then elsewhere",
        connection_failure="reset",
    ),
    Fault(
        name="hang-up",
        summary="the connection is closed politely, without a byte",
        advice="once more on a new connection: kept ones go stale",
        connection_failure="closed",
    ),
    Fault(
        name="timeout",
        summary="no answer within the first-byte limit",
        advice="have such a limit; then elsewhere",
        connection_failure="timeout",
    ),
    Fault(
        name="slow-first-byte",
        summary=f"{SLOW_S:g} s of silence, then a good answer",
        advice="wait; keep the client's line alive meanwhile",
        first_byte_delay_s=SLOW_S,
    ),
    Fault(
        name="slow-stream",
        summary=f"{PACE_S:g} s between events",
        advice="pass each event on as it comes; limit silence, not length",
        event_delay_s=PACE_S,
    ),
)
_BROKEN: Final = (
    Fault(
        name="stall",
        summary="half of the answer, then silence until the limit",
        advice="have a limit between bytes; then as for cut-stream",
        transform_body=bodies.stall,
    ),
    Fault(
        name="cut-stream",
        summary="the connection breaks in the answer",
        advice=_BREAKS,
        transform_body=bodies.cut_connection,
    ),
    Fault(
        name="rst-stream",
        summary="the connection is reset in the answer",
        advice=_BREAKS,
        transform_body=bodies.reset_connection,
    ),
    Fault(
        name="bad-framing",
        summary="half of the answer, then bytes that are no HTTP chunk",
        advice=_BREAKS,
        transform_body=bodies.break_framing,
    ),
    Fault(
        name="clean-eof",
        summary="a clean end without finish reason and terminal event",
        advice="miss the terminal event, and take it for a cut: four of six agents believe it, and lose work",
        transform_body=bodies.end_early,
    ),
    Fault(
        name="no-done",
        summary="the last event is missing: [DONE], response.completed, message_stop",
        advice="chat: a finish reason is enough; elsewhere as for clean-eof",
        transform_body=bodies.drop_last_event,
    ),
    Fault(
        name="finish-early",
        summary="half of the content, with a good end",
        advice="nothing shows it on the wire; tests and verifiers do",
        answer_override=answers.finish_early,
    ),
    Fault(
        name="malformed-chunk",
        summary="one event isn't JSON; a whole answer is HTML",
        advice="whole: elsewhere; stream: pass it on or break, don't crash",
        transform_body=bodies.malform_event,
    ),
    Fault(
        name="half-body",
        summary="a clean end in the middle of the body",
        advice=_BREAKS,
        transform_body=bodies.truncate,
    ),
    Fault(
        name="half-json",
        summary="JSON that ends in its middle: a tool's arguments, a role's answer, else the body",
        advice="tell the model that its call couldn't be read; never run half of it; a judge that can't be read is none",
        transform_body=bodies.truncate,
        answer_override=answers.half_json,
    ),
    Fault(
        name="error-event",
        summary="an error inside an answer that began with 200",
        advice="before content: elsewhere; later as for cut-stream",
        transform_body=bodies.append_error,
    ),
    Fault(
        name="error-in-200",
        summary="an error object with the status 200",
        advice="look at the body, not at the status alone; elsewhere",
        transform_body=bodies.replace_with_error,
    ),
    Fault(
        name="json-for-stream",
        summary="a whole answer where a stream was asked for",
        advice="read the content type; elsewhere, or make events of it",
        ignores_stream=True,
    ),
)
_SAID: Final = (
    Fault(
        name="broken-args",
        summary="a tool call whose arguments are no JSON",
        advice="tell the model, don't guess",
        answer_override=answers.broken_args,
    ),
    Fault(
        name="empty",
        summary="a good end without text and calls",
        advice="ask again, or elsewhere: an agent would stop",
        answer_override=answers.empty,
    ),
    Fault(
        name="refusal",
        summary="a refusal: content_filter, stop_reason refusal",
        advice="show it; don't try it elsewhere unasked",
        answer_override=answers.refuse,
    ),
    Fault(
        name="agree",
        summary="all candidates answer the same text",
        advice="a panel may stop early",
        answer_override=answers.agree,
        roles=roles.ANSWERING_ROLES | {""},
        every_attempt=True,
    ),
    Fault(
        name="verdict-revise",
        summary="a panel's verifier answers revise, with one finding",
        advice="revise once, within the budget",
        answer_override=answers.revise,
        roles=frozenset({"verifier"}),
        every_attempt=True,
    ),
)
_ODD: Final = (
    Fault(
        name="wrong-model",
        summary="another model served than was asked for",
        advice="record it; count its price and its quality, not the asked one's",
        served_model="dry-run/another-model",
    ),
    Fault(
        name="no-usage",
        summary="no usage is told, even where it was asked for",
        advice="estimate, and say that it is estimated",
        usage_factor=None,
    ),
    Fault(
        name="wrong-usage",
        summary=f"usage is told {WRONG_FACTOR} times too high",
        advice="doubt counts beyond the body's own size before a budget stops on them",
        usage_factor=WRONG_FACTOR,
    ),
    Fault(name="crlf", summary="lines end with CR LF", advice=_SAME, transform_body=bodies.use_crlf),
    Fault(
        name="split-utf8",
        summary="the bytes come cut inside characters and events",
        advice="decode events, never chunks",
        transform_body=bodies.split_bytes,
    ),
    Fault(
        name="comments",
        summary="a `: keep-alive` comment before each event",
        advice="skip them; they count as a sign of life",
        transform_body=bodies.add_comments,
    ),
    Fault(
        name="huge-line",
        summary="one event has a line of 1 MiB",
        advice="no line limit below it, a bound above it",
        transform_body=bodies.add_huge_line,
    ),
    Fault(
        name="tool-delta-split",
        summary="a tool call's arguments come a character at a time",
        advice="join by index; parse at the end only",
        argument_chunking=ArgumentChunking(argument_chars=1),
    ),
    Fault(
        name="tool-cumulative",
        summary="each piece of a tool call's arguments repeats all before it",
        advice="see that a piece begins with what is there already, or fail; never run the joined text",
        wires=frozenset({"chat"}),
        argument_chunking=ArgumentChunking(cumulative=True),
    ),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in (*REFUSALS, *_NO_ANSWER, *_BROKEN, *_SAID, *_ODD)}
TOLERATED: Final = frozenset(
    {"slow-first-byte", "slow-stream", "no-usage", "crlf", "split-utf8", "comments", "huge-line", "tool-delta-split"}
)
"""Legal, if rare: a client must come through them unharmed."""
