"""What the user's own search finds for a panel: run once, before its members are asked. See `web`."""

from __future__ import annotations

import orjson

from autorouter.core.decision import cost
from autorouter.engine.run import Run
from autorouter.engine.web import may_look_up
from autorouter.upstream.search import SearchFailed, search


async def found_for(run: Run) -> list[dict[str, str]]:
    """What the user's own search finds for this request; nothing where it is off, private, too dear, or fails (the latter
    two are listed as degraded)."""
    web, task = run.deps.web, run.request.task
    if (
        web.how != "local"
        or not web.command
        or run.deps.dry_run
        or not task.ask
        or not may_look_up(run.deps.policy, task)
    ):
        return []
    run.progress.say("search")
    try:
        found = await search(web.command, task.ask, limit=web.results, limit_s=web.limit_s)
    except SearchFailed as exc:
        run.trace.degraded.append(f"search: {exc}")
        return []
    if found and not _affords(run, found):
        run.trace.degraded.append("search: what was found is left out: the budget holds no more")
        return []
    return found


def _affords(run: Run, found: list[dict[str, str]]) -> bool:
    """Whether the budget holds the plan with this fed to each member; the plan was counted without it."""
    plan, tuning = run.routed.decision.plan, run.deps.policy.tuning
    assert plan is not None
    tokens = len(orjson.dumps(found)) / tuning.bytes_per_token
    prices = [cost.price_of(run.deps.by_id[name], tuning).input for name in plan.panel]
    return run.affords(plan.reserve_usd + tokens * sum(prices) * cost.PER_MTOK)
