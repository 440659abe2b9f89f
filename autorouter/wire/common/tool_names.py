"""Tool names on a wire that has no namespaces and no free-form tools, and the way back.

    multi_agent_v1 / spawn_agent    -> spawn_agent                       unique: the plain name
    a / read,  b / read             -> a__read, b__read                  else with the namespace
    mcp.files/read                  -> mcp_files_read                    letters that OpenAI and Anthropic refuse
    apply_patch (free-form)         -> a function with one text, `input`

The model is free to write `multi_agent_v1__spawn_agent` or `multi_agent_v1.spawn_agent` all the same: both lead back.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autorouter.wire.common import lenient_json
from autorouter.wire.common.ir import (
    StreamEvent,
    StreamFailed,
    StreamFinished,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallStarted,
    ToolDefinition,
)

NAME_CHARS = 64
"""The longest name that OpenAI takes; Anthropic takes 128."""
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
ToolKey = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class ToolNameMap:
    """Both ways between (namespace, name) and the name on the upstream's wire. `wraps`: free-form tools are functions
    there."""

    upstream_names: dict[ToolKey, str] = field(default_factory=dict)
    declared: dict[str, ToolDefinition] = field(default_factory=dict)
    wraps_custom: bool = False

    def upstream_name(self, name: str, namespace: str | None) -> str:
        """The name to send. A tool of the history that is no longer declared keeps its own."""
        found = self.upstream_names.get((namespace, name))
        if found is not None:
            return found
        return _legal(name if not namespace or name not in self.declared else f"{namespace}__{name}")


def map_tool_names(tools: Iterable[ToolDefinition], *, wraps_custom: bool = True) -> ToolNameMap:
    """The table for a set of tools."""
    tools = tuple(tools)
    times = Counter(_legal(tool.name) for tool in tools)
    names = ToolNameMap(wraps_custom=wraps_custom)
    for tool in tools:
        plain = _legal(tool.name)
        sent = plain if times[plain] == 1 or not tool.namespace else _legal(f"{tool.namespace}__{tool.name}")
        if sent in names.declared:
            sent = _shortened(sent, f"{tool.namespace}/{tool.name}")
        names.upstream_names[(tool.namespace, tool.name)] = sent
        names.declared[sent] = tool
    for tool in tools:
        for alias in (f"{tool.namespace}__{tool.name}", f"{tool.namespace}.{tool.name}") if tool.namespace else ():
            names.declared.setdefault(alias, tool)
    return names


def _legal(name: str) -> str:
    legal = _REFUSED.sub("_", name) or "_"
    return legal if len(legal) <= NAME_CHARS else _shortened(legal, name)


def _shortened(legal: str, seed: str) -> str:
    mark = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{legal[: NAME_CHARS - 9]}_{mark}"


def custom_input_schema(tool: ToolDefinition) -> dict[str, Any]:
    """The JSON schema that stands for a free-form tool's input."""
    grammar = lenient_json.as_text(lenient_json.as_object(tool.grammar).get("definition"))
    about = "The tool's whole input as plain text, not JSON."
    if grammar:
        about += f" It must match this grammar:\n{grammar}"
    return {
        "type": "object",
        "properties": {"input": {"type": "string", "description": about}},
        "required": ["input"],
        "additionalProperties": False,
    }


def wrap_custom_input(text: str) -> str:
    """Free-form input as a function's arguments."""
    return lenient_json.dumps({"input": text})


def unwrap_custom_input(arguments: str) -> str:
    """A function's arguments as free-form input. Models forget the wrapping or rename its only member: then what was
    meant is taken."""
    found = lenient_json.parse_object(arguments)
    if found is None:
        return arguments
    inner = found.get("input")
    if isinstance(inner, str):
        return inner
    values = list(found.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else arguments


class ToolCallRestorer:
    """Stands between decoder and encoder: gives calls their own names, namespaces and free-form input back. A wrapped
    input is held until its call has ended; all else passes at once."""

    __slots__ = ("_held", "_names")

    def __init__(self, names: ToolNameMap) -> None:
        self._names = names
        self._held: dict[int, list[str]] = {}

    def feed(self, event: StreamEvent) -> Iterator[StreamEvent]:
        """The event as the client must see it."""
        match event:
            case ToolCallStarted():
                yield self._started(event)
            case ToolCallDelta(index, text) if index in self._held:
                self._held[index].append(text)
            case ToolCallEnded(index):
                yield from self._release(index)
                yield event
            case StreamFinished() | StreamFailed():
                for index in tuple(self._held):
                    yield from self._release(index)
                yield event
            case _:
                yield event

    def _started(self, event: ToolCallStarted) -> ToolCallStarted:
        tool = self._names.declared.get(event.name)
        if tool is None:
            return event
        if tool.custom and self._names.wraps_custom:
            self._held[event.index] = []
        return ToolCallStarted(event.index, event.id, tool.name, tool.namespace, tool.custom)

    def _release(self, index: int) -> Iterator[StreamEvent]:
        held = self._held.pop(index, None)
        text = unwrap_custom_input("".join(held)) if held else ""
        if text:
            yield ToolCallDelta(index, text)
