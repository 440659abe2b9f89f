"""The inner calls of a step: what a verifier, a judge or a member is told, and what is made of its answer.

Each has a key of its own, derived from the receipt's id, that no model has seen before it is asked.

Answers as material for a judge: JSON between tags, in which no tag can stand, under letters that name nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from autorouter.core.review import verdicts
from autorouter.core.review.verdicts import PanelJudgement, ReviewVerdict
from autorouter.engine import prompts
from autorouter.engine.attempts import AllCandidatesFailed
from autorouter.engine.context import StepContext
from autorouter.engine.prompts import PromptRole, escape_tags
from autorouter.wire.common.ir import ResponseIR
from autorouter.wire.exchange import ClientRequest
from autorouter.wire.inner_request import InnerRequestOptions, answer_text, answer_tool_calls, compose

T = TypeVar("T")
VERDICT_MAX_TOKENS = 6_000
"""Room for a verdict and for the thoughts before it; a verdict itself has about 200."""


def said(
    run: StepContext, part: PromptRole, *blocks: str, shape: InnerRequestOptions, instruction: str = ""
) -> ClientRequest:
    """The client's request with a part's instruction and its material behind it."""
    key = _key(run, part)
    return compose(run.request, _addition(run, part, key, *blocks, instruction=instruction), shape)


async def verdict(run: StepContext, verifier: str, draft: ResponseIR) -> ReviewVerdict | str:
    """The verifier's verdict on a draft, or why there is none."""
    key = _key(run, "verifier")
    return await _asked(
        run,
        "verifier",
        verifier,
        "verdict",
        run.deps.policy.fusion.verifier_s,
        key,
        [proposal(LETTERS[0], draft)],
        lambda text: verdicts.parse_verdict(text, key),
    )


async def judged(
    run: StepContext, judge: str, answers: Sequence[ResponseIR]
) -> tuple[PanelJudgement | str, Sequence[int]]:
    """The judge's comparison or why there is none; and which answer stood behind each letter."""
    key = _key(run, "judge")
    order, blocks = _lettered(answers, key)
    letters = LETTERS[: len(answers)]
    found = await _asked(
        run,
        "judge",
        judge,
        "judgement",
        run.deps.policy.fusion.judge_s,
        key,
        blocks,
        lambda text: verdicts.parse_judgement(text, key, letters),
    )
    return found, order


async def ranked(
    run: StepContext, judge: str, answers: Sequence[ResponseIR], *, swapped: bool = False
) -> tuple[int, ...] | str:
    """The answers' indices, best first, or why there is no order. `swapped`: shown in the opposite order."""
    key = _key(run, "ranker")
    order, _ = _lettered(answers, _seed(run))
    if swapped:
        order = order[::-1]
    letters = LETTERS[: len(answers)]
    found = await _asked(
        run,
        "ranker",
        judge,
        "ranking",
        run.deps.policy.fusion.judge_s,
        key,
        [proposal(letters[place], answers[index]) for place, index in enumerate(order)],
        lambda text: verdicts.parse_ranking(text, key, letters),
    )
    return found if isinstance(found, str) else tuple(order[letters.index(letter)] for letter in found)


async def _asked(
    run: StepContext,
    part: PromptRole,
    candidate: str,
    phase: str,
    limit_s: float,
    key: str,
    blocks: Sequence[str],
    read: Callable[[str], T | None],
) -> T | str:
    run.progress.say(phase, candidate=candidate)
    shape = InnerRequestOptions(stream=False, keep_output_options=False, tools="none", max_tokens=VERDICT_MAX_TOKENS)
    request = compose(run.request, _addition(run, part, key, *blocks), shape)
    try:
        text = await run.text(candidate, phase=phase, request=request, limit_s=limit_s)
    except AllCandidatesFailed as exc:
        return exc.verdicts[-1].kind
    except TimeoutError:
        return f"late, {limit_s:g} s"
    found = read(text)
    return "its answer was none" if found is None else found


def _lettered(answers: Sequence[ResponseIR], key: str) -> tuple[Sequence[int], list[str]]:
    order = prompts.shuffled_order(len(answers), key)
    return order, [proposal(LETTERS[place], answers[index]) for place, index in enumerate(order)]


def findings_of(found: ReviewVerdict) -> str:
    """A verdict's reasons as material."""
    return material("findings", list(found.findings))


def judgement_block(found: PanelJudgement) -> str:
    """A judgement as material."""
    lists = {name: list(getattr(found, name)) for name in verdicts.LISTS}
    return material("judgement", lists | {"best": found.best})


def _addition(run: StepContext, part: PromptRole, key: str, *blocks: str, instruction: str = "") -> str:
    run.trace.prompts[part] = run.deps.prompts.digests[part]
    return prompts.addition(run.deps.prompts, part, key, *blocks, instruction=instruction)


def _key(run: StepContext, part: PromptRole) -> str:
    return prompts.answer_key(run.caller.request_id, part, len(run.trace.attempts))


def _seed(run: StepContext) -> str:
    """The same for all questions about one panel, so that a swapped order is the opposite of the first."""
    return prompts.answer_key(run.caller.request_id, "order", 0)


PROPOSAL_CHARS = 60_000
"""A longer proposal is shown to others with its middle left out: about 15,000 tokens, more than any answer should need."""
LETTERS = "ABCDEFGH"


def proposal(letter: str, answer: ResponseIR) -> str:
    """An answer as material for a judge."""
    text = answer_text(answer)
    if len(text) > PROPOSAL_CHARS:
        text = f"{text[: PROPOSAL_CHARS // 2]}\n[... left out ...]\n{text[-PROPOSAL_CHARS // 2 :]}"
    shown: dict[str, Any] = {"text": text}
    if calls := answer_tool_calls(answer):
        shown["tool_calls"] = [{"name": call.name, "arguments": call.arguments[:PROPOSAL_CHARS]} for call in calls]
    return material("proposal", shown, letter)


def material(name: str, value: Any, letter: str | None = None) -> str:
    """A JSON value between tags; none can stand in it."""
    mark = f' id="{letter}"' if letter else ""
    return f"<{name}{mark}>\n{escape_tags(orjson.dumps(value).decode())}\n</{name}>"
