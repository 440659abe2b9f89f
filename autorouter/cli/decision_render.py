"""A decision for people. `route` and `receipt explain` print the same, both from the decision's record.

headline(view)           one block: the answering model, how, the cost, the reason, and the runner-up
explanation(view)        everything the decision was made from: features, scores, rejections, plans, the switch
render_why_not(...)      what would have made another candidate win
strategy_text(plan)      "verify: b drafts, a checks what b says; where it rejects, b answers again, told why"
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autorouter.cli.output import count, facts, seconds, section, styled, table, usd
from autorouter.core.decision.why_not import Counterfactual
from autorouter.core.signals.features import Features
from autorouter.receipts.explain import TERMS, describe_task
from autorouter.receipts.messages import (
    DIFFICULTY_TERMS,
    health_source,
    refusal_headline,
    run_finding,
    sentence,
    sentences,
)

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

MAX_COLUMNS = 120
"""A decision is never printed wider than this, however wide the terminal: longer lines are hard to read."""
SCORES_SHOWN = 12
"""Rows of a table of candidates, unless all are requested."""
REJECTIONS_PER_REASON_SHOWN = 8
"""Candidates named for one reason of rejection."""
TERM_LABELS = {name: name.replace("_", " ") for name in TERMS}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """What is shown. `models`: candidate -> (upstream, model name sent to it)."""

    decision: Mapping[str, Any]
    features: Features
    models: Mapping[str, tuple[str, str]]
    dry_run: bool = False

    def score(self, candidate: str) -> Mapping[str, Any] | None:
        """The candidate's score; None when it was rejected or is unknown."""
        return next((s for s in self.decision["scores"] if s["candidate"] == candidate), None)


def limit_width(renderable: RenderableType) -> RenderableType:
    """Fold what would be wider than `MAX_COLUMNS`; a string is returned as it is."""
    from rich.constrain import Constrain

    return renderable if isinstance(renderable, str) else Constrain(renderable, MAX_COLUMNS)


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def points_of(score: Mapping[str, Any]) -> list[float]:
    """The six terms of a score in points, in their order."""
    return [score["points"][name] for name in TERMS]


# ---- the headline


