"""One model answers: the primary, or the first of its fallbacks that can. From its first byte on it is the one."""

from __future__ import annotations

from autorouter.core.decision.decide import Decision
from autorouter.engine.calling import Final
from autorouter.engine.run import Run


async def perform(run: Run, decision: Decision) -> Final:
    """The answer of the first candidate that gives one. Raises NobodyAnswered."""
    assert decision.plan is not None
    return await run.final([decision.plan.primary, *decision.fallbacks], phase="answer")
