"""Receipts of 0.1 and 0.2 (`autorouter.receipt.v1`), read as if they were of today's schema.

    readable(record)     today's shape: a v1 receipt translated, any other as it is

A v1 receipt holds sentences where today's holds codes. They are kept as they are, as `{"code": "v1", "params": {"text": ...}}`.
Only what people read is translated; a v1 decision can't be made again, and its line is checked as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SCHEMA = "autorouter.receipt.v1"

_PLAN_FIELDS = {"panel": "members", "way": "method", "moment": "panel_trigger", "worth": "points"}
_PANEL_FIELDS = {
    "way": "method",
    "moment": "trigger",
    "seen": "reviewed",
    "weight": "draft_kind",
    "by": "verdict_by",
    "picked": "selected",
    "tied": "tie",
}
_REQUEST_FIELDS = {"ask_chars": "prompt_chars", "trail_steps": "tool_history_steps"}
_RESULTS = {"outrun": "hedge_lost", "late": "member_timeout", "not_needed": "quorum_reached"}
_DIFFICULTY_TERMS = {
    "small talk": "small_talk",
    "different words": "distinct_words",
    "code fences": "code_fences",
    "trace lines": "trace_lines",
    "deep subjects": "deep_subjects",
    "technical words": "technical_words",
    "rarely seen": "rare_words",
    "reach and conditions": "scope_words",
    "simple things": "trivial_words",
    "trouble shown by tools": "tool_trouble",
}
_USAGE_SOURCES = {
    "reported by the upstream": "reported",
    "estimated, the upstream reported none": "estimated",
    "estimated, the answer was cut": "estimated_partial",
}
_FINDING = re.compile(r"step (\d+) (.+) (green|red|error|edit_failed)(?:: (\d+) failed, (\d+) passed)?")
_SIGNALS = {
    "tests red": "tests_red",
    "same call": "same_call",
    "same error": "same_error",
    "edit failed": "edit_failed",
}
_SIGNAL = re.compile(r"(.+?) (twice|(\d+) times)(?: in a row)?|no progress in (\d+) steps")
_SAMPLES = re.compile(r"n=(\d+)")


def readable(record: dict[str, Any]) -> dict[str, Any]:
    """The record in today's shape. Raises LookupError, TypeError or AttributeError for a damaged one."""
    if record.get("schema") != SCHEMA:
        return record
    return {
        **record,
        "decision_version": None,
        "request": _renamed(record["request"], _REQUEST_FIELDS),
        "features": _features(record["features"]),
        "decision": _decision(record["decision"]),
        "attempts": [_attempt(attempt) for attempt in record["attempts"]],
        "degraded": [_text(text) for text in record["degraded"]],
        "panel": record["panel"] and _renamed(record["panel"], _PANEL_FIELDS),
    }


def _text(sentence: str) -> dict[str, Any]:
    return {"code": "v1", "params": {"text": sentence}}


def _renamed(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in record.items()}


def _features(features: Mapping[str, Any]) -> dict[str, Any]:
    evidence = features["evidence"]
    return {
        **features,
        "parts": [{**part, "name": _difficulty_term(part["name"])} for part in features["parts"]],
        "fired": [_rule_match(match) for match in features["fired"]],
        "evidence": {
            **evidence,
            "signals": [_signal(signal) for signal in evidence["signals"]],
            "findings": [_finding(finding) for finding in evidence["findings"]],
        },
    }


def _difficulty_term(name: str) -> str:
    return "kind" if name.startswith("kind ") else _DIFFICULTY_TERMS.get(name, name)


def _rule_match(match: Mapping[str, Any]) -> dict[str, Any]:
    condition, _, matched = match["matched"].partition(" ")
    return {**match, "condition": condition, "matched": matched}


def _signal(text: str) -> dict[str, Any]:
    found = _SIGNAL.fullmatch(text)
    if found is None:
        raise ValueError(text)
    if found[4]:
        return {"code": "stalled", "params": {"times": int(found[4])}}
    return {"code": _SIGNALS[found[1]], "params": {"times": int(found[3] or 2)}}


def _finding(text: str) -> dict[str, Any]:
    found = _FINDING.fullmatch(text)
    if found is None:
        raise ValueError(text)
    step, tool, verdict, failed, passed = found.groups()
    return {
        "step": int(step),
        "tool": tool,
        "verdict": verdict,
        "failed": int(failed or 0),
        "passed": int(passed or 0),
    }


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    switch, refusal = decision["switch"], decision["refusal"]
    return {
        **{name: value for name, value in decision.items() if name != "preferred"},
        "plan": decision["plan"] and _renamed(decision["plan"], _PLAN_FIELDS),
        "plans": [_renamed(plan, _PLAN_FIELDS) for plan in decision["plans"]],
        "scores": [_score(score) for score in decision["scores"]],
        "rejections": [
            {
                "candidate": rejection["candidate"],
                "reasons": [{"code": "v1", "params": {"text": reason["text"]}} for reason in rejection["reasons"]],
            }
            for rejection in decision["rejections"]
        ],
        "switch": switch and {**switch, "reason": _text(switch["reason"])},
        "notes": [_text(note) for note in decision["notes"]],
        "refusal": refusal and _refusal(refusal, decision["rejections"]),
    }


def _score(score: Mapping[str, Any]) -> dict[str, Any]:
    samples = _SAMPLES.search(score["health_source"])
    return {
        **score,
        "price_source": "configured" if score["price_source"] == "configured" else "assumed",
        "health_source": "measured" if samples else "configured",
        "health_samples": int(samples[1]) if samples else 0,
    }


def _refusal(refusal: Mapping[str, Any], rejections: list[Any]) -> dict[str, Any]:
    # Its message ends with all rejections, which are shown in a table of their own.
    message = refusal["message"]
    headline = message.partition(f" {rejections[0]['candidate']}: ")[0] if rejections else message
    return {**_text(headline), "retry_after_s": refusal["retry_after_s"]}


def _attempt(attempt: Mapping[str, Any]) -> dict[str, Any]:
    then, doubt = attempt["then"], attempt["usage_doubt"]
    kept = {name: value for name, value in attempt.items() if name not in ("then", "usage_doubt")}
    return {
        **kept,
        "result": _RESULTS.get(attempt["result"], attempt["result"]),
        "next": None if then is None else _text(then),
        "usage_source": _USAGE_SOURCES.get(attempt["usage_source"]),
        "usage_doubts": [] if doubt is None else [_text(doubt)],
    }
