"""`python -m tools.fit_constants`: constants that were put into the data come out of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from autorouter.evals.logistic import fit, sigmoid, solve
from autorouter.evals.success_fit import OutcomeCell, fit_constants
from tests.evals.test_bench_sessions import record
from tools import fit_constants as tool


def test_newton_finds_the_weights_and_elimination_the_solution() -> None:
    rows = [(1.0, x / 10) for x in range(-20, 21)]
    assert fit(rows, [sigmoid(0.4 - 1.3 * x) for _, x in rows]) == pytest.approx([0.4, -1.3], abs=1e-4)
    assert solve([[0.0, 2.0], [3.0, 1.0]], [4.0, 5.0]) == pytest.approx([1.0, 2.0])
    assert (sigmoid(1e4), sigmoid(-1e4)) == (1.0, pytest.approx(0.0))


def cells(level: float, difficulties: tuple[float, ...]) -> list[OutcomeCell]:
    return [OutcomeCell(p, d, sigmoid(level + 3 * p / 100 - 0.5 * d)) for p in (30.0, 60.0, 97.0) for d in difficulties]


def test_each_set_has_a_level_of_its_own() -> None:
    # Weak models on easy prompts beside able ones on hard prompts: without own levels the slope would turn around.
    weak, able = cells(-2.0, (0.1, 0.2, 0.3)), cells(0.0, (0.7, 0.8, 0.9))
    assert fit_constants([weak, able]) == pytest.approx((-1.0, 3.0, -0.5), abs=5e-3)
    assert fit_constants([weak, able], levels=[1]) == pytest.approx((0.0, 3.0, -0.5), abs=5e-3)


def test_the_tool_reads_prompts_and_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.json"
    rows = [
        {"question": f"Why does thread {n} deadlock?", "scores": {"a": 1, "b": n % 2, "c": 0 if n % 5 else 1}}
        for n in range(40)
    ]
    prompts.write_bytes(orjson.dumps(rows))
    sessions = tmp_path / "agent.jsonl.gz"
    sessions.write_bytes(gzip.compress(b"\n".join(orjson.dumps(record(n, resolved=n % 3 > 0)) for n in range(12))))
    tool.main([str(prompts), str(sessions), "--level", "agent"])
    printed = capsys.readouterr().out
    assert printed.startswith("fitted on prompts, agent: c, a, b ")
    assert "agent            from the others" in printed
