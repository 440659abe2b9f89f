"""Panels with their places filled: who answers, judges and writes, what it costs at the most, and when it works."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from autorouter.core.decision.decide import Decision
from autorouter.core.decision.plans import Plan
from autorouter.core.panels import (
    MAX_MEMBERS,
    PRESETS,
    FusionPolicy,
    MemberSelection,
    Panel,
    PanelMethod,
    PanelStep,
    find_panel,
    panel_names,
)
from autorouter.core.policy import Budget, Policy
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.types import Candidate, RequestOverrides, Strategy, ToolCall, ToolResult
from autorouter.receipts.messages import sentences
from tests.core.worlds import CHEAP, MIDDLE, POOL, STRONG, decided, model, task, world

PLAN_ASK = "plan the migration of the cache"


def plan_of(panel: Panel, *, policy: Policy | None = None, **more: object) -> Plan:
    policy = policy or Policy(panels=(panel,))
    plan = decided(task(PLAN_ASK, label=f"openfusion/panel/{panel.name}", **more), policy=policy).plan
    assert plan is not None
    assert plan.strategy is Strategy.FUSION
    return plan


CALLS: dict[PanelMethod, list[str]] = {
    "judge": ["member"] * 3 + ["judgement", "synthesis"],
    "self": ["member"] * 3 + ["judgement", "synthesis"],
    "ranked": ["member"] * 3 + ["ranking"] * 2,
    "vote": ["member"] * 3 + ["ranking"],
    "debate": ["member"] * 3 + ["debate"] * 6 + ["judgement", "synthesis"],
    "layers": ["member"] * 3 + ["layer"] * 6 + ["synthesis"],
    "refine": ["draft"] + ["refinement"] * 2,
    "pipeline": ["step"] * 2,
}


@pytest.mark.parametrize("way", get_args(PanelMethod))
def test_the_calls_of_a_way_are_counted_before_the_first(way: PanelMethod) -> None:
    steps = (PanelStep(name="a", instruction="x"), PanelStep(name="b", instruction="y", candidate="cheap"))
    plan = plan_of(Panel(name="p", way=way, rounds=2, steps=steps if way == "pipeline" else ()))
    assert [call.phase for call in plan.calls] == CALLS[way]
    assert plan.reserve_usd >= sum(call.usd for call in plan.calls) * 0.999
    assert [call.group for call in plan.calls] == sorted(call.group for call in plan.calls)


@pytest.mark.parametrize("way", ["judge", "ranked", "vote", "self", "debate", "layers"])
def test_with_tools_a_panel_is_members_and_one_ranking(way: PanelMethod) -> None:
    plan = plan_of(Panel(name="p", way=way), tools=("bash",))
    assert [call.phase for call in plan.calls] == ["member"] * 3 + ["ranking"]


def test_members_may_be_the_same_and_the_judge_one_of_them() -> None:
    plan = plan_of(Panel(name="p", models=("cheap",) * 3, judge="cheap", synthesizer="cheap"))
    assert (plan.members, plan.judge, plan.synthesizer) == (("cheap",) * 3, "cheap", "cheap")


def test_one_candidate_alone_fills_every_place() -> None:
    for label in ("openfusion/fusion", *(f"openfusion/panel/{preset.name}" for preset in PRESETS)):
        plan = decided(task(PLAN_ASK, label=label), world(STRONG)).plan
        assert plan is not None
        assert plan.strategy is Strategy.FUSION
        assert {*plan.members, plan.judge, plan.synthesizer} == {"strong"}


def test_more_calls_than_allowed_are_no_plan() -> None:
    panel = Panel(name="p", way="debate", rounds=5)
    policy = Policy(panels=(panel,), fusion=FusionPolicy(max_calls=16))
    decision = decided(task(PLAN_ASK, label="openfusion/panel/p"), policy=policy)
    assert [plan.strategy for plan in decision.plans if plan.strategy is Strategy.FUSION] == []
    assert {note.code for note in decision.notes} & {
        ReasonCode.STRATEGY_OVER_BUDGET,
        ReasonCode.PANEL_OVER_MAX_CALLS,
        ReasonCode.STRATEGY_IMPOSSIBLE,
    }


def test_members_are_of_different_vendors_first() -> None:
    twin = model("twin", 4.0, 94, vendor="strong")
    decision = decided(task(PLAN_ASK, label="openfusion/fusion"), world(CHEAP, MIDDLE, STRONG, twin))
    assert decision.plan is not None
    assert decision.plan.members == ("strong", "middle", "cheap")


def test_a_panel_has_at_most_so_many_members() -> None:
    plan = plan_of(
        Panel(name="p", way="self", samples=99), policy=Policy(panels=(Panel(name="p", way="self", samples=99),))
    )
    assert len(plan.members) == MAX_MEMBERS


def test_a_configured_panel_takes_a_presets_place() -> None:
    own = Panel(name="self", way="vote")
    assert find_panel("self", (own,)) is own
    assert find_panel("self", ()) is PRESETS[3]
    assert find_panel("nobody", (own,)) is None
    assert panel_names((own,)) == ("self", "quality", "budget", "code")


RED = (ToolCall("bash", '{"cmd":"pytest"}'), ToolResult("===== 2 failed, 40 passed in 1.31s ====="))
LOOKED = (ToolCall("bash", '{"cmd":"ls"}'), ToolResult("README.md"))


@pytest.mark.parametrize(
    ("more", "moment"),
    [
        ({}, "now"),
        ({"tools": ("bash",)}, "now"),
        ({"tools": ("bash",), "is_new_turn": False, "tool_history": LOOKED}, "draft"),
        ({"tools": ("bash",), "is_new_turn": False, "tool_history": RED}, "now"),
    ],
    ids=["words", "first-step", "amid-the-loop", "after-a-red-run"],
)
def test_a_panel_works_where_decisions_are_made(more: dict[str, object], moment: str) -> None:
    assert plan_of(Panel(name="p"), **more).panel_trigger == moment


def test_the_plans_stand_side_by_side_and_the_highest_is_done() -> None:
    decision = decided(task(PLAN_ASK))
    assert {plan.strategy for plan in decision.plans} == set(Strategy)
    assert decision.plan == max(decision.plans, key=lambda plan: plan.total)
    assert [plan.total for plan in decision.plans] == sorted((plan.total for plan in decision.plans), reverse=True)
    for plan in decision.plans:
        assert plan.total == pytest.approx(
            plan.points.success + plan.points.price + plan.points.latency + plan.points.stickiness
        )


def test_who_was_asked_to_judge_does_though_others_are_abler() -> None:
    names = [model(f"m{n}", 1.0, 99.0 - n) for n in range(5)]
    asked = task("explain it", overrides=RequestOverrides(strategy=Strategy.VERIFY, judge="m4"))
    assert [plan.verifier for plan in decided(asked, world(*names)).plans if plan.strategy is Strategy.VERIFY] == ["m4"]


@pytest.mark.parametrize("way", ["self", "refine"])
def test_a_model_named_for_a_way_of_one_is_that_one(way: PanelMethod) -> None:
    plan = plan_of(Panel(name="p", way=way, models=(CHEAP.id,)))
    assert set(plan.members) == {plan.primary} == {CHEAP.id}


def asked_for(panel: Panel, *pool: Candidate, policy: Policy | None = None, **more: object) -> Decision:
    policy = policy or Policy(panels=(panel,))
    return decided(task(PLAN_ASK, label=f"openfusion/panel/{panel.name}", **more), world(*pool), policy)


def test_who_leads_does_not_judge_itself_where_another_can() -> None:
    for pick in get_args(MemberSelection):
        plan = asked_for(Panel(name="p", pick=pick), *POOL, model("second", 2.0, 94)).plan
        assert plan is not None
        assert plan.judge != plan.primary
    hopeless = asked_for(Panel(name="p"), model("hopeless", 0.1, 10), STRONG).plan
    assert hopeless is not None
    assert hopeless.judge == STRONG.id


def test_without_coders_the_ablest_sit_in_their_places() -> None:
    nobody = [replace(candidate, roles=()) for candidate in POOL]
    plan = asked_for(Panel(name="code", way="ranked", pick="coders"), *nobody).plan
    assert plan is not None
    assert len(set(plan.members)) == 3


def test_a_judge_and_a_writer_hold_what_they_are_shown() -> None:
    """Windows are checked for the conversation with the members' answers behind it, not for the conversation alone."""
    panel = Panel(name="p", models=("middle", "strong"), judge="narrow", synthesizer="narrow")
    # 3,000 tokens of conversation and two answers of 700.
    narrow = model("narrow", 0.1, 99, context_tokens=4_000)
    decision = asked_for(panel, *POOL, narrow)
    assert decision.plan is not None
    assert "narrow" not in (decision.plan.judge, decision.plan.synthesizer)
    assert [(note.params["requested"], note.params["why"].code) for note in decision.notes] == [
        ("narrow", ReasonCode.ROLE_WINDOW)
    ] * len(decision.notes)
    wide = replace(narrow, context_tokens=40_000)
    plan = asked_for(panel, *POOL, wide).plan
    assert plan is not None
    assert (plan.judge, plan.synthesizer) == ("narrow", "narrow")


