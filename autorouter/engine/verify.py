"""One model answers, another looks at it first. (Being built.)"""

from __future__ import annotations

from autorouter.core.strategy import Plan
from autorouter.engine.calling import Final
from autorouter.engine.run import Run


async def perform(run: Run, plan: Plan) -> Final:
    """The draft."""
    return await run.final([plan.primary], phase="answer")
