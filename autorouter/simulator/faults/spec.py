"""The syntax of faults: their names, and the calls to which they apply. `catalog` has the faults themselves.

    NAME            the first attempt          429-no-header
    NAME*N          attempts 1 to N            500*2
    NAME*all        every attempt              cut-stream*all
    NAME@CANDIDATE  every call of that one     503@openai/gpt-x     (NAME*N@CANDIDATE: only in attempts 1 to N)
    NAME@ROLE       every call in that role    half-json@judge      (of a panel: member, verifier, judge ...; see `roles`)
    A,B             the first that applies     429-no-header,500*2  (attempt 1: 429, attempt 2: 500)

Error responses and connection failures replace an answer. The other faults change its content or its transport; one of
each kind can apply to the same call (`empty,crlf`).

    fault_by_name("cut-stream")      an entry of the catalog
    fault_by_name("429")             429-no-header, by an alias
    fault_by_name("stall-after-20")  built for this number
    fault_by_name("oops")            None
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from autorouter.simulator.codec import BodyEnding
from autorouter.simulator.faults import bodies
from autorouter.simulator.faults.catalog import FAULTS, RETRY_AFTER_S, rate_limited
from autorouter.simulator.faults.types import Fault
from autorouter.suggest import close_matches

ALIASES: Final[Mapping[str, str]] = {
    "429": "429-no-header",
    "404-model": "404",
    "400-window": "window-400",
    "400-signature": "signature-400",
    "429-quota": "quota",
    "quota-402": "402-quota",
    "overloaded": "529",
    "eof": "clean-eof",
    "cut": "cut-stream",
    "keep-alive": "comments",
}
"""Other names."""


@dataclass(frozen=True, slots=True)
class FaultFamily:
    """Faults of the same sort with a number in their names. `shown` is the name in tables, `example` one that exists."""

    display_name: str
    example: str
    summary: str
    base_fault: str
    pattern: re.Pattern[str]
    build: Callable[[str, re.Match[str]], Fault]


def _after(name: str, match: re.Match[str]) -> Fault:
    kind, number, unit = match[1], int(match[2]), "bytes" if match[3] else "events"
    ending: BodyEnding = "timeout" if kind == "stall" else "cut"
    what = "silence" if kind == "stall" else "the connection breaks"
    advice = FAULTS["stall" if kind == "stall" else "cut-stream"].advice
    reshape = partial(bodies.break_after, count=number, unit=unit, ending=ending)
    return Fault(name=name, summary=f"{number} {unit}, then {what}", advice=advice, transform_body=reshape)


def _slow(name: str, match: re.Match[str]) -> Fault:
    number, base = float(match[2]), FAULTS[match[1]]
    if base.first_byte_delay_s:
        return Fault(name=name, summary=f"{number:g} s of silence first", advice=base.advice, first_byte_delay_s=number)
    return Fault(name=name, summary=f"{number:g} s between events", advice=base.advice, event_delay_s=number)


def _retry_after(name: str, match: re.Match[str]) -> Fault:
    return rate_limited(name, retry_after=match[1])


_AFTER: Final = re.compile(r"(stall|cut)-after-([1-9][0-9]{0,8})(b?)")
_SLOW: Final = re.compile(r"(slow-first-byte|slow-stream)-([0-9]{1,5}(?:\.[0-9]{1,3})?)")
_RETRY: Final = re.compile(r"429-retry-after-([0-9]{1,6})")
FAMILIES: Final = (
    FaultFamily("stall-after-N", "stall-after-20", "N events, then silence", "stall", _AFTER, _after),
    FaultFamily("stall-after-Nb", "stall-after-512b", "N bytes, then silence", "stall", _AFTER, _after),
    FaultFamily("cut-after-N", "cut-after-3", "N events, then the connection breaks", "cut-stream", _AFTER, _after),
    FaultFamily("cut-after-Nb", "cut-after-512b", "N bytes, then the connection breaks", "cut-stream", _AFTER, _after),
    FaultFamily(
        "slow-first-byte-S", "slow-first-byte-3", "S seconds of silence first", "slow-first-byte", _SLOW, _slow
    ),
    FaultFamily("slow-stream-S", "slow-stream-0.2", "S seconds between events", "slow-stream", _SLOW, _slow),
    FaultFamily(
        "429-retry-after-S",
        "429-retry-after-30",
        f"429, Retry-After: S in place of {RETRY_AFTER_S}",
        "429-retry-after",
        _RETRY,
        _retry_after,
    ),
)


def fault_by_name(name: str) -> Fault | None:
    """The fault of a name, an alias or a name with a number; None where there is none."""
    fault = FAULTS.get(ALIASES.get(name, name))
    if fault is not None:
        return fault
    for family in FAMILIES:
        match = family.pattern.fullmatch(name)
        if match is not None:
            return family.build(name, match)
    return None


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault and when it applies. `attempts`: the first so many, None for all. `target`: a candidate's id or a role;
    only there."""

    fault: Fault
    attempts: int | None = 1
    target: str | None = None

    def applies_to(self, attempt: int, candidate_id: str, role: str) -> bool:
        in_time = self.attempts is None or attempt <= self.attempts
        aimed = self.target is None or self.target in (candidate_id, role)
        return in_time and aimed and (not self.fault.roles or role in self.fault.roles)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """Rules in the order given."""

    rules: tuple[FaultRule, ...]

    def fault_for(self, attempt: int, candidate_id: str, role: str = "") -> Fault | None:
        """The fault of this attempt (they count from 1 within a step), None for a good answer. `role` is empty for a call
        that is no inner one. The first that changes the content and the first other one are made one."""
        matching = [rule.fault for rule in self.rules if rule.applies_to(attempt, candidate_id, role)]
        content_fault = next((fault for fault in matching if fault.answer_override is not None), None)
        transport_fault = next((fault for fault in matching if fault.answer_override is None), None)
        if content_fault is None or transport_fault is None:
            return content_fault or transport_fault
        return replace(transport_fault, answer_override=content_fault.answer_override)


