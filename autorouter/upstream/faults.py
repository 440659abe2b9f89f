"""The fault catalogue: how an upstream can misbehave, by name. The dry run and the mock server play it.

    NAME            the first attempt          429-no-header
    NAME*N          attempts 1 to N            500*2
    NAME*all        every attempt              cut-stream*all
    NAME@CANDIDATE  every call of that one     503@openai/gpt-x     (NAME*N@CANDIDATE: only in attempts 1 to N)
    A,B             the first that applies     429-no-header,500*2  (attempt 1: 429, attempt 2: 500)

Refusals and failures come instead of an answer; the others change the good one. Those of `TOLERATED` are legal, if rare:
a client must come through them unharmed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from autorouter.upstream import flow
from autorouter.upstream.flow import Flow

SLOW_S: Final = 20.0
"""Silence before a slow first byte: longer than any catalogued model's, shorter than the default limit of 60 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that isn't a success."""

    status: int
    code: str
    error_type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. Exactly one of the fields behind `summary` says what happens.

    `refusal`: this answer instead. `failure`: the kind of a `Failure` raised before an answer. `slow_s`: further silence
    before the first byte. `served_model`: the model that the answer claims to be from. `usage` False: no usage is told.
    `reshape`: the answer's pieces are changed.
    """

    name: str
    summary: str
    refusal: Refusal | None = None
    failure: str | None = None
    slow_s: float = 0.0
    served_model: str | None = None
    usage: bool = True
    reshape: Callable[[Flow], Flow] | None = None


def _refused(
    name: str, status: int, code: str, error_type: str, message: str, *, retry_after: str | None = None
) -> Fault:
    told = "" if status != 429 else f", Retry-After: {retry_after}" if retry_after else ", no Retry-After"
    headers = {"retry-after": retry_after} if retry_after else {}
    refusal = Refusal(status=status, code=code, error_type=error_type, message=message, headers=headers)
    return Fault(name=name, summary=f"{status} {code}{told}", refusal=refusal)


_LIMITED: Final = ("rate_limit_exceeded", "rate_limit_error", "Rate limit reached (dry-run fault).")
_CATALOGUE: Final = (
    _refused("429-retry-after", 429, *_LIMITED, retry_after="2"),
    _refused("429-no-header", 429, *_LIMITED),
    _refused("500", 500, "server_error", "server_error", "The server had an error (dry-run fault)."),
    _refused("503", 503, "service_unavailable", "server_error", "The server is not available (dry-run fault)."),
    _refused("529", 529, "overloaded", "overloaded_error", "Overloaded (dry-run fault)."),
    _refused("401", 401, "invalid_api_key", "authentication_error", "Incorrect API key (dry-run fault)."),
    _refused("404", 404, "model_not_found", "invalid_request_error", "The model does not exist (dry-run fault)."),
    _refused("quota", 429, "insufficient_quota", "insufficient_quota", "You exceeded your quota (dry-run fault)."),
    _refused(
        "window-400",
        400,
        "context_length_exceeded",
        "invalid_request_error",
        "The messages are longer than this model's maximum context length (dry-run fault).",
    ),
    Fault(name="reset", summary="the connection is closed before an answer", failure="reset"),
    Fault(name="timeout", summary="no answer within the first-byte limit", failure="timeout"),
    Fault(name="slow-first-byte", summary=f"{SLOW_S:g} s of silence, then a good answer", slow_s=SLOW_S),
    Fault(name="stall", summary="half of the answer, then silence until the limit", reshape=flow.stalled),
    Fault(name="cut-stream", summary="the connection breaks in the answer", reshape=flow.cut),
    Fault(name="clean-eof", summary="a clean end without finish reason and terminal event", reshape=flow.ended_early),
    Fault(name="malformed-chunk", summary="one event isn't JSON; a whole answer is HTML", reshape=flow.malformed),
    Fault(name="half-json", summary="a clean end in the middle of the JSON", reshape=flow.halved),
    Fault(name="error-event", summary="an error inside an answer that began with 200", reshape=flow.error_inside),
    Fault(name="wrong-model", summary="another model served than was asked for", served_model="dry-run/another-model"),
    Fault(name="no-usage", summary="no usage is told, even where it was asked for", usage=False),
    Fault(name="crlf", summary="lines end with CR LF", reshape=flow.crlf),
    Fault(name="split-utf8", summary="the bytes come cut inside characters and events", reshape=flow.split_up),
    Fault(name="comments", summary="a `: keep-alive` comment before each event", reshape=flow.commented),
    Fault(name="huge-line", summary="one event has a line of 1 MiB", reshape=flow.huge_line),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _CATALOGUE}
TOLERATED: Final = frozenset({"slow-first-byte", "no-usage", "crlf", "split-utf8", "comments", "huge-line"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault and when it applies. `attempts`: the first so many, None for all. `candidate_id`: only there."""

    fault: Fault
    attempts: int | None = 1
    candidate_id: str | None = None


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """Rules in the order given."""

    rules: tuple[Rule, ...]

    def at(self, attempt: int, candidate_id: str) -> Fault | None:
        """The fault of this attempt (they count from 1 within a step), None for a good answer."""
        for rule in self.rules:
            in_time = rule.attempts is None or attempt <= rule.attempts
            if in_time and rule.candidate_id in (None, candidate_id):
                return rule.fault
        return None


_RULE: Final = re.compile(r"(?P<name>[^*@]*)(?:\*(?P<count>[^@]*))?(?:@(?P<candidate>.*))?", re.DOTALL)


def parse(spec: str) -> FaultSpec:
    """Read a fault spec; raises ValueError that says what is wrong, with the nearest names."""
    return FaultSpec(tuple(_rule(part.strip()) for part in spec.split(",")))


def _rule(part: str) -> Rule:
    match = _RULE.fullmatch(part)
    assert match is not None
    name, count, candidate = match["name"].strip(), match["count"], match["candidate"]
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(_unknown(name))
    if candidate is not None and not candidate.strip():
        raise ValueError(f"fault `{part}`: a candidate's id is missing behind `@`")
    if count is None:
        attempts = 1 if candidate is None else None
    elif count.strip() == "all":
        attempts = None
    elif re.fullmatch(r"[1-9][0-9]{0,8}", count.strip()):
        attempts = int(count)
    else:
        raise ValueError(f"fault `{part}`: behind `*` stands a number of attempts of at least 1, or `all`")
    return Rule(fault, attempts, candidate.strip() if candidate is not None else None)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.4) or [one for one in FAULTS if name and name in one]
    hint = f"did you mean {', '.join(f'`{one}`' for one in near)}?" if near else f"known: {', '.join(FAULTS)}"
    return f"unknown fault `{name}`; {hint}"
