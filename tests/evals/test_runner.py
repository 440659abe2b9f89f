"""A round: everybody is asked everything, so many at a time, each from a state of its own; and what is made of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from autorouter.core.types import Role
from autorouter.errors import UnknownModel
from autorouter.evals import comparison_report, entrants, plot, runner
from autorouter.evals.ask import ask
from autorouter.evals.cases import Case
from autorouter.evals.entrants import BEST_SINGLE, ROUTER_LABELS
from autorouter.evals.graders import ExactGrader
from autorouter.evals.plot import PlotPoint
from autorouter.upstream.transport import UpstreamCall
from tests.evals.conftest import RoutedRequest, run

CASES = [Case(id=str(n), prompt=f"Case {n}: fix the bug in a.py", grader=ExactGrader("right")) for n in range(4)]


def by_strength(call: UpstreamCall, prompt: str) -> str | None:
    """The strong one is right, the cheap one wrong; inner calls get what they can't use, but words."""
    return "right" if call.candidate.id == "strong" else "wrong"


def test_the_field_has_a_role_the_best_and_the_panel(scripted: RoutedRequest) -> None:
    router, transport = scripted(by_strength)
    field = entrants.select_entrants(CASES, router.deps, Role.FAST)
    labels = [c.label for c in field.entrants]
    assert labels[0] == "openfusion/fast"
    assert tuple(labels[-3:]) == ROUTER_LABELS
    assert len(set(labels)) == len(labels)
    assert field.best == "strong"
    stands = {what for c in field.entrants for what in c.stands_for}
    assert {"role fast", BEST_SINGLE, "judge alone", "panel member", "router"} <= stands
    assert field.expected_usd > 0
    assert transport.prompts == []


def test_a_round_asks_everybody_everything_and_no_more_than_allowed_at_a_time(scripted: RoutedRequest) -> None:
    router, transport = scripted(by_strength)
    field = entrants.select_entrants(CASES, router.deps, Role.FAST)
    singles = [c for c in field.entrants if not c.ours]
    ticks: list[int] = []

    async def whole(at_once: int) -> list[runner.CaseResult]:
        done = lambda: ticks.append(1)  # noqa: E731
        return await runner.ask_all(CASES, singles, router.deps, max_parallel=at_once, max_tokens=None, on_done=done)

    played = run(whole(2))
    assert [(p.case.id, p.entrant.label) for p in played] == [(c.id, s.label) for c in CASES for s in singles]
    assert len(ticks) == len(played)
    assert 1 < transport.most <= 2 * 2  # a role's strategy may make two calls for one question
    assert len({p.answer.receipt for p in played}) == len(played)
    strong = [p for p in played if p.entrant.label == "strong"]
    assert {(p.answer.text, p.answer.outcome, p.answer.candidate) for p in strong} == {("right", "answered", "strong")}


def test_questions_share_money_and_nothing_else(scripted: RoutedRequest) -> None:
    router, _ = scripted(lambda call, prompt: None if "break" in prompt else "right")
    deps = router.deps
    broken = run(ask(deps, "strong", "break", session="a"))
    assert (broken.outcome, broken.text) == ("failed", "")
    assert broken.error is not None
    assert broken.phases
    well = run(ask(deps, "strong", "go on", session="a"))
    assert (well.outcome, well.candidate) == ("answered", "strong")
    assert deps.state.health == {}
    assert well.cost_usd is not None
    assert deps.state.spent_today_usd(deps.clock()) == pytest.approx(well.cost_usd)
    with pytest.raises(UnknownModel):
        run(ask(deps, "nobody", "x", session="a"))


