"""Plans for people: who works with whom in a sentence, the best plan of each strategy side by side, the calls of one.

strategy_text(plan)   "verify: b drafts, a checks what b says; where it rejects, b answers again, told why"
side_by_side(view)    single, verify and fusion: chance, cost, time, calls, points
planned_calls(view)   what the chosen plan may call, in the order in which it happens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autorouter.cli.output import count, seconds, section, styled, table, usd

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from autorouter.cli.shown import DecisionView

COLUMNS = 120
"""Nothing about a decision is wider, whatever the terminal: longer lines are no pleasure to read."""


def strategy_text(plan: Mapping[str, Any]) -> str:
    """Who works with whom, in one sentence."""
    match plan["strategy"]:
        case "verify":
            lead, other = plan["primary"], plan["escalation"]
            then = f"{other} answers" if other else f"{lead} answers again, told why"
            return f"verify: {lead} drafts, {plan['verifier']} checks; where it rejects, {then}"
        case "fusion":
            named = f"fusion by panel {plan['panel_name']} ({plan['way']})"
            return f"{named}: {_members(plan)}{_end(plan)}{_moment(plan)}"
        case strategy:
            return str(strategy)


def _members(plan: Mapping[str, Any]) -> str:
    names = list(plan["panel"])
    match plan["way"]:
        case "pipeline":
            return " then ".join(names)
        case "refine":
            return f"{names[0]} answers and rewrites its own answer"
        case "self":
            return f"{names[0]} answers {count(len(names), 'time')}"
        case _:
            return f"{listed(names)} answer{'s' if len(names) == 1 else ''}"


def _end(plan: Mapping[str, Any]) -> str:
    """How one answer comes of them, by the calls that are planned."""
    phases = [call["phase"] for call in plan["calls"]]
    judge, writer = plan["judge"], plan["synthesizer"] or plan["primary"]
    said = []
    if "judgement" in phases:
        said.append(f"{judge} judges")
    if "ranking" in phases:
        said.append(_ranks(plan, phases.count("ranking")))
    if "synthesis" in phases:
        said.append("writes" if said and judge == writer else f"{writer} writes")
    return f"; {listed(said)}" if said else ""


def _ranks(plan: Mapping[str, Any], times: int) -> str:
    if plan["way"] == "vote":
        return f"the answer most gave goes out, or the one that {plan['judge']} picks"
    return f"{plan['judge']} ranks them{' in both orders' if times > 1 else ''}, the first goes out"


def _moment(plan: Mapping[str, Any]) -> str:
    if plan["moment"] == "now":
        return ""
    return f"; once {plan['primary']}'s draft is a final answer or a risky call"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def side_by_side(view: DecisionView) -> Group:
    """The best plan of each strategy, best first."""
    names = ("P", "this step", "turn", "time", "calls", "points", "to single")
    plan, preferred = view.decision["plan"], view.decision["preferred"] or view.decision["plan"]
    plans = view.decision["plans"]
    alone = next((p["total"] for p in plans if p["strategy"] == "single"), None)
    rows = []
    for p in plans:
        mark = " *" if p == plan else " (preferred)" if p == preferred else ""
        who = p["primary"] if p["strategy"] == "single" else strategy_text(p).partition(": ")[2]
        figures = (
            f"{p['success']:.1%}",
            usd(p["step_usd"]),
            usd(p["turn_usd"] + p["warmup_usd"]),
            seconds(p["wait_s"]),
            f"{max(1, len(p['calls']))}",
            f"{p['total']:.2f}",
            "" if alone is None or p["strategy"] == "single" else f"{p['total'] - alone:+.2f}",
        )
        rows.append((styled(f"{p['strategy']}{mark}", "good" if p == plan else ""), *figures, who))
    return section("Plans side by side", table(("best plan", *names, "who"), rows, right=names))


def planned_calls(view: DecisionView) -> Group | None:
    """The chosen plan's calls at the most; None for a single answer. Those of the same turn are made at the same time."""
    plan = view.decision["plan"]
    if plan is None or not plan["calls"]:
        return None
    names = ("turn", "input", "output", "cost", "time")
    rows: list[tuple[Any, ...]] = []
    for call in plan["calls"]:
        tokens = (f"{call['input_tokens']:,.0f}", f"{call['output_tokens']:,.0f}")
        turn = str(call["group"] + 1)
        rows.append((turn, call["phase"], call["candidate"], *tokens, usd(call["usd"]), seconds(call["seconds"])))
    total = sum(call["usd"] for call in plan["calls"])
    rows.append(("", styled("in all", "strong"), "", "", "", styled(usd(total), "strong"), ""))
    title = f"Calls of the {plan['strategy']} plan, at the most; {usd(plan['reserve_usd'])} held back for them"
    return section(title, table(("turn", "phase", "candidate", *names[1:]), rows, right=names))


def narrow(found: RenderableType) -> RenderableType:
    """The same, folded where it would be wider than `COLUMNS`; a text stays one."""
    from rich.constrain import Constrain

    return found if isinstance(found, str) else Constrain(found, COLUMNS)
