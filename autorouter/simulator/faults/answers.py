"""How a model itself can go wrong: a request -> an answer that is whole as the wire goes, and of no use, or of a certain sort.

empty          ""                                       ended as any answer is
refusal        Refused("I can't help with that ...")     content_filter, stop_reason refusal
broken_args    ToolUse("Write", raw="{'path': '/a',}")   what satisfies no JSON parser
half_json      '{"key":"k1","verd'                       a role's, a schema's or a tool's JSON; other answers stay
agree          the same text, whichever candidate is asked
revise         the verifier has one finding
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from autorouter.simulator.model import (
    RefusalAnswer,
    SimulatedAnswer,
    SimulatedRequest,
    TextAnswer,
    arguments_json,
    plan_answer,
)
from autorouter.simulator.tools import SimulatedToolCall, minimal_call

REFUSAL: Final = "I can't help with that (dry-run fault)."


def empty(_: SimulatedRequest) -> SimulatedAnswer:
    return TextAnswer("")


def refuse(_: SimulatedRequest) -> SimulatedAnswer:
    return RefusalAnswer(REFUSAL)


def agree(request: SimulatedRequest) -> SimulatedAnswer:
    return plan_answer(replace(request, same_for_all=True))


def revise(request: SimulatedRequest) -> SimulatedAnswer:
    return plan_answer(replace(request, verifier_objects=True))


def broken_args(request: SimulatedRequest) -> SimulatedAnswer:
    """The call that is due, else one of the first tool; its arguments as a careless model writes them. Without tools,
    and where a result has come, the good answer."""
    answer = plan_answer(request)
    judges = request.role_task is not None and request.role_task.answers_json
    if isinstance(answer, TextAnswer) and request.tools and request.tool_results == 0 and not judges:
        answer = minimal_call(request.tools[0])
    if not isinstance(answer, SimulatedToolCall):
        return answer
    return replace(answer, raw_arguments=arguments_json(answer)[:-1].replace('"', "'") + ",}")


def half_json(request: SimulatedRequest) -> SimulatedAnswer:
    """The answer's JSON without its second half."""
    answer = plan_answer(request)
    if isinstance(answer, SimulatedToolCall):
        arguments = arguments_json(answer)
        return replace(answer, raw_arguments=arguments[: max(1, len(arguments) // 2)])
    wants_json = request.schema is not None or (request.role_task is not None and request.role_task.answers_json)
    return TextAnswer(answer.text[: max(1, len(answer.text) // 2)]) if wants_json else answer


def finish_early(request: SimulatedRequest) -> SimulatedAnswer:
    """Half of the text; of a call, half of its arguments."""
    answer = plan_answer(request)
    if isinstance(answer, SimulatedToolCall):
        return half_json(request)
    return TextAnswer(answer.text[: max(1, len(answer.text) // 2)])
