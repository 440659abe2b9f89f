"""Panels with their places filled: who answers, judges and writes, what it costs at the most, and when it works."""

from __future__ import annotations

from typing import get_args

import pytest

from autorouter.core.panels import MAX_MEMBERS, PRESETS, Fusion, Panel, PanelStep, Way, named, names_of
from autorouter.core.policy import Policy
from autorouter.core.strategy import Plan
from autorouter.core.values import Strategy, ToolCall, ToolResult, Wishes
from tests.core.worlds import CHEAP, MIDDLE, STRONG, decided, model, task, world

PLAN_ASK = "plan the migration of the cache"


def plan_of(panel: Panel, *, policy: Policy | None = None, **more: object) -> Plan:
    policy = policy or Policy(panels=(panel,))
    plan = decided(task(PLAN_ASK, label=f"openfusion/panel/{panel.name}", **more), policy=policy).plan
    assert plan is not None
    assert plan.strategy is Strategy.FUSION
    return plan


CALLS: dict[Way, list[str]] = {
    "judge": ["member"] * 3 + ["judgement", "synthesis"],
    "self": ["member"] * 3 + ["judgement", "synthesis"],
    "ranked": ["member"] * 3 + ["ranking"] * 2,
    "vote": ["member"] * 3 + ["ranking"],
    "debate": ["member"] * 3 + ["debate"] * 6 + ["judgement", "synthesis"],
    "layers": ["member"] * 3 + ["layer"] * 6 + ["synthesis"],
    "refine": ["draft"] + ["refinement"] * 2,
    "pipeline": ["step"] * 2,
}


@pytest.mark.parametrize("way", get_args(Way))
def test_the_calls_of_a_way_are_counted_before_the_first(way: Way) -> None:
    steps = (PanelStep(name="a", instruction="x"), PanelStep(name="b", instruction="y", candidate="cheap"))
    plan = plan_of(Panel(name="p", way=way, rounds=2, steps=steps if way == "pipeline" else ()))
    assert [call.phase for call in plan.calls] == CALLS[way]
    assert plan.reserve_usd >= sum(call.usd for call in plan.calls) * 0.999
    assert [call.group for call in plan.calls] == sorted(call.group for call in plan.calls)


@pytest.mark.parametrize("way", ["judge", "ranked", "vote", "self", "debate", "layers"])
def test_with_tools_a_panel_is_members_and_one_ranking(way: Way) -> None:
    plan = plan_of(Panel(name="p", way=way), tools=("bash",))
    assert [call.phase for call in plan.calls] == ["member"] * 3 + ["ranking"]


def test_members_may_be_the_same_and_the_judge_one_of_them() -> None:
    plan = plan_of(Panel(name="p", models=("cheap",) * 3, judge="cheap", synthesizer="cheap"))
    assert (plan.panel, plan.judge, plan.synthesizer) == (("cheap",) * 3, "cheap", "cheap")


def test_one_candidate_alone_fills_every_place() -> None:
    for label in ("openfusion/fusion", *(f"openfusion/panel/{preset.name}" for preset in PRESETS)):
        plan = decided(task(PLAN_ASK, label=label), world(STRONG)).plan
        assert plan is not None
        assert plan.strategy is Strategy.FUSION
        assert {*plan.panel, plan.judge, plan.synthesizer} == {"strong"}


def test_more_calls_than_allowed_are_no_plan() -> None:
    panel = Panel(name="p", way="debate", rounds=5)
    policy = Policy(panels=(panel,), fusion=Fusion(max_calls=16))
    decision = decided(task(PLAN_ASK, label="openfusion/panel/p"), policy=policy)
    assert [plan.strategy for plan in decision.plans if plan.strategy is Strategy.FUSION] == []
    assert any("fusion was asked for" in note for note in decision.notes)


def test_members_are_of_different_vendors_first() -> None:
    twin = model("twin", 4.0, 94, vendor="strong")
    decision = decided(task(PLAN_ASK, label="openfusion/fusion"), world(CHEAP, MIDDLE, STRONG, twin))
    assert decision.plan is not None
    assert decision.plan.panel == ("strong", "middle", "cheap")


def test_a_panel_has_at_most_so_many_members() -> None:
    plan = plan_of(
        Panel(name="p", way="self", samples=99), policy=Policy(panels=(Panel(name="p", way="self", samples=99),))
    )
    assert len(plan.panel) == MAX_MEMBERS


def test_a_configured_panel_takes_a_presets_place() -> None:
    own = Panel(name="self", way="vote")
    assert named("self", (own,)) is own
    assert named("self", ()) is PRESETS[3]
    assert named("nobody", (own,)) is None
    assert names_of((own,)) == ("self", "quality", "budget", "code")


RED = (ToolCall("bash", '{"cmd":"pytest"}'), ToolResult("===== 2 failed, 40 passed in 1.31s ====="))
LOOKED = (ToolCall("bash", '{"cmd":"ls"}'), ToolResult("README.md"))


@pytest.mark.parametrize(
    ("more", "moment"),
    [
        ({}, "now"),
        ({"tools": ("bash",)}, "now"),
        ({"tools": ("bash",), "fresh": False, "trail": LOOKED}, "draft"),
        ({"tools": ("bash",), "fresh": False, "trail": RED}, "now"),
    ],
    ids=["words", "first-step", "amid-the-loop", "after-a-red-run"],
)
def test_a_panel_works_where_decisions_are_made(more: dict[str, object], moment: str) -> None:
    assert plan_of(Panel(name="p"), **more).moment == moment


def test_the_plans_stand_side_by_side_and_the_highest_is_done() -> None:
    decision = decided(task(PLAN_ASK))
    assert {plan.strategy for plan in decision.plans} == set(Strategy)
    assert decision.plan == max(decision.plans, key=lambda plan: plan.total)
    assert [plan.total for plan in decision.plans] == sorted((plan.total for plan in decision.plans), reverse=True)
    for plan in decision.plans:
        assert plan.total == pytest.approx(
            plan.worth.success + plan.worth.price + plan.worth.latency + plan.worth.stickiness
        )


def test_who_was_asked_to_judge_does_though_others_are_abler() -> None:
    names = [model(f"m{n}", 1.0, 99.0 - n) for n in range(5)]
    asked = task("explain it", wishes=Wishes(strategy=Strategy.VERIFY, judge="m4"))
    assert [plan.verifier for plan in decided(asked, world(*names)).plans if plan.strategy is Strategy.VERIFY] == ["m4"]


@pytest.mark.parametrize("way", ["self", "refine"])
def test_a_model_named_for_a_way_of_one_is_that_one(way: Way) -> None:
    plan = plan_of(Panel(name="p", way=way, models=(CHEAP.id,)))
    assert set(plan.panel) == {plan.primary} == {CHEAP.id}
