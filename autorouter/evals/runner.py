"""Runs a comparison: every case is asked of every entrant, and every answer is graded.

results = await ask_all(cases, entrants, deps, max_parallel=4)    ->  a CaseResult for each case and entrant
results = await grade_all(results, max_parallel=2)                ->  with scores, by the graders that need no model
pairs   = await judge_pairs(results, "BEST", graders, deps, ...)  ->  the router against the best single, by other models
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from autorouter.engine.deps import Deps
from autorouter.evals import judge_models
from autorouter.evals.ask import EvalAnswer, ask
from autorouter.evals.cases import Case
from autorouter.evals.entrants import Entrant
from autorouter.evals.graders import Grade, RubricGrader
from autorouter.evals.judge_models import PairResult, PairVerdict

T = TypeVar("T")
ProgressCallback = Callable[[], None]
GRADER_TOKENS = 2_000
"""Enough for a verdict, and for the reasoning that some models write before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case asked of one entrant. `grade` None: not graded."""

    case: Case
    entrant: Entrant
    answer: EvalAnswer
    grade: Grade | None = None
    receipts: tuple[str, ...] = ()
    grading_usd: float | None = 0.0
    """What a model grader cost for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """The router's answer against another on one case: each grader's verdict."""

    case: str
    ours: str
    theirs: str
    graders: tuple[tuple[str, PairVerdict], ...]

    @property
    def result(self) -> PairResult:
        return judge_models.majority([judged.result for _, judged in self.graders])


async def run_concurrently(
    work: Iterable[Callable[[], Awaitable[T]]], max_parallel: int, on_done: ProgressCallback
) -> list[T]:
    """Results in the order of the work; at most `at_once` at a time."""
    semaphore = asyncio.Semaphore(max_parallel)

    async def one(make: Callable[[], Awaitable[T]]) -> T:
        async with semaphore:
            result = await make()
            on_done()
            return result

    return list(await asyncio.gather(*(one(make) for make in work)))


async def ask_all(
    cases: Sequence[Case],
    entrants: Sequence[Entrant],
    deps: Deps,
    *,
    max_parallel: int,
    max_tokens: int | None,
    on_done: ProgressCallback,
) -> list[CaseResult]:
    """Ask every case of every entrant."""

    async def one(case: Case, entrant: Entrant) -> CaseResult:
        session = f"compare-{case.id}-{entrant.label}"
        answer = await ask(deps, entrant.label, case.prompt, session=session, max_tokens=max_tokens)
        return CaseResult(case=case, entrant=entrant, answer=answer, receipts=(answer.receipt,))

    work = [partial(one, case, entrant) for case in cases for entrant in entrants]
    return await run_concurrently(work, max_parallel, on_done)


async def grade_all(results: Sequence[CaseResult], *, max_parallel: int, on_done: ProgressCallback) -> list[CaseResult]:
    """Score with the graders that need no model. A failed request scores 0."""

    async def one(entry: CaseResult) -> CaseResult:
        grader = entry.case.grader
        if grader is None:
            return entry
        if entry.answer.outcome == "failed":
            return replace(entry, grade=Grade(0.0, "no answer"))
        return replace(entry, grade=await asyncio.to_thread(grader.grade, entry.answer.text))

    return await run_concurrently([partial(one, entry) for entry in results], max_parallel, on_done)


