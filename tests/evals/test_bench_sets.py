"""`autorouter bench --data` on forty rows whose every figure can be worked out by hand.

    rows          able (4)   cheap (1)   dominated (2)   mute (.5)
    1 .. 16          x           x             x
    17 .. 20         x           x
    21 .. 32         x
    33 .. 36                     x
    37 .. 40

In brackets the cost of every answer. One more row lacks a cell and is refused.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from autorouter.core.decision.decide import decide
from autorouter.core.policy import Policy
from autorouter.core.signals.features import extract_features
from autorouter.core.state.snapshot import Snapshot
from autorouter.errors import RequestError
from autorouter.evals import bench_figures
from autorouter.evals.bench_figures import DialOutcome
from autorouter.evals.bench_page import render_bench
from autorouter.evals.bench_replay import DialChoice, ReplayedRow, build_pool, replay_rows, request_body, split_jobs
from autorouter.evals.bench_routing import BenchOptions, run_bench
from autorouter.evals.bench_sets import OutcomeSet, load_set, rank_percentiles, set_names
from autorouter.evals.logistic import sigmoid
from autorouter.evals.statistics import mean
from autorouter.evals.success_fit import OutcomeCell, leave_one_out
from autorouter.wire.parse import parse_request
from tests.cli.conftest import Home

RIGHT = {"able": range(1, 33), "cheap": [*range(1, 21), *range(33, 37)], "dominated": range(1, 17), "mute": []}
USD = {"able": 4.0, "cheap": 1.0, "dominated": 2.0, "mute": 0.5}
PRICES = {"able": (5, 25), "cheap": (1, 5), "dominated": (2, 10), "mute": (0.5, 2.5)}
PROMPTS = ("Rename the variable in parse_range", "Why does the worker deadlock when two writers retry?", "Add a flag")


def write_set(folder: Path, name: str = "toy", models: tuple[str, ...] = tuple(RIGHT)) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "id": str(number),
            "text": f"{PROMPTS[number % 3]} ({number})",
            "q": {model: float(number in RIGHT[model]) for model in models},
            "c": {model: USD[model] for model in models},
        }
        for number in range(1, 41)
    ]
    rows.append({"id": "41", "text": "half a row", "q": {models[0]: 1.0}, "c": dict(USD)})
    (folder / "dev").mkdir(parents=True, exist_ok=True)
    (folder / "dev" / f"{name}.dev.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    meta = {"models": {model: {"in": PRICES[model][0], "out": PRICES[model][1]} for model in models}}
    (folder / f"{name}.meta.json").write_bytes(orjson.dumps(meta))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "outcomes")


@pytest.fixture
def toy(folder: Path) -> OutcomeSet:
    return load_set(folder, "toy", "dev", ("able", "cheap"))


def options(folder: Path, **changes: Any) -> BenchOptions:
    defaults: dict[str, Any] = {
        "folder": folder,
        "pair": ("able", "cheap"),
        "processes": 1,
        "knowledge": ("rank+spent",),
    }
    return BenchOptions(**{**defaults, **changes})


def test_a_row_with_a_missing_cell_is_refused(folder: Path, toy: OutcomeSet) -> None:
    assert set_names(folder) == ("toy",)
    assert (len(toy.scored), toy.refused, toy.models) == (40, 1, tuple(RIGHT))
    assert [toy.dev_quality(m) for m in range(4)] == pytest.approx([0.8, 0.6, 0.4, 0.0])
    assert rank_percentiles(toy, range(4))[0] == 97
    assert rank_percentiles(toy, range(4))[3] == pytest.approx(30)


def test_the_references(toy: OutcomeSet) -> None:
    found = bench_figures.references(toy)
    assert (found["best single"]["model"], found["best single"]["quality"]) == ("able", pytest.approx(0.8))
    assert (found["cheapest"]["model"], found["cheapest"]["quality"]) == ("mute", 0.0)
    assert found["random"]["quality"] == pytest.approx(0.45)
    # Rows 1 .. 20 and 33 .. 36 by the cheap one, 21 .. 32 by the able one; what nobody solves, by the cheapest.
    assert found["oracle"]["quality"] == pytest.approx(0.9)
    assert found["oracle"]["usd"] == pytest.approx((24 * 1 + 12 * 4 + 4 * 0.5) / 40)


def test_the_curve_of_mixing_single_models(toy: OutcomeSet) -> None:
    # Asking nobody, the cheap and the able model are on the hull. From .5 to 1: .45 on average; from 1 to 4: .7.
    found = bench_figures.curve_figures(toy, _always(toy, 0))
    assert found["aiq_singles"] == pytest.approx((0.5 * 0.45 + 3 * 0.7) / 3.5)
    assert found["aiq"] == pytest.approx((0.1 + 0.8) / 2)


def _always(toy: OutcomeSet, model: int) -> list[DialOutcome]:
    choice = DialChoice(model, "single", 0.9, 0.0)
    rows = [ReplayedRow(0.5, "edit", (0.9,) * 4, (choice,), 1.0) for _ in toy.scored]
    return bench_figures.dial_outcomes(toy, rows, (5.0,))


def test_always_the_best_is_on_the_mix_and_always_a_dominated_model_below_it(toy: OutcomeSet) -> None:
    best = bench_figures.dial_rows(toy, _always(toy, 0))[0]
    assert (best["share_of_best"], best["all_in_of_best"], best["to_mix"]["delta"]) == (1.0, 1.0, pytest.approx(0.0))
    # At a cost of 2 the mix of cheap and able has .6 + .2 / 3.
    dominated = bench_figures.dial_rows(toy, _always(toy, 2))[0]
    assert dominated["to_mix"]["delta"] == pytest.approx(0.4 - 2 / 3)
    assert dominated["to_mix"]["high"] < 0
    failed = bench_figures.gate_failures("toy", "rank+spent", toy, [dominated], [])
    assert len(failed) == 1
    assert "-26.7 points" in failed[0]


def test_second_looks_cost_and_gain_nothing(toy: OutcomeSet) -> None:
    choice = DialChoice(1, "verify", 0.9, 0.5)
    rows = [ReplayedRow(0.5, "edit", (0.9,) * 4, (choice,), 1.0) for _ in toy.scored]
    (row,) = bench_figures.dial_rows(toy, bench_figures.dial_outcomes(toy, rows, (5.0,)))
    assert (row["primary_usd"], row["all_in_usd"], row["quality"]) == (1.0, 1.5, pytest.approx(0.6))
    assert row["to_mix_at_primary"]["delta"] == pytest.approx(0.0)
    assert row["to_mix"]["delta"] == pytest.approx(0.6 - (0.6 + 0.2 / 6))


def test_the_pair_s_orders(toy: OutcomeSet) -> None:
    gains = [row.quality[0] - row.quality[1] for row in toy.scored]
    # .6 up to .9 over the first 30 %, flat over the 60 % that gain nothing, down to .8: an area of .85 over a gap of .2.
    perfect = bench_figures.pair_figures(gains, toy)
    assert perfect["apgr"] == pytest.approx((0.85 - 0.6) / 0.2)
    assert (perfect["cpt50"], perfect["cpt80"]) == (pytest.approx(0.1), pytest.approx(0.16))
    assert perfect["share_95"] == pytest.approx(0.16)
    ties = bench_figures.pair_figures([1.0] * 40, toy)
    assert (ties["apgr"], ties["cpt50"]) == (pytest.approx(0.5), pytest.approx(0.5))
    random_orders = [
        bench_figures.pair_figures([random.Random(f"{seed}:{n}").random() for n in range(40)], toy)["apgr"]
        for seed in range(60)
    ]
    assert mean(random_orders) == pytest.approx(0.5, abs=0.08)


def test_a_pair_without_a_gap_has_no_apgr(folder: Path) -> None:
    found = bench_figures.pair_figures([1.0] * 40, load_set(folder, "toy", "dev", ("mute", "mute")))
    assert (found["apgr"], found["cpt50"], found["apgr_interval"]) == (None, None, None)


def test_a_pool_of_one_has_no_range_and_no_dial(tmp_path: Path) -> None:
    folder = write_set(tmp_path, models=("able",))
    found = run_bench(options(folder, pair=("able", "able")), lambda _: None)["sets"]["toy"]["knowledge"]["rank+spent"]
    assert found["curve"]["aiq"] is None
    assert {row["picks"]["able"] for row in found["dials"]} == {41}  # the half row is whole for one model
    assert {row["to_mix"]["delta"] for row in found["dials"]} == {0.0}


def test_the_bench_is_the_same_each_time_and_on_several_processes(folder: Path) -> None:
    once = run_bench(options(folder, dials=(0.0, 5.0, 10.0)), lambda _: None)
    again = run_bench(options(folder, dials=(0.0, 5.0, 10.0), processes=2), lambda _: None)
    for found in (once, again):
        del found["sets"]["toy"]["knowledge"]["rank+spent"]["plan_us"]
    assert orjson.dumps(once) == orjson.dumps(again)


def test_the_bench_decides_as_the_server_does(folder: Path, toy: OutcomeSet) -> None:
    row = toy.scored[0]
    pool = build_pool(toy, toy.pool, "rank+list", Policy())
    body = request_body(row.text, agent=False)
    task = parse_request("chat", body, {}).task
    decision = decide(extract_features(task, Policy()), Snapshot(now_s=0.0, candidates=tuple(pool)), Policy())
    (job,) = split_jobs([row], toy, pool, (5.0,), Policy())
    (replayed,) = replay_rows(job)
    assert decision.plan is not None
    assert pool[replayed.choices[0].model].id == decision.plan.primary
    assert replayed.choices[0].claimed == decision.plan.success


def test_what_a_task_cost_becomes_what_the_router_expects(toy: OutcomeSet) -> None:
    pool = build_pool(toy, toy.pool, "rank+spent", Policy())
    dominated, cheap = pool[2].price, pool[1].price
    assert dominated is not None
    assert cheap is not None
    assert dominated.input / cheap.input == pytest.approx(2.0)


def test_constants_for_a_set_come_from_the_others() -> None:
    cells = {
        name: [OutcomeCell(p, d, sigmoid(-1 + 3 * p / 100 - 0.5 * d)) for p in (30, 60, 97) for d in (0.0, 0.4, 0.9)]
        for name in ("one", "two")
    }
    constants, figures = leave_one_out(cells)["one"]
    assert constants == pytest.approx((-1.0, 3.0, -0.5), abs=1e-3)
    assert figures.ece == pytest.approx(0.0, abs=1e-3)


def test_the_page_says_what_fails(folder: Path) -> None:
    found = run_bench(options(folder), lambda _: None)
    page = render_bench(found)
    assert "## toy" in page
    assert "1 refused for a missing cell" in page
    for line in found["gate"] or ["Passed."]:
        assert line in page


def test_what_is_no_outcome_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no outcome sets"):
        set_names(tmp_path)
    folder = write_set(tmp_path)
    with pytest.raises(RequestError, match="no heldout part"):
        load_set(folder, "toy", "heldout")
    with pytest.raises(RequestError, match="`nobody` is no model"):
        load_set(folder, "toy", "dev", ("nobody", "cheap"))
    (folder / "dev" / "toy.dev.jsonl").write_text('{"text": "x", "q": 1}')
    with pytest.raises(RequestError, match="`q` and `c`"):
        load_set(folder, "toy", "dev")


def test_the_command(folder: Path, home: Home) -> None:
    done = home.run("bench", "--data", str(folder), "--pair", "able,cheap", "--jobs", "1", "--dial", "5", "--json")
    assert done.code == 0, done.err
    assert done.json()["figures"]["sets"]["toy"]["references"]["best single"]["model"] == "able"
    both = home.run("bench")
    assert (both.code, both.err.count("error:")) == (2, 1)
    assert home.run("bench", "--data", str(folder), "--pair", "able").code == 2
    assert home.run("bench", "--data", str(folder), "--verifier", "2,x").code == 2
