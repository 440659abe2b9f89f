"""What a request asks of the dry run: a body of any wire -> `DryRequest`.

chat         read as it stands
responses    through the neutral form of `wire/`, whose modules are loaded at the first such request
messages     likewise
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from autorouter.core.types import ASK_CHARS, Wire
from autorouter.upstream import roles
from autorouter.upstream.roles import Task
from autorouter.upstream.script import DryRequest
from autorouter.upstream.toolfill import DryTool
from autorouter.wire import human

if TYPE_CHECKING:
    from autorouter.wire.neutral import Conversation

PATHS: Final[Mapping[str, Wire]] = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/messages": "messages",
}
"""How a path ends -> the wire that is spoken there."""
_TALK: Final[Mapping[Wire, str]] = {"chat": "messages", "responses": "input", "messages": "messages"}
"""The member that holds the conversation."""
_JSON_OBJECT: Final = {"required": ["dry_run"], "properties": {"dry_run": {"const": True}}}
"""What `response_format: json_object` asks for, as a schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """`parts` is the prompt in the order that a provider's cache sees it: the tools, then each message. `include_usage`:
    a stream tells its usage; on chat only where it was asked for."""

    request: DryRequest
    parts: tuple[bytes, ...]
    include_usage: bool


def wire_of(path: str) -> Wire | None:
    """The wire that a path is of; None for one that no wire has."""
    plain = path.partition("?")[0].rstrip("/")
    return next((wire for end, wire in PATHS.items() if plain.endswith(end)), None)


def decode(body: bytes, candidate_id: str, wire: Wire = "chat") -> Decoded:
    """Read a request; raises ValueError that says what a provider would refuse."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"The body is not valid JSON: {exc}") from exc
    member = _TALK[wire]
    talk = document.get(member) if isinstance(document, dict) else None
    if wire == "responses" and isinstance(talk, str) and talk:
        talk = [{"role": "user", "content": talk}]
    if not isinstance(talk, list) or not all(isinstance(one, dict) for one in talk) or not talk:
        raise ValueError(f"`{member}` must be a non-empty list of objects")
    seed = hashlib.sha256(body).digest()
    if wire == "chat":
        request, first = _of_chat(document, talk, candidate_id, seed), []
    else:
        from autorouter.wire.translate import to_neutral

        request = _of_conversation(to_neutral(document, wire), candidate_id, seed)
        first = [document.get("instructions"), document.get("system")]
    options = document.get("stream_options")
    return Decoded(
        request=request,
        parts=tuple(orjson.dumps(part) for part in (document.get("tools"), *first, *talk)),
        include_usage=wire != "chat" or (isinstance(options, dict) and options.get("include_usage") is True),
    )


def _of_chat(
    document: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], candidate_id: str, seed: bytes
) -> DryRequest:
    task, rest = _take_role_task(messages)
    ask, raw, results = _latest(rest)
    system = "\n".join(
        human.text_of(one.get("content")) for one in messages if one.get("role") in ("system", "developer")
    )
    return DryRequest(
        candidate_id=candidate_id,
        ask=ask,
        seed=seed,
        system=system,
        rules=f"{system}\n{raw}",
        tools=_chat_tools(document),
        results=results,
        must_call=_chat_must_call(document.get("tool_choice")),
        schema=_chat_schema(document.get("response_format")),
        task=task,
    )


def _of_conversation(conversation: Conversation, candidate_id: str, seed: bytes) -> DryRequest:
    messages = list(_as_chat(conversation))
    task, rest = _take_role_task(messages)
    ask, raw, results = _latest(rest)
    system = "\n".join(
        [*(part.text for part in conversation.system)]
        + [human.text_of(one["content"]) for one in messages if one["role"] == "system"]
    )
    choice, wanted = conversation.choice, conversation.format
    tools = (
        DryTool(tool.name, tool.schema, tool.namespace, tool.custom)
        for tool in (conversation.tools if choice != "none" else ())
    )
    must_call = "" if choice == "required" else None if choice is None or isinstance(choice, str) else choice.name
    return DryRequest(
        candidate_id=candidate_id,
        ask=ask,
        seed=seed,
        system=system,
        rules=f"{system}\n{raw}",
        tools=tuple(tools),
        results=results,
        must_call=must_call,
        schema=None if wanted is None else _JSON_OBJECT if wanted.kind == "json_object" else wanted.schema,
        task=task,
    )


def _as_chat(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """Messages with the texts alone, one for each result."""
    from autorouter.wire.neutral import Result, Text

    for message in conversation.messages:
        if message.role == "tool":
            yield from ({"role": "tool"} for part in message.parts if isinstance(part, Result))
        else:
            texts = [{"text": part.text} for part in message.parts if isinstance(part, Text)]
            yield {"role": message.role, "content": texts}


def _take_role_task(messages: Sequence[Mapping[str, Any]]) -> tuple[Task | None, Sequence[Mapping[str, Any]]]:
    """The inner role's task in the user's last message, and the messages without it."""
    place = next((n for n in reversed(range(len(messages))) if messages[n].get("role") == "user"), None)
    if place is None:
        return None, messages
    task, rest = roles.take(messages[place])
    return task, [*messages[:place], rest, *messages[place + 1 :]]


def _latest(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str, int]:
    """The human's latest words, the message that holds them as it came, and how many tool results came since."""
    results = 0
    for message in reversed(messages):
        if message.get("role") in ("tool", "function"):
            results += 1
        elif message.get("role") == "user":
            ask, raw = human.human_text(message.get("content")), human.text_of(message.get("content"))
            if ask and not human.is_example(ask):
                # Long words are cut for the core's sake; an errand may stand at their end.
                return (f"{ask}\n{raw[-ASK_CHARS:]}" if len(ask) >= ASK_CHARS else ask), raw, results
    return "", "", results


def _chat_tools(document: Mapping[str, Any]) -> tuple[DryTool, ...]:
    tools = document.get("tools")
    if not isinstance(tools, list) or document.get("tool_choice") == "none":
        return ()
    found = []
    for tool in tools:
        inner = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            schema = inner.get("parameters")
            found.append(DryTool(inner["name"], schema if isinstance(schema, dict) else {}))
    return tuple(found)


def _chat_must_call(choice: Any) -> str | None:
    if choice == "required":
        return ""
    inner = choice.get("function") if isinstance(choice, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def _chat_schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return _JSON_OBJECT
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None
