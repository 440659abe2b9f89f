"""Picking one proposal of several: a judge orders them, and the first goes out as it is.

Judges prefer what stands first. Asked twice, with the order swapped, that preference cancels out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from autorouter.core.decision.plans import Plan
from autorouter.engine import asks
from autorouter.engine.calling import Final
from autorouter.engine.drafts import Draft
from autorouter.engine.run import Run


def picked(run: Run, draft: Draft) -> Final:
    """A member's answer goes out."""
    assert run.trace.panel is not None
    run.trace.panel["picked"] = draft.attempt.candidate
    return run.give(draft)


async def once(run: Run, plan: Plan, drafts: Sequence[Draft]) -> int:
    """The index of the proposal that the judge puts first; 0, the lead's or the first there is, where it gives no order."""
    assert run.trace.panel is not None
    (order,) = await _orders(run, plan, drafts, 1)
    run.trace.panel["ranking"] = _names(order, drafts)
    return order[0] if order else 0


async def twice(run: Run, plan: Plan, drafts: Sequence[Draft]) -> int:
    """As `once`, asked in both orders at the same time; places are added up, and of two that tie the one that comes first
    in the panel wins."""
    assert run.trace.panel is not None
    orders = await _orders(run, plan, drafts, 2)
    told = [order for order in orders if order]
    run.trace.panel["rankings"] = [_names(order, drafts) for order in orders]
    if not told:
        return 0
    places = [sum(order.index(index) for order in told) for index in range(len(drafts))]
    run.trace.panel["tied"] = places.count(min(places)) > 1
    return places.index(min(places))


def judge_of(run: Run, plan: Plan, drafts: Sequence[Draft]) -> str:
    """Who judges: as planned, or the first who answered where the planned one has failed in this step already."""
    assert plan.judge is not None
    judge = run.able(plan.judge, drafts[0].attempt.candidate)
    if judge != plan.judge:
        run.trace.degraded.append(f"judge {plan.judge} has failed before: {judge} judges")
    return judge


async def _orders(run: Run, plan: Plan, drafts: Sequence[Draft], times: int) -> list[tuple[int, ...]]:
    """So many orders, the second asked in the opposite one; an empty one is none. The judge is listed once."""
    judge = judge_of(run, plan, drafts)
    nothing: list[tuple[int, ...]] = [()] * times
    if not run.affords(plan.usd_of("ranking")):
        run.trace.degraded.append(f"judge {judge} left out: the budget holds no more")
        return nothing
    answers = [draft.answer for draft in drafts]
    found = await asyncio.gather(
        *(asks.ranked(run, judge, answers, swapped=swapped) for swapped in (False, True)[:times])
    )
    why = [order for order in found if isinstance(order, str)]
    if why:
        counted = "the order of the panel counted" if len(why) == times else "only its other order counted"
        run.trace.degraded.append(f"judge {judge}: {why[0]}; {counted}")
    return [() if isinstance(order, str) else order for order in found]


def _names(order: Sequence[int], drafts: Sequence[Draft]) -> list[str]:
    return [drafts[index].attempt.candidate for index in order]
