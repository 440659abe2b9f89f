"""The conformance corpus: fixtures written by us, and what the tests do with them."""

import json
from pathlib import Path

from autorouter.core.types import Usage
from autorouter.wire.common.ir import ImagePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from autorouter.wire.common.tool_names import ToolCallRestorer, ToolNameMap
from autorouter.wire.translate import DECODERS

WIRES = ("chat", "responses", "messages")
PAIRS = [(client, upstream) for client in WIRES for upstream in WIRES]
HOME = Path(__file__).parent / "corpus"


def load(kind):
    return {path.stem: json.loads(path.read_text()) for path in sorted((HOME / kind).glob("*.json"))}


def stream(frames, wire):
    """Frames as the wire has them: with an event's name where there are names, `[DONE]` where there is one."""
    out = []
    for frame in frames:
        name = f"event: {frame['type']}\n" if wire != "chat" and "type" in frame else ""
        out.append(f"{name}data: {json.dumps(frame, ensure_ascii=False)}\n\n")
    if wire == "chat":
        out.append("data: [DONE]\n\n")
    return "".join(out).encode()


def decode(data, wire, size=None, names=None):
    """All events of a stream, fed in pieces of so many bytes."""
    decoder, restorer = DECODERS[wire](), ToolCallRestorer(names or ToolNameMap())
    size = size or len(data) or 1
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    events += decoder.end()
    return [restored for event in events for restored in restorer.feed(event)]


def parts_of(answer):
    """An answer's parts as the fixtures spell them."""
    found = []
    for part in answer.parts:
        match part:
            case TextPart(text):
                found.append({"text": text})
            case ReasoningPart():
                found.append({"summary": "\n\n".join(part.summary)})
            case ToolCallPart():
                call = {"id": part.id, "name": part.name, "arguments": part.arguments}
                call |= {"namespace": part.namespace} if part.namespace else {}
                found.append(call | ({"custom": True} if part.custom else {}))
    return found


def usage_of(found):
    return Usage(**found)


def meaning(conversation):
    """What a conversation says, without what differs from wire to wire: how words are cut into parts and messages."""
    said = []
    for message in conversation.messages:
        words = "\n\n".join(part.text for part in message.parts if isinstance(part, TextPart))
        rest = [
            (part.call_id, "\n".join(inner.text for inner in part.parts if isinstance(inner, TextPart)))
            if isinstance(part, ToolResultPart)
            else (part.id, part.name, json.loads(part.arguments))
            if isinstance(part, ToolCallPart)
            else part.url
            for part in message.parts
            if isinstance(part, ToolResultPart | ToolCallPart | ImagePart)
        ]
        said.append((message.role, words, rest))
    tools = [(tool.name, tool.description, tool.schema) for tool in conversation.tools]
    wishes = (
        conversation.tool_choice,
        conversation.parallel_tool_calls,
        conversation.max_output_tokens,
        conversation.temperature,
        conversation.top_p,
        conversation.stop,
        conversation.reasoning_effort,
        conversation.response_format and (conversation.response_format.kind, conversation.response_format.schema),
        conversation.stream,
    )
    return "\n\n".join(part.text for part in conversation.system), said, tools, wishes
