"""docs/reliability.md says what the tables in the code say."""

from __future__ import annotations

import re
from pathlib import Path

from autorouter.core.state.health import COOLDOWN_BY_REASON, DEFAULT_COOLDOWN, CooldownRange
from autorouter.engine.retry import RULES, RetryRule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reliability.md").read_text("utf-8")
UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0}
FALLBACK_TEXT = {
    "same_model": "the same model elsewhere, the next",
    "next": "the next",
    "other_upstream": "another upstream",
    "larger_window": "a larger window only",
    "none": "nobody",
}


def rows(heading: str) -> dict[str, list[str]]:
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `?([\w ]+?)`? \|(.*)\|$", part, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in found}


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * UNITS[unit]


def test_the_page_lists_every_retry_rule() -> None:
    found = rows("After which failure what is done")
    assert set(RULES) <= set(found)
    for kind, (_, same, then) in found.items():
        if kind == "class":
            continue
        rule = RULES.get(kind, RetryRule())
        assert same.startswith("once more at once" if rule.immediate else "after a wait" if rule.can_wait else "no"), (
            kind
        )
        assert then.startswith(FALLBACK_TEXT[rule.fallback]), kind


def test_the_page_lists_every_cooldown() -> None:
    found = rows("Cooldowns")
    for kind, pause in {**COOLDOWN_BY_REASON, "any other": DEFAULT_COOLDOWN}.items():
        first, most = found[kind]
        assert CooldownRange(seconds(first), seconds(most)) == pause
