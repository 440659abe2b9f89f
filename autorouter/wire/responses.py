"""`POST /v1/responses`: the client's bytes -> Task, and what goes upstream on the same wire. Codex speaks nothing else.

x-codex-turn-metadata   {"turn_id": "...", "request_kind": "turn" | "compaction", "thread_source": "user", ...}
thread-id               the session; a sub-agent has its own, and `x-codex-parent-thread-id` besides
input                   developer items, <environment_context> and tool results are not the human's words
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autorouter.core.types import EXCERPT_CHARS, Task
from autorouter.errors import RequestError
from autorouter.wire import fields, identity, loose, reading
from autorouter.wire.neutral import Conversation
from autorouter.wire.responses_in import to_neutral
from autorouter.wire.wishes import wishes_of

TURN_METADATA = "x-codex-turn-metadata"


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A request as it came: the task, and where its model's name stands."""

    task: Task
    place: fields.Place


def parse(body: bytes, headers: Mapping[str, str]) -> ResponsesRequest:
    """Read and check a request. Raises RequestError (400) that names the field. `headers` are lower-case."""
    document = fields.document_of(body)
    label, stream = fields.label_of(document), fields.stream_of(document)
    found = document.get("input")
    if not isinstance(found, str | list) or not found:
        raise RequestError("`input` must be a text or a non-empty list", param="input")
    if document.get("previous_response_id"):
        raise RequestError(
            "`previous_response_id` refers to a response that is not kept here",
            hint="send the whole conversation in `input`",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    max_output_tokens = fields.max_output_of(document, "max_output_tokens")
    conversation = to_neutral(document)
    read = reading.read(conversation)
    chore = _turn(document, headers).get("request_kind") == "compaction"
    system = conversation.system[0].text if conversation.system else ""
    client = identity.client_of(headers, system)
    session, agent = identity.session_of(headers, document, client=client, system=system, opening=read.opening)
    if agent is None and headers.get("x-codex-parent-thread-id"):
        agent = session
    task = Task(
        wire="responses",
        label=label,
        stream=stream,
        body=body,
        prompt_bytes=len(body) - read.image_bytes,
        ask=read.ask,
        fresh=read.fresh,
        system=system[:EXCERPT_CHARS],
        opening=read.opening,
        # A compaction is known by its shape downstream: no tools, no trail.
        trail=() if chore else read.trail,
        tools=() if chore else tool_names(conversation),
        images=read.images,
        json_schema=conversation.format is not None and conversation.format.kind == "json_schema",
        reasoning_effort=conversation.effort,
        max_output_tokens=max_output_tokens,
        messages=len(conversation.messages) + bool(conversation.system),
        client=client,
        session=session,
        agent=agent,
        headers=fields.kept_headers(headers),
        wishes=wishes_of(document.get(fields.EXTENSION), headers),
    )
    return ResponsesRequest(task, fields.place_of(body, document))


def tool_names(conversation: Conversation) -> tuple[str, ...]:
    """Names of the declared tools, hosted ones included; empty where the client forbids their use."""
    if conversation.choice == "none":
        return ()
    return (*(tool.name for tool in conversation.tools), *conversation.hosted)


def _turn(document: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Codex's own words about the turn: from its header, else from the body, where the same stands."""
    metadata = loose.an_object(document.get("client_metadata"))
    said = headers.get(TURN_METADATA) or loose.text(metadata.get(TURN_METADATA))
    return loose.loads(said) or {} if said else {}