def headline(view: DecisionView) -> Table:
    """The short answer: model, strategy, cost and time, reason, and the lead over the runner-up."""
    decision, plan = view.decision, view.decision["plan"]
    if plan is None:
        return facts([("answers", styled("nobody: the request is refused", "bad")), ("why", refusal_text(decision))])
    return facts(
        [
            ("answers", _answers(view, plan["primary"])),
            ("strategy", strategy_text(plan)),
            ("expected", _expected(view, plan)),
            ("why", f"{describe_task(view.features)}; {plan['success']:.0%} likely to succeed"),
            ("runner-up", runner_up(view)),
            ("then", ", ".join(decision["fallbacks"])),
            *[("note", text) for text in sentences(decision["notes"])],
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


def refusal_text(decision: Mapping[str, Any]) -> str:
    """A refusal in one clause, without the rejections, which have their own table."""
    return refusal_headline(decision["refusal"]) if decision["refusal"] else "nothing can be done"


def runner_up(view: DecisionView) -> str:
    """The next best candidate, by how many points it trails, and in which terms."""
    plan, scores = view.decision["plan"], view.decision["scores"]
    switch = view.decision["switch"]
    if switch is not None and switch["verdict"] == "stay":
        return f"{switch['candidate']}, held back: {sentence(switch['reason'])}"
    chosen = view.score(plan["primary"])
    other = next((s for s in scores if s is not chosen), None)
    if chosen is None or other is None:
        return "none: nobody else may serve this request"
    gap = chosen["total"] - other["total"]
    behind = f"{gap:.2f} points behind" if gap >= 0 else f"{-gap:.2f} points ahead, but not asked for"
    return f"{other['candidate']}, {behind} ({differences(chosen, other)})"


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The three terms that separate two scores most: `price +3.10, task fit -0.42`."""
    gaps = [(TERM_LABELS[n], a - b) for n, a, b in zip(TERMS, points_of(one), points_of(other), strict=True)]
    gaps.sort(key=lambda gap: -abs(gap[1]))
    return ", ".join(f"{name} {gap:+.2f}" for name, gap in gaps[:3] if abs(gap) >= 0.005) or "all terms alike"


# ---- plans


def strategy_text(plan: Mapping[str, Any]) -> str:
    """The roles of the models in a plan, in one sentence."""
    match plan["strategy"]:
        case "verify":
            lead, other = plan["primary"], plan["escalation"]
            then = f"{other} answers" if other else f"{lead} answers again, told why"
            return f"verify: {lead} drafts, {plan['verifier']} checks; where it rejects, {then}"
        case "fusion":
            named = f"fusion by panel {plan['panel_name']} ({plan['method']})"
            return f"{named}: {_members(plan)}{_conclusion(plan)}{_panel_trigger(plan)}"
        case strategy:
            return str(strategy)


def _members(plan: Mapping[str, Any]) -> str:
    names = list(plan["members"])
    match plan["method"]:
        case "pipeline":
            return " then ".join(names)
        case "refine":
            return f"{names[0]} answers and rewrites its own answer"
        case "self":
            return f"{names[0]} answers {count(len(names), 'time')}"
        case _:
            return f"{join_names(names)} answer{'s' if len(names) == 1 else ''}"


def _conclusion(plan: Mapping[str, Any]) -> str:
    """How the members' answers become one, by the calls that are planned."""
    phases = [call["phase"] for call in plan["calls"]]
    judge, writer = plan["judge"], plan["synthesizer"] or plan["primary"]
    steps = []
    if "judgement" in phases:
        steps.append(f"{judge} judges")
    if "ranking" in phases:
        steps.append(_ranking(plan, phases.count("ranking")))
    if "synthesis" in phases:
        steps.append("writes" if steps and judge == writer else f"{writer} writes")
    return f"; {join_names(steps)}" if steps else ""


def _ranking(plan: Mapping[str, Any], times: int) -> str:
    if plan["method"] == "vote":
        return f"the answer most gave goes out, or the one that {plan['judge']} picks"
    return f"{plan['judge']} ranks them{' in both orders' if times > 1 else ''}, the first goes out"


def _panel_trigger(plan: Mapping[str, Any]) -> str:
    if plan["panel_trigger"] == "now":
        return ""
    return f"; once {plan['primary']}'s draft is a final answer or a risky call"


def side_by_side(view: DecisionView) -> Group:
    """The best plan of each strategy, best first."""
    names = ("P", "this step", "turn", "time", "calls", "points", "to single")
    plan = view.decision["plan"]
    plans = view.decision["plans"]
    alone = next((p["total"] for p in plans if p["strategy"] == "single"), None)
    rows = []
    for p in plans:
        mark = " *" if p == plan else ""
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
    """The most calls the chosen plan may make; None for a single answer. Calls of the same turn run concurrently."""
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


# ---- the explanation


def explanation(view: DecisionView, *, every: bool = False) -> Iterator[RenderableType]:
    """Everything, section by section. `every`: no table is cut short."""
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
    body = facts(
        [
            ("label", f.label),
            ("kind", str(f.kind) + _matched_words(f.kind_words)),
            ("phase", f.phase),
            ("needs", ", ".join(f.needs)),
            ("difficulty", f"{f.difficulty:+.2f}   (0 easy, 1 at the limit of today's best)"),
            ("risk", f"{f.risk.value:.2f}{_matched_words(f.risk.words)}"),
            ("stakes", f"{f.stakes:.2f}   (1 is normal)"),
            ("input", f"about {f.input_tokens:,.0f} tokens, {low:,.0f} to {high:,.0f}"),
            ("output", f"about {f.output_tokens:,.0f} tokens"),
            ("steps", f"{f.expected_steps:.1f} still to come in this turn"),
            ("tools show", "; ".join(sentences(evidence.signals))),
            ("findings", "\n".join(map(run_finding, evidence.findings))),
            *[("rule", f"{fired.reason} (matched {fired.condition} {fired.matched})") for fired in f.fired],
            ("client", f.client),
        ]
    )
    return section("What was read", body)


def _matched_words(words: Sequence[str]) -> str:
    return f"   from: {', '.join(words)}" if words else ""


def _difficulty(f: Features) -> Group:
    rows = [(_term_label(f, p.name), f"{p.count:g}", f"{p.points:+.3f}") for p in f.parts]
    rows.append(("difficulty", "", f"{f.difficulty:+.3f}"))
    return section("Difficulty", table(("part", "count", "points"), rows, right=("count", "points")))


def _term_label(f: Features, name: str) -> str:
    return f"kind {f.kind}" if name == "kind" else DIFFICULTY_TERMS[name]


def _score_rows(view: DecisionView, every: bool) -> list[Mapping[str, Any]]:
    """The best scores, and the chosen one whatever its rank."""
    scores, plan = view.decision["scores"], view.decision["plan"]
    primary = plan["primary"] if plan else None
    return [s for n, s in enumerate(scores) if every or n < SCORES_SHOWN or s["candidate"] == primary]


def _candidate_cell(view: DecisionView, candidate: str) -> Text:
    plan = view.decision["plan"]
    chosen = plan is not None and plan["primary"] == candidate
    return styled(f"{candidate} *" if chosen else candidate, "good" if chosen else "")


def _scores(view: DecisionView, every: bool) -> Group:
    rows = _score_rows(view, every)
    hidden = len(view.decision["scores"]) - len(rows)
    more = f"; {hidden} more with --all" if hidden else ""
    weight = view.decision["usd_weight_points_per_usd"]
    title = f"Scores in points, dial {view.decision['dial']:g} (a dollar weighs {weight:,.0f} points){more}"
    body = [(_candidate_cell(view, s["candidate"]), *_round_to_total(points_of(s), s["total"])) for s in rows]
    names = (*TERM_LABELS.values(), "total")
    return section(title, table(("candidate", *names), body, right=names))


def _round_to_total(points: Sequence[float], total: float) -> list[str]:
    """Terms and total with two decimals that still add up: the rounding error goes to the largest term."""
    shown = [round(p, 2) for p in points]
    largest = max(range(len(shown)), key=lambda n: abs(shown[n]))
    shown[largest] += round(total, 2) - sum(shown)
    return [f"{value + 0.0:.2f}" for value in (*shown, total)]


def _raw_values(view: DecisionView, every: bool) -> Group:
    names = ("P", "this step", "turn, warm", "cold cache", "wait", "up")
    rows = [
        (
            _candidate_cell(view, s["candidate"]),
            f"{_percentile(s['percentile'])} {s['skill']} ({_percentile(s['general_percentile'])})",
            f"{s['success']:.1%}",
            usd(s["step_usd"]),
            usd(s["turn_usd"]),
            usd(s["warmup_usd"]),
            seconds(s["wait_s"]),
            f"{s['availability']:.1%}",
            _value_source(s),
        )
        for s in _score_rows(view, every)
    ]
    body = table(("candidate", "percentile (general)", *names, "from"), rows, right=names)
    return section("The values behind them", body)


def _percentile(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _value_source(score: Mapping[str, Any]) -> str:
    """Where a score's values come from: configured, measured, and whether its price had to be assumed."""
    return health_source(score) + ("; price assumed" if score["price_source"] == "assumed" else "")


def _rejections(view: DecisionView, every: bool) -> Group:
    """Grouped by reason: thirty lines that say the same are no help."""
    groups: dict[str, list[str]] = defaultdict(list)
    for rejection in view.decision["rejections"]:
        groups["; ".join(sentences(rejection["reasons"]))].append(rejection["candidate"])
    rows = []
    for reason, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        hidden = 0 if every else max(0, len(names) - REJECTIONS_PER_REASON_SHOWN)
        more = f" and {hidden} more" if hidden else ""
        rows.append((", ".join(names[: len(names) - hidden]) + more, reason))
    total = count(len(view.decision["rejections"]), "candidate")
    return section(f"{total} can't serve this request", table(("rejected", "because"), rows))


def _switch(view: DecisionView) -> Iterator[RenderableType]:
    switch = view.decision["switch"]
    if switch is None:
        return
    pairs = [("verdict", f"{switch['verdict']}: {sentence(switch['reason'])}")]
    even = switch["break_even"]
    if even is not None:
        steps = "never" if even["steps"] is None else f"after {even['steps']:.1f} steps"
        pairs += [
            ("from, to", f"{even['incumbent']} -> {even['candidate']}"),
            ("costs once", usd(even["once_usd"])),
            ("gains", f"{usd(even['gain_usd_per_step'])} a step"),
            ("pays back", f"{steps}; {even['expected_steps']:.1f} expected"),
        ]
    yield section("Leaving the incumbent", facts(pairs))


def _budget(view: DecisionView) -> Iterator[RenderableType]:
    cap = view.decision["allowance"]
    if cap is not None:
        yield section("Budget", facts([("left", f"{usd(cap['left_usd'])} of budget.{cap['cap']}")]))


# ---- why not


def render_why_not(answer: Counterfactual, view: DecisionView) -> Iterator[RenderableType]:
    """Rank, gap and winning changes of a candidate, and its terms beside those of the chosen one."""
    block = facts(
        [
            ("answer", _standing(answer)),
            ("part", _part_in_plan(answer.candidate, view.decision["plan"])),
            *[("rejected", text) for text in sentences(answer.rejections)],
            ("it would win", "\n".join(_winning_changes(answer, view.decision["dial"]))),
        ]
    )
    yield section(f"Why not {answer.candidate}?", block)
    chosen, row = view.score(answer.chosen or ""), view.score(answer.candidate)
    if chosen is not None and row is not None and chosen is not row:
        rows: list[tuple[Any, ...]] = [
            (TERM_LABELS[name], f"{a:.2f}", f"{b + 0.0:.2f}", f"{b - a:+.2f}")
            for name, a, b in zip(TERMS, points_of(chosen), points_of(row), strict=True)
        ]
        rows.append(
            ("total", f"{chosen['total']:.2f}", f"{row['total']:.2f}", f"{row['total'] - chosen['total']:+.2f}")
        )
        names = (str(answer.chosen), answer.candidate, "difference")
        yield section("Term by term, in points", table(("term", *names), rows, right=names))


def _standing(answer: Counterfactual) -> str:
    if answer.wins:
        return f"it does answer: rank {answer.rank} of {answer.of}, {answer.total:.2f} points"
    if answer.total is None:
        hypothetical = f"; otherwise it would be number {answer.rank_if_eligible}" if answer.rank_if_eligible else ""
        return f"it can't serve this request{hypothetical}"
    gap = f", {answer.gap:.2f} behind {answer.chosen}" if answer.gap is not None else ""
    return f"rank {answer.rank} of {answer.of} with {answer.total:.2f} points{gap}"


def _part_in_plan(candidate: str, plan: Mapping[str, Any] | None) -> str:
    """What it does in the chosen plan, apart from answering first; empty if nothing."""
    if plan is None or plan["strategy"] == "single":
        return ""
    calls = [call["phase"] for call in plan["calls"] if call["candidate"] == candidate]
    parts = [f"{phase} x{calls.count(phase)}" if calls.count(phase) > 1 else phase for phase in dict.fromkeys(calls)]
    return f"in the {plan['strategy']} plan: {', '.join(parts)}" if parts else ""


def _winning_changes(answer: Counterfactual, dial: float) -> list[str]:
    """The changes that would make it win, each on its own; the nearest dial setting first."""
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
