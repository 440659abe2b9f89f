"""Prompts of an outcome set through the router's own decision: body -> wire -> features -> decide, at each dial.

The router sees the first request of a fresh session. What it may know about the models is one of three sorts:

    rank+list       percentiles by rank on dev, list prices: what a new user has
    rank+spent      the same percentiles, and what a task really cost on dev, as receipts would teach it
    matched+spent   the percentile at which the router's own formula predicts the model's dev mean: the best it can be told
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from os import cpu_count
from typing import Literal, NamedTuple

import orjson

from autorouter.core.decision.decide import decide
from autorouter.core.policy import Policy
from autorouter.core.signals.features import Features, extract_features
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate, Price
from autorouter.evals.bench_sets import (
    CACHE_READ_PRICE,
    NOMINAL_TOKENS,
    OUTPUT_PRICE,
    OutcomeRow,
    OutcomeSet,
    bench_candidate,
    rank_percentiles,
)
from autorouter.evals.client_fixtures import LABEL, RULES, TOOLS, tool_schema
from autorouter.evals.statistics import mean
from autorouter.wire.parse import parse_request

Knowledge = Literal["rank+list", "rank+spent", "matched+spent"]
KNOWLEDGE: tuple[Knowledge, ...] = ("rank+spent", "rank+list", "matched+spent")
DIALS = tuple(range(11))
AGENT_BODY_BYTES = 60_000
SAMPLE_ROWS = 300
"""So many dev rows are enough to learn what the router predicts on average."""
CHUNK_ROWS = 100
UNIT = Price(input=1.0, output=OUTPUT_PRICE, cache_read=CACHE_READ_PRICE, cache_write=1.0)


class DialChoice(NamedTuple):
    """What was chosen at one dial. `extra`: USD of the plan beyond its primary's own, as a share of these."""

    model: int
    strategy: str
    claimed: float
    extra: float


class ReplayedRow(NamedTuple):
    """A prompt's decisions, by dial; `success` is the claimed chance of every model of the pool, `plan_us` CPU time."""

    difficulty: float
    kind: str
    success: tuple[float, ...]
    choices: tuple[DialChoice, ...]
    plan_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """One worker's share: rows, and the world in which they are decided."""

    texts: tuple[str, ...]
    agent: bool
    candidates: tuple[Candidate, ...]
    dials: tuple[float, ...]
    policy: Policy