def summed(scripted: RoutedRequest) -> tuple[list[runner.CaseResult], list[dict[str, Any]], entrants.EntrantSet]:
    router, _ = scripted(by_strength)
    field = entrants.select_entrants(CASES, router.deps, Role.FAST)
    ours = entrants.Entrant(label="strong", stands_for=("ours",), ours=True)
    theirs = entrants.Entrant(label="cheap", stands_for=("theirs",))

    async def whole() -> list[runner.CaseResult]:
        played = await runner.ask_all(
            CASES, [ours, theirs], router.deps, max_parallel=4, max_tokens=50, on_done=lambda: None
        )
        return await runner.grade_all(played, max_parallel=2, on_done=lambda: None)

    played = run(whole())
    return played, comparison_report.totals(played, [ours, theirs]), field


def test_totals_and_differences_follow_from_the_grades(scripted: RoutedRequest) -> None:
    played, totals, _ = summed(scripted)
    ours, theirs = totals
    assert (ours["mean_score"], ours["successes"], theirs["mean_score"]) == (1.0, 4, 0.0)
    assert ours["usd_per_success"] == pytest.approx(ours["cost_usd"] / 4)
    assert theirs["usd_per_success"] is None
    (difference,) = comparison_report.differences(played, [p.entrant for p in played[:2]], 0)
    assert (difference["wins"], difference["losses"], difference["mean_difference"]) == (4, 0, 1.0)
    assert (difference["low"], difference["high"]) == (1.0, 1.0)
    assert difference["mcnemar_p"] == pytest.approx(2 / 16)


def test_prompts_and_answers_stay_out_of_the_file_unless_asked_for(scripted: RoutedRequest) -> None:
    played, _, _ = summed(scripted)
    without = orjson.dumps(comparison_report.result_rows(played, keep_answers=False)).decode()
    assert "fix the bug" not in without
    assert '"right"' not in without
    assert '"answer_text":"right"' in orjson.dumps(comparison_report.result_rows(played, keep_answers=True)).decode()


def test_an_unknown_price_is_no_zero(scripted: RoutedRequest) -> None:
    played, _, _ = summed(scripted)
    from dataclasses import replace

    unknown = [replace(p, answer=replace(p.answer, cost_usd=None)) if p.case.id == "0" else p for p in played]
    for row in comparison_report.totals(unknown, [p.entrant for p in played[:2]]):
        assert row["cost_usd"] is None
        assert row["usd_per_success"] is None


def point(name: str, usd: float, quality: float, *, ours: bool = False) -> PlotPoint:
    return PlotPoint(
        name=name, usd=usd, quality=quality, low=max(0, quality - 0.1), high=min(1, quality + 0.1), ours=ours
    )


def test_the_front_holds_those_whom_nobody_beats() -> None:
    points = [point("dear", 1.0, 0.9), point("cheap", 0.01, 0.5), point("bad", 0.5, 0.4), point("mid", 0.1, 0.7)]
    assert [p.name for p in plot.pareto_front(points)] == ["cheap", "mid", "dear"]
    assert [p.name for p in plot.pareto_front([point("a", 0.1, 0.5), point("b", 0.1, 0.5)])] == ["a"]


def test_the_picture_is_well_formed_and_labelled() -> None:
    from xml.etree import ElementTree

    points = [point("<a> & b", 0.0, 0.0), point("router", 0.02, 1.0, ours=True), point("one", 3.0, 0.5)]
    picture = plot.render_svg(points, "Cost & quality")
    root = ElementTree.fromstring(picture)
    text = " ".join(t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text"))
    for part in ("<a> & b (free)", "router", "USD (log scale)", "%", "$0.01", "$10", "Cost & quality", "Pareto"):
        assert part in text, part
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.render_svg([], "x")


def test_names_stand_apart_and_within_the_picture() -> None:
    import re
    from itertools import pairwise

    points = [point(f"model-{n}", 0.01 * (n + 1), 0.5) for n in range(12)]
    picture = plot.render_svg(points, "x")
    places = [(float(x), float(y)) for x, y in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>model-', picture)]
    assert len(places) == 12
    rows = sorted(y for _, y in places)
    assert all(b - a >= plot.LINE_PX for a, b in pairwise(rows))
    assert all(0 < x < plot.WIDTH - 100 and 0 < y < plot.HEIGHT for x, y in places)
