"""The verify strategy: one model drafts, and the draft is reviewed before it goes out.

draft ──► plain tool step ──► out at once
  │ a final answer, a risky call
  ▼
evidence: claims success although the tools report failure ──► rejected without any call
  │ no contradiction
  ▼
verifier ──► accept ──► out, byte for byte          ──► revise ──► the primary with the findings, or a better candidate
  │ down, late, no verdict
  ▼
out, "degraded"
"""

from __future__ import annotations

from autorouter.core.decision.plans import Plan
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review.draft_risk import needs_review
from autorouter.core.review.verdicts import ReviewVerdict
from autorouter.core.signals.tool_trace import contradicting_evidence
from autorouter.engine.attempts import AllCandidatesFailed, StepContext
from autorouter.engine.call import ClientReply
from autorouter.engine.strategies import inner_calls
from autorouter.engine.strategies.drafts import DraftReply
from autorouter.engine.strategies.inner_calls import LETTERS, proposal_block
from autorouter.errors import UpstreamError
from autorouter.receipts.messages import sentence
from autorouter.upstream import errors
from autorouter.wire.inner_request import InnerRequestOptions


async def perform(context: StepContext, plan: Plan) -> ClientReply:
    """The verified answer. Raises AllCandidatesFailed if there is no draft."""
    scope = context.verify_scope
    context.progress.report("draft", candidate=plan.primary)
    queue = [plan.primary, *context.routed.decision.fallbacks]
    draft = await context.get_draft(queue, phase="draft", verify_scope=scope)
    if draft.live or not needs_review(draft.weight, scope):
        context.trace.panel = {"reviewed": False, "draft_kind": "plain"}
        return context.release(draft)
    verdict, source = await _verdict(context, plan, draft)
    context.trace.panel = {"reviewed": True, "draft_kind": draft.weight, "verdict_by": source}
    if verdict is None:
        return context.release(draft)
    context.trace.panel |= {"verdict": verdict.word, "findings": len(verdict.findings)}
    if verdict.word == "accept":
        return context.release(draft)
    return await _second_answer(context, plan, draft, verdict)


async def _verdict(context: StepContext, plan: Plan, draft: DraftReply) -> tuple[ReviewVerdict | None, str | None]:
    """The verdict, and its source: `evidence` or the verifier; None if there is no verdict."""
    reason = contradicting_evidence(draft.text, context.routed.features.evidence)
    if reason is not None:
        return ReviewVerdict(word="revise", findings=(f"The draft {reason}.",)), "evidence"
    assert plan.verifier is not None
    if not context.within_budget(plan.usd_of("verdict")):
        context.trace.degrade(ReasonCode.VERIFIER_SKIPPED)
        return None, None
    verdict = await inner_calls.ask_verifier(context, plan.verifier, draft.answer)
    if isinstance(verdict, Reason):
        context.trace.degrade(ReasonCode.VERDICT_MISSING, candidate=plan.verifier, why=verdict)
        return None, None
    return verdict, plan.verifier


async def _second_answer(context: StepContext, plan: Plan, draft: DraftReply, verdict: ReviewVerdict) -> ClientReply:
    """The second answer; the rejected draft if there is none, unless that is a risky call."""
    phase = "escalation" if plan.escalation else "revision"
    candidate = plan.escalation or draft.attempt.candidate
    if not context.within_budget(_second_answer_usd(context, plan, phase, candidate)):
        return _release_rejected(context, draft, Reason.of(ReasonCode.NO_BUDGET_FOR_SECOND_ANSWER))
    context.progress.report(phase, candidate=candidate)
    blocks = proposal_block(LETTERS[0], draft.answer), inner_calls.findings_block(verdict)
    request = inner_calls.build_request(context, "reviser", *blocks, shape=InnerRequestOptions(stream=context.stream))
    try:
        return await context.get_reply([candidate], phase=phase, request=request)
    except AllCandidatesFailed as exc:
        why = Reason.of(ReasonCode.SECOND_ANSWER_FAILED, phase=phase, candidate=candidate, why=exc.reason)
        return _release_rejected(context, draft, why, exc)


def _release_rejected(
    context: StepContext, draft: DraftReply, why: Reason, cause: AllCandidatesFailed | None = None
) -> ClientReply:
    """Release a rejected draft. Raises AllCandidatesFailed for a risky call."""
    # Rejected words do less harm than no answer; a rejected call that can't be undone does more.
    if draft.weight != "risky":
        context.trace.degrade(ReasonCode.REJECTED_DRAFT_RELEASED, why=why)
        return context.release(draft)
    error = UpstreamError(
        f"A risky tool call of {draft.attempt.candidate} was rejected by its verifier, and there is no other answer: "
        f"{sentence(why)}",
        kind="rejected",
        http_status=502,
        code="draft_rejected",
        hint="ask again, or say more about what is meant",
    )
    verdict = errors.FailureVerdict(kind="rejected", retry_elsewhere=False, counts_against_health=False, error=error)
    raise AllCandidatesFailed([verdict]) from cause


def _second_answer_usd(context: StepContext, plan: Plan, phase: str, candidate: str) -> float:
    """As planned; a fallback that drafted in place of the primary, and revises its own draft, has its own price."""
    usd = plan.usd_of(phase)
    if candidate in (plan.primary, plan.escalation):
        return usd
    return max(usd, next(score.step_usd for score in context.routed.decision.scores if score.candidate == candidate))
