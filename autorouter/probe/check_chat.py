"""Chat, whole and as a stream: what every agent stands on."""

from __future__ import annotations

from autorouter.probe.relay_session import Bench, Probe, finish_of, listed_models, message_of, text_of
from autorouter.probe.report import Finding, quoted
from autorouter.upstream.errors import scrub
from autorouter.wire.common import lenient_json


async def models(bench: Bench) -> Finding:
    """`GET /models` lists the model."""
    seen = bench.models
    if not seen.ok:
        return Finding("degraded", f"not offered: {bench.said(seen)}")
    entries = listed_models(seen)
    if not entries:
        return Finding("degraded", "the answer is no list of models")
    listed = any(entry.get("id") == bench.model for entry in entries)
    window = bench.window_tokens()
    words = f"{len(entries)} listed, {quoted(bench.model)} {'among' if listed else 'not among'} them"
    return Finding("pass" if listed else "degraded", words + (f", window {window:,} tokens" if window else ""))


async def whole(bench: Bench) -> Finding:
    """A complete `chat.completion`."""
    seen = bench.whole
    if problem := bench.no_message(seen):
        return Finding("fail", problem)
    document, message = seen.document, message_of(seen)
    if refusal := lenient_json.as_text(message.get("refusal")):
        return Finding("fail", f"refused by the model: {quoted(refusal)}")
    wrong = []
    if document.get("object") != "chat.completion":
        wrong.append(f"object is {quoted(document.get('object'))}")
    if message.get("role") != "assistant":
        wrong.append(f"role is {quoted(message.get('role'))}")
    if not lenient_json.as_text(document.get("id")):
        wrong.append("no id")
    if not finish_of(seen):
        wrong.append("no finish_reason")
    if not text_of(seen):
        return Finding("fail", "the content is empty")
    limit = "" if bench.limit_field == "max_tokens" else f", {bench.limit_field} instead of max_tokens"
    return Finding("degraded" if wrong else "pass", ", ".join(wrong) or f"{len(text_of(seen))} characters{limit}")


async def transport(bench: Bench) -> Finding:
    """Server-sent events that end."""
    seen = bench.streaming
    if seen.status != 200:
        return Finding("fail", bench.said(seen))
    if seen.kind == "application/json" or (bench.stream.frames == 0 and seen.document):
        return Finding("fail", f"answered whole ({quoted(seen.kind)}) though stream was true")
    if seen.failure is not None:
        return Finding("fail", seen.words)
    if bench.stream.frames == 0:
        return Finding("fail", f"no events in {len(seen.body)} bytes")
    if seen.kind != "text/event-stream":
        return Finding("degraded", f"events, but the content type is {quoted(seen.kind)}")
    habits = ", ".join(bench.stream.habits)
    return Finding("pass", f"{bench.stream.frames} events" + (f"; tolerated: {habits}" if habits else ""))


async def events(bench: Bench) -> Finding:
    """Every event is a chunk."""
    found = bench.stream
    if gone := _no_stream(bench):
        return gone
    if found.bad_utf8:
        return Finding("fail", "the bytes are no UTF-8")
    if found.unparsed:
        return Finding("fail", f"malformed: {len(found.unparsed)} events are no JSON: {quoted(found.unparsed[0])}")
    if "\N{REPLACEMENT CHARACTER}" in found.text:
        return Finding("fail", "characters came as U+FFFD: they were cut on the way")
    odd = [quoted(kind) for kind in found.kinds if kind != "chat.completion.chunk"]
    if odd:
        return Finding("degraded", f"object is {', '.join(odd)}")
    if len(found.ids) > 1:
        return Finding("degraded", f"{len(found.ids)} different ids in one answer")
    return Finding("pass", "all JSON, one id, whole characters")


async def order(bench: Bench) -> Finding:
    """The role, the text, the finish: in this order, each as often as it should."""
    found = bench.stream
    if gone := _no_stream(bench):
        return gone
    if not found.texts:
        return Finding("skipped", "the stream brought no text") if found.errors else Finding("fail", "no text came")
    if len(found.finishes) > 1:
        return Finding("fail", f"{len(found.finishes)} finish reasons")
    if found.finishes and found.finishes[0][0] < found.texts[-1]:
        behind = sum(1 for at in found.texts if at > found.finishes[0][0])
        return Finding("fail", f"the finish comes before the content: {behind} pieces of text behind it")
    if found.behind_done:
        return Finding("fail", f"{found.behind_done} events behind `[DONE]`")
    if not found.roles or found.roles[0] > found.texts[0]:
        return Finding("degraded", "the role doesn't come first" if found.roles else "no role")
    return Finding("pass", "role, text, finish")


async def end(bench: Bench) -> Finding:
    """A finish reason and `[DONE]`: a cut can be told from an end."""
    found = bench.stream
    if gone := _no_stream(bench):
        return gone
    if found.errors:
        message = scrub(lenient_json.as_text(found.errors[0].get("message")), bench.relay.key)
        return Finding("fail", f"an error event inside a 200: {quoted(message)}")
    if not found.finishes and found.done_at is None:
        return Finding("fail", "a clean end of the stream without finish_reason and `[DONE]`")
    if not found.finishes:
        return Finding("fail", "`[DONE]` without a finish_reason")
    if found.done_at is None:
        return Finding("fail", "no `[DONE]`")
    return Finding("pass", f"{quoted(found.finishes[0][1])}, then `[DONE]`")


async def agrees(bench: Bench) -> Finding:
    """The stream's text is that of an answer."""
    if gone := _no_stream(bench):
        return gone
    if not bench.stream.text:
        return Finding("skipped", "the stream brought no text")
    if "<think>" in bench.stream.text or "<think>" in text_of(bench.whole):
        return Finding("degraded", "reasoning stands in the text, between `<think>` marks")
    thought = f"; reasoning in {', '.join(bench.stream.reasoning)}" if bench.stream.reasoning else ""
    return Finding("pass", f"{len(bench.stream.text)} characters: {quoted(bench.stream.text, 60)}{thought}")


def _no_stream(bench: Bench) -> Finding | None:
    """The root is named once, at `stream.transport`."""
    broken = bench.streaming.failure is not None or bench.streaming.status != 200
    return Finding("skipped", "there is no stream to look at") if broken or not bench.stream.frames else None


PROBES = (
    Probe("chat.models", "a router and its users see which names and windows there are", models),
    Probe("chat.whole", "the answer to anything that doesn't stream: titles, commit messages, judges", whole),
    Probe(
        "stream.transport", "agents stream; an answer that comes whole or stalls ends in their time limit", transport
    ),
    Probe("stream.events", "one event that doesn't parse ends the turn in every SDK", events),
    Probe("stream.order", "clients stop reading at the finish: text behind it is lost", order),
    Probe("stream.end", "without a true end a cut answer looks whole: agents write truncated files", end),
    Probe("stream.text", "marks of reasoning in the text end up in files and commits", agrees),
)
