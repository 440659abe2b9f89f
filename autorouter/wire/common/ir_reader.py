"""How `prompt_reader` reads messages of the intermediate form, and the names of the tools a request declares.

Apart from `prompt_reader`, because chat requests are read without loading the intermediate form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from autorouter.core.types import ToolCall, ToolEvent, ToolResult
from autorouter.wire.common import human_text
from autorouter.wire.common.ir import ImagePart, Message, RequestIR, TextPart, ToolCallPart, ToolResultPart
from autorouter.wire.common.prompt_reader import MessageReader


def declared_tool_names(request: RequestIR) -> tuple[str, ...]:
    """Names of the declared tools, hosted ones included; empty if the client forbids their use."""
    if request.tool_choice == "none":
        return ()
    return (*(tool.name for tool in request.tools), *request.hosted_tools)


def _role(message: Message) -> Literal["user", "assistant", "tool"] | None:
    return None if message.role == "system" else message.role


def _texts(message: Message) -> Iterator[str]:
    return (part.text for part in message.parts if isinstance(part, TextPart))


def _tool_events(message: Message) -> Iterator[ToolEvent]:
    for part in reversed(message.parts):
        if isinstance(part, ToolCallPart):
            yield ToolCall(part.name, human_text.excerpt(part.arguments))
        elif isinstance(part, ToolResultPart):
            text = "\n".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
            yield ToolResult(human_text.excerpt(text), part.is_error)


def _image_urls(message: Message) -> Iterator[str]:
    for part in message.parts:
        for inner in part.parts if isinstance(part, ToolResultPart) else (part,):
            if isinstance(inner, ImagePart):
                yield inner.url


IR_READER = MessageReader(role=_role, texts=_texts, tool_events=_tool_events, image_urls=_image_urls)
