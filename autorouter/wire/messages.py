"""`POST /v1/messages`: the client's bytes -> Task, and what goes upstream on the same wire. Claude Code speaks nothing else.

messages[-1]   may be `{"role": "system", ...}`: the environment, behind the human's message
user content   <system-reminder> blocks come first, the human's words last; on later turns only tool results stand there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autorouter.core.types import EXCERPT_CHARS, Task
from autorouter.wire import fields, identity, reading
from autorouter.wire.messages_in import to_neutral
from autorouter.wire.responses import tool_names
from autorouter.wire.wishes import wishes_of


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A request as it came: the task, and where its model's name stands."""

    task: Task
    place: fields.Place


def parse(body: bytes, headers: Mapping[str, str]) -> MessagesRequest:
    """Read and check a request. Raises RequestError (400) that names the field. `headers` are lower-case."""
    document = fields.document_of(body)
    label, stream = fields.label_of(document), fields.stream_of(document)
    messages = fields.messages_of(document)
    max_output_tokens = fields.max_output_of(document, "max_tokens")
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
        headers=fields.kept_headers(headers),
        wishes=wishes_of(document.get(fields.EXTENSION), headers),
    )
    return MessagesRequest(task, fields.place_of(body, document))
