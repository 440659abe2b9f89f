"""The Responses and Messages wires of the dry run: an `Answer` -> events -> bytes, by the encoders that clients get too.

    Text("Hi there")    Started  TextDelta("Hi ")  TextDelta("there")            UsageEvent  Finished("stop")
    ToolUse("ls", {})   Started  CallStarted(0, ...)  CallDelta(0, "{}")  CallEnded(0)  UsageEvent  Finished("tool_calls")

A provider does three things that a translation has no use for, and which are put in afterwards: a Messages stream tells
the input's tokens at its beginning, a refusal is a part of its own in Responses, and usage can be left out altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, Literal

import orjson

from autorouter.core.types import Usage
from autorouter.upstream.dryrun_chat import FAILED, Stamp, pieces, words
from autorouter.upstream.flow import Flow
from autorouter.upstream.script import Answer, Refused, Text, arguments_json
from autorouter.wire import frames, translate
from autorouter.wire.encoding import Heading, messages_usage
from autorouter.wire.events import (
    CallDelta,
    CallEnded,
    CallStarted,
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    UsageEvent,
    collect,
)

Spoken = Literal["responses", "messages"]
_FAILED_EVENT: Final = Failed(FAILED[2], FAILED[0], FAILED[1])


def _encode_translated(answer: Answer, stamp: Stamp, wire: Spoken, *, stream: bool) -> Flow:
    """The answer's bytes: one event a piece, or one document."""
    seed = stamp.seed[:12].hex()
    heading = Heading(seed=seed, model=stamp.model, origin=f"dry-run/{stamp.model}", created_s=stamp.created_s)
    events = list(_events(answer, stamp, wire))
    polish = _polish(answer, stamp.usage, wire)
    if not stream:
        document = polish(orjson.loads(translate.body_of(collect(events), wire, heading)))
        error = translate.body_of(collect([_FAILED_EVENT]), wire, heading)
        return Flow(pieces=(orjson.dumps(document),), stream=False, error=error)
    encoder = translate.ENCODERS[wire](heading)
    found = [frame for event in events for frame in _frames(encoder.feed(event))]
    error = _frames(translate.ENCODERS[wire](heading).feed(_FAILED_EVENT))[-1]
    return Flow(pieces=tuple(_polished(frame, polish) for frame in found), stream=True, error=error)


def _events(answer: Answer, stamp: Stamp, wire: Spoken) -> Iterator[Event]:
    yield Started("", stamp.model)
    match answer:
        case Text(text) | Refused(text):
            yield from (TextDelta(word) for word in words(text))
            finished = Finished("refusal" if isinstance(answer, Refused) else "stop")
        case _:
            # Each wire has ids of its own form; the encoder makes those of Messages.
            yield CallStarted(
                0, stamp.call_id if wire == "responses" else "", answer.name, answer.namespace, answer.custom
            )
            yield from (
                CallDelta(0, piece) for piece in pieces(arguments_json(answer), replace(stamp.style, cumulative=False))
            )
            yield CallEnded(0)
            finished = Finished("tool_calls")
    if stamp.usage is not None:
        yield UsageEvent(stamp.usage)
    yield finished


def _frames(data: bytes) -> list[bytes]:
    """The events of an encoder's bytes: JSON escapes its line breaks, so that each blank line ends one."""
    return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]


_Polish = Callable[[Any], Any]


def _polished(frame: bytes, polish: _Polish) -> bytes:
    return frames.named(polish(orjson.loads(frame.partition(b"\ndata: ")[2])))


def _polish(answer: Answer, usage: Usage | None, wire: Spoken) -> _Polish:
    """What is still to be done to each document."""
    if wire == "messages":
        return lambda document: _messages(document, usage)
    return _refusing if isinstance(answer, Refused) else lambda document: document


def _messages(document: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        document.pop("usage", None)
        if isinstance(document.get("message"), dict):
            document["message"].pop("usage", None)
    elif document["type"] == "message_start":
        document["message"]["usage"] = messages_usage(usage) | {"output_tokens": 1}
    return document


def _refusing(found: Any) -> Any:
    """The document with each text part as a refusal."""
    if isinstance(found, list):
        return [_refusing(one) for one in found]
    if not isinstance(found, dict):
        return found
    if found.get("type") == "output_text":
        return {"type": "refusal", "refusal": found["text"]}
    made = {name: _refusing(value) for name, value in found.items()}
    kind = made.get("type")
    if isinstance(kind, str) and kind.startswith("response.output_text."):
        made["type"] = kind.replace("output_text", "refusal")
        if "text" in made:
            made["refusal"] = made.pop("text")
    return made
