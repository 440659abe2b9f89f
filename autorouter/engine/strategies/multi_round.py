"""Panel methods with several rounds: debate, layers, refinement, pipeline. Only for requests without tools.

    debate     answers ──► each member sees all and answers again ──► ... ──► judge ──► synthesis
    layers     answers ──► a further layer sees them              ──► ... ──► synthesis
    refine     draft ──► criticised and rewritten by its author   ──► ...
    pipeline   step ──► step, each sees what came before ──► ... the last one is the answer

If a round fails, the answers from before it are kept, and it is listed as degraded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from autorouter.core.decision.plans import Plan
from autorouter.core.panels import PanelMethod
from autorouter.core.reasons import ReasonCode
from autorouter.engine.attempts import AllCandidatesFailed, StepContext
from autorouter.engine.call import ClientReply
from autorouter.engine.strategies import inner_calls
from autorouter.engine.strategies.aggregate import aggregate, release_member, synthesize, with_total_usage
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import LETTERS, json_block, proposal_block
from autorouter.engine.strategies.members import PanelResult, ask_members, member_settings
from autorouter.wire.inner_request import InnerRequestOptions, has_output_options


async def debate(context: StepContext, plan: Plan) -> ClientReply:
    """Members answer, then answer again knowing each other's answers; then aggregated as any panel."""
    result = await _rounds(context, plan, "debate")
    return await aggregate(context, plan, result, allow_release=not has_output_options(context.request))


async def layers(context: StepContext, plan: Plan) -> ClientReply:
    """Each layer sees the answers of the one before; the last is synthesized."""
    result = await _rounds(context, plan, "layer")
    usable = result.usable
    if not usable:
        return await aggregate(context, plan, result, allow_release=False)
    assert context.trace.panel is not None
    context.trace.panel["usable"] = len(usable)
    return await synthesize(context, plan, usable, None, 0)


async def _rounds(context: StepContext, plan: Plan, phase: str) -> PanelResult:
    assert plan.panel is not None
    members = member_settings(plan)
    result = await ask_members(context, members, options=False)
    for _ in range(plan.panel.rounds):
        usable = result.usable
        if len(usable) < 2 or result.agreed is not None:
            break
        if not context.within_budget(plan.usd_of(phase) / plan.panel.rounds):
            context.trace.degrade(ReasonCode.ROUND_SKIPPED, phase=phase)
            break
        blocks = [proposal_block(LETTERS[place], draft.answer) for place, draft in enumerate(usable)]
        request = inner_calls.build_request(
            context, "debater", *blocks, shape=InnerRequestOptions(stream=context.stream, keep_output_options=False)
        )
        again = await ask_members(context, members, phase=phase, request=request, options=False)
        again.by_member = {**result.by_member, **again.by_member}
        again.verdicts = [*result.verdicts, *again.verdicts]
        result = again
    return result


async def refine(context: StepContext, plan: Plan) -> ClientReply:
    """The lead criticises and rewrites its own draft; the last round streams."""
    assert plan.panel is not None
    queue = [plan.primary, *context.routed.decision.fallbacks]
    draft = await context.get_draft(queue, phase="draft")
    rounds = plan.panel.rounds
    for turn in range(1, rounds + 1):
        author = draft.attempt.candidate
        if not context.within_budget(plan.usd_of("refinement") / rounds):
            context.trace.degrade(ReasonCode.ROUND_SKIPPED, phase="refinement")
            break
        context.progress.report("refinement", candidate=author)
        last = turn == rounds
        shape = InnerRequestOptions(stream=context.stream, tools="none")
        request = inner_calls.build_request(context, "refiner", proposal_block(LETTERS[0], draft.answer), shape=shape)
        try:
            if last:
                return with_total_usage(context, await context.get_reply([author], phase="refinement", request=request))
            draft = await context.get_draft([author], phase="refinement", request=request)
        except AllCandidatesFailed as exc:
            context.trace.degrade(ReasonCode.REFINEMENT_FAILED, candidate=author, why=exc.reason)
            break
    return release_member(context, draft)


async def pipeline(context: StepContext, plan: Plan) -> ClientReply:
    """Step after step; each sees the answers of all before it."""
    assert plan.panel is not None
    steps = plan.panel.steps
    texts: list[str] = []
    last: DraftReply | None = None
    for number, (step, candidate) in enumerate(zip(steps, plan.members, strict=True)):
        context.progress.report("step", candidate=candidate, name=step.name)
        final = number == len(steps) - 1
        shape = InnerRequestOptions(stream=context.stream, keep_output_options=final)
        request = inner_calls.build_request(context, "member", *texts, shape=shape, instruction=step.instruction)
        try:
            if final:
                return with_total_usage(
                    context, await context.get_reply(_queue(context, candidate), phase="step", request=request)
                )
            last = await context.get_draft([candidate], phase="step", request=request)
            texts.append(json_block("step", {"name": step.name, "text": last.text}))
        except AllCandidatesFailed as exc:
            if final and last is None:
                raise
            context.trace.degrade(ReasonCode.STEP_FAILED, step=step.name, candidate=candidate, why=exc.reason)
    assert last is not None
    return release_member(context, last)


def _queue(context: StepContext, candidate: str) -> Sequence[str]:
    return [candidate, *(name for name in context.routed.decision.fallbacks if name != candidate)]


METHODS: Mapping[PanelMethod, Callable[[StepContext, Plan], Awaitable[ClientReply]]] = {
    "debate": debate,
    "layers": layers,
    "refine": refine,
    "pipeline": pipeline,
}
