"""The labelled set is what it says it is, and the figures follow from it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter import runtime
from autorouter.config.load import Settings, load
from autorouter.core.types import TaskKind
from autorouter.errors import RequestError
from autorouter.evals import cases, jsonl, routing, routing_report, thresholds
from autorouter.evals.cases import LabelledRequest
from autorouter.evals.client_fixtures import as_client_request
from autorouter.evals.routing import RoutingResult, band_of
from autorouter.receipts.chain import digest
from autorouter.wire.parse import parse_request
from tests.evals.conftest import Scripted

BASELINE = Path(__file__).parent / "baseline.json"
CASES = cases.load_labelled(jsonl.packaged_data("routing.jsonl"), "routing.jsonl")


@pytest.fixture
def reads(settings: Settings) -> list[RoutingResult]:
    def nobody(call: object, prompt: str) -> str:
        raise AssertionError("a routing eval calls no model")

    built = runtime.build(settings, env={}, transport=Scripted(nobody), record=False)
    return list(routing.route_all(CASES, built.deps))


def test_the_set_is_large_and_varied() -> None:
    assert len(CASES) >= 200
    kinds = Counter(case.kind for case in CASES)
    assert set(kinds) == set(TaskKind)
    assert min(kinds.values()) >= 10
    assert {case.difficulty for case in CASES} == {"easy", "middle", "hard"}
    assert 20 <= sum(case.risky for case in CASES) <= len(CASES) // 2
    assert len({case.language for case in CASES}) >= 6
    assert {"plain", "claude", "codex", "aider", "cline", "opencode", "title", "commit"} == {
        case.wrap for case in CASES
    }
    assert {"red", "green", "looking", "failing-edits"} <= {case.trail for case in CASES}
    assert len({(case.ask, case.wrap, case.trail) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_agent_s_wrapping_leaves_the_ask_as_it_was(case: LabelledRequest) -> None:
    sent = as_client_request(case)
    task = parse_request(sent.wire, sent.body, sent.headers).task
    assert task.prompt.strip() == case.ask.strip()
    assert bool(task.tool_history) == (case.trail != "none")
    assert task.client != "unknown"


def test_figures_add_up(reads: list[RoutingResult]) -> None:
    found = routing_report.summarize(reads)
    assert found["cases"] == len(CASES)
    for table in ("kinds", "bands"):
        assert sum(sum(row.values()) for row in found[table].values()) == len(CASES)
    right = sum(found["kinds"][kind][kind] for kind in found["kinds"])
    assert found["shares"]["kind"]["right"] == right
    assert sum(found["strategies"].values()) == len(CASES)
    assert sum(found["diversity"]["candidates"].values()) == len(CASES) - found["refused"]
    risk = found["risk"]
    assert risk["recall"]["of"] == sum(case.risky for case in CASES)
    assert risk["recall"]["right"] + len(risk["missed"]) == risk["recall"]["of"]
    assert risk["precision"]["right"] + len(risk["false"]) == risk["precision"]["of"]
    assert set(routing_report.baseline_figures(found)) == set(routing_report.GATED)


def test_regret_lies_between_the_extremes(reads: list[RoutingResult]) -> None:
    for read in reads:
        regret = read.regret
        assert regret is not None
        assert regret.cheapest_usd <= regret.adequate_usd
        assert regret.adequate_success >= routing.ADEQUATE * regret.best_success
        assert regret.chosen_success <= regret.best_success
        assert regret.chosen_usd >= regret.cheapest_usd
        if regret.chosen_usd < regret.adequate_usd - 1e-12:
            assert not regret.adequate


def test_the_same_set_gives_the_same_figures(reads: list[RoutingResult], settings: Settings) -> None:
    built = runtime.build(settings, env={}, record=False)
    again = list(routing.route_all(CASES, built.deps))
    assert routing_report.summarize(again) == routing_report.summarize(reads)


@given(st.floats(-1, 2))
def test_bands_are_thirds(difficulty: float) -> None:
    assert band_of(difficulty) == ("easy" if difficulty < 1 / 3 else "middle" if difficulty < 2 / 3 else "hard")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"soft","strategies":["single"]}', "difficulty"),
        ('{"id":"a","ask":"b","kind":"cook","difficulty":"easy","strategies":["single"]}', "kind"),
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"easy","strategies":[]}', "strategies"),
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"easy","strategies":["both"]}', "strategies"),
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"easy","strategies":["single"],"risky":1}', "risky"),
        ('{"id":"a","ask":" ","kind":"edit","difficulty":"easy","strategies":["single"]}', "ask"),
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"easy","strategies":["single"],"wrap":"vim"}', "wrap"),
        ('{"id":"a","ask":"b","kind":"edit","difficulty":"easy","strategies":["single"],"extra":1}', "extra"),
    ],
)
def test_a_label_that_is_none_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(RequestError, match=rf"mine:1.*{says}"):
        cases.load_labelled(line.encode(), "mine")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.jsonl can't be read"):
        jsonl.read_file(tmp_path / "none.jsonl")


def test_the_routing_is_no_worse_than_its_baseline(tmp_path: Path) -> None:
    """On the built-in pool. `autorouter eval --dry-run --baseline tests/evals/baseline.json --write-baseline` renews it."""
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    built = runtime.build(load(None, env=env, dry_run=True), env={}, record=False)
    figures = routing_report.baseline_figures(routing_report.summarize(list(routing.route_all(CASES, built.deps))))
    kept = thresholds.read_baseline(BASELINE, "eval", digest(jsonl.packaged_data("routing.jsonl")))
    assert thresholds.regressions(kept, figures, 0.02) == []
