"""Chat, whole and as a stream: what every agent stands on."""

from __future__ import annotations

from autorouter.probe.relay_session import RelayCheck, RelaySession, finish_of, listed_models, message_of, text_of
from autorouter.probe.report import CheckFinding, quoted
from autorouter.upstream.errors import scrub
from autorouter.wire.common import lenient_json


async def models(session: RelaySession) -> CheckFinding:
    """`GET /models` lists the model."""
    response = session.models
    if not response.ok:
        return CheckFinding("degraded", f"not offered: {session.describe(response)}", "not_offered")
    entries = listed_models(response)
    if not entries:
        return CheckFinding("degraded", "the answer is no list of models")
    listed = any(entry.get("id") == session.model for entry in entries)
    window = session.window_tokens()
    words = f"{len(entries)} listed, {quoted(session.model)} {'among' if listed else 'not among'} them"
    return CheckFinding("pass" if listed else "degraded", words + (f", window {window:,} tokens" if window else ""))


async def whole(session: RelaySession) -> CheckFinding:
    """A complete `chat.completion`."""
    response = session.whole_response
    if problem := session.message_problem(response):
        return CheckFinding("fail", problem)
    document, message = response.document, message_of(response)
    if refusal := lenient_json.as_text(message.get("refusal")):
        return CheckFinding("fail", f"refused by the model: {quoted(refusal)}")
    wrong = []
    if document.get("object") != "chat.completion":
        wrong.append(f"object is {quoted(document.get('object'))}")
    if message.get("role") != "assistant":
        wrong.append(f"role is {quoted(message.get('role'))}")
    if not lenient_json.as_text(document.get("id")):
        wrong.append("no id")
    if not finish_of(response):
        wrong.append("no finish_reason")
    if not text_of(response):
        return CheckFinding("fail", "the content is empty")
    limit = "" if session.limit_field == "max_tokens" else f", {session.limit_field} instead of max_tokens"
    return CheckFinding(
        "degraded" if wrong else "pass", ", ".join(wrong) or f"{len(text_of(response))} characters{limit}"
    )


async def transport(session: RelaySession) -> CheckFinding:
    """Server-sent events that end."""
    response = session.stream_response
    if response.status != 200:
        return CheckFinding("fail", session.describe(response))
    if response.media_type == "application/json" or (session.stream_trace.frames == 0 and response.document):
        return CheckFinding("fail", f"answered whole ({quoted(response.media_type)}) though stream was true")
    if response.failure is not None:
        return CheckFinding("fail", response.error)
    if session.stream_trace.frames == 0:
        return CheckFinding("fail", f"no events in {len(response.body)} bytes")
    if response.media_type != "text/event-stream":
        return CheckFinding("degraded", f"events, but the content type is {quoted(response.media_type)}")
    habits = ", ".join(session.stream_trace.oddities)
    return CheckFinding("pass", f"{session.stream_trace.frames} events" + (f"; tolerated: {habits}" if habits else ""))


async def events(session: RelaySession) -> CheckFinding:
    """Every event is a chunk."""
    trace = session.stream_trace
    if gone := _no_stream(session):
        return gone
    if trace.bad_utf8:
        return CheckFinding("fail", "the bytes are no UTF-8")
    if trace.unparsed:
        return CheckFinding("fail", f"malformed: {len(trace.unparsed)} events are no JSON: {quoted(trace.unparsed[0])}")
    if "\N{REPLACEMENT CHARACTER}" in trace.text:
        return CheckFinding("fail", "characters came as U+FFFD: they were cut on the way")
    odd = [quoted(kind) for kind in trace.kinds if kind != "chat.completion.chunk"]
    if odd:
        return CheckFinding("degraded", f"object is {', '.join(odd)}")
    if len(trace.ids) > 1:
        return CheckFinding("degraded", f"{len(trace.ids)} different ids in one answer")
    return CheckFinding("pass", "all JSON, one id, whole characters")


async def order(session: RelaySession) -> CheckFinding:
    """The role, the text, the finish: in this order, each as often as it should."""
    trace = session.stream_trace
    if gone := _no_stream(session):
        return gone
    if not trace.texts:
        return (
            CheckFinding("skipped", "the stream brought no text")
            if trace.errors
            else CheckFinding("fail", "no text came")
        )
    if len(trace.finishes) > 1:
        return CheckFinding("fail", f"{len(trace.finishes)} finish reasons")
    if trace.finishes and trace.finishes[0][0] < trace.texts[-1]:
        behind = sum(1 for at in trace.texts if at > trace.finishes[0][0])
        return CheckFinding("fail", f"the finish comes before the content: {behind} pieces of text behind it")
    if trace.events_after_done:
        return CheckFinding("fail", f"{trace.events_after_done} events behind `[DONE]`")
    if not trace.roles or trace.roles[0] > trace.texts[0]:
        return CheckFinding("degraded", "the role doesn't come first" if trace.roles else "no role")
    return CheckFinding("pass", "role, text, finish")


async def end(session: RelaySession) -> CheckFinding:
    """A finish reason and `[DONE]`: a cut can be told from an end."""
    trace = session.stream_trace
    if gone := _no_stream(session):
        return gone
    if trace.errors:
        message = scrub(lenient_json.as_text(trace.errors[0].get("message")), session.relay.key)
        return CheckFinding("fail", f"an error event inside a 200: {quoted(message)}")
    if not trace.finishes and trace.done_at is None:
        return CheckFinding("fail", "a clean end of the stream without finish_reason and `[DONE]`")
    if not trace.finishes:
        return CheckFinding("fail", "`[DONE]` without a finish_reason")
    if trace.done_at is None:
        return CheckFinding("fail", "no `[DONE]`")
    return CheckFinding("pass", f"{quoted(trace.finishes[0][1])}, then `[DONE]`")


async def agrees(session: RelaySession) -> CheckFinding:
    """The stream's text is that of an answer."""
    if gone := _no_stream(session):
        return gone
    if not session.stream_trace.text:
        return CheckFinding("skipped", "the stream brought no text")
    if "<think>" in session.stream_trace.text or "<think>" in text_of(session.whole_response):
        return CheckFinding("degraded", "reasoning stands in the text, between `<think>` marks")
    thought = f"; reasoning in {', '.join(session.stream_trace.reasoning)}" if session.stream_trace.reasoning else ""
    return CheckFinding(
        "pass", f"{len(session.stream_trace.text)} characters: {quoted(session.stream_trace.text, 60)}{thought}"
    )


def _no_stream(session: RelaySession) -> CheckFinding | None:
    """The root is named once, at `stream.transport`."""
    broken = session.stream_response.failure is not None or session.stream_response.status != 200
    return (
        CheckFinding("skipped", "there is no stream to look at") if broken or not session.stream_trace.frames else None
    )


CHECKS = (
    RelayCheck("chat.models", "a router and its users see which names and windows there are", models),
    RelayCheck("chat.whole", "the answer to anything that doesn't stream: titles, commit messages, judges", whole),
    RelayCheck(
        "stream.transport", "agents stream; an answer that comes whole or stalls ends in their time limit", transport
    ),
    RelayCheck("stream.events", "one event that doesn't parse ends the turn in every SDK", events),
    RelayCheck("stream.order", "clients stop reading at the finish: text behind it is lost", order),
    RelayCheck("stream.end", "without a true end a cut answer looks whole: agents write truncated files", end),
    RelayCheck("stream.text", "marks of reasoning in the text end up in files and commits", agrees),
)
