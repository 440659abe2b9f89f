"""What a replay of recorded sessions comes to, by source, and its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from autorouter.evals.bench_metrics import resampled
from autorouter.evals.bench_sessions import CHECKPOINTS, SessionBill, SessionStep
from autorouter.evals.markdown import page, table
from autorouter.evals.statistics import mean, ordered_share

MIN_FAILED = 10
"""With fewer failed sessions nothing is said about telling them apart."""


def summarize_sessions(bills: Sequence[SessionBill]) -> dict[str, Any]:
    """Figures by source, in the order of the files."""
    sources = dict.fromkeys(bill.source for bill in bills)
    return {source: _source([bill for bill in bills if bill.source == source]) for source in sources}


def _source(bills: Sequence[SessionBill]) -> dict[str, Any]:
    steps = [step for bill in bills for step in bill.steps]
    best, auto = mean([b.best_usd for b in bills]), mean([b.auto_usd for b in bills])
    number = len(bills)
    return {
        "sessions": number,
        "steps": len(steps) / number,
        "usd": {
            "best": best,
            "cheapest": mean([b.cheapest_usd for b in bills]),
            "auto": auto,
            "first kept": mean([b.first_kept_usd for b in bills]),
            "forget": mean([b.forget_usd for b in bills]),
        },
        "share_of_best": auto / best if best else 0.0,
        "memory_pays": auto <= mean([b.forget_usd for b in bills]) * 1.005,
        "switches": sum(bool(s.switch) for s in steps) / number,
        "forget_switches": sum(b.forget_switches for b in bills) / number,
        "switches_back": sum(s.back for s in steps) / number,
        "second_looks": sum(s.second_look for s in steps) / len(steps),
        "new_turns": sum(s.is_new_turn for s in steps) / number,
        "steps_to_come": _steps_to_come(bills),
        "turn_cost": _turn_cost(bills),
        "rest_cost": _rest_cost(bills),
        "down_while_red": sum(s.switch == "down" and s.red for s in steps),
        "switch_verdicts": dict(Counter(f"{s.switch} {s.verdict}" for s in steps if s.switch)),
        "picks": dict(Counter(s.candidate for s in steps).most_common(6)),
        "foretells": _foretells(bills),
    }


def turns_of(bill: SessionBill) -> list[list[SessionStep]]:
    """The session's steps by turn, housekeeping left out."""
    turns: list[list[SessionStep]] = []
    for step in bill.steps:
        if step.housekeeping:
            continue
        if step.is_new_turn or not turns:
            turns.append([])
        turns[-1].append(step)
    return turns


def _steps_to_come(bills: Iterable[SessionBill]) -> dict[str, float | None]:
    """Predicted against recorded, at every step: the rest of its turn, this step included."""
    pairs = [
        (step.expected_steps, float(len(turn) - place))
        for bill in bills
        for turn in turns_of(bill)
        for place, step in enumerate(turn)
    ]
    return _ratios(pairs)


def _turn_cost(bills: Iterable[SessionBill]) -> dict[str, float | None]:
    """The plan's expected USD at the first step of a turn, against what the turn came to."""
    return _ratios([(turn[0].expected_usd, sum(s.usd for s in turn)) for bill in bills for turn in turns_of(bill)])


def _rest_cost(bills: Iterable[SessionBill]) -> dict[str, float | None]:
    """The same at every step, against what the rest of its turn came to: long turns count as much as they cost."""
    pairs = []
    for bill in bills:
        for turn in turns_of(bill):
            rest_usd = 0.0
            for step in reversed(turn):
                rest_usd += step.usd
                pairs.append((step.expected_usd, rest_usd))
    return _ratios(pairs)


