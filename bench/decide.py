"""Times the decision alone, in process: the agent body to a task, to features, to a decision among 8 candidates.

    python -m bench.decide [--times 2000] [--rounds 5]

CPU time, microseconds per call. The first decision of a session is timed: no incumbent, no health on record.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import bodies, gateway, machine, report

NOW_S = 1_700_000_000.0
HEADERS = {"user-agent": "bench"}


def candidates() -> tuple[Any, ...]:
    """The candidates of the generated configuration, as the core's values."""
    from autorouter.core.types import Benchmarks, Candidate, Capability, Price, Role

    listed = tomllib.loads(gateway.config("http://127.0.0.1:1/v1", 1, Path("receipts")))["candidates"]
    return tuple(
        Candidate(
            id=one["id"],
            upstream=one["upstream"],
            model=one["model"],
            roles=tuple(Role(role) for role in one["roles"]),
            price=Price(**one["price_usd_per_mtok"]),
            context_tokens=one["context_tokens"],
            output_tokens=one["output_tokens"],
            capabilities=frozenset(Capability(name) for name in one["capabilities"]),
            benchmarks=Benchmarks(**one["benchmarks"]),
            ttft_s=one["ttft_s"],
            throughput_tokens_per_s=one["throughput_tokens_per_s"],
            availability=one["availability"],
        )
        for one in listed
    )


def steps(body: bytes) -> dict[str, Callable[[], Any]]:
    """What is timed, by name. Raises if the body leads to no decision: a refusal would be quick and prove nothing."""
    from autorouter.core.decision.decide import decide
    from autorouter.core.policy import Policy
    from autorouter.core.signals.features import extract_features
    from autorouter.core.state.snapshot import Snapshot
    from autorouter.wire.chat import request as chat_request

    policy = Policy()
    snapshot = Snapshot(now_s=NOW_S, candidates=candidates())
    task = chat_request.parse(body, HEADERS).task
    read = extract_features(task, policy)
    decision = decide(read, snapshot, policy)
    if decision.candidate is None:
        raise SystemExit(f"the bench's body was refused: {decision.refusal}")
    return {
        "parse: bytes to task": lambda: chat_request.parse(body, HEADERS),
        "features: task to features": lambda: extract_features(task, policy),
        "decide: features to decision": lambda: decide(read, snapshot, policy),
        "all three": lambda: decide(extract_features(chat_request.parse(body, HEADERS).task, policy), snapshot, policy),
    }


def cpu_us(call: Callable[[], Any], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the decision alone.")
    parser.add_argument("--times", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows = []
    for name, call in steps(bodies.build("agent", "openfusion/auto")).items():
        cpu_us(call, max(1, args.times // 10))
        rows.append(report.Row(name, "µs", tuple(cpu_us(call, args.times) for _ in range(args.rounds)), 1))
    about = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in machine.describe().items())
    print(f"{about}\n\n{report.table('CPU time per decision, agent body', rows)}")


if __name__ == "__main__":
    main()
