"""Why something was done, or wasn't: a code and its parameters, as decisions, attempts and receipts hold it.

    Reason.of(ReasonCode.WINDOW, needed_tokens=210_000.0, window_tokens=128_000)
    {"code": "window", "params": {"needed_tokens": 210000.0, "window_tokens": 128000}}

Sentences are made where they are shown, by `receipts.messages`: a wording may change, a code on a receipt may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from typing_extensions import TypedDict


class ReasonCode(StrEnum):
    """All codes. One name means one thing, wherever on a receipt it occurs."""

    # Why a candidate can't serve.
    COOLDOWN = "cooldown"
    ROLE = "role"
    CAPABILITY = "capability"
    WINDOW = "window"
    PRICE = "price"
    AVAILABILITY = "availability"
    BENCHMARK = "benchmark"
    POLICY = "policy"
    RESIDENCY = "residency"

    # What was requested, or would be best, and isn't done.
    RULE_MATCHED = "rule_matched"
    HOUSEKEEPING_IS_SINGLE = "housekeeping_is_single"
    ROLE_NOT_CONFIGURED = "role_not_configured"
    HALF_OPEN_PROBE = "half_open_probe"
    CANDIDATE_UNAVAILABLE = "candidate_unavailable"
    PLAN_OVER_BUDGET = "plan_over_budget"
    STRATEGY_OVER_BUDGET = "strategy_over_budget"
    VERIFY_OFF = "verify_off"
    PANEL_OVER_MAX_CALLS = "panel_over_max_calls"
    STRATEGY_IMPOSSIBLE = "strategy_impossible"
    MEMBER_LEFT_OUT = "member_left_out"
    ROLE_SUBSTITUTED = "role_substituted"
    ROLE_WINDOW = "role_window"

    # Why nothing can serve.
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    BUDGET_EXCEEDED = "budget_exceeded"
    NO_ELIGIBLE_MODEL = "no_eligible_model"

    # Why the session stays with its candidate, or leaves it.
    HOUSEKEEPING_KEEPS_PIN = "housekeeping_keeps_pin"
    FIRST_STEP = "first_step"
    INCUMBENT_INELIGIBLE = "incumbent_ineligible"
    INCUMBENT = "incumbent"
    PAYS_BACK = "pays_back"
    GAINS_ON_PROMPT = "gains_on_prompt"
    GAINS_ON_EVIDENCE = "gains_on_evidence"
    GAINS_WITHOUT_EVIDENCE = "gains_without_evidence"
    PAYS_BACK_TOO_LATE = "pays_back_too_late"

    # Signs of trouble that the tools have shown.
    TESTS_RED = "tests_red"
    SAME_CALL = "same_call"
    SAME_ERROR = "same_error"
    EDIT_FAILED = "edit_failed"
    STALLED = "stalled"

    # Why a reported usage isn't believed.
    INPUT_TOO_LOW = "input_too_low"
    INPUT_TOO_HIGH = "input_too_high"
    OUTPUT_TOO_LOW = "output_too_low"
    OUTPUT_TOO_HIGH = "output_too_high"
    CACHED_OVER_INPUT = "cached_over_input"
    REASONING_OVER_OUTPUT = "reasoning_over_output"

    # What followed an attempt.
    RETRY = "retry"
    FALLBACK = "fallback"
    DEADLINE_OVER = "deadline_over"
    REQUEST_REFUSED = "request_refused"
    NO_FALLBACK_LEFT = "no_fallback_left"
    HEDGED = "hedged"
    OTHER_ATTEMPT_CONTINUES = "other_attempt_continues"

    # Why a fallback was passed over.
    WINDOW_NO_LARGER = "window_no_larger"
    ACCOUNT_REFUSED = "account_refused"

    # Why a call, or its answer, is of no use.
    CALL_FAILED = "call_failed"
    TIMED_OUT = "timed_out"
    NO_VERDICT = "no_verdict"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    EMPTY_ANSWER = "empty_answer"
    UNDECLARED_TOOL = "undeclared_tool"
    ARGUMENTS_NOT_JSON = "arguments_not_json"
    ARGUMENTS_NOT_OBJECT = "arguments_not_object"
    ARGUMENTS_MISMATCH = "arguments_mismatch"

    # How an answer came about otherwise than planned.
    WAITED_FOR_COOLDOWN = "waited_for_cooldown"
    SECRETS_FOUND = "secrets_found"
    MALFORMED_EVENTS = "malformed_events"
    QUORUM_NOT_REACHED = "quorum_not_reached"
    MEMBER_UNUSABLE = "member_unusable"
    FALLBACK_ANSWERS_ALONE = "fallback_answers_alone"
    UNUSABLE_ANSWER_RELEASED = "unusable_answer_released"
    ROLE_REPLACED = "role_replaced"
    JUDGEMENT_SKIPPED = "judgement_skipped"
    JUDGEMENT_MISSING = "judgement_missing"
    RANKING_SKIPPED = "ranking_skipped"
    RANKING_MISSING = "ranking_missing"
    RANKING_PARTIAL = "ranking_partial"
    SYNTHESIS_SKIPPED = "synthesis_skipped"
    SYNTHESIS_MISSING = "synthesis_missing"
    ROUND_SKIPPED = "round_skipped"
    REFINEMENT_FAILED = "refinement_failed"
    STEP_FAILED = "step_failed"
    VERIFIER_SKIPPED = "verifier_skipped"
    VERDICT_MISSING = "verdict_missing"
    REJECTED_DRAFT_RELEASED = "rejected_draft_released"
    NO_BUDGET_FOR_SECOND_ANSWER = "no_budget_for_second_answer"
    SECOND_ANSWER_FAILED = "second_answer_failed"

    # Web search by the user's own command.
    SEARCH_TIMED_OUT = "search_timed_out"
    SEARCH_OUTPUT_TOO_LONG = "search_output_too_long"
    SEARCH_EXITED = "search_exited"
    SEARCH_NOT_STARTED = "search_not_started"
    SEARCH_OVER_BUDGET = "search_over_budget"

    # What couldn't be carried over to the upstream's API.
    FIELD_UNKNOWN = "field_unknown"
    FIELD_REFUSED = "field_refused"
    FIELD_RENAMED = "field_renamed"
    FIELD_UNSUPPORTED = "field_unsupported"
    ROLE_RENAMED = "role_renamed"
    PART_UNSUPPORTED = "part_unsupported"
    PART_AT_PROVIDER = "part_at_provider"
    HOSTED_TOOL = "hosted_tool"
    ERROR_MARK_DROPPED = "error_mark_dropped"
    REASONING_FOREIGN = "reasoning_foreign"
    RESULT_WITHOUT_CALL = "result_without_call"
    CALL_WITHOUT_RESULT = "call_without_result"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with the names and figures that its sentence needs. `params` holds JSON values, and Reasons. Treat it as frozen."""

    code: ReasonCode
    params: Mapping[str, Any]

    @classmethod
    def of(cls, code: ReasonCode, **params: Any) -> Reason:
        return cls(code, params)


class ReasonRecord(TypedDict):
    """A reason as receipts hold it; `receipts.messages` has the sentence for each code."""

    code: ReasonCode
    params: dict[str, Any]


def reason_record(reason: Reason) -> ReasonRecord:
    """The reason as a JSON value."""
    return {"code": reason.code, "params": {name: _plain(value) for name, value in reason.params.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Reason):
        return reason_record(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


DIGITS = 9
"""Decimals of a parameter: dollars of a single step are small."""
