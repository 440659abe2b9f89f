"""The other two wires: Responses (Codex speaks nothing else) and Messages (Claude Code). Not offered is degraded: a router
translates."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from autorouter.probe.bench import ANSWER_TOKENS, PROMPT, SYSTEM, Bench, refuses
from autorouter.probe.line import Seen
from autorouter.probe.probes import Probe
from autorouter.probe.report import Finding, quoted
from autorouter.probe.streamed import split
from autorouter.wire import decode_messages, decode_responses, loose
from autorouter.wire.events import Event, Failed, Finished, TextDelta, UsageEvent

VERSION: Final = {"anthropic-version": "2023-06-01"}
RESPONSES_ENDS: Final = ("response.completed", "response.incomplete")


async def responses_whole(bench: Bench) -> Finding:
    """`POST /responses`."""
    seen = await bench.post("/responses", _responses(bench, stream=False))
    if problem := missing(bench, seen):
        return problem
    if words := bench.unusable(seen):
        return Finding("fail", words)
    if seen.document.get("object") != "response":
        return Finding("fail", f"object is {quoted(seen.document.get('object'))}")
    return _read(decode_responses.whole(seen.document))


async def responses_stream(bench: Bench) -> Finding:
    """The same as typed events, ended by `response.completed`."""
    seen = await bench.post("/responses", _responses(bench, stream=True))
    if problem := missing(bench, seen):
        return problem
    frames = [(frame.name, loose.loads(frame.data) or {}) for frame in split(seen) if frame.data.strip() != b"[DONE]"]
    kinds = [loose.text(document.get("type")) for _, document in frames]
    if not frames:
        return Finding("fail", f"no events ({quoted(seen.kind)})")
    if kinds[-1] not in RESPONSES_ENDS:
        return Finding("fail", f"it ends with {quoted(kinds[-1])} and not with `response.completed`")
    numbers = [n for _, document in frames if isinstance(n := document.get("sequence_number"), int)]
    wrong = []
    if kinds[0] != "response.created":
        wrong.append(f"it begins with {quoted(kinds[0])}")
    if any(name and name != kind for (name, _), kind in zip(frames, kinds, strict=True)):
        wrong.append("names of events differ from their types")
    if any(b <= a for a, b in pairwise(numbers)):
        wrong.append("sequence numbers don't rise")
    read = _read(decoded(decode_responses.ResponsesDecoder(), seen))
    return Finding("degraded", ", ".join(wrong)) if wrong and read.result == "pass" else read


async def messages_whole(bench: Bench) -> Finding:
    """`POST /messages`."""
    seen = await bench.post("/messages", _messages(bench, stream=False), headers=VERSION)
    if problem := missing(bench, seen):
        return problem
    if words := bench.unusable(seen):
        return Finding("fail", words)
    if seen.document.get("type") != "message":
        return Finding("fail", f"type is {quoted(seen.document.get('type'))}")
    return _read(decode_messages.whole(seen.document))


async def messages_stream(bench: Bench) -> Finding:
    """The same as events, from `message_start` to `message_stop`, each block closed."""
    seen = await bench.post("/messages", _messages(bench, stream=True), headers=VERSION)
    if problem := missing(bench, seen):
        return problem
    kinds = [loose.text((loose.loads(frame.data) or {}).get("type")) for frame in split(seen)]
    if not kinds:
        return Finding("fail", f"no events ({quoted(seen.kind)})")
    if kinds[-1] != "message_stop":
        return Finding("fail", f"it ends with {quoted(kinds[-1])} and not with `message_stop`")
    begun, ended = kinds.count("content_block_start"), kinds.count("content_block_stop")
    if begun != ended:
        return Finding("fail", f"{begun} blocks begin and {ended} end")
    read = _read(decoded(decode_messages.MessagesDecoder(), seen))
    if read.result == "pass" and kinds[0] != "message_start":
        return Finding("degraded", f"it begins with {quoted(kinds[0])}")
    return read


def _responses(bench: Bench, *, stream: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"model": bench.model, "instructions": SYSTEM, "input": PROMPT, "stream": stream}
    return document | {"max_output_tokens": ANSWER_TOKENS, "store": False}


def _messages(bench: Bench, *, stream: bool) -> dict[str, Any]:
    said = [{"role": "user", "content": PROMPT}]
    return {"model": bench.model, "max_tokens": ANSWER_TOKENS, "system": SYSTEM, "messages": said, "stream": stream}


def missing(bench: Bench, seen: Seen) -> Finding | None:
    """Not offered, or no answer."""
    if refuses(seen):
        return Finding("degraded", f"not offered: {bench.said(seen)}")
    if seen.failure is not None or seen.status != 200:
        return Finding("fail", bench.said(seen))
    return None


def decoded(decoder: Any, seen: Seen) -> list[Event]:
    """As the router reads it."""
    events: list[Event] = []
    for _, chunk in seen.chunks:
        events += decoder.feed(chunk)
    return events + list(decoder.end())


def _read(events: list[Event]) -> Finding:
    failed = [event for event in events if isinstance(event, Failed)]
    if failed:
        return Finding("fail", f"{quoted(failed[0].code)}: {quoted(failed[0].message)}")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    if not text:
        return Finding("fail", "no text")
    if not any(isinstance(event, Finished) for event in events):
        return Finding("fail", "it doesn't say how it ended")
    used = next((event.usage for event in reversed(events) if isinstance(event, UsageEvent)), None)
    if used is None or not used.input_tokens or not used.output_tokens:
        return Finding("degraded", f"{len(text)} characters, but no usage")
    return Finding("pass", f"{len(text)} characters, {used.input_tokens:,} + {used.output_tokens:,} tokens")


PROBES = (
    Probe(
        "responses.whole", "Codex speaks only this; where it isn't offered, a router must translate", responses_whole
    ),
    Probe("responses.stream", "Codex reads the typed events, and retries what doesn't end", responses_stream),
    Probe(
        "messages.whole",
        "Claude Code speaks only this; where it isn't offered, a router must translate",
        messages_whole,
    ),
    Probe("messages.stream", "an unclosed block or a missing end makes the client ask again", messages_stream),
)
