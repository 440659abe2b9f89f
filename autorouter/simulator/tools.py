"""Which tool does a file task, and its arguments from the tool's own JSON schema.

    Write {file_path, content}       {"file_path": "/tmp/a.txt", "content": "word\\n"}
    bash {command}                   {"command": "printf '%s\\n' word > /tmp/a.txt"}
    shell {command: [string]}        {"command": ["bash", "-lc", "printf ..."]}
    run_commands {commands: [...]}   {"commands": ["printf ..."]}

The names are those of the clients' profiles; behind an MCP prefix they count too. A tool whose
schema has no place for a path and a text, or for a command, is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from autorouter.clients.registry import merged
from autorouter.simulator import file_task as file_tasks
from autorouter.simulator.file_task import FileTask
from autorouter.simulator.schema_instance import FILLER, required_names, resolve, schema_instance, type_of


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A declared tool: its name and its parameters' JSON schema as the client sent it. `custom`: it takes free-form text."""

    name: str
    schema: Mapping[str, Any]
    namespace: str | None = None
    free_form: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedToolCall:
    """One call of a tool. `raw` is the arguments' text where it isn't their JSON: a fault's, or free-form input."""

    name: str
    arguments: Mapping[str, Any]
    raw_arguments: str | None = None
    namespace: str | None = None
    free_form: bool = False


WRITERS: Final = merged(lambda profile: profile.write_tools)
SHELLS: Final = merged(lambda profile: profile.shell_tools)
PATCHERS: Final = merged(lambda profile: profile.patch_tools)
_PATHS: Final = frozenset(
    {"filepath", "path", "absolutepath", "relativepath", "targetfile", "filename", "file", "targetpath"}
)
_TEXTS: Final = frozenset(
    {"content", "contents", "filetext", "newtext", "filecontent", "text", "codecontent", "body", "data"}
)
_COMMANDS: Final = frozenset({"cmd", "command", "commands", "script", "commandline"})
_PATCHES: Final = frozenset({"input", "patch", "patchtext", "diff"})
_CREATING: Final = ("create", "write", "overwrite")
"""Preferred members of an enum, for editors with sub-commands and writers with modes."""
_SEPARATOR: Final = re.compile(r"__|[.:/]")


def write_call(tools: Sequence[DeclaredTool], file_task: FileTask) -> SimulatedToolCall | None:
    """The call that does the task: a writer's, else a shell's, else a patcher's."""
    for tool in _tools_named(tools, WRITERS):
        properties = _properties(tool)
        if _has_any(properties, _PATHS) and _has_any(properties, _TEXTS):
            return _call_with(tool, {_PATHS: file_task.path, _TEXTS: file_task.text + "\n"})
    if call := _shell_call(tools, file_tasks.write_command(file_task)):
        return call
    for tool in _tools_named(tools, PATCHERS):
        if tool.free_form:
            return _free_form_call(tool, file_tasks.apply_patch_text(file_task))
        if _has_any(_properties(tool), _PATCHES):
            return _call_with(tool, {_PATCHES: file_tasks.apply_patch_text(file_task)})
    return None


def show_call(tools: Sequence[DeclaredTool], file_task: FileTask) -> SimulatedToolCall | None:
    """The call that shows the file, None where no tool runs commands."""
    return _shell_call(tools, file_tasks.show_command(file_task))


def minimal_call(tool: DeclaredTool) -> SimulatedToolCall:
    """A call of this very tool with nothing but its required arguments, for a client that insists."""
    if tool.free_form:
        return _free_form_call(tool, FILLER)
    instance = schema_instance({**tool.schema, "type": "object"}, tool.schema)
    return SimulatedToolCall(tool.name, instance if isinstance(instance, dict) else {}, namespace=tool.namespace)


def _call_with(tool: DeclaredTool, known: Mapping[frozenset[str], str]) -> SimulatedToolCall:
    return SimulatedToolCall(tool.name, _fill_arguments(tool, known), namespace=tool.namespace)


def _free_form_call(tool: DeclaredTool, text: str) -> SimulatedToolCall:
    return SimulatedToolCall(tool.name, {}, text, tool.namespace, free_form=True)


def _shell_call(tools: Sequence[DeclaredTool], command: str) -> SimulatedToolCall | None:
    for tool in _tools_named(tools, SHELLS):
        if _has_any(_properties(tool), _COMMANDS):
            return _call_with(tool, {_COMMANDS: command})
    return None


def _tools_named(tools: Sequence[DeclaredTool], names: Sequence[str]) -> list[DeclaredTool]:
    """The tools of these names: whole names before prefixed ones, then in the order of `names`."""
    ranked = []
    for tool in tools:
        whole = tool.name.lower()
        last = _SEPARATOR.split(whole)[-1]
        if whole in names:
            ranked.append((0, names.index(whole), tool))
        elif last in names:
            ranked.append((1, names.index(last), tool))
    return [tool for *_, tool in sorted(ranked, key=lambda one: one[:2])]


def _properties(tool: DeclaredTool) -> Mapping[str, Any]:
    properties = resolve(tool.schema, tool.schema).get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _has_any(properties: Mapping[str, Any], keys: frozenset[str]) -> bool:
    return any(_normalized(name) in keys for name in properties)


def _normalized(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _fill_arguments(tool: DeclaredTool, known: Mapping[frozenset[str], str]) -> dict[str, Any]:
    """Arguments: what is known where a parameter's name says so, and the required rest by its schema. Each known value
    is given once unless a further parameter of its sort is required."""
    plain = resolve(tool.schema, tool.schema)
    musts = required_names(plain)
    properties = _properties(tool)
    arguments: dict[str, Any] = {}
    given: set[frozenset[str]] = set()
    for name in sorted(dict.fromkeys([*properties, *musts]), key=lambda one: one not in musts):
        schema = resolve(properties.get(name, {}), tool.schema)
        sort = next((keys for keys in known if _normalized(name) in keys), None)
        takes = sort is not None and not isinstance(schema.get("enum"), list) and "const" not in schema
        if sort is not None and takes and (sort not in given or name in musts):
            given.add(sort)
            arguments[name] = _fit_to_schema(name, schema, tool.schema, known[sort], command=sort is _COMMANDS)
        elif name in musts:
            arguments[name] = _default_value(schema, tool.schema)
    return arguments


def _default_value(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    choices = schema.get("enum")
    if isinstance(choices, list):
        for choice in _CREATING:
            if choice in choices:
                return choice
    return schema_instance(schema, root)


def _fit_to_schema(name: str, schema: Mapping[str, Any], root: Mapping[str, Any], value: str, *, command: bool) -> Any:
    """The value as the parameter wants it: a string, or an array of words, of strings or of objects."""
    if type_of(schema) != "array":
        return value if type_of(schema) == "string" else schema_instance(schema, root)
    items = resolve(schema.get("items", {}), root)
    if type_of(items) == "object":
        instance = schema_instance(items, root)
        inner = items.get("properties")
        for key, below in inner.items() if isinstance(inner, Mapping) else ():
            if command and _normalized(key) in _COMMANDS:
                instance[key] = _fit_to_schema(key, resolve(below, root), root, value, command=True)
        return [instance]
    if type_of(items) != "string" or "enum" in items or "const" in items:
        return schema_instance(schema, root)
    if command and not _normalized(name).endswith("s"):
        return ["bash", "-lc", value]
    return [value]
