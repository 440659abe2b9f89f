"""Histories that survive a change of model.

A reasoning's payload that we hand to a client on a foreign wire is stamped with who made it, for it comes back with the
history, and only its maker takes it:

    ar1:relay/gpt-6:responses:rs_12:gAAAAB...        stamp, origin, shape, id, payload

A part from another origin is left out, and what can be read of it goes on as text of the assistant, cut short. Calls and
results are brought into the order that Chat and Messages insist on: each call answered, right behind it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import get_args
from urllib.parse import quote, unquote

from autorouter.core.reasons import ReasonCode
from autorouter.wire.common.ir import (
    Message,
    MessagePart,
    ReasoningFormat,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    TranslationLoss,
)

STAMP = "ar1:"
_QUOTED_STAMP = f'"{STAMP}'.encode()
SUMMARY_CHARS = 1_000
"""So much of a foreign reasoning's summary is kept."""
NO_RESULT = "[no result: the call was interrupted]"
ORPHAN = "[result of an earlier tool call]\n"


def stamp_payload(payload: str, *, origin: str, shape: ReasoningFormat, ident: str = "") -> str:
    """A payload as a client of another wire gets it. `origin` is `upstream/model`."""
    return f"{STAMP}{quote(origin)}:{shape}:{quote(ident)}:{payload}"


def read_stamped(payload: str, summary: tuple[str, ...], *, shape: ReasoningFormat, ident: str = "") -> ReasoningPart:
    """A reasoning as a client sent it back; `shape` and `ident` hold for a payload without a stamp."""
    fields = payload.split(":", 4)
    if payload.startswith(STAMP) and len(fields) == 5 and fields[2] in get_args(ReasoningFormat):
        return ReasoningPart(
            summary=summary,
            payload=fields[4],
            shape=_shape(fields[2]),
            origin=unquote(fields[1]),
            id=unquote(fields[3]),
        )
    return ReasoningPart(summary=summary, payload=payload, shape=shape, id=ident)


def _shape(word: str) -> ReasoningFormat:
    for shape in ("chat", "responses", "messages", "redacted"):
        if word == shape:
            return shape
    raise ValueError(word)


def keep_own_reasoning(
    messages: Sequence[Message],
    *,
    origin: str | None,
    formats: tuple[ReasoningFormat, ...],
    losses: list[TranslationLoss],
) -> list[Message]:
    """Messages whose reasoning is either the target's own, in a shape that it takes, or has become text."""
    settled = []
    for message in messages:
        if any(isinstance(part, ReasoningPart) for part in message.parts):
            parts: list[MessagePart] = []
            for part in message.parts:
                own = not isinstance(part, ReasoningPart) or (part.origin == origin and part.shape in formats)
                parts.extend((part,) if own or not isinstance(part, ReasoningPart) else reasoning_as_text(part, losses))
            message = Message(message.role, tuple(parts))
        if message.parts:
            settled.append(message)
    return settled


def reasoning_as_text(part: ReasoningPart, losses: list[TranslationLoss]) -> tuple[MessagePart, ...]:
    """What can be read of a reasoning, as the assistant's text; the rest is a loss."""
    summary = "\n\n".join(part.summary).strip()[:SUMMARY_CHARS]
    if part.payload or summary:
        losses.append(
            TranslationLoss(
                "reasoning", part.origin or "unknown", ReasonCode.REASONING_FOREIGN, summary_kept=bool(summary)
            )
        )
    return (TextPart(f"<reasoning_summary>\n{summary}\n</reasoning_summary>"),) if summary else ()


def pair_tool_calls(messages: Sequence[Message], losses: list[TranslationLoss]) -> list[Message]:
    """Messages where each call is answered in the message behind it, and each result has its call. Ids that are used
    anew later in a conversation find the nearest answer."""
    answers: dict[str, deque[tuple[int, ToolResultPart]]] = defaultdict(deque)
    for place, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                answers[part.call_id].append((place, part))
    taken: set[int] = set()
    ordered: list[Message] = []
    for place, message in enumerate(messages):
        left = tuple(part for part in message.parts if not isinstance(part, ToolResultPart) or id(part) not in taken)
        calls = [part for part in left if isinstance(part, ToolCallPart)]
        orphans = [part for part in left if isinstance(part, ToolResultPart)]
        if orphans:
            losses.extend(TranslationLoss("result", part.call_id, ReasonCode.RESULT_WITHOUT_CALL) for part in orphans)
            left = tuple(part for orphan in orphans for part in (TextPart(ORPHAN), *orphan.parts))
            ordered.append(Message("user", left))
        elif left:
            ordered.append(Message(message.role, left))
        if calls:
            found = [_answer(call, answers[call.id], place, losses) for call in calls]
            taken.update(id(part) for part in found)
            ordered.append(Message("tool", tuple(found)))
    return ordered


def _answer(
    call: ToolCallPart, waiting: deque[tuple[int, ToolResultPart]], place: int, losses: list[TranslationLoss]
) -> ToolResultPart:
    while waiting:
        where, found = waiting.popleft()
        if where > place:
            return found
    losses.append(TranslationLoss("call", call.id, ReasonCode.CALL_WITHOUT_RESULT))
    return ToolResultPart(call_id=call.id, parts=(TextPart(NO_RESULT),), is_error=True, custom=call.custom)


# ---- reasoning in a request that stays on its wire, where the bytes go through and nothing is translated
#
#   stamped here, for the target         the stamp is taken off: its maker gets back what it made
#   stamped here, for somebody else      left out; what can be read of it becomes text of the assistant
#   not stamped                          sent as it is, unless `strip`: the target has refused it (`invalid_encrypted_content`,
#                                        a bad signature), and is asked once more without


def needs_filter(body: bytes, *, strip: bool) -> bool:
    """Whether the body has to be parsed at all: a body without a stamp isn't."""
    return strip or _QUOTED_STAMP in body


def keeps_reasoning(part: ReasoningPart, formats: tuple[ReasoningFormat, ...], *, origin: str, strip: bool) -> bool:
    """Whether a reasoning goes on to the target `origin`, which takes these formats."""
    if strip:
        return False
    return part.origin is None or (part.origin == origin and part.shape in formats and bool(part.payload))