def _ratios(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    ratios = [predicted / recorded for predicted, recorded in pairs if recorded > 0]
    return {
        "predicted": mean([predicted for predicted, _ in pairs]),
        "recorded": mean([recorded for _, recorded in pairs]),
        "median_ratio": median(ratios) if ratios else None,
    }


SIGNALS: Mapping[str, Callable[[Sequence[SessionStep]], float]] = {
    "difficulty": lambda steps: steps[-1].difficulty,
    "escalated": lambda steps: float(sum(step.switch == "up" for step in steps)),
    "evidence": lambda steps: steps[-1].wrong,
    "input tokens": lambda steps: float(steps[-1].input_tokens),
}
"""What may tell a failing session from one that succeeds, from its steps so far."""


def _foretells(bills: Sequence[SessionBill]) -> dict[str, dict[str, Any]] | None:
    """AUC for failure of sessions that are still going at a step; None where too few outcomes are known."""
    known = [bill for bill in bills if bill.solved is not None]
    if sum(not bill.solved for bill in known) < MIN_FAILED:
        return None
    found = {}
    for checkpoint in CHECKPOINTS:
        going = [bill for bill in known if len(bill.steps) >= checkpoint]
        solved = [bill.steps[:checkpoint] for bill in going if bill.solved]
        failed = [bill.steps[:checkpoint] for bill in going if not bill.solved]
        found[str(checkpoint)] = {"solved": len(solved), "failed": len(failed)} | {
            name: _auc([signal(s) for s in solved], [signal(s) for s in failed]) for name, signal in SIGNALS.items()
        }
    return found


def _auc(low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    values = [*low, *high]

    def drawn(places: Sequence[int]) -> float | None:
        return ordered_share([values[n] for n in places if n < len(low)], [values[n] for n in places if n >= len(low)])

    return {"auc": ordered_share(low, high), "interval": resampled(drawn, len(values), seed=1, times=100)}


MAX_SHARE_OF_BEST, MAX_SWITCHES_BACK, MAX_RATIO, TEXT_TOLERANCE, MIN_AUC = 0.45, 0.1, 1.5, 0.10, 0.62
"""What is promised of the default dial over the whole catalogue; `beyond_bounds` says where it isn't kept."""
NATIVE, AS_TOOLS = ".native", ".as-tools"


def beyond_bounds(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences on the figures that are beyond their bounds."""
    found = [f"{name}: {text}" for name, row in figures.items() for text in _beyond(row)]
    for name, row in figures.items():
        twin = figures.get(name.replace(NATIVE, AS_TOOLS)) if name.endswith(NATIVE) else None
        if twin is not None and abs(row["usd"]["auto"] / twin["usd"]["auto"] - 1.0) > TEXT_TOLERANCE:
            found.append(f"{name}: {row['usd']['auto']:.3f} USD a session, as tool calls {twin['usd']['auto']:.3f}")
    return found


def _beyond(row: Mapping[str, Any]) -> Iterator[str]:
    if row["share_of_best"] > MAX_SHARE_OF_BEST:
        yield f"{100 * row['share_of_best']:.0f} % of always-best"
    if row["switches_back"] > MAX_SWITCHES_BACK:
        yield f"{row['switches_back']:.2f} switches back a session"
    if not row["memory_pays"]:
        yield f"memory costs: {row['usd']['auto']:.3f} against {row['usd']['forget']:.3f} USD"
    for what, key in (("steps to come", "steps_to_come"), ("the rest of a turn's cost", "rest_cost")):
        ratio = row[key]["median_ratio"]
        if ratio is not None and not 1 / MAX_RATIO <= ratio <= MAX_RATIO:
            yield f"{what} is predicted at x{ratio:.2f}"
    if row["down_while_red"]:
        yield f"{row['down_while_red']} moves to a weaker model while the last run was red"
    at_20 = (row["foretells"] or {}).get("20")
    if at_20 is not None and at_20["difficulty"]["auc"] < MIN_AUC:
        yield f"AUC {at_20['difficulty']['auc']:.2f} for failure at step 20"


def _bounds_section(found: Sequence[str]) -> str:
    return "Beyond the bounds:\n\n" + ("\n".join(f"- {line}" for line in found) or "nothing")


def render_sessions(found: Mapping[str, Any]) -> str:
    """The page."""
    figures = found["sources"]
    return page(
        "# Recorded sessions through the router",
        f"Dial {found['dial']:g}, {found['candidates']} candidates; best is {found['best']}, cheapest {found['cheapest']}. "
        "USD a session at list prices, caches by the recorded times; quality isn't simulated. `forget`: the router without "
        "memory. `first kept`: its first choice for the whole session.",
        _bills(figures),
        "Predictions: the median of predicted over recorded, of steps and the rest of a turn's cost at every step.",
        _predictions(figures),
        _foretold(figures),
        _bounds_section(beyond_bounds(figures)),
        "Picks:\n\n"
        + "\n".join(
            f"- {name}: " + ", ".join(f"{c} {n}" for c, n in row["picks"].items()) for name, row in figures.items()
        ),
    )


def _bills(figures: Mapping[str, Mapping[str, Any]]) -> str:
    columns = (
        "source",
        "sessions",
        "steps",
        "best",
        "cheapest",
        "auto",
        "of best",
        "first kept",
        "forget",
        "switches",
        "back",
    )
    rows = []
    for name, row in figures.items():
        usd = row["usd"]
        bills = [f"{usd[key]:.3f}" for key in ("best", "cheapest", "auto")]
        kept = [f"{usd[key]:.3f}" for key in ("first kept", "forget")]
        moves = f"{row['switches']:.1f} / {row['forget_switches']:.1f}", f"{row['switches_back']:.2f}"
        share = f"{100 * row['share_of_best']:.0f} %"
        rows.append((name, row["sessions"], f"{row['steps']:.0f}", *bills, share, *kept, *moves))
    return table(columns, rows, right=columns[1:])


def _predictions(figures: Mapping[str, Mapping[str, Any]]) -> str:
    columns = (
        "source",
        "steps to come",
        "predicted / recorded",
        "turn cost",
        "second looks",
        "down while red",
        "turns",
        "switches",
    )
    rows = [
        (
            name,
            _ratio(row["steps_to_come"]["median_ratio"]),
            f"{row['steps_to_come']['predicted']:.1f} / {row['steps_to_come']['recorded']:.1f}",
            _ratio(row["turn_cost"]["median_ratio"]),
            _ratio(row["rest_cost"]["median_ratio"]),
            f"{100 * row['second_looks']:.1f} %",
            row["down_while_red"],
            f"{row['new_turns']:.1f}",
            ", ".join(f"{verdict} {n}" for verdict, n in row["switch_verdicts"].items()),
        )
        for name, row in figures.items()
    ]
    return table(columns, rows, right=columns[1:-1])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"x{value:.2f}"


def _foretold(figures: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            name,
            step,
            f"{part['failed']} of {part['failed'] + part['solved']}",
            *(_with_interval(part[s]) for s in SIGNALS),
        )
        for name, row in figures.items()
        for step, part in (row["foretells"] or {}).items()
    ]
    if not rows:
        return ""
    return "Telling sessions that fail from those that don't (AUC, .5 is chance):\n\n" + table(
        ("source", "step", "failed", *SIGNALS), rows
    )


def _with_interval(found: Mapping[str, Any]) -> str:
    interval = found["interval"]
    return f"{found['auc']:.2f}" + (f" ({interval[0]:.2f} .. {interval[1]:.2f})" if interval else "")
