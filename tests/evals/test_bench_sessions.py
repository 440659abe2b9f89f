"""`autorouter bench --sessions` on a session of four requests whose bills can be worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.core.policy import Policy
from autorouter.core.state.learned import NOTHING_LEARNED
from autorouter.core.types import Benchmarks, Candidate, Capability, Price
from autorouter.errors import RequestError
from autorouter.evals.bench_economics import RecordedStep, session_usd
from autorouter.evals.bench_session_data import RecordedSession, SessionLine, parse_session, read_lines, session_files
from autorouter.evals.bench_session_figures import render_sessions, summarize_sessions
from autorouter.evals.bench_sessions import (
    SessionBill,
    SessionJob,
    bill_sessions,
    build_world,
    learn_turns,
    read_request,
    replay_sessions,
    split_sessions,
)
from tests.cli.conftest import Home

SYSTEM = "You are a coding agent. " * 10
FUNCTION = {"name": "bash", "arguments": '{"command":"pytest -q"}'}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": FUNCTION}]}
RED = {"role": "tool", "tool_call_id": "c", "content": "1 failed, 3 passed in 0.2s"}
SAID = {"role": "assistant", "content": "Done."}


def record(number: int = 1, resolved: bool | None = True) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties": {}}}}]
    return {
        "id": f"s{number}",
        "agent": "Toy",
        "wire": "chat",
        "variant": "native",
        "base": {"model": "openfusion/auto", "messages": [{"role": "system", "content": SYSTEM}], "tools": tools},
        "deltas": [
            [{"role": "user", "content": "Fix the failing test in parser.py"}],
            [CALL, RED],
            {"reset": [{"role": "user", "content": "Go on with parser.py"}]},
            [SAID, {"role": "user", "content": "Now rename it"}],
        ],
        "usage": [
            {"input": 10_000, "cached": 0, "written": 0, "output": 100},
            {"input": 12_000, "cached": 0, "written": 0, "output": 100},
            None,
            {"input": 4_000, "cached": 0, "written": 0, "output": 100},
        ],
        "times": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", None, "2026-01-01T01:00:00Z"],
        "outcome": None if resolved is None else {"resolved": resolved},
    }


def candidate(name: str, percentile: float, price: Price | None) -> Candidate:
    marks = Benchmarks(
        general=percentile, coding=percentile, reasoning=percentile, verification=percentile, writing=percentile
    )
    return Candidate(
        id=name,
        upstream="toy",
        model=name,
        price=price,
        benchmarks=marks,
        capabilities=frozenset({Capability.TOOLS}),
        cache_ttl_s=300,
    )


DEAR = candidate("dear", 95, Price(input=10, output=50, cache_read=1, cache_write=10))
CHEAP = candidate("cheap", 60, Price(input=1, output=5, cache_read=0.1, cache_write=1))
FREE = candidate("free", 20, None)
WORLD = build_world([CHEAP, FREE, DEAR], Policy())


def parsed(**changes: Any) -> RecordedSession:
    return parse_session(SessionLine(source="toy", line=orjson.dumps({**record(), **changes})))


def test_the_requests_are_rebuilt_with_their_tokens_and_times() -> None:
    session = parsed()
    assert [len(orjson.loads(r.body)["messages"]) for r in session.requests] == [2, 4, 2, 4]
    steps = [r.step for r in session.requests]
    assert [s.input_tokens for s in steps[:2]] == [10_000, 12_000]
    assert steps[2].input_tokens == len(session.requests[2].body) // 4
    assert [s.at_s - steps[0].at_s for s in steps] == [0, 10, 30, 3600]
    # A step keeps what was sent before it; a compaction keeps the system part and the tools.
    assert steps[1].kept_tokens == 10_000
    assert 0 < steps[2].kept_tokens < steps[2].input_tokens
    assert session.solved is True


def test_the_bill_of_one_model() -> None:
    steps = [
        RecordedStep(at_s=0, input_tokens=10_000, output_tokens=100, kept_tokens=0),
        RecordedStep(at_s=10, input_tokens=12_000, output_tokens=100, kept_tokens=10_000),
        RecordedStep(at_s=20, input_tokens=3_000, output_tokens=0, kept_tokens=1_000),
        RecordedStep(at_s=3_600, input_tokens=4_000, output_tokens=0, kept_tokens=3_000),
    ]
    written = 10_000 + 2_000 + 3_000 + 4_000  # 1,000 tokens are too few for a cache; an hour later it is cold
    assert session_usd(steps, [DEAR] * 4) == pytest.approx((written * 10 + 10_000 * 1 + 200 * 50) / 1e6)
    assert session_usd(steps[:2], [FREE, FREE]) == 0.0


def test_a_cache_left_warm_is_cheap_to_come_back_to() -> None:
    steps = [
        RecordedStep(at_s=n * 10, input_tokens=10_000, output_tokens=0, kept_tokens=10_000 if n else 0)
        for n in range(3)
    ]
    there_and_back = session_usd(steps, [DEAR, CHEAP, DEAR])
    assert there_and_back == pytest.approx((10_000 * 10 + 10_000 * 1 + 10_000 * 1) / 1e6)


def test_a_session_s_bills_and_what_was_noted() -> None:
    (bill,) = bill_sessions(SessionJob(entries=(SessionLine(source="toy", line=orjson.dumps(record())),), world=WORLD))
    assert (WORLD.best, WORLD.cheapest) == ("dear", "cheap")
    steps = [r.step for r in parsed().requests]
    assert bill.best_usd == session_usd(steps, [DEAR] * 4)
    assert bill.cheapest_usd == session_usd(steps, [CHEAP] * 4)
    assert [s.is_new_turn for s in bill.steps] == [True, False, True, True]
    assert [s.red for s in bill.steps] == [False, True, False, False]
    looks = sum(s.usd for s in bill.steps if s.second_look)
    alone = session_usd(steps, [{"dear": DEAR, "cheap": CHEAP, "free": FREE}[s.candidate] for s in bill.steps])
    assert bill.auto_usd >= alone
    assert bill.auto_usd == pytest.approx(alone) or looks > 0


def test_figures_by_source() -> None:
    entries = [SessionLine(source="toy", line=orjson.dumps(record(n, resolved=n % 2 == 0))) for n in range(24)]
    bills = [
        b for part in replay_sessions([SessionJob(entries=tuple(entries), world=WORLD)], processes=1) for b in part
    ]
    found = summarize_sessions(bills)["toy"]
    assert (found["sessions"], found["steps"], found["new_turns"]) == (24, 4, 3)
    assert found["steps_to_come"]["recorded"] == pytest.approx((2 + 1 + 1 + 1) / 4)
    # Twelve failed, and none goes on to step 10: nothing to tell apart.
    assert found["foretells"]["10"]["failed"] == 0
    page = render_sessions(
        {"dial": 5.0, "candidates": 3, "best": "dear", "cheapest": "cheap", "sources": {"toy": found}}
    )
    assert "| toy | 24 |" in page


def test_a_session_learns_from_the_turns_before_it() -> None:
    entries = [SessionLine(source=source, line=orjson.dumps(record(n))) for source in ("a", "b") for n in range(2)]
    assert [len(job.entries) for job in split_sessions(entries, WORLD, learns=True)] == [2, 2]
    assert [len(job.entries) for job in split_sessions(entries, WORLD, learns=False)] == [1, 1, 1, 1]
    session = parsed()
    read = [read_request(session, request, Policy()) for request in session.requests]
    learned = learn_turns(NOTHING_LEARNED, session, read)
    kinds = {features.kind.value for features in read}
    stats = [learned.turn_stats(read[0].client, kind) for kind in kinds]
    # Turns of two, one and one steps; one step went on, by 2,000 tokens.
    assert sum(s.turns for s in stats) == 3
    assert sum(s.turns * s.steps for s in stats) == pytest.approx(4)
    assert sum(s.samples * s.new_tokens for s in stats) == pytest.approx(2_000)


def test_what_is_no_session_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no session file"):
        session_files([tmp_path])
    with pytest.raises(RequestError, match="not a recorded session"):
        parse_session(SessionLine(source="x", line=b'{"id": 1}'))
    (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(RequestError, match="can't be read"):
        read_lines(tmp_path / "broken.jsonl.gz", None)


def test_the_command(tmp_path: Path, home: Home) -> None:
    path = tmp_path / "toy.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(orjson.dumps(record(n)) for n in range(3))))
    done = home.run("bench", "--sessions", str(path), "--sessions-per-file", "2", "--jobs", "1", "--json")
    assert done.code == 0, done.err
    figures = done.json()["figures"]
    assert figures["sources"]["toy"]["sessions"] == 2
    assert figures["candidates"] > 20
    page = home.run("bench", "--sessions", str(tmp_path), "--dial", "8", "--jobs", "1")
    assert "Dial 8" in page.out


def test_bills_of_parallel_jobs_keep_their_order() -> None:
    jobs = [
        SessionJob(entries=(SessionLine(source="toy", line=orjson.dumps(record(n))),), world=WORLD) for n in range(4)
    ]
    bills: list[SessionBill] = [b for part in replay_sessions(jobs, processes=2) for b in part]
    assert [bill.id for bill in bills] == ["s0", "s1", "s2", "s3"]
