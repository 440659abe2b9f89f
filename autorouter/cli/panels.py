"""`autorouter panels`: the configured and preset panels, their members, and the cost of a typical request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autorouter import runtime
from autorouter.cli import output
from autorouter.cli.options import config_option, dry_run_option, json_option, settings
from autorouter.cli.route import NoTransport, chat_body
from autorouter.config.load import Settings, environment
from autorouter.core.decision.decide import Decision
from autorouter.core.decision.record import plan_record
from autorouter.core.panels import PRESETS, Panel, find_panel, panel_names
from autorouter.engine.router import route
from autorouter.receipts.messages import refusal_message, sentence
from autorouter.wire.chat import request as chat_request

if TYPE_CHECKING:
    from rich.table import Table


TYPICAL = "Compare two designs of a rate limiter for an HTTP API, and say which is fairer under bursts of requests."
"""A question of the kind that panels are for; answers of about a thousand tokens are expected to it."""
PICKS = {"ablest": "the ablest", "cheapest": "the cheapest that are able enough", "coders": "the ablest coders"}
ONE_MODEL = {"self": "the lead, {samples} times", "refine": "the lead alone", "pipeline": "{steps} steps"}
MEMBER_COLUMNS = 32
UNBOUNDED = 1_000
"""More calls than any panel may need."""


@click.command(name="panels")
@click.option("--prompt", default=TYPICAL, show_default="a question of design", help="Prompt to plan and price.")
@config_option
@dry_run_option
@json_option
def command(prompt: str, path: Path | None, dry_run: bool, as_json: bool) -> None:
    """List the panels: method, members, and the cost of a request. Calls no model.

    Presets are always available; a panel under [panels.NAME] replaces the preset of that name. A client requests a panel
    as openfusion/panel/NAME. The one marked with a star is also used by openfusion/fusion and openfusion/auto. Members that
    aren't named in the configuration are selected for each request.

    \b
    Examples:
      autorouter panels
      autorouter panels --prompt "why does this test hang?"
      autorouter panels --json
    """
    loaded = settings(path, dry_run=dry_run)
    listed = list(panels(loaded, output.prompt_text(prompt)))
    if as_json:
        output.emit({"dry_run": loaded.dry_run, "prompt": prompt, "panels": listed})
        return
    for remark in loaded.notes:
        output.note(remark)
    output.show(_table(listed))
    missing = [(panel["name"], panel["problem"]) for panel in listed if panel["problem"]]
    if missing:
        output.show(output.section("Not possible now", output.facts(missing)))
    output.show("", output.styled("Cost, calls and time are what the plan expects at the most; try one with:", "dim"))
    output.show(output.styled('  autorouter route "..." --model openfusion/panel/NAME --explain', "dim"))


def panels(loaded: Settings, prompt: str) -> Iterator[dict[str, Any]]:
    """Each panel with its plan for the prompt, by the router's own decision. `problem`: why there is none now."""

    deps = runtime.build(loaded, env=environment(), transport=NoTransport(), record=False).deps
    unbounded = replace(deps, policy=replace(deps.policy, fusion=replace(deps.policy.fusion, max_calls=UNBOUNDED)))
    own = {panel.name for panel in loaded.policy.panels}
    for name in panel_names(loaded.policy.panels):
        panel = find_panel(name, loaded.policy.panels)
        assert panel is not None
        label = f"openfusion/panel/{name}"
        task = chat_request.parse(chat_body(prompt, model=label), {}).task
        planned = _plan(route(task, deps, None).decision)
        if planned["problem"]:
            calls = _plan(route(task, unbounded, None).decision)["calls"]
            most = loaded.policy.fusion.max_calls
            if calls > most:
                planned["problem"] = f"may need {calls} calls, and a request makes at most {most}"
        yield {
            "name": name,
            "label": label,
            "origin": "configured" if name in own else "preset",
            "replaces_preset": name in own and any(preset.name == name for preset in PRESETS),
            "used_by_fusion": name == loaded.policy.fusion.panel,
            "way": panel.way,
            "picked": _picked(panel, loaded),
            **planned,
        }


def _picked(panel: Panel, loaded: Settings) -> str | None:
    """How members are picked; None where they are named."""
    if panel.way in ONE_MODEL:
        return ONE_MODEL[panel.way].format(samples=panel.samples, steps=len(panel.steps))
    if panel.models:
        return None
    size = panel.size or loaded.policy.tuning.panel_size
    return f"{size} of {PICKS[panel.pick]}"


def _plan(decision: Decision) -> dict[str, Any]:
    """What the decision on the prompt makes of a panel."""

    plan = None if decision.plan is None else plan_record(decision.plan)
    if plan is None or plan["strategy"] != "fusion":
        empty = dict.fromkeys(("judge", "synthesizer", "expected_usd", "reserve_usd", "seconds"))
        return {"members": [], **empty, "calls": 0, "problem": _problem(decision)}
    phases = {call["phase"] for call in plan["calls"]}
    return {
        "members": plan["members"],
        "judge": plan["judge"] if phases & {"judgement", "ranking"} else None,
        "synthesizer": plan["synthesizer"] if "synthesis" in phases else None,
        "calls": len(plan["calls"]),
        "expected_usd": plan["step_usd"],
        "reserve_usd": plan["reserve_usd"],
        "seconds": plan["wait_s"],
        "problem": None,
    }


def _problem(decision: Decision) -> str:
    if decision.refusal is not None:
        return refusal_message(decision.refusal.reason, decision.rejections)
    if decision.notes:
        return sentence(decision.notes[-1])
    return "no plan of it was made for this prompt"


def _table(listed: list[dict[str, Any]]) -> Table:
    names = ("calls", "cost", "time")
    rows = []
    for panel in listed:
        star = " *" if panel["used_by_fusion"] else ""
        figures = (str(panel["calls"] or "-"), _cost(panel["expected_usd"]), output.seconds(panel["seconds"]))
        name = output.styled(f"{panel['name']}{star}", "strong" if star else "")
        rows.append((name, panel["way"], _members(panel), *_others(panel), *figures))
    body = output.table(("panel", "way", "members", "judge", "writes", *names), rows, right=names)
    body.columns[2].max_width = MEMBER_COLUMNS
    return body


def _members(panel: Mapping[str, Any]) -> str:
    """The current members, and how they are selected, a line each."""
    names = panel["members"]
    tallied = ", ".join(dict.fromkeys(names))
    how = f"({panel['picked']})" if panel["picked"] else ""
    return "\n".join(part for part in (tallied, how) if part)


def _cost(usd: float | None) -> str:
    return "-" if usd is None else output.usd(usd)


def _others(panel: Mapping[str, Any]) -> tuple[str, str]:
    return panel["judge"] or "-", panel["synthesizer"] or "-"