def request_body(text: str, *, agent: bool) -> bytes:
    """The prompt as a client sends it: a plain chat message, or the first request of an agent with four tools."""
    if not agent:
        return orjson.dumps({"model": LABEL, "messages": [{"role": "user", "content": text}]})
    system = RULES * (AGENT_BODY_BYTES // len(RULES))
    tools = [
        {"type": "function", "function": {"name": name, "description": about, "parameters": tool_schema(argument)}}
        for name, about, argument in TOOLS
    ]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return orjson.dumps({"model": LABEL, "messages": messages, "tools": tools})


def read_features(text: str, policy: Policy, *, agent: bool) -> Features:
    """What the router reads from the prompt."""
    return extract_features(parse_request("chat", request_body(text, agent=agent), {}).task, policy)


def replay_rows(job: ReplayJob) -> list[ReplayedRow]:
    """Decide each row at each dial."""
    policies = [replace(job.policy, dial=float(dial)) for dial in job.dials]
    snapshot = Snapshot(now_s=0.0, candidates=job.candidates)
    places = {candidate.id: place for place, candidate in enumerate(job.candidates)}
    return [_replay(read_features(text, job.policy, agent=job.agent), snapshot, policies, places) for text in job.texts]


def _replay(
    features: Features, snapshot: Snapshot, policies: Sequence[Policy], places: Mapping[str, int]
) -> ReplayedRow:
    choices = []
    success: tuple[float, ...] = ()
    began = time.thread_time()
    for policy in policies:
        decision = decide(features, snapshot, policy)
        if decision.plan is None:
            raise AssertionError(f"the bench's pool was refused: {decision.refusal}")
        plan = decision.plan
        by_id = {score.candidate: score for score in decision.scores}
        own_usd = by_id[plan.primary].expected_usd
        extra = plan.expected_usd / own_usd - 1.0 if own_usd > 0 else 0.0
        choices.append(DialChoice(places[plan.primary], plan.strategy.value, plan.success, max(0.0, extra)))
        if not success:
            success = tuple(by_id[name].success for name in places)
    plan_us = (time.thread_time() - began) * 1e6 / len(policies)
    return ReplayedRow(features.difficulty, features.kind.value, success, tuple(choices), plan_us)


def replay(jobs: Sequence[ReplayJob], *, processes: int | None = None) -> Iterator[list[ReplayedRow]]:
    """The jobs' rows in order, on all cores."""
    workers = min(len(jobs), processes or cpu_count() or 1)
    if workers <= 1:
        yield from map(replay_rows, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(replay_rows, jobs)


def split_jobs(
    rows: Sequence[OutcomeRow],
    outcomes: OutcomeSet,
    candidates: Sequence[Candidate],
    dials: Sequence[float],
    policy: Policy,
) -> list[ReplayJob]:
    """The rows in chunks."""
    return [
        ReplayJob(
            texts=tuple(row.text for row in rows[start : start + CHUNK_ROWS]),
            agent=outcomes.agent,
            candidates=tuple(candidates),
            dials=tuple(dials),
            policy=policy,
        )
        for start in range(0, len(rows), CHUNK_ROWS)
    ]


def build_pool(outcomes: OutcomeSet, models: Sequence[int], knowledge: Knowledge, policy: Policy) -> list[Candidate]:
    """The candidates, in the order of `models`, with what this sort of knowledge says about them."""
    features = [read_features(row.text, policy, agent=outcomes.agent) for row in _sample(outcomes.dev)]
    percentiles = rank_percentiles(outcomes, models)
    if knowledge == "matched+spent":
        percentiles = _matched_percentiles(outcomes, models, features, policy)
    prices = {m: outcomes.list_prices.get(outcomes.models[m]) for m in models}
    if knowledge != "rank+list":
        prices = dict(_spent_prices(outcomes, models, percentiles, features, policy))
    return [bench_candidate(outcomes.models[m], percentiles[m], prices[m]) for m in models]


def _sample(rows: Sequence[OutcomeRow]) -> Sequence[OutcomeRow]:
    return rows[:: max(1, len(rows) // SAMPLE_ROWS)]


def _spent_prices(
    outcomes: OutcomeSet,
    models: Sequence[int],
    percentiles: Mapping[int, float],
    features: Sequence[Features],
    policy: Policy,
) -> Iterator[tuple[int, Price]]:
    """One price shape, scaled so that the mean turn that the router predicts costs what was really paid on dev."""
    pool = tuple(bench_candidate(outcomes.models[m], percentiles[m], UNIT) for m in models)
    predicted: dict[str, list[float]] = {candidate.id: [] for candidate in pool}
    for read in features:
        for score in decide(read, Snapshot(now_s=0.0, candidates=pool), policy).scores:
            predicted[score.candidate].append(score.expected_usd)
    for m in models:
        scale = paid_usd(outcomes, outcomes.dev_usd(m)) / max(1e-12, mean(predicted[outcomes.models[m]]))
        yield m, Price(input=scale, output=OUTPUT_PRICE * scale, cache_read=CACHE_READ_PRICE * scale, cache_write=scale)


def paid_usd(outcomes: OutcomeSet, usd: float) -> float:
    """A recorded cost in dollars: a price per million tokens is that of a request of usual size."""
    return usd * NOMINAL_TOKENS / 1e6 if outcomes.nominal else usd


def _matched_percentiles(
    outcomes: OutcomeSet, models: Sequence[int], features: Sequence[Features], policy: Policy
) -> dict[int, float]:
    """The percentile at which the router predicts the model's dev mean, between those that were tried."""
    steps = range(0, 101, 5)
    pool = tuple(bench_candidate(str(step), float(step), UNIT) for step in steps)
    claimed: dict[str, list[float]] = {candidate.id: [] for candidate in pool}
    for read in features:
        for score in decide(read, Snapshot(now_s=0.0, candidates=pool), policy).scores:
            claimed[score.candidate].append(score.success)
    means = [(float(step), mean(claimed[str(step)])) for step in steps]
    return {m: _inverse(means, outcomes.dev_quality(m)) for m in models}


def _inverse(points: Sequence[tuple[float, float]], value: float) -> float:
    """Where a rising line of points reaches a value, kept within its ends."""
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if value <= y1:
            return x0 if value <= y0 else x0 + (x1 - x0) * (value - y0) / (y1 - y0)
    return points[-1][0]


def pair_order(
    outcomes: OutcomeSet, candidates: Sequence[Candidate], rows: Sequence[OutcomeRow], policy: Policy
) -> list[float]:
    """For a pair (strong, weak): the weight of money, in points a dollar, at which each row goes from the strong to the weak
    model. It is the order in which turning the dial moves the prompts."""
    snapshot = Snapshot(now_s=0.0, candidates=tuple(candidates))
    order = []
    for row in rows:
        decision = decide(read_features(row.text, policy, agent=outcomes.agent), snapshot, policy)
        by_id = {score.candidate: score for score in decision.scores}
        strong, weak = (by_id[candidate.id] for candidate in candidates)
        weight = decision.usd_weight
        gain = (strong.total + weight * strong.expected_usd) - (weak.total + weight * weak.expected_usd)
        order.append(gain / max(1e-12, strong.expected_usd - weak.expected_usd))
    return order
