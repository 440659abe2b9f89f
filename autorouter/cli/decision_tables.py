"""All that a decision was made from, section by section: what was read, every score, rejection and plan, the switch.

explanation(view)     features, difficulty, points, raw values, rejections, plans, break-even, budget
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autorouter.cli.decision_plans import planned_calls, side_by_side
from autorouter.cli.decision_view import WORDS, points_of
from autorouter.cli.output import count, facts, seconds, section, styled, table, usd
from autorouter.cli.shown import DecisionView
from autorouter.core.signals.features import Features

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.text import Text

SCORES_SHOWN = 12
"""Rows of a table of candidates, unless all are asked for."""
SAME_REASON_SHOWN = 8
"""Candidates named for one reason of rejection."""


def explanation(view: DecisionView, *, every: bool = False) -> Iterator[RenderableType]:
    """All of it, section by section. `every`: no table is cut short."""
    yield _features(view.features)
    yield _difficulty(view.features)
    if view.decision["scores"]:
        yield _scores(view, every)
        yield _raw_values(view, every)
    if view.decision["rejections"]:
        yield _rejections(view, every)
    if view.decision["plans"]:
        yield side_by_side(view)
    calls = planned_calls(view)
    if calls is not None:
        yield calls
    yield from _switch(view)
    yield from _budget(view)


def _features(f: Features) -> Group:
    low, high = f.input_tokens * (1 - f.input_error), f.input_tokens * (1 + f.input_error)
    evidence = f.evidence
    found = facts(
        [
            ("label", f.label),
            ("kind", str(f.kind) + _because(f.kind_words)),
            ("phase", f.phase),
            ("needs", ", ".join(f.needs)),
            ("difficulty", f"{f.difficulty:+.2f}   (0 easy, 1 at the limit of today's best)"),
            ("risk", f"{f.risk.value:.2f}{_because(f.risk.words)}"),
            ("stakes", f"{f.stakes:.2f}   (1 is normal)"),
            ("input", f"about {f.input_tokens:,.0f} tokens, {low:,.0f} to {high:,.0f}"),
            ("output", f"about {f.output_tokens:,.0f} tokens"),
            ("steps", f"{f.expected_steps:.1f} still to come in this turn"),
            ("tools show", "; ".join(evidence.signals)),
            ("findings", "\n".join(evidence.findings)),
            *[("rule", f"{fired.reason} (matched {fired.matched})") for fired in f.fired],
            ("client", f.client),
        ]
    )
    return section("What was read", found)


def _because(words: Sequence[str]) -> str:
    return f"   from: {', '.join(words)}" if words else ""


def _difficulty(f: Features) -> Group:
    rows = [(p.name, f"{p.count:g}", f"{p.points:+.3f}") for p in f.parts]
    rows.append(("difficulty", "", f"{f.difficulty:+.3f}"))
    return section("Difficulty", table(("part", "count", "points"), rows, right=("count", "points")))


def _shown(view: DecisionView, every: bool) -> list[Mapping[str, Any]]:
    """The best rows, and the chosen one wherever it stands."""
    scores, plan = view.decision["scores"], view.decision["plan"]
    primary = plan["primary"] if plan else None
    return [s for n, s in enumerate(scores) if every or n < SCORES_SHOWN or s["candidate"] == primary]


def _name(view: DecisionView, candidate: str) -> Text:
    plan = view.decision["plan"]
    chosen = plan is not None and plan["primary"] == candidate
    return styled(f"{candidate} *" if chosen else candidate, "good" if chosen else "")


def _scores(view: DecisionView, every: bool) -> Group:
    rows = _shown(view, every)
    left = len(view.decision["scores"]) - len(rows)
    more = f"; {left} more with --all" if left else ""
    weight = view.decision["usd_weight_points_per_usd"]
    title = f"Scores in points, dial {view.decision['dial']:g} (a dollar weighs {weight:,.0f} points){more}"
    body = [(_name(view, s["candidate"]), *_adding_up(points_of(s), s["total"])) for s in rows]
    names = (*WORDS.values(), "total")
    return section(title, table(("candidate", *names), body, right=names))


def _adding_up(points: Sequence[float], total: float) -> list[str]:
    """Terms and total with two decimals that still add up: what rounding took or gave goes to the largest term."""
    shown = [round(p, 2) for p in points]
    largest = max(range(len(shown)), key=lambda n: abs(shown[n]))
    shown[largest] += round(total, 2) - sum(shown)
    return [f"{value + 0.0:.2f}" for value in (*shown, total)]


def _raw_values(view: DecisionView, every: bool) -> Group:
    names = ("P", "this step", "turn, warm", "cold cache", "wait", "up")
    rows = [
        (
            _name(view, s["candidate"]),
            f"{_percentile(s['percentile'])} {s['skill']} ({_percentile(s['general_percentile'])})",
            f"{s['success']:.1%}",
            usd(s["step_usd"]),
            usd(s["turn_usd"]),
            usd(s["warmup_usd"]),
            seconds(s["wait_s"]),
            f"{s['availability']:.1%}",
            _origin(s),
        )
        for s in _shown(view, every)
    ]
    body = table(("candidate", "percentile (general)", *names, "from"), rows, right=names)
    return section("The values behind them", body)


def _percentile(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _origin(score: Mapping[str, Any]) -> str:
    """Where a row's values come from: configured, measured, and whether its price had to be assumed."""
    assumed = "; price assumed" if str(score["price_source"]).startswith("assumed") else ""
    return f"{score['health_source']}{assumed}"


def _rejections(view: DecisionView, every: bool) -> Group:
    """Grouped by reason: thirty lines that say the same teach nothing."""
    groups: dict[str, list[str]] = defaultdict(list)
    for rejection in view.decision["rejections"]:
        groups["; ".join(reason["text"] for reason in rejection["reasons"])].append(rejection["candidate"])
    rows = []
    for reason, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        left = 0 if every else max(0, len(names) - SAME_REASON_SHOWN)
        more = f" and {left} more" if left else ""
        rows.append((", ".join(names[: len(names) - left]) + more, reason))
    total = count(len(view.decision["rejections"]), "candidate")
    return section(f"{total} can't serve this request", table(("rejected", "because"), rows))


def _switch(view: DecisionView) -> Iterator[RenderableType]:
    switch = view.decision["switch"]
    if switch is None:
        return
    found = [("verdict", f"{switch['verdict']}: {switch['reason']}")]
    even = switch["break_even"]
    if even is not None:
        steps = "never" if even["steps"] is None else f"after {even['steps']:.1f} steps"
        found += [
            ("from, to", f"{even['incumbent']} -> {even['candidate']}"),
            ("costs once", usd(even["once_usd"])),
            ("gains", f"{usd(even['gain_usd_per_step'])} a step"),
            ("pays back", f"{steps}; {even['expected_steps']:.1f} expected"),
        ]
    yield section("Leaving the incumbent", facts(found))


def _budget(view: DecisionView) -> Iterator[RenderableType]:
    cap = view.decision["allowance"]
    if cap is not None:
        yield section("Budget", facts([("left", f"{usd(cap['left_usd'])} of budget.{cap['cap']}")]))
