"""What the simulated model answers, decided from the request alone. `codec` decodes every wire into a `SimulatedRequest`.

    a file task, tools, no result yet  call the tool that writes the file     (`file_task`, `tools`)
    a file task, tools, one result     call the tool that shows it, if any
    a file task, tools, more results   the final message
    a file task, an edit format        an edit block                          (Aider)
    a JSON schema                      an instance of it                      (`schema_instance`)
    housekeeping                       a title, or a commit message
    an inner role that judges          its JSON                               (`roles`)
    anything else                      says that it is a dry run

The same request gets the same answer, always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from autorouter.core.signals.task_kind import asks_compaction, is_housekeeping
from autorouter.simulator import file_task as file_tasks
from autorouter.simulator import roles
from autorouter.simulator.file_task import FileTask
from autorouter.simulator.roles import RoleTask
from autorouter.simulator.schema_instance import schema_instance
from autorouter.simulator.tools import DeclaredTool, SimulatedToolCall, minimal_call, show_call, write_call

PROMPT_ECHO_CHARS: Final = 80
"""So much of the ask is said back at most."""
TITLE_WORDS: Final = 6
BYTES_PER_TOKEN: Final = 4
"""A rough count that holds for English and code; the dry run has no tokenizer."""
_HOUSEKEEPING: Final = re.compile(
    r"\b(?:(?P<commit>commit messages?)|(?P<title>titles?)|(?P<summary>compaction|summar\w+))\b", re.I
)
"""Which chore a housekeeping request asks for: the first that it names."""
_OPENINGS: Final = (
    "This is a dry run: no model was called.",
    "Dry run — no model was called.",
    "No model was called: this is a dry run.",
)
"""Said by turns, as the seed has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequest:
    """A request as its wire module read it.

    `prompt` is what the human last wrote. `format_instructions` is every text that may describe an edit format: the
    system's, and what the client put around the prompt. `tool_results` counts the tool results since the prompt.
    `forced_tool`: the client insists on a tool call, of the tool of this name, or of any if it is empty. `schema` is the
    JSON schema that the answer must satisfy. `seed` is the sha256 of the request's body. `role_task`: the task of an
    inner role. `same_for_all` and `verifier_objects` are faults: all candidates answer alike; the verifier has a finding.
    """

    candidate_id: str
    prompt: str
    seed: bytes
    system: str = ""
    format_instructions: str = ""
    tools: tuple[DeclaredTool, ...] = ()
    tool_results: int = 0
    forced_tool: str | None = None
    schema: Mapping[str, Any] | None = None
    role_task: RoleTask | None = None
    same_for_all: bool = False
    verifier_objects: bool = False

    @property
    def role(self) -> str:
        """The inner role, empty where there is none."""
        return self.role_task.role if self.role_task is not None else ""


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """An answer in words."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalAnswer:
    """The model declines, in words."""

    text: str


SimulatedAnswer = TextAnswer | SimulatedToolCall | RefusalAnswer


def plan_answer(request: SimulatedRequest) -> SimulatedAnswer:
    """What to answer. Pure and total: any request gets an answer."""
    if request.role_task is not None and request.role_task.answers_json:
        return TextAnswer(to_json(roles.role_answer(request.role_task, request.seed, revise=request.verifier_objects)))
    if asks_compaction(request.prompt) or (not request.tools and is_housekeeping(request.system, request.prompt)):
        return TextAnswer(_housekeeping_text(request))
    file_task = file_tasks.find_file_task(request.prompt)
    if request.tools and (call := _next_call(request, file_task)):
        return call
    if request.schema is not None:
        return TextAnswer(to_json(schema_instance(request.schema)))
    if file_task is None:
        return TextAnswer(_default_text(request))
    if request.tools:
        return TextAnswer(_final_text(request, file_task))
    return TextAnswer(file_tasks.edit_block(request.format_instructions, file_task) or _default_text(request))


def output_tokens(answer: SimulatedAnswer) -> int:
    """At least one; `BYTES_PER_TOKEN` bytes each."""
    text = answer.name + arguments_json(answer) if isinstance(answer, SimulatedToolCall) else answer.text
    return max(1, len(text.encode()) // BYTES_PER_TOKEN)


def arguments_json(call: SimulatedToolCall) -> str:
    """The arguments as wires carry them."""
    return to_json(call.arguments) if call.raw_arguments is None else call.raw_arguments


def _next_call(request: SimulatedRequest, file_task: FileTask | None) -> SimulatedToolCall | None:
    tools = request.tools
    if request.forced_tool:
        tools = tuple(tool for tool in tools if tool.name == request.forced_tool) or tools
    if file_task is not None and request.tool_results == 0 and (call := write_call(tools, file_task)):
        return call
    if file_task is not None and request.tool_results == 1 and (call := show_call(tools, file_task)):
        return call
    return minimal_call(tools[0]) if request.forced_tool is not None and request.tool_results == 0 else None


def _final_text(request: SimulatedRequest, file_task: FileTask) -> str:
    if request.tool_results == 0:
        return f"{_opening_sentence(request)} None of the declared tools can write {file_task.path}."
    return file_task.final_message + _revised_suffix(request)


def _default_text(request: SimulatedRequest) -> str:
    said = (
        f"{_opening_sentence(request)}"
        if request.same_for_all
        else f"{_opening_sentence(request)} Candidate: {request.candidate_id}."
    )
    ask = " ".join(request.prompt.split())
    if ask:
        said += f" You asked: {ask if len(ask) <= PROMPT_ECHO_CHARS else ask[: PROMPT_ECHO_CHARS - 1] + '…'}"
    return said + _revised_suffix(request)


def _revised_suffix(request: SimulatedRequest) -> str:
    return roles.REVISED_SUFFIX if request.role_task is not None and request.role_task.role == "reviser" else ""


def _opening_sentence(request: SimulatedRequest) -> str:
    if request.same_for_all:
        return _OPENINGS[0]
    return _OPENINGS[int.from_bytes(request.seed[:4], "big") % len(_OPENINGS)]


def _housekeeping_text(request: SimulatedRequest) -> str:
    if request.schema is not None:
        return to_json(schema_instance(request.schema))
    chore = _HOUSEKEEPING.search(f"{request.system}\n{request.prompt}")
    if chore and chore["commit"]:
        return "chore: dry run"
    if asks_compaction(request.prompt) or (chore and chore["summary"]):
        return f"Summary of a dry run by {request.candidate_id}: no model was called, nothing has to be kept."
    words = re.findall(r"[^\W_][\w.'-]*", file_tasks.without_markers(request.prompt))
    return " ".join(words[:TITLE_WORDS]).capitalize()[:PROMPT_ECHO_CHARS] or "Dry run"


def to_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a whole number beyond 64 bits, which a schema may well ask for
        return json.dumps(value)