_RULE: Final = re.compile(r"(?P<name>[^*@]*)(?:\*(?P<count>[^@]*))?(?:@(?P<target>.*))?", re.DOTALL)


def parse_faults(spec: str, *, default_attempts: int | None = 1) -> FaultSpec:
    """Read a fault spec; raises ValueError that says what is wrong, with the nearest names. `default_attempts`:
    the number of attempts that a name alone applies to."""
    return FaultSpec(tuple(_fault_rule(part.strip(), default_attempts) for part in spec.split(",")))


def _fault_rule(part: str, default_attempts: int | None) -> FaultRule:
    match = _RULE.fullmatch(part)
    assert match is not None
    name, count, target = match["name"].strip(), match["count"], match["target"]
    fault = fault_by_name(name)
    if fault is None:
        raise ValueError(_unknown_fault(name))
    if target is not None and not target.strip():
        raise ValueError(f"fault `{part}`: a candidate's id is missing behind `@`, or a role of a panel")
    if count is None:
        attempts = default_attempts if target is None and not fault.every_attempt else None
    elif count.strip() == "all":
        attempts = None
    elif re.fullmatch(r"[1-9][0-9]{0,8}", count.strip()):
        attempts = int(count)
    else:
        raise ValueError(f"fault `{part}`: behind `*` stands a number of attempts of at least 1, or `all`")
    return FaultRule(fault, attempts, target.strip() if target is not None else None)


def _unknown_fault(name: str) -> str:
    known = [*FAULTS, *ALIASES, *(family.example for family in FAMILIES)]
    near = close_matches(name, known, limit=3, cutoff=0.4) or [one for one in known if name and name in one]
    hint = f"did you mean {', '.join(f'`{one}`' for one in near)}?" if near else f"known: {', '.join(FAULTS)}"
    return f"unknown fault `{name}`; {hint}"
