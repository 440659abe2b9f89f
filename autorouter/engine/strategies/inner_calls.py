"""Inner calls: what a verifier, a judge or a member is asked, and how its answer is read.

Each judging call has its own key, derived from the receipt's id, which the answer must repeat. A model that wrote a proposal
has never seen the key, so text in a proposal can't pass for a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.review import verdicts
from autorouter.core.review.verdicts import PanelJudgement, ReviewVerdict
from autorouter.engine import prompts
from autorouter.engine.attempts import AllCandidatesFailed, StepContext
from autorouter.engine.prompts import PromptRole, escape_tags
from autorouter.wire.common.ir import ResponseIR
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.inner_request import InnerRequestOptions, answer_text, answer_tool_calls, compose

T = TypeVar("T")
VERDICT_MAX_TOKENS = 6_000
"""Room for a verdict and the reasoning before it; a verdict itself has about 200 tokens."""


def build_request(
    context: StepContext, part: PromptRole, *blocks: str, shape: InnerRequestOptions, instruction: str = ""
) -> ClientRequest:
    """The client's request followed by a role's instruction and blocks."""
    key = _key(context, part)
    return compose(context.request, _addition(context, part, key, *blocks, instruction=instruction), shape)


async def ask_verifier(context: StepContext, verifier: str, draft: ResponseIR) -> ReviewVerdict | Reason:
    """The verifier's verdict on a draft, or why there is none."""
    key = _key(context, "verifier")
    return await _ask(
        context,
        "verifier",
        verifier,
        "verdict",
        context.deps.policy.fusion.verifier_s,
        key,
        [proposal_block(LETTERS[0], draft)],
        lambda text: verdicts.parse_verdict(text, key),
    )


async def ask_judge(
    context: StepContext, judge: str, answers: Sequence[ResponseIR]
) -> tuple[PanelJudgement | Reason, Sequence[int]]:
    """The judge's comparison, or why there is none; and which answer each letter stands for."""
    key = _key(context, "judge")
    order, blocks = _lettered_blocks(answers, key)
    letters = LETTERS[: len(answers)]
    reply = await _ask(
        context,
        "judge",
        judge,
        "judgement",
        context.deps.policy.fusion.judge_s,
        key,
        blocks,
        lambda text: verdicts.parse_judgement(text, key, letters),
    )
    return reply, order


async def ask_ranker(
    context: StepContext, judge: str, answers: Sequence[ResponseIR], *, swapped: bool = False
) -> tuple[int, ...] | Reason:
    """The answers' indices, best first, or why there is no ranking. `swapped`: shown in the opposite order."""
    key = _key(context, "ranker")
    order, _ = _lettered_blocks(answers, _seed(context))
    if swapped:
        order = order[::-1]
    letters = LETTERS[: len(answers)]
    reply = await _ask(
        context,
        "ranker",
        judge,
        "ranking",
        context.deps.policy.fusion.judge_s,
        key,
        [proposal_block(letters[place], answers[index]) for place, index in enumerate(order)],
        lambda text: verdicts.parse_ranking(text, key, letters),
    )
    return reply if isinstance(reply, Reason) else tuple(order[letters.index(letter)] for letter in reply)


async def _ask(
    context: StepContext,
    part: PromptRole,
    candidate: str,
    phase: str,
    limit_s: float,
    key: str,
    blocks: Sequence[str],
    read: Callable[[str], T | None],
) -> T | Reason:
    context.progress.report(phase, candidate=candidate)
    shape = InnerRequestOptions(stream=False, keep_output_options=False, tools="none", max_tokens=VERDICT_MAX_TOKENS)
    request = compose(context.request, _addition(context, part, key, *blocks), shape)
    try:
        text = await context.get_text(candidate, phase=phase, request=request, limit_s=limit_s)
    except AllCandidatesFailed as exc:
        return exc.reason
    except TimeoutError:
        return Reason.of(ReasonCode.TIMED_OUT, limit_s=limit_s)
    reply = read(text)
    return Reason.of(ReasonCode.NO_VERDICT) if reply is None else reply


def _lettered_blocks(answers: Sequence[ResponseIR], key: str) -> tuple[Sequence[int], list[str]]:
    order = prompts.shuffled_order(len(answers), key)
    return order, [proposal_block(LETTERS[place], answers[index]) for place, index in enumerate(order)]


def findings_block(reply: ReviewVerdict) -> str:
    """A verdict's findings as a block."""
    return json_block("findings", list(reply.findings))


def judgement_block(reply: PanelJudgement) -> str:
    """A judgement as a block."""
    lists = {name: list(getattr(reply, name)) for name in verdicts.LISTS}
    return json_block("judgement", lists | {"best": reply.best})


def _addition(context: StepContext, part: PromptRole, key: str, *blocks: str, instruction: str = "") -> str:
    context.trace.prompts[part] = context.deps.prompts.digests[part]
    return prompts.addition(context.deps.prompts, part, key, *blocks, instruction=instruction)


def _key(context: StepContext, part: PromptRole) -> str:
    return prompts.answer_key(context.receipt_id, part, len(context.trace.attempts))


def _seed(context: StepContext) -> str:
    """The same for all rankings of one panel, so that a swapped order is exactly the reverse."""
    return prompts.answer_key(context.receipt_id, "order", 0)


PROPOSAL_CHARS = 60_000
"""Longer proposals are shown with the middle left out. About 15,000 tokens, more than an answer should need."""
LETTERS = "ABCDEFGH"


def proposal_block(letter: str, answer: ResponseIR) -> str:
    """An answer as a block for a judge, under a letter that doesn't reveal its model."""
    text = answer_text(answer)
    if len(text) > PROPOSAL_CHARS:
        text = f"{text[: PROPOSAL_CHARS // 2]}\n[... left out ...]\n{text[-PROPOSAL_CHARS // 2 :]}"
    shown: dict[str, Any] = {"text": text}
    if calls := answer_tool_calls(answer):
        shown["tool_calls"] = [{"name": call.name, "arguments": call.arguments[:PROPOSAL_CHARS]} for call in calls]
    return json_block("proposal", shown, letter)


def json_block(name: str, value: Any, letter: str | None = None) -> str:
    """A JSON value between tags. The value can't contain a tag itself."""
    mark = f' id="{letter}"' if letter else ""
    return f"<{name}{mark}>\n{escape_tags(orjson.dumps(value).decode())}\n</{name}>"
