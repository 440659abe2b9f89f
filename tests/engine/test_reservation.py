"""A request's reservation: in the day's, the session's and the key's budget, and gone whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from autorouter.core.grants import Grant
from autorouter.engine.deps import Reservation, RouterState
from autorouter.errors import BudgetExceeded
from autorouter.server.access.budgets import KeyBudgets

NOW_S = 86_400.0 * 10
GRANT = Grant("ci", (), (), 1.0)


def held_usd(state: RouterState, budgets: KeyBudgets) -> tuple[float, float, float]:
    """Of the day, of the session, and of the key."""
    return (
        state.spent_today_usd(NOW_S),
        state.session_as_spent("s").spent_usd,
        1.0 - budgets.remaining_usd(GRANT),
    )


@pytest.fixture
def budgets(tmp_path: Path) -> KeyBudgets:
    return KeyBudgets(tmp_path / "keys.spent.json", clock=lambda: NOW_S)


def reserve(state: RouterState, budgets: KeyBudgets) -> Reservation:
    return Reservation(state, 0.25, session_key="s", grant=GRANT, key_budgets=budgets)


def test_it_holds_in_every_budget_until_what_was_spent_takes_its_place(budgets: KeyBudgets) -> None:
    state = RouterState()
    with reserve(state, budgets) as reservation:
        assert held_usd(state, budgets) == (0.25, 0.25, 0.25)
        with pytest.raises(BudgetExceeded):
            budgets.check(GRANT, 0.8)
        reservation.settle(0.125, NOW_S)
        assert held_usd(state, budgets) == (0.125, 0.0, 0.125)
    assert held_usd(state, budgets) == (0.125, 0.0, 0.125), "settled once"


def test_an_error_releases_it(budgets: KeyBudgets) -> None:
    state = RouterState()
    with pytest.raises(ZeroDivisionError), reserve(state, budgets):
        raise ZeroDivisionError
    assert held_usd(state, budgets) == (0.0, 0.0, 0.0)
