"""Hypothesis strategies for the core's values. All worlds that they make are small and legal."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from autorouter.core.policy import Budget, CandidateLimits, Policy
from autorouter.core.state.health import Health
from autorouter.core.state.session import Session, WarmCache
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Benchmarks, Candidate, Capability, Price, Role, Task, ToolCall, ToolResult

NOW_S = 1_800_000_000.0
percentiles = st.none() | st.floats(0, 100)


@st.composite
def prices(draw) -> Price:
    base = draw(st.floats(0.01, 20))
    return Price(
        input=base,
        output=base * draw(st.floats(1, 8)),
        cache_read=base * draw(st.sampled_from([0.1, 0.25, 1.0])),
        cache_write=base * draw(st.sampled_from([1.0, 1.25])),
    )


@st.composite
def candidates(draw, name: str) -> Candidate:
    return Candidate(
        id=name,
        upstream=draw(st.sampled_from(["one", "two"])),
        model=f"vendor/{name}",
        vendor=draw(st.sampled_from(["a", "b", "c"])),
        local=draw(st.booleans()),
        roles=tuple(draw(st.sets(st.sampled_from(list(Role)), max_size=2))),
        price=draw(st.none() | prices()) if draw(st.integers(0, 5)) == 0 else draw(prices()),
        context_tokens=draw(st.sampled_from([8_000, 128_000, 1_000_000])),
        output_tokens=draw(st.sampled_from([2_000, 32_000])),
        capabilities=frozenset(draw(st.sets(st.sampled_from(list(Capability))))),
        benchmarks=Benchmarks(
            general=draw(percentiles),
            coding=draw(percentiles),
            reasoning=draw(percentiles),
            verification=draw(percentiles),
            writing=draw(percentiles),
        ),
        ttft_s=draw(st.floats(0.1, 5)),
        throughput_tokens_per_s=draw(st.floats(10, 300)),
        availability=draw(st.floats(0.5, 1)),
    )


@st.composite
def pools(draw, least: int = 1, most: int = 6) -> tuple[Candidate, ...]:
    count = draw(st.integers(least, most))
    return tuple(draw(candidates(f"c{index}")) for index in range(count))


healths = st.builds(
    Health,
    at_s=st.just(NOW_S - 10),
    good=st.floats(0, 50),
    bad=st.floats(0, 10),
    cooldown_until_s=st.sampled_from([0.0, 0.0, NOW_S - 1, NOW_S + 30]),
    cooldown_reason=st.just("server"),
    asked=st.booleans(),
    ttft_s=st.none() | st.floats(0.05, 10),
    throughput_tokens_per_s=st.none() | st.floats(5, 500),
    input_ratio=st.none() | st.floats(0.5, 2),
    samples=st.integers(0, 60),
)


@st.composite
def snapshots(draw, pool: st.SearchStrategy[tuple[Candidate, ...]] | None = None) -> Snapshot:
    chosen = draw(pools() if pool is None else pool)
    names = [c.id for c in chosen]
    warm = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    session = Session(
        incumbent=draw(st.none() | st.sampled_from([*names, "gone"])),
        at_s=NOW_S - draw(st.sampled_from([5.0, 400.0, 5_000.0])),
        warm=tuple(WarmCache(candidate=n, tokens=draw(st.integers(0, 60_000)), at_s=NOW_S - 100) for n in warm),
        spent_usd=draw(st.floats(0, 2)),
    )
    return Snapshot(
        now_s=NOW_S,
        candidates=chosen,
        health={n: draw(healths) for n in names if draw(st.booleans())},
        session=session,
        spent_today_usd=draw(st.floats(0, 5)),
    )


caps = st.none() | st.none() | st.floats(0.0001, 5)
policies = st.builds(
    Policy,
    dial=st.floats(0, 10),
    deny=st.sampled_from([(), ("c0",), ("vendor/c1*",)]),
    limits=st.builds(
        CandidateLimits,
        max_output_usd_per_mtok=st.none() | st.floats(1, 60),
        local_only=st.sampled_from([False, False, True]),
    ),
    budget=st.builds(Budget, per_request_usd=caps, per_session_usd=caps, per_day_usd=caps),
)

ASKS = [
    "hi",
    "fix the off-by-one in parse_range()",
    "implement a lock-free MPSC queue in C++ with memory ordering",
    "delete all rows of the prod users table",
    "why does this fail?\n```py\nx = 1\n```",
    "review src/auth.py for security problems",
    "write the README",
    "",
]
steps = st.lists(
    st.builds(
        ToolCall, st.sampled_from(["edit", "bash", "read"]), st.sampled_from(['{"path":"a.py"}', '{"cmd":"pytest"}'])
    )
    | st.builds(ToolResult, st.sampled_from(["===== 2 failed, 40 passed in 1.31s =====", "ok", "exit code 1"])),
    max_size=12,
).map(tuple)
tasks = st.builds(
    Task,
    wire=st.just("chat"),
    label=st.sampled_from(["openfusion/auto", "openfusion/auto:cheap", "openfusion/verify", "openfusion/coder", "c0"]),
    stream=st.booleans(),
    body=st.just(b"{}"),
    prompt_bytes=st.sampled_from([40, 4_000, 60_000, 900_000]),
    prompt=st.sampled_from(ASKS),
    is_new_turn=st.booleans(),
    tool_history=steps,
    tools=st.sampled_from([(), ("edit", "bash")]),
    images=st.sampled_from([0, 0, 1]),
    max_output_tokens=st.none() | st.integers(1, 40_000),
    session=st.none() | st.just("s"),
)


def auto(task: Task) -> Task:
    """The same task, asked of the router itself."""
    return replace(task, label="openfusion/auto")
