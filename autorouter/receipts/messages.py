"""The sentences for what receipts hold as codes: the CLI, the `openfusion` summary, errors and evidence files all use these.

    sentence(Reason.of(ReasonCode.ROLE, role="coder"))                    "not configured as coder"
    sentence({"code": "role", "params": {"role": "coder"}})               the same, from a receipt
    refusal_message(refusal, rejections)                                  the error that the client gets
    with_text(document)                                                   every reason in it with its sentence, as `text`

A sentence may be reworded at any time. A test checks that each code has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autorouter.core.decision.eligibility import Rejection
from autorouter.core.reasons import Reason, ReasonCode, reason_record

Params = Mapping[str, Any]
ReasonLike = Reason | Mapping[str, Any]
"""A reason, or the JSON object of one."""


def sentence(reason: ReasonLike) -> str:
    """A reason in words, without a full stop."""
    record: Mapping[str, Any] = reason_record(reason) if isinstance(reason, Reason) else reason
    code, params = str(record["code"]), record.get("params") or {}
    template = SENTENCES.get(code)
    if template is None:
        # Of another version: a receipt of 0.2 holds its sentences, and a newer code is at least a word.
        return str(params.get("text") or code.replace("_", " "))
    words = {name: _words(value) for name, value in params.items()}
    return template(words) if callable(template) else template.format_map(words)


def sentences(reasons: Sequence[ReasonLike]) -> list[str]:
    """Each in words."""
    return [sentence(reason) for reason in reasons]


def refusal_message(refusal: ReasonLike, rejections: Sequence[Rejection | Mapping[str, Any]]) -> str:
    """The whole message of a refusal, with all rejections where they are its cause."""
    head = refusal_headline(refusal)
    if _code(refusal) == ReasonCode.BUDGET_EXCEEDED or not rejections:
        return head
    return f"{head}. " + "; ".join(_rejection(rejection) for rejection in rejections)


def refusal_headline(refusal: ReasonLike) -> str:
    """A refusal in one clause, without the rejections."""
    return sentence(refusal)


def with_text(document: Any) -> Any:
    """A copy of a JSON value in which every reason has its sentence, as `text`."""
    if isinstance(document, Mapping):
        extended = {name: with_text(value) for name, value in document.items()}
        if "code" in document and isinstance(document.get("params"), Mapping):
            extended["text"] = sentence(document)
        if document.get("refusal") and "rejections" in document:
            extended["refusal"]["message"] = refusal_message(document["refusal"], document["rejections"])
        return extended
    if isinstance(document, list | tuple):
        return [with_text(item) for item in document]
    return document


def _rejection(rejection: Rejection | Mapping[str, Any]) -> str:
    if isinstance(rejection, Rejection):
        return f"{rejection.candidate}: {', '.join(sentences(rejection.reasons))}"
    return f"{rejection['candidate']}: {', '.join(sentences(rejection['reasons']))}"


def _code(reason: ReasonLike) -> str:
    return str(reason.code if isinstance(reason, Reason) else reason["code"])


def _words(value: Any) -> Any:
    """A parameter for a template: inner reasons and lists as text."""
    if isinstance(value, Mapping) and "code" in value:
        return sentence(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(_words(item)) for item in value)
    return value


# ---- sentences that depend on what is known


def _cooldown(p: Params) -> str:
    failure = p["failure"] or "a failure"
    if p["left_s"] is None:
        return f"another request finds out whether it is back after {failure}"
    return f"cooling down for {p['left_s']:.1f} s more after {failure}"


def _price(p: Params) -> str:
    if p.get("unknown_under_budget"):
        return "its price is unknown, and a budget is set"
    price = "an unknown price" if p["usd_per_mtok"] is None else f"${p['usd_per_mtok']:g} per Mtok"
    return f"{p['tokens']} costs {price}, the cap is ${p['cap_usd_per_mtok']:g}"


def _policy(p: Params) -> str:
    return f"denied by `{p['denied_by']}`" if p["denied_by"] is not None else "not on the allow list"


def _benchmark(p: Params) -> str:
    percentile = "unknown" if p["percentile"] is None else f"{p['percentile']:g}"
    return f"percentile {percentile} is below the floor of {p['floor']:g}"


def _no_eligible_model(p: Params) -> str:
    return "No candidate can serve this request" if p["candidates"] else "No candidate is configured"


ROLE_VERBS = {"verifier": "verifies", "judge": "judges", "synthesizer": "writes"}


def _role_substituted(p: Params) -> str:
    return f"{p['candidate']} {ROLE_VERBS[p['role']]} in place of {p['requested']}: {p['why']}"


def _role_replaced(p: Params) -> str:
    return f"{p['role']} {p['planned']} has failed before: {p['candidate']} {ROLE_VERBS[p['role']]}"


def _repeated(what: str) -> Callable[[Params], str]:
    return lambda p: f"{what} {'twice' if p['times'] == 2 else str(p['times']) + ' times'}"


def _tests_red(p: Params) -> str:
    return f"{_repeated('tests red')(p)} in a row"


def _skipped(p: Params) -> str:
    return f"; not {p['skipped']}: {p['skipped_why']}" if p.get("skipped") else ""


def _retry(p: Params) -> str:
    return f"again, after {p['wait_s']:.2f} s" if p["wait_s"] else "again, at once"


def _fallback(p: Params) -> str:
    return f"next: {p['candidate']}{', the same model elsewhere' if p['same_model'] else ''}{_skipped(p)}"


def _no_fallback_left(p: Params) -> str:
    return f"gave up: nobody else is left{_skipped(p)}"


def _timed_out(p: Params) -> str:
    return "late" if p.get("limit_s") is None else f"late, {p['limit_s']:g} s"


def _secrets_found(p: Params) -> str:
    return f"secrets {p['action']}: " + ", ".join(f"{rule} {count}" for rule, count in p["counts"].items())


def _reasoning_foreign(p: Params) -> str:
    kept = "; the summary is kept as text" if p["summary_kept"] else ", and nothing to read"
    return f"reasoning {p['name']}: its maker's only{kept}"


SENTENCES: Mapping[str, str | Callable[[Params], str]] = {
    ReasonCode.COOLDOWN: _cooldown,
    ReasonCode.ROLE: "not configured as {role}",
    ReasonCode.CAPABILITY: "has no {capability}",
    ReasonCode.WINDOW: "needs {needed_tokens:,.0f} tokens (input estimate and output), its window has {window_tokens:,}",
    ReasonCode.PRICE: _price,
    ReasonCode.AVAILABILITY: "{availability:.3f} is below the floor of {floor:g}",
    ReasonCode.BENCHMARK: _benchmark,
    ReasonCode.POLICY: _policy,
    ReasonCode.RESIDENCY: "not local, and only local candidates may see this request",
    ReasonCode.RULE_MATCHED: "rule: {reason} (matched {condition} {matched})",
    ReasonCode.HOUSEKEEPING_IS_SINGLE: (
        "a title or a commit message needs no {strategy}: the best single model that is cheap does it"
    ),
    ReasonCode.ROLE_NOT_CONFIGURED: "no candidate is configured as {role}: the whole pool was considered",
    ReasonCode.HALF_OPEN_PROBE: (
        "every capable candidate is cooling down: {candidate} is tried, its cooldown ends first"
    ),
    ReasonCode.CANDIDATE_UNAVAILABLE: (
        "{candidate} was asked for and can't serve this step: the best of the others does"
    ),
    ReasonCode.PLAN_OVER_BUDGET: (
        "{strategy} with {candidate} would reserve ${reserve_usd:.4f}, {cap} has ${left_usd:.4f} left: a cheaper plan is used"
    ),
    ReasonCode.STRATEGY_OVER_BUDGET: (
        "{strategy} was asked for and would reserve ${reserve_usd:.4f}, {cap} has ${left_usd:.4f} left"
    ),
    ReasonCode.VERIFY_OFF: 'verify was asked for, and fusion.verify is "off"',
    ReasonCode.PANEL_OVER_MAX_CALLS: (
        "fusion was asked for, and panel {panel} may need {calls} calls: a request makes at most {max_calls}"
    ),
    ReasonCode.STRATEGY_IMPOSSIBLE: "{strategy} was asked for and doesn't fit the pool",
    ReasonCode.MEMBER_LEFT_OUT: "{candidate} is left out of panel {panel}: {why}",
    ReasonCode.ROLE_SUBSTITUTED: _role_substituted,
    ReasonCode.ROLE_WINDOW: "its window is too small for what it would be shown",
    ReasonCode.CONTEXT_LENGTH_EXCEEDED: (
        "This request is too long for every candidate (about {input_tokens:,.0f} tokens)"
    ),
    ReasonCode.BUDGET_EXCEEDED: (
        "The budget doesn't allow this request: budget.{cap} has ${left_usd:.4f} left, and the cheapest "
        "candidate ({cheapest}) may cost ${cost_usd:.4f}"
    ),
    ReasonCode.NO_ELIGIBLE_MODEL: _no_eligible_model,
    ReasonCode.HOUSEKEEPING_KEEPS_PIN: "housekeeping never moves the pin",
    ReasonCode.FIRST_STEP: "no candidate has served this session yet",
    ReasonCode.INCUMBENT_INELIGIBLE: "the incumbent {incumbent} can't serve this step",
    ReasonCode.INCUMBENT: "the incumbent",
    ReasonCode.PAYS_BACK: "pays back after {steps:.1f} steps, {expected_steps:.1f} expected",
    ReasonCode.GAINS_ON_PROMPT: "gains {points:.1f} points on what the human asks now",
    ReasonCode.GAINS_ON_EVIDENCE: "gains {points:.1f} points; {signals}",
    ReasonCode.GAINS_WITHOUT_EVIDENCE: (
        "costs more per step, and gains {points:.1f} points without evidence that it is needed"
    ),
    ReasonCode.PAYS_BACK_TOO_LATE: "pays back after {steps:.1f} steps, only {expected_steps:.1f} expected",
    ReasonCode.TESTS_RED: _tests_red,
    ReasonCode.SAME_CALL: _repeated("same call"),
    ReasonCode.SAME_ERROR: _repeated("same error"),
    ReasonCode.EDIT_FAILED: _repeated("edit failed"),
    ReasonCode.STALLED: "no progress in {times} steps",
    ReasonCode.INPUT_TOO_LOW: "{reported:,} input tokens, where about {estimated:,} were sent",
    ReasonCode.INPUT_TOO_HIGH: "{reported:,} input tokens, where only about {estimated:,} were sent",
    ReasonCode.OUTPUT_TOO_LOW: "{reported:,} output tokens, where about {counted:,} came",
    ReasonCode.OUTPUT_TOO_HIGH: "{reported:,} output tokens, where only about {counted:,} came",
    ReasonCode.CACHED_OVER_INPUT: "more cached than input tokens",
    ReasonCode.REASONING_OVER_OUTPUT: "more reasoning than output tokens",
    ReasonCode.RETRY: _retry,
    ReasonCode.FALLBACK: _fallback,
    ReasonCode.DEADLINE_OVER: "gave up: its {deadline_s:g} s are over",
    ReasonCode.REQUEST_REFUSED: "gave up: the request is refused",
    ReasonCode.NO_FALLBACK_LEFT: _no_fallback_left,
    ReasonCode.HEDGED: "slow after {wait_s:.2f} s: {candidate} beside it",
    ReasonCode.OTHER_ATTEMPT_CONTINUES: "the other one goes on",
    ReasonCode.WINDOW_NO_LARGER: "the window is no larger",
    ReasonCode.ACCOUNT_REFUSED: "{upstream} refuses the account",
    ReasonCode.CALL_FAILED: "{failure}",
    ReasonCode.TIMED_OUT: _timed_out,
    ReasonCode.NO_VERDICT: "its answer was none",
    ReasonCode.NO_ANSWER: "no answer",
    ReasonCode.REFUSED: "refused",
    ReasonCode.EMPTY_ANSWER: "empty",
    ReasonCode.UNDECLARED_TOOL: "calls a tool that isn't declared",
    ReasonCode.ARGUMENTS_NOT_JSON: "a call's arguments are no JSON",
    ReasonCode.ARGUMENTS_NOT_OBJECT: "a call's arguments are no object",
    ReasonCode.ARGUMENTS_MISMATCH: "a call's arguments don't fit the tool's schema",
    ReasonCode.WAITED_FOR_COOLDOWN: "waited {wait_s:.2f} s: all who could serve had asked for a pause",
    ReasonCode.SECRETS_FOUND: _secrets_found,
    ReasonCode.MALFORMED_EVENTS: "{count} malformed events of {candidate} were passed on",
    ReasonCode.QUORUM_NOT_REACHED: "quorum of {quorum} not reached: {usable} usable",
    ReasonCode.MEMBER_UNUSABLE: "{phase} {candidate}: {why}",
    ReasonCode.FALLBACK_ANSWERS_ALONE: "no member's answer can be used: a fallback answers alone",
    ReasonCode.UNUSABLE_ANSWER_RELEASED: "no member's answer can be used: {candidate}'s went out as it is",
    ReasonCode.ROLE_REPLACED: _role_replaced,
    ReasonCode.JUDGEMENT_SKIPPED: (
        "judge {candidate} left out: the budget holds no more; the answers were synthesized without it"
    ),
    ReasonCode.JUDGEMENT_MISSING: "judge {candidate}: {why}; the answers were synthesized without it",
    ReasonCode.RANKING_SKIPPED: "judge {candidate} left out: the budget holds no more",
    ReasonCode.RANKING_MISSING: "judge {candidate}: {why}; the order of the panel counted",
    ReasonCode.RANKING_PARTIAL: "judge {candidate}: {why}; only its other order counted",
    ReasonCode.SYNTHESIS_SKIPPED: (
        "synthesizer {candidate} left out: the budget holds no more; the answer of {released} went out"
    ),
    ReasonCode.SYNTHESIS_MISSING: "synthesizer {candidate}: {why}; the answer of {released} went out",
    ReasonCode.ROUND_SKIPPED: "{phase} left out: the budget holds no more",
    ReasonCode.REFINEMENT_FAILED: "refinement by {candidate}: {why}; the draft went out",
    ReasonCode.STEP_FAILED: "step {step} by {candidate}: {why}",
    ReasonCode.VERIFIER_SKIPPED: "verifier left out: the budget holds no more",
    ReasonCode.VERDICT_MISSING: "verifier {candidate}: {why}; the draft went out unverified",
    ReasonCode.REJECTED_DRAFT_RELEASED: "{why}; the rejected draft went out",
    ReasonCode.NO_BUDGET_FOR_SECOND_ANSWER: "the budget holds no second answer",
    ReasonCode.SECOND_ANSWER_FAILED: "{phase} by {candidate}: {why}",
    ReasonCode.SEARCH_TIMED_OUT: "search: {command} took more than {limit_s:g} s",
    ReasonCode.SEARCH_OUTPUT_TOO_LONG: "search: {command} printed more than {limit_bytes:,} bytes",
    ReasonCode.SEARCH_EXITED: "search: {command} ended with {exit_code}",
    ReasonCode.SEARCH_NOT_STARTED: "search: {command} can't be run: {error}",
    ReasonCode.SEARCH_OVER_BUDGET: "search: what was found is left out: the budget holds no more",
    ReasonCode.FIELD_UNKNOWN: "field {name}: unknown outside {api}",
    ReasonCode.FIELD_REFUSED: "field {name}: {provider} refuses it",
    ReasonCode.FIELD_RENAMED: "field {name}: {renamed} at {provider}",
    ReasonCode.FIELD_UNSUPPORTED: "field {name}: {api} has nothing like it",
    ReasonCode.ROLE_RENAMED: "role {name}: {renamed} at {provider}",
    ReasonCode.PART_UNSUPPORTED: "{what} {name}: can't be translated",
    ReasonCode.PART_AT_PROVIDER: "{what} {name}: kept at its provider",
    ReasonCode.HOSTED_TOOL: "tool {name}: run by its provider only",
    ReasonCode.ERROR_MARK_DROPPED: "field {name}: a result isn't marked as failed there; its text stays",
    ReasonCode.REASONING_FOREIGN: _reasoning_foreign,
    ReasonCode.RESULT_WITHOUT_CALL: "result {name}: its call is not in the history",
    ReasonCode.CALL_WITHOUT_RESULT: "call {name}: has no result in the history",
}

USAGE_SOURCES: Mapping[str, str] = {
    "reported": "reported by the upstream",
    "estimated": "estimated, the upstream reported none",
    "estimated_partial": "estimated, the answer was cut",
}
DIFFICULTY_TERMS: Mapping[str, str] = {
    "kind": "kind of work",
    "housekeeping": "housekeeping",
    "small_talk": "small talk",
    "distinct_words": "different words",
    "lines": "lines",
    "code_fences": "code fences",
    "paths": "paths",
    "trace_lines": "trace lines",
    "deep_subjects": "deep subjects",
    "technical_words": "technical words",
    "rare_words": "rare words",
    "scope_words": "reach and conditions",
    "trivial_words": "simple things",
    "tool_trouble": "trouble shown by tools",
}


def run_finding(finding: Any) -> str:
    """What the result of a step showed: `step 7 pytest red: 2 failed, 40 passed`."""
    counts = f": {finding.failed} failed, {finding.passed} passed" if finding.failed or finding.passed else ""
    return f"step {finding.step} {finding.tool} {finding.verdict}{counts}"


def health_source(score: Mapping[str, Any]) -> str:
    """Where a score's times and availability come from: `configured and measured, n=12`."""
    return f"configured and measured, n={score['health_samples']}" if score["health_samples"] else "configured"
