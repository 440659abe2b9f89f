"""The fault catalogue: how an upstream can misbehave, by name. The dry run and the mock server play it.

    NAME            the first attempt          429-no-header
    NAME*N          attempts 1 to N            500*2
    NAME*all        every attempt              cut-stream*all
    NAME@CANDIDATE  every call of that one     503@openai/gpt-x     (NAME*N@CANDIDATE: only in attempts 1 to N)
    NAME@ROLE       every call in that role    half-json@judge      (of a panel: member, verifier, judge ...; see `roles`)
    A,B             the first that applies     429-no-header,500*2  (attempt 1: 429, attempt 2: 500)

Refusals and failures come instead of an answer; the others change the good one, its content or its way: one of each sort
can apply to the same call (`empty,crlf`). Those of `TOLERATED` are legal, if rare: a client must come through them
unharmed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from autorouter.upstream import flow, roles, twists
from autorouter.upstream.flow import Flow
from autorouter.upstream.script import Answer, DryRequest

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
    """One way to fail. One of the fields behind `summary` says what happens (`half-json` has two).

    `refusal`: this answer instead. `failure`: the kind of a `Failure` raised before an answer. `slow_s`: further silence
    before the first byte. `served_model`: the model that the answer claims to be from. `usage` False: no usage is told.
    `reshape`: the answer's pieces are changed. `twist`: another answer is given; with `reshape`, only if it is another.
    `roles`: in these only, where it isn't empty; "" is a call without a role. `lasting`: all attempts unless a number is
    given.
    """

    name: str
    summary: str
    refusal: Refusal | None = None
    failure: str | None = None
    slow_s: float = 0.0
    served_model: str | None = None
    usage: bool = True
    reshape: Callable[[Flow], Flow] | None = None
    twist: Callable[[DryRequest], Answer] | None = None
    roles: frozenset[str] = frozenset()
    lasting: bool = False


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
    Fault(name="half-body", summary="a clean end in the middle of the body", reshape=flow.halved),
    Fault(
        name="half-json",
        summary="JSON that ends in its middle: a tool's arguments, a role's answer, else the body",
        reshape=flow.halved,
        twist=twists.half_json,
    ),
    Fault(name="broken-args", summary="a tool call whose arguments are no JSON", twist=twists.broken_args),
    Fault(name="empty", summary="a good end without text and calls", twist=twists.empty),
    Fault(name="refusal", summary="a refusal: content_filter, stop_reason refusal", twist=twists.refuse),
    Fault(
        name="agree",
        summary="all candidates answer the same text",
        twist=twists.agree,
        roles=roles.SPEAKING | {""},
        lasting=True,
    ),
    Fault(
        name="verdict-revise",
        summary="a panel's verifier answers revise, with one finding",
        twist=twists.revise,
        roles=frozenset({"verifier"}),
        lasting=True,
    ),
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
    """One fault and when it applies. `attempts`: the first so many, None for all. `target`: a candidate's id or a role;
    only there."""

    fault: Fault
    attempts: int | None = 1
    target: str | None = None

    def applies(self, attempt: int, candidate_id: str, role: str) -> bool:
        in_time = self.attempts is None or attempt <= self.attempts
        aimed = self.target is None or self.target in (candidate_id, role)
        return in_time and aimed and (not self.fault.roles or role in self.fault.roles)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """Rules in the order given."""

    rules: tuple[Rule, ...]

    def at(self, attempt: int, candidate_id: str, role: str = "") -> Fault | None:
        """The fault of this attempt (they count from 1 within a step), None for a good answer. `role` is empty for a call
        that is no inner one. The first that changes the content and the first other one are made one."""
        found = [rule.fault for rule in self.rules if rule.applies(attempt, candidate_id, role)]
        said = next((fault for fault in found if fault.twist is not None), None)
        way = next((fault for fault in found if fault.twist is None), None)
        if said is None or way is None:
            return said or way
        return replace(way, twist=said.twist)


_RULE: Final = re.compile(r"(?P<name>[^*@]*)(?:\*(?P<count>[^@]*))?(?:@(?P<target>.*))?", re.DOTALL)


def parse(spec: str) -> FaultSpec:
    """Read a fault spec; raises ValueError that says what is wrong, with the nearest names."""
    return FaultSpec(tuple(_rule(part.strip()) for part in spec.split(",")))


def _rule(part: str) -> Rule:
    match = _RULE.fullmatch(part)
    assert match is not None
    name, count, target = match["name"].strip(), match["count"], match["target"]
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(_unknown(name))
    if target is not None and not target.strip():
        raise ValueError(f"fault `{part}`: a candidate's id is missing behind `@`, or a role of a panel")
    if count is None:
        attempts = 1 if target is None and not fault.lasting else None
    elif count.strip() == "all":
        attempts = None
    elif re.fullmatch(r"[1-9][0-9]{0,8}", count.strip()):
        attempts = int(count)
    else:
        raise ValueError(f"fault `{part}`: behind `*` stands a number of attempts of at least 1, or `all`")
    return Rule(fault, attempts, target.strip() if target is not None else None)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FAULTS, n=3, cutoff=0.4) or [one for one in FAULTS if name and name in one]
    hint = f"did you mean {', '.join(f'`{one}`' for one in near)}?" if near else f"known: {', '.join(FAULTS)}"
    return f"unknown fault `{name}`; {hint}"
