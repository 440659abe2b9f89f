"""The page of `autorouter bench --data`, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autorouter.evals.markdown import page, share, table, usd
from autorouter.evals.plot import PlotPoint, render_svg

SECOND_LOOKS = (
    "Calls of a plan beyond its primary add their cost and no quality: one answer a model is all that is recorded."
)


def render_bench(found: Mapping[str, Any]) -> str:
    """The page."""
    return page(
        "# Outcome sets through the router",
        f"Split `{found['split']}`. What the router knows of the models is from the dev part only. {SECOND_LOOKS}",
        *(part for name, document in found["sets"].items() for part in _set_parts(name, document)),
        "## Gate\n\n" + ("\n".join(f"- failed: {line}" for line in found["gate"]) or "Passed."),
    )


def _set_parts(name: str, found: Mapping[str, Any]) -> list[str]:
    cost = "nominal costs (list prices)" if found["nominal_cost"] else "costs as paid"
    refused = f", {found['refused_rows']} refused for a missing cell" if found["refused_rows"] else ""
    smoke = " A smoke set: too small to gate on." if found["smoke"] else ""
    parts = [
        f"## {name}\n\n{found['rows']} rows{refused}, {found['models']} models, {cost}.{smoke}",
        _references(found["references"]),
    ]
    for knowledge, figures in found["knowledge"].items():
        parts += [f"### {knowledge}", _curve(figures), _dials(figures["dials"]), _picks(figures["dials"])]
    parts += [_pair(found["pair"]), _calibration(found["calibration"])]
    if found.get("cascade"):
        parts.append(_cascade(found["cascade"]))
    return parts


def _references(found: Mapping[str, Mapping[str, Any]]) -> str:
    columns = ("reference", "model", "quality", "USD", "of best", "cost")
    rows = []
    for name, row in found.items():
        shares = share(row["share_of_best"]), _times(row["cost_of_best"])
        rows.append((name, row["model"] or "", share(row["quality"]), usd(row["usd"]), *shares))
    return table(columns, rows, right=columns[2:])


def _curve(found: Mapping[str, Any]) -> str:
    curve = found["curve"]
    return (
        f"AIQ {number(curve['aiq'])} all-in, {number(curve['aiq_primary'])} primary alone, {number(curve['aiq_singles'])} "
        f"for mixing single models; up to the best single {number(curve['aiq_b'])}, {number(curve['aiq_b_primary'])}, "
        f"{number(curve['aiq_b_singles'])}. The dial lowers the cost at {found['falls']} of its steps. "
        f"{found['plan_us']:.0f} us a plan."
    )


def _dials(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = (
        "dial",
        "quality",
        "of best",
        "primary",
        "all-in",
        "to the mix",
        "interval",
        "at primary",
        "claimed",
        "plans",
    )
    return table(
        columns,
        [
            (
                f"{row['dial']:g}",
                share(row["quality"]),
                share(row["share_of_best"]),
                _times(row["primary_of_best"]),
                _times(row["all_in_of_best"]),
                _points(row["to_mix"]["delta"]),
                f"{_points(row['to_mix']['low'])} .. {_points(row['to_mix']['high'])}",
                _points(row["to_mix_at_primary"]["delta"]),
                number(row["claimed"]),
                ", ".join(f"{strategy} {n}" for strategy, n in row["strategies"].items()),
            )
            for row in rows
        ],
        right=columns[:-1],
    )


def _picks(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"- {row['dial']:g}: " + ", ".join(f"{model} {n}" for model, n in list(row["picks"].items())[:5])
        for row in rows
    ]
    return "Picks by dial:\n\n" + "\n".join(lines)


def _pair(found: Mapping[str, Any]) -> str:
    rows = [(f"{found['strong']} / {found['weak']}", found)]
    rows += [(name, part) for name, part in found.get("slices", {}).items()]
    return table(
        ("pair", "rows", "APGR", "interval", "CPT50", "CPT80", "strong calls for 95 %"),
        [
            (
                name,
                part["rows"],
                number(part["apgr"]),
                " .. ".join(number(end) for end in part["apgr_interval"] or ()) or "undefined",
                number(part["cpt50"]),
                number(part["cpt80"]),
                number(part["share_95"]),
            )
            for name, part in rows
        ],
        right=("rows", "APGR", "CPT50", "CPT80", "strong calls for 95 %"),
    )


def _calibration(found: Mapping[str, Any]) -> str:
    rows = [("as shipped", found["shipped"], "")]
    if "others" in found:
        c = found["others"]["constants"]
        text = f"{c['level']:.2f}, {c['percentile_slope']:.2f}, {c['difficulty_slope']:.2f}"
        rows.append(("fitted on the other sets", found["others"], text))
    return table(
        ("P(success)", "claimed", "observed", "Brier", "ECE", "c, a, b"),
        [
            (
                name,
                number(part["claimed"]),
                number(part["observed"]),
                number(part["brier"]),
                number(part["ece"]),
                constants,
            )
            for name, part, constants in rows
        ],
        right=("claimed", "observed", "Brier", "ECE"),
    )


def _cascade(found: Mapping[str, Any]) -> str:
    costs = list(next(iter(found["curves"].values())))
    rows = [(name, *(_cascade_cell(curve[c]) for c in costs)) for name, curve in found["curves"].items()]
    text = (
        f"### {found['cheap']}, then {found['strong']}\n\nQuality as a share of the best single model's, at a share of its "
        "cost, with its interval. The cheap run's course tells a failed run with AUC "
        f"{found['auc']:.2f}."
    )
    if found["verifier"]:
        tpr, tnr = found["verifier"]
        text += f" A simulated verifier accepts {tpr:.2f} of right answers and rejects {tnr:.2f} of wrong ones."
    return text + "\n\n" + table(("escalated by", *(f"x{c}" for c in costs)), rows)


def _cascade_cell(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{share(found['share_of_best'])} ({100 * low:.0f} .. {100 * high:.0f})"


def number(value: float | None) -> str:
    """`0.674`; `undefined` is not zero."""
    return "undefined" if value is None else f"{value:.3f}"


def _times(value: float) -> str:
    return f"x{value:.2f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def bench_plot(found: Mapping[str, Any]) -> str | None:
    """Cost against quality of the first set's dials and references; None without a set."""
    for name, document in found["sets"].items():
        points = [
            PlotPoint(
                name=key, usd=row["usd"], quality=row["quality"], low=row["quality"], high=row["quality"], ours=False
            )
            for key, row in document["references"].items()
        ]
        for knowledge, figures in document["knowledge"].items():
            points += [
                PlotPoint(
                    name=f"{knowledge} {row['dial']:g}",
                    usd=row["all_in_usd"],
                    quality=row["quality"],
                    low=row["quality"],
                    high=row["quality"],
                    ours=True,
                )
                for row in figures["dials"]
            ]
        return render_svg(points, f"{name}: cost and quality by dial")
    return None
