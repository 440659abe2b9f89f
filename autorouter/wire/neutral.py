"""The one neutral form between the wires: a conversation on its way up, events on their way down.

A request that leaves on another wire than it came goes  document -> `Conversation` -> document,  its answer goes
bytes -> `Event`s -> bytes. What the neutral form or the target can't hold is a `Loss`, and stands on the receipt.

    Conversation(system=(Text("You are ..."),), messages=(
        Message("user", (Text("fix it"),)),
        Message("assistant", (Text("Let me look."), Call(id="call_1", name="exec_command", arguments='{"cmd":"ls"}'))),
        Message("tool", (Result(call_id="call_1", parts=(Text("main.py"),)),)),
    ), tools=(Function(name="exec_command", schema={...}),))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Shape = Literal["chat", "responses", "messages", "redacted"]
"""How a reasoning's opaque payload is spelled: it goes back in this shape only. `redacted`: Anthropic's own kind."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What couldn't cross. `what` is the kind (`tool`, `field`, `reasoning`, `image`, `file`, `call`, `result`), `name`
    which one, `why` one clause for the receipt. Never holds a prompt's text."""

    what: str
    name: str
    why: str


# ---- parts of messages


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """`url` is an address or a `data:` URL; `detail` is OpenAI's low, high or auto."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call. `arguments` is the text as the model wrote it: JSON, or the free-form input of a `custom` tool."""

    id: str
    name: str
    arguments: str
    namespace: str | None = None
    custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a tool answered."""

    call_id: str
    parts: tuple[Text | Image, ...]
    is_error: bool = False
    custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """A model's thoughts: what can be read of them, and the `payload` (encrypted content, a signature) that only their
    maker understands. `origin` says who that is; None is unknown."""

    summary: tuple[str, ...] = ()
    payload: str = ""
    shape: Shape = "chat"
    origin: str | None = None
    id: str = ""


Part = Text | Image | Call | Result | Reasoning


@dataclass(frozen=True, slots=True)
class Message:
    """One speaker's parts in a row. Results stand in messages of the role `tool`, calls and reasoning in `assistant`."""

    role: Role
    parts: tuple[Part, ...]


# ---- tools and wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A tool with JSON arguments, or (`custom`) one with free-form input in `grammar`: OpenAI's `format` object."""

    name: str
    description: str = ""
    schema: dict[str, Any] = field(default_factory=dict)
    strict: bool | None = None
    namespace: str | None = None
    custom: bool = False
    grammar: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """The choice of one certain tool."""

    name: str
    namespace: str | None = None


Choice = Literal["auto", "none", "required"] | Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The shape that the answer must have: any JSON object, or one of a schema."""

    kind: Literal["json_object", "json_schema"]
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A request without its wire. `effort` is the word as sent (`none` .. `max`); `hosted` are the provider's own tools,
    which nobody else can run; `namespaces` their descriptions; `cache_key` and `user` say who is speaking."""

    system: tuple[Text, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[Function, ...] = ()
    hosted: tuple[str, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    effort: str | None = None
    format: Format | None = None
    stream: bool = False
    cache_key: str | None = None
    user: str | None = None
    losses: tuple[Loss, ...] = ()