def test_who_was_named_and_cannot_serve_is_said_with_the_reason() -> None:
    panel = Panel(name="p", models=("mute", "strong"), judge="mute")
    mute = model("mute", 1.0, 80, capabilities=frozenset())
    decision = asked_for(panel, *POOL, mute, tools=("bash",))
    assert decision.plan is not None
    assert decision.plan.members == ("strong",)
    assert sentences(decision.notes) == [
        "mute is left out of panel p: has no tools",
        f"{decision.plan.judge} judges in place of mute: has no tools",
    ]
    verified = decided(
        task("fix it", tools=("bash",), overrides=RequestOverrides(strategy=Strategy.VERIFY, judge="mute")),
        world(*POOL, mute),
    )
    assert verified.plan is not None
    assert sentences(verified.notes) == [f"{verified.plan.verifier} verifies in place of mute: has no tools"]


def test_why_a_strategy_cannot_be_is_said() -> None:
    panel = Panel(name="p", way="debate", rounds=5)
    policy = Policy(panels=(panel,), fusion=FusionPolicy(max_calls=16))
    assert asked_for(panel, *POOL, policy=policy).notes == (
        Reason.of(ReasonCode.PANEL_OVER_MAX_CALLS, panel="p", calls=20, max_calls=16),
    )
    poor = asked_for(Panel(name="p"), *POOL, policy=Policy(panels=(Panel(name="p"),), budget=Budget(per_day_usd=0.02)))
    note = poor.notes[-1]
    assert (note.code, note.params["cap"], note.params["left_usd"]) == (
        ReasonCode.STRATEGY_OVER_BUDGET,
        "per_day_usd",
        0.02,
    )
    off = Policy(fusion=FusionPolicy(care="off"))
    assert decided(task("fix it", label="openfusion/verify"), policy=off).notes == (Reason.of(ReasonCode.VERIFY_OFF),)
