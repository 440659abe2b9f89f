"""The one neutral form between the wires: a conversation on its way up, events on their way down.

A request that leaves on another wire than it came goes  document -> `RequestIR` -> document,  its answer goes
bytes -> `StreamEvent`s -> bytes. What the neutral form or the target can't hold is a `TranslationLoss`, and the receipt lists it.

    RequestIR(system=(TextPart("You are ..."),), messages=(
        Message("user", (TextPart("fix it"),)),
        Message("assistant", (TextPart("Let me look."), ToolCallPart(id="call_1", name="exec_command", arguments="{}"))),
        Message("tool", (ToolResultPart(call_id="call_1", parts=(TextPart("main.py"),)),)),
    ), tools=(ToolDefinition(name="exec_command", schema={...}),))

An answer in the neutral form, event by event, whatever wire it came on; and folded into one `ResponseIR`.

    StreamStarted("chatcmpl-1", "m") TextDelta("Let me") TextDelta(" look.") ToolCallStarted(0, "call_1", "exec_command")
    ToolCallDelta(0, '{"cmd":') ToolCallDelta(0, '"ls"}') ToolCallEnded(0) UsageEvent(Usage(...)) StreamFinished("tool_calls")

`StreamFinished` or `StreamFailed` is the last event, and there is exactly one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.types import Usage

MessageRole = Literal["system", "user", "assistant", "tool"]
ReasoningFormat = Literal["chat", "responses", "messages", "redacted"]
"""How a reasoning's opaque payload is spelled: it goes back in this shape only. `redacted`: Anthropic's own kind."""


@dataclass(frozen=True, slots=True)
class TranslationLoss:
    """What couldn't be carried over. `what` is the kind (`tool`, `field`, `reasoning`, `image`, `file`, `call`, `result`),
    `name` which one. `api` and `summary_kept` go with the codes that need them. Never holds a prompt's text."""

    what: str
    name: str
    code: ReasonCode
    api: str | None = None
    summary_kept: bool | None = None

    def as_reason(self) -> Reason:
        """For the receipt."""
        extra = {"api": self.api, "summary_kept": self.summary_kept}
        given = {name: value for name, value in extra.items() if value is not None}
        return Reason(self.code, {"what": self.what, "name": self.name, **given})


# ---- parts of messages


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """`url` is an address or a `data:` URL; `detail` is OpenAI's low, high or auto."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPart:
    """A tool call. `arguments` is the text as the model wrote it: JSON, or the free-form input of a `custom` tool."""

    id: str
    name: str
    arguments: str
    namespace: str | None = None
    custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResultPart:
    """What a tool answered."""

    call_id: str
    parts: tuple[TextPart | ImagePart, ...]
    is_error: bool = False
    custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningPart:
    """A model's thoughts: what can be read of them, and the `payload` (encrypted content, a signature) that only their
    maker understands. `origin` says who that is; None is unknown."""

    summary: tuple[str, ...] = ()
    payload: str = ""
    shape: ReasoningFormat = "chat"
    origin: str | None = None
    id: str = ""


MessagePart = TextPart | ImagePart | ToolCallPart | ToolResultPart | ReasoningPart


@dataclass(frozen=True, slots=True)
class Message:
    """One speaker's parts in a row. Results stand in messages of the role `tool`, calls and reasoning in `assistant`."""

    role: MessageRole
    parts: tuple[MessagePart, ...]


# ---- tools and wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A tool with JSON arguments, or (`custom`) one with free-form input in `grammar`: OpenAI's `format` object."""

    name: str
    description: str = ""
    schema: dict[str, Any] = field(default_factory=dict)
    strict: bool | None = None
    namespace: str | None = None
    custom: bool = False
    grammar: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NamedToolChoice:
    """The choice of one certain tool."""

    name: str
    namespace: str | None = None


