"""Caps in USD, checked before a call: what is left of each, and whether a plan fits.

The ladder goes down from fusion over verify and the best single to the cheapest capable; only when that doesn't fit
either is the request refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from autorouter.core.policy import Budget
from autorouter.core.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The tightest cap: its name and what is left of it in USD. None: nothing is capped."""

    cap: str
    left_usd: float


def allowance(budget: Budget, snapshot: Snapshot) -> Allowance | None:
    """What this request may cost at most, and by which cap."""
    left = []
    if budget.per_request_usd is not None:
        left.append(Allowance(cap="per_request_usd", left_usd=budget.per_request_usd))
    if budget.per_session_usd is not None:
        left.append(Allowance(cap="per_session_usd", left_usd=budget.per_session_usd - snapshot.session.spent_usd))
    if budget.per_day_usd is not None:
        left.append(Allowance(cap="per_day_usd", left_usd=budget.per_day_usd - snapshot.spent_today_usd))
    return min(left, key=lambda a: a.left_usd) if left else None
