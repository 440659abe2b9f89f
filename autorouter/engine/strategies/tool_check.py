"""Whether an answer can be used: it says something, doesn't refuse, and its calls fit the tools that the client declared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from autorouter.wire.common.ir import ResponseIR, ToolCallPart, ToolDefinition
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import answer_text, answer_tool_calls, declared_tools

UNUSABLE = {"content_filter": "refused", "refusal": "refused"}
"""How an answer ended that is none -> the word on the receipt."""


@dataclass(frozen=True, slots=True)
class DeclaredTools:
    """The tools that the client declares, by name."""

    by_name: dict[tuple[str | None, str], ToolDefinition]

    @classmethod
    def of(cls, request: ClientRequest) -> DeclaredTools:
        """Those of a request; its body is parsed only if it declares any."""
        if not request.task.tools:
            return cls({})
        return cls({(tool.namespace, tool.name): tool for tool in declared_tools(request)})

    def problem(self, answer: ResponseIR) -> str | None:
        """Why an answer can't be used, in a few words; None where it can."""
        if answer.failed is not None:
            return "no answer"
        reason = answer.finished.reason if answer.finished else "stop"
        if reason in UNUSABLE:
            return UNUSABLE[reason]
        calls = answer_tool_calls(answer)
        if not calls:
            return None if answer_text(answer).strip() else "empty"
        return next((problem for call in calls if (problem := self._call(call)) is not None), None)

    def _call(self, call: ToolCallPart) -> str | None:
        tool = self.by_name.get((call.namespace, call.name))
        if tool is None:
            return "calls a tool that isn't declared"
        if tool.custom or call.custom:
            return None
        try:
            arguments: Any = json.loads(call.arguments) if call.arguments.strip() else {}
        except (ValueError, RecursionError):
            return "a call's arguments are no JSON"
        if not isinstance(arguments, dict):
            return "a call's arguments are no object"
        return None if _fits(arguments, tool.schema) else "a call's arguments don't fit the tool's schema"


def _fits(arguments: dict[str, Any], schema: dict[str, Any]) -> bool:
    if not schema:
        return True
    # Imported when first needed: it takes 75 ms, and most answers call nothing.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY

    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        # Without a registry of its own, it would fetch whatever a `$ref` names: an address, or a file of this machine.
        return bool(kind(schema, registry=EMPTY_REGISTRY).is_valid(arguments))
    except (SchemaError, Unresolvable, RecursionError, TypeError, ValueError, AttributeError):
        # A schema that can't be used is the client's own affair, and no member's fault.
        return True