ToolChoice = Literal["auto", "none", "required"] | NamedToolChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """The shape that the answer must have: any JSON object, or one of a schema."""

    kind: Literal["json_object", "json_schema"]
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestIR:
    """A request without its wire. `effort` is the word as sent (`none` .. `max`); `hosted` are the provider's own tools,
    which nobody else can run; `namespaces` their descriptions; `cache_key` and `user` say who is speaking."""

    system: tuple[TextPart, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    hosted_tools: tuple[str, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    stream: bool = False
    cache_key: str | None = None
    user: str | None = None
    losses: tuple[TranslationLoss, ...] = ()


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class StreamStarted:
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
class ReasoningEnded:
    """A block of reasoning ended; `payload` is what its maker wants back (empty: nothing)."""

    payload: str
    shape: ReasoningFormat
    id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call began. `index` names it until its end and counts from 0 in the order of beginning. An empty `id` is
    filled by the encoder."""

    index: int
    id: str
    name: str
    namespace: str | None = None
    custom: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a call's arguments (or free-form input): never a repetition, never an empty text."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """No more of this call will come."""

    index: int


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Tokens, as the upstream counts them; a later one replaces an earlier."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The answer is whole. `stop_sequence`: the one that ended it."""

    reason: FinishReason
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The answer can't be finished. `code` is the upstream's own, or `malformed`, `early_end`, `too_large`. `message` is
    the upstream's or ours and unscrubbed: the server decides what of it a client may see."""

    message: str
    code: str = "server_error"
    type: str = "server_error"


StreamEvent = (
    StreamStarted
    | TextDelta
    | ReasoningDelta
    | ReasoningEnded
    | ToolCallStarted
    | ToolCallDelta
    | ToolCallEnded
    | UsageEvent
    | StreamFinished
    | StreamFailed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseIR:
    """A whole answer. `failed` is set instead of `finished` where it is none."""

    id: str = ""
    model: str = ""
    parts: tuple[TextPart | ToolCallPart | ReasoningPart, ...] = ()
    usage: Usage | None = None
    finished: StreamFinished | None = None
    failed: StreamFailed | None = None


def collect_events(events: Iterable[StreamEvent]) -> ResponseIR:
    """Fold events into the whole answer; parts stand in the order in which they began."""
    slots: list[list[Any]] = []
    calls: dict[int, list[Any]] = {}
    started, usage, finished, failed = StreamStarted("", ""), None, None, None
    for event in events:
        match event:
            case StreamStarted():
                started = event
            case UsageEvent():
                usage = event.usage
            case StreamFinished():
                finished = event
            case StreamFailed():
                failed = event
            case _:
                _take(event, slots, calls)
    parts = tuple(_part(slot) for slot in slots if slot[0] is not None)
    return ResponseIR(id=started.id, model=started.model, parts=parts, usage=usage, finished=finished, failed=failed)


def _take(event: StreamEvent, slots: list[list[Any]], calls: dict[int, list[Any]]) -> None:
    """Put a piece of a part into the slot of its part, which begins with the part's class."""
    match event:
        case TextDelta(text):
            _open(slots, TextPart).append(text)
        case ReasoningDelta():
            _open(slots, ReasoningPart).append(event)
        case ReasoningEnded():
            _open(slots, ReasoningPart).append(event)
            slots.append([None])
        case ToolCallStarted(index):
            slots.append(calls.setdefault(index, [ToolCallPart, event]))
        case ToolCallDelta(index, text) if index in calls:
            calls[index].append(text)
        case _:
            pass


def _open(slots: list[list[Any]], kind: type) -> list[Any]:
    if not slots or slots[-1][0] is not kind:
        slots.append([kind])
    return slots[-1]


def _part(slot: list[Any]) -> TextPart | ToolCallPart | ReasoningPart:
    if slot[0] is TextPart:
        return TextPart("".join(slot[1:]))
    if slot[0] is ToolCallPart:
        began: ToolCallStarted = slot[1]
        return ToolCallPart(
            id=began.id,
            name=began.name,
            arguments="".join(slot[2:]),
            namespace=began.namespace,
            custom=began.custom,
        )
    summary: dict[int, str] = {}
    sealed = ReasoningEnded("", "chat")
    for event in slot[1:]:
        if isinstance(event, ReasoningDelta):
            summary[event.part] = summary.get(event.part, "") + event.text
        else:
            sealed = event
    return ReasoningPart(summary=tuple(summary.values()), payload=sealed.payload, shape=sealed.shape, id=sealed.id)
