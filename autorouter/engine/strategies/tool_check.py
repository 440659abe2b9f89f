"""Checks whether an answer can be used: it isn't empty or a refusal, and its calls fit the tools that the client declared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.wire.common.ir import ResponseIR, ToolCallPart, ToolDefinition
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import answer_text, answer_tool_calls, declared_tools

REFUSALS = ("content_filter", "refusal")
"""Finish reasons that make an answer unusable."""


@dataclass(frozen=True, slots=True)
class DeclaredTools:
    """The tools that the client declares, by namespace and name."""

    by_name: dict[tuple[str | None, str], ToolDefinition]

    @classmethod
    def of(cls, request: ClientRequest) -> DeclaredTools:
        """The tools of a request; its body is parsed only if it declares any."""
        if not request.task.tools:
            return cls({})
        return cls({(tool.namespace, tool.name): tool for tool in declared_tools(request)})

    def problem(self, answer: ResponseIR) -> Reason | None:
        """Why an answer can't be used; None if it can."""
        if answer.failed is not None:
            return Reason.of(ReasonCode.NO_ANSWER)
        reason = answer.finished.reason if answer.finished else "stop"
        if reason in REFUSALS:
            return Reason.of(ReasonCode.REFUSED)
        calls = answer_tool_calls(answer)
        if not calls:
            return None if answer_text(answer).strip() else Reason.of(ReasonCode.EMPTY_ANSWER)
        return next((problem for call in calls if (problem := self._call(call)) is not None), None)

    def _call(self, call: ToolCallPart) -> Reason | None:
        tool = self.by_name.get((call.namespace, call.name))
        if tool is None:
            return Reason.of(ReasonCode.UNDECLARED_TOOL)
        if tool.custom or call.custom:
            return None
        try:
            arguments: Any = json.loads(call.arguments) if call.arguments.strip() else {}
        except (ValueError, RecursionError):
            return Reason.of(ReasonCode.ARGUMENTS_NOT_JSON)
        if not isinstance(arguments, dict):
            return Reason.of(ReasonCode.ARGUMENTS_NOT_OBJECT)
        return None if _fits(arguments, tool.schema) else Reason.of(ReasonCode.ARGUMENTS_MISMATCH)


def _fits(arguments: dict[str, Any], schema: dict[str, Any]) -> bool:
    if not schema:
        return True
    # Imported late: it takes 75 ms, and most answers call no tool.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY

    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        # Without an empty registry it would fetch what a `$ref` names: a URL, or a file on this machine.
        return bool(kind(schema, registry=EMPTY_REGISTRY).is_valid(arguments))
    except (SchemaError, Unresolvable, RecursionError, TypeError, ValueError, AttributeError):
        # A broken schema is the client's problem, not the member's.
        return True
