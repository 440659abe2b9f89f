"""How faults are named, and to which calls they apply. The dry run and the mock server play them; `catalogue` has them.

    NAME            the first attempt          429-no-header
    NAME*N          attempts 1 to N            500*2
    NAME*all        every attempt              cut-stream*all
    NAME@CANDIDATE  every call of that one     503@openai/gpt-x     (NAME*N@CANDIDATE: only in attempts 1 to N)
    NAME@ROLE       every call in that role    half-json@judge      (of a panel: member, verifier, judge ...; see `roles`)
    A,B             the first that applies     429-no-header,500*2  (attempt 1: 429, attempt 2: 500)

Refusals and failures come instead of an answer; the others change the good one, its content or its way: one of each sort
can apply to the same call (`empty,crlf`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Final

from autorouter.upstream.catalogue import FAULTS, TOLERATED
from autorouter.upstream.fault import Fault
from autorouter.upstream.fault_names import ALIASES, FAMILIES, named

__all__ = ["FAULTS", "TOLERATED", "FaultSpec", "FaultRule", "parse"]


@dataclass(frozen=True, slots=True)
class FaultRule:
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

    rules: tuple[FaultRule, ...]

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


def parse(spec: str, *, bare: int | None = 1) -> FaultSpec:
    """Read a fault spec; raises ValueError that says what is wrong, with the nearest names. `bare`: how many attempts a
    name alone is for."""
    return FaultSpec(tuple(_fault_rule(part.strip(), bare) for part in spec.split(",")))


def _fault_rule(part: str, bare: int | None) -> FaultRule:
    match = _RULE.fullmatch(part)
    assert match is not None
    name, count, target = match["name"].strip(), match["count"], match["target"]
    fault = named(name)
    if fault is None:
        raise ValueError(_unknown_fault(name))
    if target is not None and not target.strip():
        raise ValueError(f"fault `{part}`: a candidate's id is missing behind `@`, or a role of a panel")
    if count is None:
        attempts = bare if target is None and not fault.lasting else None
    elif count.strip() == "all":
        attempts = None
    elif re.fullmatch(r"[1-9][0-9]{0,8}", count.strip()):
        attempts = int(count)
    else:
        raise ValueError(f"fault `{part}`: behind `*` stands a number of attempts of at least 1, or `all`")
    return FaultRule(fault, attempts, target.strip() if target is not None else None)


def _unknown_fault(name: str) -> str:
    known = [*FAULTS, *ALIASES, *(family.example for family in FAMILIES)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or [one for one in known if name and name in one]
    hint = f"did you mean {', '.join(f'`{one}`' for one in near)}?" if near else f"known: {', '.join(FAULTS)}"
    return f"unknown fault `{name}`; {hint}"
