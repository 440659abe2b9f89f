"""An answer in the neutral form, event by event, whatever wire it came on; and folded into one `Answer`.

    Started("chatcmpl-1", "m") TextDelta("Let me") TextDelta(" look.") CallStarted(0, "call_1", "exec_command")
    CallDelta(0, '{"cmd":') CallDelta(0, '"ls"}') CallEnded(0) UsageEvent(Usage(...)) Finished("tool_calls")

`Finished` or `Failed` is the last event, and there is exactly one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from autorouter.core.types import Usage
from autorouter.wire.neutral import Call, Reasoning, Shape, Text

Reason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class Started:
    """The upstream began to answer; either may be empty where it doesn't say."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what can be read of the thoughts. `part` counts the parts of a summary."""

    text: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningSealed:
    """A block of reasoning ended; `payload` is what its maker wants back (empty: nothing)."""

    payload: str
    shape: Shape
    id: str = ""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool call began. `index` names it until its end and counts from 0 in the order of beginning. An empty `id` is
    filled by the encoder."""

    index: int
    id: str
    name: str
    namespace: str | None = None
    custom: bool = False


@dataclass(frozen=True, slots=True)
class CallDelta:
    """More of a call's arguments (or free-form input): never a repetition, never an empty text."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """No more of this call will come."""

    index: int


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Tokens, as the upstream counts them; a later one replaces an earlier."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. `stop_sequence`: the one that ended it."""

    reason: Reason
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer can't be finished. `code` is the upstream's own, or `malformed`, `early_end`, `too_large`. `message` is
    the upstream's or ours and unscrubbed: the server decides what of it a client may see."""

    message: str
    code: str = "server_error"
    type: str = "server_error"


Event = (
    Started
    | TextDelta
    | ReasoningDelta
    | ReasoningSealed
    | CallStarted
    | CallDelta
    | CallEnded
    | UsageEvent
    | Finished
    | Failed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. `failed` is set instead of `finished` where it is none."""

    id: str = ""
    model: str = ""
    parts: tuple[Text | Call | Reasoning, ...] = ()
    usage: Usage | None = None
    finished: Finished | None = None
    failed: Failed | None = None


def collect(events: Iterable[Event]) -> Answer:
    """Fold events into the whole answer; parts stand in the order in which they began."""
    slots: list[list[Any]] = []
    calls: dict[int, list[Any]] = {}
    started, usage, finished, failed = Started("", ""), None, None, None
    for event in events:
        match event:
            case Started():
                started = event
            case UsageEvent():
                usage = event.usage
            case Finished():
                finished = event
            case Failed():
                failed = event
            case _:
                _take(event, slots, calls)
    parts = tuple(_part(slot) for slot in slots if slot[0] is not None)
    return Answer(id=started.id, model=started.model, parts=parts, usage=usage, finished=finished, failed=failed)


def _take(event: Event, slots: list[list[Any]], calls: dict[int, list[Any]]) -> None:
    """Put a piece of a part into the slot of its part, which begins with the part's class."""
    match event:
        case TextDelta(text):
            _open(slots, Text).append(text)
        case ReasoningDelta():
            _open(slots, Reasoning).append(event)
        case ReasoningSealed():
            _open(slots, Reasoning).append(event)
            slots.append([None])
        case CallStarted(index):
            slots.append(calls.setdefault(index, [Call, event]))
        case CallDelta(index, text) if index in calls:
            calls[index].append(text)
        case _:
            pass


def _open(slots: list[list[Any]], kind: type) -> list[Any]:
    if not slots or slots[-1][0] is not kind:
        slots.append([kind])
    return slots[-1]


def _part(slot: list[Any]) -> Text | Call | Reasoning:
    if slot[0] is Text:
        return Text("".join(slot[1:]))
    if slot[0] is Call:
        began: CallStarted = slot[1]
        return Call(
            id=began.id,
            name=began.name,
            arguments="".join(slot[2:]),
            namespace=began.namespace,
            custom=began.custom,
        )
    summary: dict[int, str] = {}
    sealed = ReasoningSealed("", "chat")
    for event in slot[1:]:
        if isinstance(event, ReasoningDelta):
            summary[event.part] = summary.get(event.part, "") + event.text
        else:
            sealed = event
    return Reasoning(summary=tuple(summary.values()), payload=sealed.payload, shape=sealed.shape, id=sealed.id)
