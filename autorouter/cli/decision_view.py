"""A decision for people. `route` and `receipt explain` print the same thing, both from the decision's record:

View(decision=decision_record(...), features=..., models={"cheap": ("relay", "vendor/cheap")})
headline(view)        one block: who answers, how, for how much, why, and who came second
explanation(view)     all that it was made from: features, scores, rejections, plans, the switch, notes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_plans import strategy_text
from autorouter.cli.output import facts, seconds, styled, usd
from autorouter.cli.shown import DecisionView
from autorouter.core.decision.explain import TERMS, task_sentence

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

WORDS = {name: name.replace("_", " ") for name in TERMS}


def points_of(score: Mapping[str, Any]) -> list[float]:
    """The six terms of a row in points, in their order."""
    return [score["points"][name] for name in TERMS]


def headline(view: DecisionView) -> Table:
    """The block that answers: who, how, how much, how long, why, and by how much before whom."""
    decision, plan = view.decision, view.decision["plan"]
    if plan is None:
        return facts([("answers", styled("nobody: the request is refused", "bad")), ("why", refusal_text(view))])
    return facts(
        [
            ("answers", _answers(view, plan["primary"])),
            ("strategy", strategy_text(plan)),
            ("expected", _expected(view, plan)),
            ("why", f"{task_sentence(view.features)}; {plan['success']:.0%} likely to succeed"),
            ("runner-up", runner_up(view)),
            ("then", ", ".join(decision["fallbacks"])),
            *[("note", text) for text in decision["notes"]],
        ]
    )


def _answers(view: DecisionView, candidate: str) -> Text:
    upstream, model = view.models.get(candidate, ("", ""))
    text = styled(candidate, "strong")
    asked = f" as {model}" if model != candidate else ""
    return text + styled(f"  by {upstream}{asked}" if upstream else "", "dim")


def _expected(view: DecisionView, plan: Mapping[str, Any]) -> str:
    steps = view.features.expected_steps
    turn = f"{usd(plan['turn_usd'] + plan['warmup_usd'])} for the turn ({'1 step' if steps == 1 else f'{steps:.1f} steps'})"
    dry = "; the dry run answers, nothing is paid" if view.dry_run else ""
    return f"{usd(plan['step_usd'])} for this step, {turn}, {seconds(plan['wait_s'])}{dry}"


def refusal_text(view: DecisionView) -> str:
    """A refusal in one clause: its message without the list of all rejections, which has a table of its own."""
    refusal = view.decision["refusal"]
    message = str(refusal["message"]) if refusal else "nothing can be done"
    listed = view.decision["rejections"]
    return message.partition(f" {listed[0]['candidate']}: ")[0] if listed else message


def runner_up(view: DecisionView) -> str:
    """Who would have answered otherwise, by how many points it is behind, and in which terms."""
    plan, scores = view.decision["plan"], view.decision["scores"]
    switch = view.decision["switch"]
    if switch is not None and switch["verdict"] == "stay":
        return f"{switch['candidate']}, held back: {switch['reason']}"
    chosen = view.score(plan["primary"])
    other = next((s for s in scores if s is not chosen), None)
    if chosen is None or other is None:
        return "none: nobody else may serve this request"
    gap = chosen["total"] - other["total"]
    behind = f"{gap:.2f} points behind" if gap >= 0 else f"{-gap:.2f} points ahead, but not asked for"
    return f"{other['candidate']}, {behind} ({differences(chosen, other)})"


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The three terms that part two rows most: `price +3.10, task fit -0.42`."""
    gaps = [(WORDS[n], a - b) for n, a, b in zip(TERMS, points_of(one), points_of(other), strict=True)]
    gaps.sort(key=lambda gap: -abs(gap[1]))
    return ", ".join(f"{name} {gap:+.2f}" for name, gap in gaps[:3] if abs(gap) >= 0.005) or "all terms alike"
