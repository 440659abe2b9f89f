"""`POST /v1/messages`: the client's bytes -> Task, and what goes upstream on the same wire. Claude Code speaks nothing else.

messages[-1]   may be `{"role": "system", ...}`: the environment, behind the human's message
user content   <system-reminder> blocks come first, the human's words last; on later turns only tool results stand there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autorouter.core.values import EXCERPT_CHARS, Task
from autorouter.errors import RequestError
from autorouter.wire import identity, reading
from autorouter.wire.messages_in import to_neutral
from autorouter.wire.responses import tool_names


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A request as it came: the task, and where its model's name stands."""

    task: Task
    place: reading.Place


def parse(body: bytes, headers: Mapping[str, str]) -> MessagesRequest:
    """Read and check a request. Raises RequestError (400) that names the field. `headers` are lower-case."""
    document = reading.document_of(body)
    label, stream = reading.label_of(document), reading.stream_of(document)
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("`messages` must be a non-empty list", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(f"`messages[{index}]` must be an object with a `role`", param=f"messages[{index}]")
    max_output_tokens = reading.max_output_of(document, "max_tokens")
    conversation = to_neutral(document)
    read = reading.read(conversation)
    system = conversation.system[0].text if conversation.system else ""
    client = identity.client_of(headers, system)
    session, agent = identity.session_of(headers, document, client=client, system=system, opening=read.opening)
    task = Task(
        wire="messages",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - read.image_bytes,
        ask=read.ask,
        fresh=read.fresh,
        system=system[:EXCERPT_CHARS],
        opening=read.opening,
        trail=read.trail,
        tools=tool_names(conversation),
        images=read.images,
        json_schema=conversation.format is not None,
        reasoning_effort=conversation.effort,
        max_output_tokens=max_output_tokens,
        messages=len(messages),
        client=client,
        session=session,
        agent=agent,
        headers=reading.kept_headers(headers),
    )
    return MessagesRequest(task, reading.place_of(body, document))


def outgoing(request: MessagesRequest, model: str) -> bytes:
    """The body for an upstream of the same wire: the client's bytes, with the model's name exchanged."""
    return reading.with_model(request.task.body, request.place, model)
