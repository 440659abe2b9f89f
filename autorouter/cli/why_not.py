"""What would have made a candidate win, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_view import WORDS, points_of
from autorouter.cli.output import facts, section, table
from autorouter.cli.shown import DecisionView
from autorouter.core.decision.explain import TERMS
from autorouter.core.decision.why_not import Counterfactual

if TYPE_CHECKING:
    from rich.console import RenderableType


def render_why_not(answer: Counterfactual, view: DecisionView) -> Iterator[RenderableType]:
    """The answer for people: a block, and the terms beside those of the chosen one."""
    block = facts(
        [
            ("answer", _place(answer)),
            ("part", _part(answer.candidate, view.decision["plan"])),
            *[("rejected", text) for text in answer.rejections],
            ("it would win", "\n".join(_ways(answer, view.decision["dial"]))),
        ]
    )
    yield section(f"Why not {answer.candidate}?", block)
    chosen, row = view.score(answer.chosen or ""), view.score(answer.candidate)
    if chosen is not None and row is not None and chosen is not row:
        rows: list[tuple[Any, ...]] = [
            (WORDS[name], f"{a:.2f}", f"{b + 0.0:.2f}", f"{b - a:+.2f}")
            for name, a, b in zip(TERMS, points_of(chosen), points_of(row), strict=True)
        ]
        rows.append(
            ("total", f"{chosen['total']:.2f}", f"{row['total']:.2f}", f"{row['total'] - chosen['total']:+.2f}")
        )
        names = (str(answer.chosen), answer.candidate, "difference")
        yield section("Term by term, in points", table(("term", *names), rows, right=names))


def _place(answer: Counterfactual) -> str:
    if answer.wins:
        return f"it does answer: rank {answer.rank} of {answer.of}, {answer.total:.2f} points"
    if answer.total is None:
        hypothetical = f"; otherwise it would be number {answer.rank_if_eligible}" if answer.rank_if_eligible else ""
        return f"it can't serve this request{hypothetical}"
    gap = f", {answer.gap:.2f} behind {answer.chosen}" if answer.gap is not None else ""
    return f"rank {answer.rank} of {answer.of} with {answer.total:.2f} points{gap}"


def _part(candidate: str, plan: Mapping[str, Any] | None) -> str:
    """What it does in the chosen plan besides answering first; empty where it has no part in it."""
    if plan is None or plan["strategy"] == "single":
        return ""
    calls = [call["phase"] for call in plan["calls"] if call["candidate"] == candidate]
    parts = [f"{phase} x{calls.count(phase)}" if calls.count(phase) > 1 else phase for phase in dict.fromkeys(calls)]
    return f"in the {plan['strategy']} plan: {', '.join(parts)}" if parts else ""


def _ways(answer: Counterfactual, dial: float) -> list[str]:
    """The changes that would do, each on its own; the dial's nearest value first."""
    if answer.wins:
        return []
    ways = []
    if answer.dials:
        nearest = min(answer.dials, key=lambda value: abs(value - dial))
        others = f" (of 0 to 10, at {', '.join(f'{d:g}' for d in answer.dials)})"
        ways.append(f"at dial {nearest:g} instead of {dial:g}{others}")
    if answer.price_factor is not None:
        ways.append(_cheaper(answer.price_factor))
    if answer.needed_percentile is not None:
        now = "unknown" if answer.percentile is None else f"{answer.percentile:g}"
        ways.append(f"at percentile {answer.needed_percentile:.1f} in {answer.skill} instead of {now}")
    if not ways and answer.rejections:
        return ["only once what it is rejected for is gone"]
    return ways or ["at no dial, at no price, and with no benchmark: something else decides here"]


def _cheaper(factor: float) -> str:
    return "if it cost next to nothing" if factor < 0.0005 else f"at {factor:.3g} times its price"
