"""A round: every case asked of every contestant, so many at a time, and every answer graded.

rounds = await play(cases, contestants, deps, at_once=4)   ->  Played for each case and contestant
grades = await graded(played, at_once=2)                   ->  with scores, by the graders that need no model
pairs  = await judged(played, …)                           ->  ours against the best single, by other models
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
Progress = Callable[[], None]
GRADER_TOKENS = 2_000
"""Room for a verdict, and for the thoughts that some models write before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case, one contestant. `grade` None: not graded."""

    case: Case
    contestant: Entrant
    asked: EvalAnswer
    grade: Grade | None = None
    receipts: tuple[str, ...] = ()
    grading_usd: float | None = 0.0
    """What reading it by a grader cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairComparison:
    """Ours against theirs on a case, by each grader in turn, and by all of them together."""

    case: str
    ours: str
    theirs: str
    graders: tuple[tuple[str, PairVerdict], ...]

    @property
    def result(self) -> PairResult:
        return judge_models.majority([judged.result for _, judged in self.graders])


async def run_concurrently(work: Iterable[Callable[[], Awaitable[T]]], at_once: int, done: Progress) -> list[T]:
    """Results in the order of the work; at most `at_once` at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(make: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            found = await make()
            done()
            return found

    return list(await asyncio.gather(*(one(make) for make in work)))


async def ask_all(
    cases: Sequence[Case],
    contestants: Sequence[Entrant],
    deps: Deps,
    *,
    at_once: int,
    max_tokens: int | None,
    done: Progress,
) -> list[CaseResult]:
    """Ask everybody everything."""

    async def one(case: Case, contestant: Entrant) -> CaseResult:
        session = f"compare-{case.id}-{contestant.label}"
        asked = await ask(deps, contestant.label, case.prompt, session=session, max_tokens=max_tokens)
        return CaseResult(case=case, contestant=contestant, asked=asked, receipts=(asked.receipt,))

    work = [partial(one, case, player) for case in cases for player in contestants]
    return await run_concurrently(work, at_once, done)


async def grade_all(played: Sequence[CaseResult], *, at_once: int, done: Progress) -> list[CaseResult]:
    """Scores by the graders that need no model; a question without an answer has none."""

    async def one(entry: CaseResult) -> CaseResult:
        grader = entry.case.grader
        if grader is None:
            return entry
        if entry.asked.outcome == "failed":
            return replace(entry, grade=Grade(0.0, "no answer"))
        return replace(entry, grade=await asyncio.to_thread(grader.grade, entry.asked.text))

    return await run_concurrently([partial(one, entry) for entry in played], at_once, done)


async def grade_rubrics(
    played: Sequence[CaseResult], graders: Sequence[str], deps: Deps, *, at_once: int, done: Progress
) -> list[CaseResult]:
    """The criteria of rubrics that only a reader can judge, by the first grader; unparsed leaves the score as it was."""

    async def one(entry: CaseResult) -> CaseResult:
        rubric = entry.case.grader
        if not isinstance(rubric, RubricGrader) or not rubric.asked or entry.asked.outcome == "failed" or not graders:
            return entry
        key = secrets.token_hex(8)
        criteria = [(number, rubric.criteria[number].text) for number in sorted(rubric.asked)]
        answer = judge_models.redact_names(entry.asked.text, model_names(deps))
        prompt = judge_models.criteria_prompt(key, entry.case.prompt, answer, criteria)
        asked = await ask(deps, graders[0], prompt, session=f"grade-{key}", max_tokens=GRADER_TOKENS)
        met = judge_models.parse_met_criteria(asked.text, key, rubric.asked)
        found = replace(entry, receipts=(*entry.receipts, asked.receipt), grading_usd=asked.cost_usd)
        if met is None:
            why = f"{entry.grade.why if entry.grade else ''}; the grader's verdict was unparsed".lstrip("; ")
            return replace(found, grade=replace(entry.grade or Grade(0.0), why=why))
        return replace(
            found, grade=rubric.scored(met | rubric.met(entry.asked.text), frozenset(range(len(rubric.criteria))))
        )

    return await run_concurrently([partial(one, entry) for entry in played], at_once, done)


async def judge_pairs(
    played: Sequence[CaseResult], against: str, graders: Sequence[str], deps: Deps, *, at_once: int, done: Progress
) -> list[PairComparison]:
    """Each answer of ours against that of `against`, by every grader, in both orders."""
    theirs = {entry.case.id: entry for entry in played if entry.contestant.label == against}

    async def one(entry: CaseResult) -> PairComparison:
        other = theirs[entry.case.id]
        found = [(name, await judge_pair(deps, name, entry, other)) for name in graders]
        return PairComparison(case=entry.case.id, ours=entry.contestant.label, theirs=against, graders=tuple(found))

    ours = [entry for entry in played if entry.contestant.ours and entry.case.id in theirs]
    return await run_concurrently([partial(one, entry) for entry in ours], at_once, done)


async def judge_pair(deps: Deps, grader: str, ours: CaseResult, theirs: CaseResult) -> PairVerdict:
    """One pair by one grader, ours first as A, then as B. Without an answer there is nothing to compare: who has none loses."""
    missing = (ours.asked.outcome == "failed", theirs.asked.outcome == "failed")
    if any(missing):
        result: PairResult = "tie" if all(missing) else "loss" if missing[0] else "win"
        return PairVerdict(result=result, verdicts=(result, result), receipts=())
    one, other = (judge_models.redact_names(entry.asked.text, model_names(deps)) for entry in (ours, theirs))
    first, first_asked = await _verdict(deps, grader, ours.case.prompt, one, other)
    second, second_asked = await _verdict(deps, grader, ours.case.prompt, other, one)
    found = (judge_models.of_ours(first, "A"), judge_models.of_ours(second, "B"))
    both = (first_asked, second_asked)
    return PairVerdict(
        result=judge_models.both(*found),
        verdicts=found,
        receipts=tuple(asked.receipt for asked in both),
        cost_usd=total_usd(asked.cost_usd for asked in both),
    )


async def _verdict(deps: Deps, grader: str, task: str, a: str, b: str) -> tuple[judge_models.Winner | None, EvalAnswer]:
    key = secrets.token_hex(8)
    prompt = judge_models.pair_prompt(key, task, a, b)
    asked = await ask(deps, grader, prompt, session=f"grade-{key}", max_tokens=GRADER_TOKENS)
    return judge_models.parse_winner(asked.text, key), asked


def total_usd(costs: Iterable[float | None]) -> float | None:
    """A sum of dollars; unknown where one of them is."""
    known = list(costs)
    return None if None in known else sum(cost or 0.0 for cost in known)


def model_names(deps: Deps) -> set[str]:
    """Whatever names a model here: ids, what upstreams are asked for, vendors aside (they are words of their own)."""
    found = {name for c in deps.candidates for name in (c.id, c.model, c.model.rpartition("/")[2])}
    return found | {"openfusion/auto", "openfusion/verify", "openfusion/fusion"}