async def grade_rubrics(
    results: Sequence[CaseResult], graders: Sequence[str], deps: Deps, *, max_parallel: int, on_done: ProgressCallback
) -> list[CaseResult]:
    """Have the first grader judge the rubric criteria without a pattern. An unparsed verdict leaves the score unchanged."""

    async def one(entry: CaseResult) -> CaseResult:
        rubric = entry.case.grader
        if (
            not isinstance(rubric, RubricGrader)
            or not rubric.reader_criteria
            or entry.answer.outcome == "failed"
            or not graders
        ):
            return entry
        key = secrets.token_hex(8)
        criteria = [(number, rubric.criteria[number].text) for number in sorted(rubric.reader_criteria)]
        redacted = judge_models.redact_names(entry.answer.text, model_names(deps))
        prompt = judge_models.criteria_prompt(key, entry.case.prompt, redacted, criteria)
        answer = await ask(deps, graders[0], prompt, session=f"grade-{key}", max_tokens=GRADER_TOKENS)
        met = judge_models.parse_met_criteria(answer.text, key, rubric.reader_criteria)
        updated = replace(entry, receipts=(*entry.receipts, answer.receipt), grading_usd=answer.cost_usd)
        if met is None:
            why = f"{entry.grade.why if entry.grade else ''}; the grader's verdict was unparsed".lstrip("; ")
            return replace(updated, grade=replace(entry.grade or Grade(0.0), why=why))
        return replace(
            updated, grade=rubric.scored(met | rubric.met(entry.answer.text), frozenset(range(len(rubric.criteria))))
        )

    return await run_concurrently([partial(one, entry) for entry in results], max_parallel, on_done)


async def judge_pairs(
    results: Sequence[CaseResult],
    against: str,
    graders: Sequence[str],
    deps: Deps,
    *,
    max_parallel: int,
    on_done: ProgressCallback,
) -> list[PairComparison]:
    """Compare each of the router's answers with that of `against`: every grader, both orders."""
    theirs = {entry.case.id: entry for entry in results if entry.entrant.label == against}

    async def one(entry: CaseResult) -> PairComparison:
        other = theirs[entry.case.id]
        verdicts = [(name, await judge_pair(deps, name, entry, other)) for name in graders]
        return PairComparison(case=entry.case.id, ours=entry.entrant.label, theirs=against, graders=tuple(verdicts))

    ours = [entry for entry in results if entry.entrant.ours and entry.case.id in theirs]
    return await run_concurrently([partial(one, entry) for entry in ours], max_parallel, on_done)


async def judge_pair(deps: Deps, grader: str, ours: CaseResult, theirs: CaseResult) -> PairVerdict:
    """Judge one pair by one grader: ours as A, then as B. A failed request loses without being judged."""
    missing = (ours.answer.outcome == "failed", theirs.answer.outcome == "failed")
    if any(missing):
        result: PairResult = "tie" if all(missing) else "loss" if missing[0] else "win"
        return PairVerdict(result=result, verdicts=(result, result), receipts=())
    one, other = (judge_models.redact_names(entry.answer.text, model_names(deps)) for entry in (ours, theirs))
    first, first_answer = await _verdict(deps, grader, ours.case.prompt, one, other)
    second, second_answer = await _verdict(deps, grader, ours.case.prompt, other, one)
    verdicts = (judge_models.of_ours(first, "A"), judge_models.of_ours(second, "B"))
    both = (first_answer, second_answer)
    return PairVerdict(
        result=judge_models.both(*verdicts),
        verdicts=verdicts,
        receipts=tuple(answer.receipt for answer in both),
        cost_usd=total_usd(answer.cost_usd for answer in both),
    )


async def _verdict(deps: Deps, grader: str, task: str, a: str, b: str) -> tuple[judge_models.Winner | None, EvalAnswer]:
    key = secrets.token_hex(8)
    prompt = judge_models.pair_prompt(key, task, a, b)
    answer = await ask(deps, grader, prompt, session=f"grade-{key}", max_tokens=GRADER_TOKENS)
    return judge_models.parse_winner(answer.text, key), answer


def total_usd(costs: Iterable[float | None]) -> float | None:
    """A sum of dollars; unknown where one of them is."""
    known = list(costs)
    return None if None in known else sum(cost or 0.0 for cost in known)


def model_names(deps: Deps) -> set[str]:
    """Names to redact: candidate ids, upstream model names and router labels. Vendor names stay, they are common words."""
    names = {name for c in deps.candidates for name in (c.id, c.model, c.model.rpartition("/")[2])}
    return names | {"openfusion/auto", "openfusion/verify", "openfusion/fusion"}
