"""What a check is: a name, why it matters, and the function that looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from autorouter.probe.bench import Bench
from autorouter.probe.report import Finding


@dataclass(frozen=True, slots=True)
class Probe:
    """One check of a relay. `run` never raises for what a relay does. Names are `group.what`."""

    name: str
    means: str
    run: Callable[[Bench], Awaitable[Finding]]
