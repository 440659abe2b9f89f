"""The fault catalogue, one table: each way to misbehave, and what a good client or router does about it.

The advice is what the router of this project does, and what its fault matrix of real clients says they should.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autorouter.upstream import flow, roles, twists
from autorouter.upstream.catalogue_refusals import REFUSALS
from autorouter.upstream.dryrun_chat import Style
from autorouter.upstream.fault import Fault

SLOW_S: Final = 20.0
"""Silence before a slow first byte: longer than any catalogued model's, shorter than the default limit of 60 s."""
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
        failure="reset",
    ),
    Fault(
        name="hang-up",
        summary="the connection is closed politely, without a byte",
        advice="once more on a new connection: kept ones go stale",
        failure="closed",
    ),
    Fault(
        name="timeout",
        summary="no answer within the first-byte limit",
        advice="have such a limit; then elsewhere",
        failure="timeout",
    ),
    Fault(
        name="slow-first-byte",
        summary=f"{SLOW_S:g} s of silence, then a good answer",
        advice="wait; keep the client's line alive meanwhile",
        slow_s=SLOW_S,
    ),
    Fault(
        name="slow-stream",
        summary=f"{PACE_S:g} s between events",
        advice="pass each event on as it comes; limit silence, not length",
        pace_s=PACE_S,
    ),
)
_BROKEN: Final = (
    Fault(
        name="stall",
        summary="half of the answer, then silence until the limit",
        advice="have a limit between bytes; then as for cut-stream",
        reshape=flow.stalled,
    ),
    Fault(name="cut-stream", summary="the connection breaks in the answer", advice=_BREAKS, reshape=flow.cut),
    Fault(name="rst-stream", summary="the connection is reset in the answer", advice=_BREAKS, reshape=flow.torn),
    Fault(
        name="bad-framing",
        summary="half of the answer, then bytes that are no HTTP chunk",
        advice=_BREAKS,
        reshape=flow.misframed,
    ),
    Fault(
        name="clean-eof",
        summary="a clean end without finish reason and terminal event",
        advice="miss the terminal event, and take it for a cut: four of six agents believe it, and lose work",
        reshape=flow.ended_early,
    ),
    Fault(
        name="no-done",
        summary="the last event is missing: [DONE], response.completed, message_stop",
        advice="chat: a finish reason is enough; elsewhere as for clean-eof",
        reshape=flow.undone,
    ),
    Fault(
        name="finish-early",
        summary="half of the content, with a good end",
        advice="nothing shows it on the wire; tests and verifiers do",
        twist=twists.finish_early,
    ),
    Fault(
        name="malformed-chunk",
        summary="one event isn't JSON; a whole answer is HTML",
        advice="whole: elsewhere; stream: pass it on or break, don't crash",
        reshape=flow.malformed,
    ),
    Fault(name="half-body", summary="a clean end in the middle of the body", advice=_BREAKS, reshape=flow.halved),
    Fault(
        name="half-json",
        summary="JSON that ends in its middle: a tool's arguments, a role's answer, else the body",
        advice="tell the model that its call couldn't be read; never run half of it; a judge that can't be read is none",
        reshape=flow.halved,
        twist=twists.half_json,
    ),
    Fault(
        name="error-event",
        summary="an error inside an answer that began with 200",
        advice="before content: elsewhere; later as for cut-stream",
        reshape=flow.error_inside,
    ),
    Fault(
        name="error-in-200",
        summary="an error object with the status 200",
        advice="look at the body, not at the status alone; elsewhere",
        reshape=flow.error_alone,
    ),
    Fault(
        name="json-for-stream",
        summary="a whole answer where a stream was asked for",
        advice="read the content type; elsewhere, or make events of it",
        unstreamed=True,
    ),
)
_SAID: Final = (
    Fault(
        name="broken-args",
        summary="a tool call whose arguments are no JSON",
        advice="tell the model, don't guess",
        twist=twists.broken_args,
    ),
    Fault(
        name="empty",
        summary="a good end without text and calls",
        advice="ask again, or elsewhere: an agent would stop",
        twist=twists.empty,
    ),
    Fault(
        name="refusal",
        summary="a refusal: content_filter, stop_reason refusal",
        advice="show it; don't try it elsewhere unasked",
        twist=twists.refuse,
    ),
    Fault(
        name="agree",
        summary="all candidates answer the same text",
        advice="a panel may stop early",
        twist=twists.agree,
        roles=roles.SPEAKING | {""},
        lasting=True,
    ),
    Fault(
        name="verdict-revise",
        summary="a panel's verifier answers revise, with one finding",
        advice="revise once, within the budget",
        twist=twists.revise,
        roles=frozenset({"verifier"}),
        lasting=True,
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
    Fault(name="crlf", summary="lines end with CR LF", advice=_SAME, reshape=flow.crlf),
    Fault(
        name="split-utf8",
        summary="the bytes come cut inside characters and events",
        advice="decode events, never chunks",
        reshape=flow.split_up,
    ),
    Fault(
        name="comments",
        summary="a `: keep-alive` comment before each event",
        advice="skip them; they count as a sign of life",
        reshape=flow.commented,
    ),
    Fault(
        name="huge-line",
        summary="one event has a line of 1 MiB",
        advice="no line limit below it, a bound above it",
        reshape=flow.huge_line,
    ),
    Fault(
        name="tool-delta-split",
        summary="a tool call's arguments come a character at a time",
        advice="join by index; parse at the end only",
        style=Style(argument_chars=1),
    ),
    Fault(
        name="tool-cumulative",
        summary="each piece of a tool call's arguments repeats all before it",
        advice="see that a piece begins with what is there already, or fail; never run the joined text",
        wires=frozenset({"chat"}),
        style=Style(cumulative=True),
    ),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in (*REFUSALS, *_NO_ANSWER, *_BROKEN, *_SAID, *_ODD)}
TOLERATED: Final = frozenset(
    {"slow-first-byte", "slow-stream", "no-usage", "crlf", "split-utf8", "comments", "huge-line", "tool-delta-split"}
)
"""Legal, if rare: a client must come through them unharmed."""
