"""Ways that take several rounds: debate, layers, refinement, a pipeline. For requests without tools.

    debate     answers ──► each member sees all, and answers anew ──► ... ──► judge ──► synthesis
    layers     answers ──► a further layer sees them              ──► ... ──► synthesis
    refine     draft ──► criticised and written anew by its author ──► ...
    pipeline   step ──► step, each sees what came before ──► ... the last one is the answer

A round that fails keeps what was there before it, and is listed as degraded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from autorouter.core.decision.plans import Plan
from autorouter.core.panels import PanelMethod
from autorouter.engine.attempts import AllCandidatesFailed
from autorouter.engine.call import ClientReply
from autorouter.engine.context import StepContext
from autorouter.engine.strategies import inner_calls
from autorouter.engine.strategies.aggregate import concluded, picked, synthesized, with_sum
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import LETTERS, material, proposal
from autorouter.engine.strategies.members import PanelResult, gather, seats_of
from autorouter.wire.inner_request import InnerRequestOptions, has_output_options


async def debate(run: StepContext, plan: Plan) -> ClientReply:
    """Members answer, then answer anew knowing each other's answers; then as any panel."""
    gathered = await _rounds(run, plan, "debate")
    return await concluded(run, plan, gathered, as_it_is=not has_output_options(run.request))


async def layers(run: StepContext, plan: Plan) -> ClientReply:
    """Layer upon layer, and a synthesis of the last."""
    gathered = await _rounds(run, plan, "layer")
    usable = gathered.usable
    if not usable:
        return await concluded(run, plan, gathered, as_it_is=False)
    assert run.trace.panel is not None
    run.trace.panel["usable"] = len(usable)
    return await synthesized(run, plan, usable, None, 0)


async def _rounds(run: StepContext, plan: Plan, phase: str) -> PanelResult:
    assert plan.panel is not None
    seats = seats_of(plan)
    gathered = await gather(run, seats, options=False)
    for _ in range(plan.panel.rounds):
        usable = gathered.usable
        if len(usable) < 2 or gathered.agreed is not None:
            break
        if not run.affords(plan.usd_of(phase) / plan.panel.rounds):
            run.trace.degraded.append(f"{phase} left out: the budget holds no more")
            break
        blocks = [proposal(LETTERS[place], draft.answer) for place, draft in enumerate(usable)]
        request = inner_calls.said(
            run, "debater", *blocks, shape=InnerRequestOptions(stream=run.stream, keep_output_options=False)
        )
        again = await gather(run, seats, phase=phase, request=request, options=False)
        again.by_seat = {**gathered.by_seat, **again.by_seat}
        again.verdicts = [*gathered.verdicts, *again.verdicts]
        gathered = again
    return gathered


async def refine(run: StepContext, plan: Plan) -> ClientReply:
    """The lead criticises its own draft and writes it anew; the last round streams."""
    assert plan.panel is not None
    queue = [plan.primary, *run.routed.decision.fallbacks]
    draft = await run.draft(queue, phase="draft")
    rounds = plan.panel.rounds
    for turn in range(1, rounds + 1):
        author = draft.attempt.candidate
        if not run.affords(plan.usd_of("refinement") / rounds):
            run.trace.degraded.append("refinement left out: the budget holds no more")
            break
        run.progress.say("refinement", candidate=author)
        last = turn == rounds
        shape = InnerRequestOptions(stream=run.stream, tools="none")
        request = inner_calls.said(run, "refiner", proposal(LETTERS[0], draft.answer), shape=shape)
        try:
            if last:
                return with_sum(run, await run.final([author], phase="refinement", request=request))
            draft = await run.draft([author], phase="refinement", request=request)
        except AllCandidatesFailed as exc:
            run.trace.degraded.append(f"refinement by {author}: {exc.verdicts[-1].kind}; the draft went out")
            break
    return picked(run, draft)


async def pipeline(run: StepContext, plan: Plan) -> ClientReply:
    """Step after step; what each said is told to all that come after it."""
    assert plan.panel is not None
    steps = plan.panel.steps
    told: list[str] = []
    last: DraftReply | None = None
    for number, (step, candidate) in enumerate(zip(steps, plan.members, strict=True)):
        run.progress.say("step", candidate=candidate, name=step.name)
        final = number == len(steps) - 1
        shape = InnerRequestOptions(stream=run.stream, keep_output_options=final)
        request = inner_calls.said(run, "member", *told, shape=shape, instruction=step.instruction)
        try:
            if final:
                return with_sum(run, await run.final(_queue(run, candidate), phase="step", request=request))
            last = await run.draft([candidate], phase="step", request=request)
            told.append(material("step", {"name": step.name, "text": last.text}))
        except AllCandidatesFailed as exc:
            if final and last is None:
                raise
            run.trace.degraded.append(f"step {step.name} by {candidate}: {exc.verdicts[-1].kind}")
    assert last is not None
    return picked(run, last)


def _queue(run: StepContext, candidate: str) -> Sequence[str]:
    return [candidate, *(name for name in run.routed.decision.fallbacks if name != candidate)]


WAYS: Mapping[PanelMethod, Callable[[StepContext, Plan], Awaitable[ClientReply]]] = {
    "debate": debate,
    "layers": layers,
    "refine": refine,
    "pipeline": pipeline,
}
