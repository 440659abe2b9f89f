"""Names of faults: those of the catalogue, other names for some, and names with a number in them.

named("cut-stream")      a row of the catalogue
named("429")             429-no-header, by an alias
named("stall-after-20")  made for this number
named("oops")            None
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from autorouter.upstream import flow
from autorouter.upstream.catalogue import FAULTS
from autorouter.upstream.catalogue_refusals import RETRY_AFTER_S, limited
from autorouter.upstream.fault import Fault

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
class Family:
    """Faults of the same sort with a number in their names. `shown` is the name in tables, `example` one that exists."""

    shown: str
    example: str
    summary: str
    like: str
    pattern: re.Pattern[str]
    make: Callable[[str, re.Match[str]], Fault]


def _after(name: str, match: re.Match[str]) -> Fault:
    kind, number, unit = match[1], int(match[2]), "bytes" if match[3] else "events"
    ending: flow.Ending = "timeout" if kind == "stall" else "cut"
    what = "silence" if kind == "stall" else "the connection breaks"
    advice = FAULTS["stall" if kind == "stall" else "cut-stream"].advice
    reshape = partial(flow.broken_after, count=number, unit=unit, ending=ending)
    return Fault(name=name, summary=f"{number} {unit}, then {what}", advice=advice, reshape=reshape)


def _slow(name: str, match: re.Match[str]) -> Fault:
    number, base = float(match[2]), FAULTS[match[1]]
    if base.slow_s:
        return Fault(name=name, summary=f"{number:g} s of silence first", advice=base.advice, slow_s=number)
    return Fault(name=name, summary=f"{number:g} s between events", advice=base.advice, pace_s=number)


def _retry_after(name: str, match: re.Match[str]) -> Fault:
    return limited(name, retry_after=match[1])


_AFTER: Final = re.compile(r"(stall|cut)-after-([1-9][0-9]{0,8})(b?)")
_SLOW: Final = re.compile(r"(slow-first-byte|slow-stream)-([0-9]{1,5}(?:\.[0-9]{1,3})?)")
_RETRY: Final = re.compile(r"429-retry-after-([0-9]{1,6})")
FAMILIES: Final = (
    Family("stall-after-N", "stall-after-20", "N events, then silence", "stall", _AFTER, _after),
    Family("stall-after-Nb", "stall-after-512b", "N bytes, then silence", "stall", _AFTER, _after),
    Family("cut-after-N", "cut-after-3", "N events, then the connection breaks", "cut-stream", _AFTER, _after),
    Family("cut-after-Nb", "cut-after-512b", "N bytes, then the connection breaks", "cut-stream", _AFTER, _after),
    Family("slow-first-byte-S", "slow-first-byte-3", "S seconds of silence first", "slow-first-byte", _SLOW, _slow),
    Family("slow-stream-S", "slow-stream-0.2", "S seconds between events", "slow-stream", _SLOW, _slow),
    Family(
        "429-retry-after-S",
        "429-retry-after-30",
        f"429, Retry-After: S in place of {RETRY_AFTER_S}",
        "429-retry-after",
        _RETRY,
        _retry_after,
    ),
)


def named(name: str) -> Fault | None:
    """The fault of a name, an alias or a name with a number; None where there is none."""
    found = FAULTS.get(ALIASES.get(name, name))
    if found is not None:
        return found
    for family in FAMILIES:
        match = family.pattern.fullmatch(name)
        if match is not None:
            return family.make(name, match)
    return None
