"""Recorded sessions through the decision, step by step, with the session folded as the server folds it.

Five bills for each session: always the best model, always the cheapest, the router (`auto`), the router's first choice kept
for the whole session, and the router without any memory (no incumbent, no cache known).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from os import cpu_count
from typing import Any, NamedTuple

from autorouter.core.decision.decide import Decision, decide
from autorouter.core.decision.plans import Plan
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features, extract_features
from autorouter.core.state import session as sessions
from autorouter.core.state.learned import NOTHING_LEARNED, LearnedState, record_turn, record_turn_step
from autorouter.core.state.session import NEW_SESSION, Session
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Strategy
from autorouter.evals.bench_economics import RecordedStep, SessionCaches, session_usd
from autorouter.evals.bench_session_data import RecordedRequest, RecordedSession, SessionLine, parse_session
from autorouter.wire.parse import parse_request

CHECKPOINTS = (10, 20, 30)
"""Steps at which it is asked whether a failing session can be told from one that succeeds."""


class SessionStep(NamedTuple):
    """What the router made of a step. `switch`: "up", "down" or "same" in the chance of success, "" where nothing moved."""

    candidate: str
    strategy: str
    is_new_turn: bool
    housekeeping: bool
    difficulty: float
    wrong: float
    input_tokens: int
    expected_steps: float
    expected_usd: float
    usd: float
    second_look: bool
    switch: str
    verdict: str
    back: bool
    red: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBill:
    """A session's five bills in USD, and its steps under `auto`."""

    source: str
    id: str
    agent: str
    solved: bool | None
    best_usd: float
    cheapest_usd: float
    auto_usd: float
    first_kept_usd: float
    forget_usd: float
    forget_switches: int
    steps: tuple[SessionStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWorld:
    """The candidates and the policy of a bench; `best` and `cheapest` are the references' ids."""

    candidates: tuple[Candidate, ...]
    policy: Policy
    best: str
    cheapest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionJob:
    """Sessions for one worker. With `learns`, what the turns of a session showed is known to the next one."""

    entries: tuple[SessionLine, ...]
    world: SessionWorld
    learns: bool = False


def split_sessions(entries: Sequence[SessionLine], world: SessionWorld, *, learns: bool) -> list[SessionJob]:
    """A job for each session, or for each source where a session learns from the ones before it."""
    if not learns:
        return [SessionJob(entries=(entry,), world=world) for entry in entries]
    sources = dict.fromkeys(entry.source for entry in entries)
    return [
        SessionJob(entries=tuple(e for e in entries if e.source == source), world=world, learns=True)
        for source in sources
    ]


def build_world(candidates: Sequence[Candidate], policy: Policy) -> SessionWorld:
    """Best: the ablest coder, of equals the cheaper. Cheapest: the lowest list price that isn't free."""
    paid = [c for c in candidates if c.price is not None and c.price.input > 0]
    best = max(paid, key=lambda c: (_percentile(c), -_blended(c), c.id))
    cheapest = min(paid, key=lambda c: (_blended(c), c.id))
    return SessionWorld(candidates=tuple(candidates), policy=policy, best=best.id, cheapest=cheapest.id)


def _percentile(candidate: Candidate) -> float:
    marks = candidate.benchmarks
    return marks.coding if marks.coding is not None else marks.general or 0.0


def _blended(candidate: Candidate) -> float:
    price = candidate.price
    return (3 * price.input + price.output) / 4 if price is not None else 0.0


def replay_sessions(jobs: Sequence[SessionJob], *, processes: int | None = None) -> Iterator[list[SessionBill]]:
    """The jobs' bills in order, on all cores."""
    workers = min(len(jobs), processes or cpu_count() or 1)
    if workers <= 1:
        yield from map(bill_sessions, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(bill_sessions, jobs)


def bill_sessions(job: SessionJob) -> list[SessionBill]:
    bills, learned = [], NOTHING_LEARNED
    for entry in job.entries:
        recorded = parse_session(entry)
        read = [read_request(recorded, request, job.world.policy) for request in recorded.requests]
        bills.append(bill_session(recorded, entry.source, job.world, read, learned))
        if job.learns:
            learned = learn_turns(learned, recorded, read)
    return bills


def learn_turns(learned: LearnedState, recorded: RecordedSession, read: Sequence[Features]) -> LearnedState:
    """Fold the lengths of a session's turns and the sizes of their steps, as the server does from its receipts."""
    first, steps, before = read[0], 0, 0
    for request, features in zip(recorded.requests, read, strict=True):
        if features.phase == "housekeeping":
            continue
        step = request.step
        if features.phase == "first" and steps:
            learned = record_turn(learned, client=first.client, kind=first.kind.value, steps=steps)
            steps = 0
        if not steps:
            first = features
        elif step.input_tokens > before:
            learned = record_turn_step(
                learned,
                client=first.client,
                kind=first.kind.value,
                new_tokens=step.input_tokens - before,
                output_tokens=step.output_tokens,
            )
        steps, before = steps + 1, step.input_tokens
    return record_turn(learned, client=first.client, kind=first.kind.value, steps=steps) if steps else learned


def bill_session(
    recorded: RecordedSession,
    source: str,
    world: SessionWorld,
    read: Sequence[Features],
    learned: LearnedState = NOTHING_LEARNED,
) -> SessionBill:
    """Replay a session with and without memory."""
    by_id = {candidate.id: candidate for candidate in world.candidates}
    auto = _Replay(world, by_id, learned)
    forget = _Replay(world, by_id, learned)
    for place, (request, features) in enumerate(zip(recorded.requests, read, strict=True)):
        ends_turn = place + 1 == len(read) or read[place + 1].phase == "first"
        auto.step(features, request.step, ends_turn=ends_turn, remembers=True)
        forget.step(features, request.step, ends_turn=ends_turn, remembers=False)
    steps = [request.step for request in recorded.requests]
    first = next((s.candidate for s in auto.steps if not s.housekeeping), world.best)
    return SessionBill(
        source=source,
        id=recorded.id,
        agent=recorded.agent,
        solved=recorded.solved,
        best_usd=session_usd(steps, [by_id[world.best]] * len(steps)),
        cheapest_usd=session_usd(steps, [by_id[world.cheapest]] * len(steps)),
        auto_usd=sum(step.usd for step in auto.steps),
        first_kept_usd=session_usd(steps, [by_id[first]] * len(steps)),
        forget_usd=sum(step.usd for step in forget.steps),
        forget_switches=sum(bool(step.switch) for step in forget.steps),
        steps=tuple(auto.steps),
    )


def read_request(recorded: RecordedSession, request: RecordedRequest, policy: Policy) -> Features:
    return extract_features(parse_request(recorded.wire, request.body, recorded.headers).task, policy)


class _Replay:
    """One pass over a session: decide, charge, remember."""

    def __init__(self, world: SessionWorld, by_id: dict[str, Candidate], learned: LearnedState) -> None:
        self.steps: list[SessionStep] = []
        self._world, self._by_id, self._learned = world, by_id, learned
        self._session: Session = NEW_SESSION
        self._caches = SessionCaches()
        self._last: str | None = None
        self._before: set[str] = set()

    def step(self, features: Features, recorded: RecordedStep, *, ends_turn: bool, remembers: bool) -> None:
        snapshot = Snapshot(
            now_s=recorded.at_s,
            candidates=self._world.candidates,
            # Without memory the turn's own course is still known: the request shows it.
            session=self._session if remembers else replace(self._session, incumbent=None, warm=(), left=()),
            learned=self._learned,
        )
        decision = decide(features, snapshot, self._world.policy)
        if decision.plan is None:
            raise AssertionError(f"the bench's pool was refused: {decision.refusal}")
        plan = decision.plan
        self._caches.compact(recorded.kept_tokens)
        usd = self._caches.charge(self._by_id[plan.primary], recorded)
        looks = plan.strategy is not Strategy.SINGLE and (ends_turn or not features.tools)
        if looks:
            usd += second_look_usd(plan)
        self._note(features, decision, plan, recorded, usd, looks=looks)
        self._session = sessions.record_step(
            self._session,
            candidate=plan.primary,
            input_tokens=recorded.input_tokens,
            context_tokens=features.input_tokens,
            output_tokens=recorded.output_tokens,
            cost_usd=usd,
            is_new_turn=features.phase == "first",
            moves_pin=features.phase != "housekeeping",
            now_s=recorded.at_s,
        )

    def _note(
        self, features: Features, decision: Decision, plan: Plan, recorded: RecordedStep, usd: float, *, looks: bool
    ) -> None:
        housekeeping = features.phase == "housekeeping"
        moved = not housekeeping and self._last is not None and plan.primary != self._last
        self.steps.append(
            SessionStep(
                candidate=plan.primary,
                strategy=plan.strategy.value,
                is_new_turn=features.phase == "first",
                housekeeping=housekeeping,
                difficulty=features.difficulty,
                wrong=features.evidence.wrong,
                input_tokens=recorded.input_tokens,
                expected_steps=features.expected_steps,
                expected_usd=plan.expected_usd,
                usd=usd,
                second_look=looks,
                switch=_direction(decision, self._last, plan.primary) if moved else "",
                verdict=decision.switch.verdict if decision.switch else "",
                back=moved and plan.primary in self._before,
                red=features.evidence.last_run == "red",
            )
        )
        if not housekeeping:
            self._last = plan.primary
            self._before.add(plan.primary)


def _direction(decision: Decision, last: str | None, now: str) -> str:
    """Whether the new candidate is the abler one at this step."""
    success = {score.candidate: score.success for score in decision.scores}
    if last not in success:
        return "up"
    return "up" if success[now] > success[last] else "down" if success[now] < success[last] else "same"


def second_look_usd(plan: Plan) -> float:
    """USD of a plan's calls beyond the answer that goes out: the verdict, or a panel's other calls."""
    if plan.strategy is Strategy.VERIFY:
        return plan.usd_of("verdict")
    return max(0.0, sum(call.usd for call in plan.calls) - max((call.usd for call in plan.calls), default=0.0))


def as_rows(bills: Sequence[SessionBill]) -> list[dict[str, Any]]:
    """A line a session, for those who look closer."""
    return [
        {
            "source": bill.source,
            "id": bill.id,
            "steps": len(bill.steps),
            "best_usd": bill.best_usd,
            "auto_usd": bill.auto_usd,
            "forget_usd": bill.forget_usd,
            "switches": sum(bool(step.switch) for step in bill.steps),
            "candidates": list(dict.fromkeys(step.candidate for step in bill.steps)),
        }
        for bill in bills
    ]
