"""Wishes only choose among what is configured, and only lower what is capped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorouter.core.overrides import apply_overrides, check_overrides, resolve_panel
from autorouter.core.panels import FusionPolicy, Panel
from autorouter.core.policy import Budget, Policy
from autorouter.core.types import NO_OVERRIDES, RequestOverrides, Strategy
from autorouter.errors import RequestError, UnknownModel
from tests.core.worlds import decided, task, world

NAMES = ("cheap", "middle", "strong")
OWN = Panel(name="mine", models=("cheap", "strong"))
POLICY = Policy(panels=(OWN,))


@given(st.none() | st.floats(0, 10), st.none() | st.floats(0, 10))
def test_a_cap_only_becomes_lower(own: float | None, wished: float | None) -> None:
    found = apply_overrides(
        RequestOverrides(max_usd=wished), Policy(budget=Budget(per_request_usd=own))
    ).budget.per_request_usd
    told = [usd for usd in (own, wished) if usd is not None]
    assert found == (min(told) if told else None)


def test_nothing_wished_is_the_policy_itself() -> None:
    assert apply_overrides(NO_OVERRIDES, POLICY) is POLICY
    changed = apply_overrides(RequestOverrides(dial=0.0, verify="off"), POLICY)
    assert changed == replace(POLICY, dial=0.0, fusion=replace(POLICY.fusion, care="off"))


@pytest.mark.parametrize(
    ("wishes", "param"),
    [
        (RequestOverrides(models=("cheap", "chaep")), "openfusion.models"),
        (RequestOverrides(judge="stron"), "openfusion.judge"),
        (RequestOverrides(synthesizer="nobody"), "openfusion.synthesizer"),
        (RequestOverrides(panel="minne"), "openfusion.panel"),
    ],
)
def test_who_is_not_there_is_named(wishes: RequestOverrides, param: str) -> None:
    with pytest.raises(UnknownModel) as found:
        check_overrides(wishes, POLICY, NAMES)
    assert (found.value.http_status, found.value.param) == (404, param)


def test_a_slip_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownModel) as found:
        check_overrides(RequestOverrides(panel="minne"), POLICY, NAMES)
    assert "mine" in (found.value.hint or "")


def test_wishes_may_be_switched_off() -> None:
    with pytest.raises(RequestError) as found:
        check_overrides(RequestOverrides(dial=1.0), Policy(fusion=FusionPolicy(overrides=False)), NAMES)
    assert (found.value.http_status, found.value.code) == (403, "overrides_not_allowed")


def test_a_wish_goes_before_the_label_and_the_label_before_the_usual() -> None:
    assert resolve_panel(NO_OVERRIDES, None, POLICY).name == "quality"
    assert resolve_panel(NO_OVERRIDES, "mine", POLICY) == OWN
    assert resolve_panel(RequestOverrides(panel="self"), "mine", POLICY).name == "self"
    found = resolve_panel(RequestOverrides(models=("middle",), judge="cheap"), "mine", POLICY)
    assert found == replace(OWN, models=("middle",), judge="cheap")


def test_the_decision_carries_the_wishes_out() -> None:
    wishes = RequestOverrides(models=("cheap", "middle"), judge="strong", synthesizer="cheap")
    plan = decided(task(overrides=wishes)).plan
    assert plan is not None
    assert (plan.strategy, plan.members, plan.judge, plan.synthesizer) == (
        Strategy.FUSION,
        ("cheap", "middle"),
        "strong",
        "cheap",
    )
    for strategy in Strategy:
        forced = decided(task(overrides=RequestOverrides(strategy=strategy))).plan
        assert forced is not None
        assert forced.strategy is strategy


def test_a_cap_that_nothing_fits_is_a_refusal_with_the_amounts() -> None:
    refusal = decided(task(overrides=RequestOverrides(max_usd=0.0))).refusal
    assert refusal is not None
    assert refusal.code == "budget_exceeded"
    assert refusal.reason.params["left_usd"] == 0.0


def test_wishes_change_nothing_for_others() -> None:
    before = decided("fix the bug", world(), POLICY)
    decided(task("fix the bug", overrides=RequestOverrides(dial=0.0)), world(), POLICY)
    assert decided("fix the bug", world(), POLICY) == before
