"""A panel of five scripted models to set scenes on: `fused(cast(...), folder, panel("ranked"))`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autorouter.core.panels import Panel, PanelMethod
from tests.server.scripted_models import (
    RequestResult,
    ScriptedAnswer,
    ScriptedCall,
    ScriptedTransport,
    TextAnswer,
    perform,
    request_document,
)

ASK = "explain the design of the cache"
FUSION = "openfusion/fusion"

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOLS = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in ("bash", "read_file")]


def judge_says(**more: Any) -> Callable[[ScriptedCall], TextAnswer]:
    return lambda asked: TextAnswer(json.dumps({"key": asked.key} | more))


def scripted_panel(
    member: Callable[[ScriptedCall], ScriptedAnswer] | None = None,
    judge: Callable[[ScriptedCall], ScriptedAnswer] | None = None,
    writer: ScriptedAnswer = TextAnswer("Written anew."),  # noqa: B008
) -> ScriptedTransport:
    """Members, a judge in whatever role, and who writes; each may be replaced."""

    def play(asked: ScriptedCall) -> ScriptedAnswer:
        match asked.role:
            case "member" | "debater" | "refiner" | "":
                return member(asked) if member else TextAnswer(f"Use the method of {asked.candidate_id}.")
            case "judge":
                return judge(asked) if judge else judge_says(best=None)(asked)
            case "ranker":
                return judge(asked) if judge else judge_says(order=[letter for letter, _ in asked.proposals])(asked)
        return writer

    return ScriptedTransport(play)


def panel(way: PanelMethod = "judge", **more: Any) -> Panel:
    return Panel(name="p", way=way, **{"models": ("m0", "m1", "m2"), "judge": "m3", "synthesizer": "m4"} | more)


def run_panel(scripted: ScriptedTransport, folder: Path, one: Panel | None = None, **more: Any) -> RequestResult:
    """A request at this panel, of a pool of five."""
    policy = {name: more.pop(name) for name in ("fusion", "names", "wire") if name in more}
    document = request_document(more.pop("ask", ASK), policy.get("wire", "chat"), model="openfusion/panel/p", **more)
    names = policy.pop("names", ("m0", "m1", "m2", "m3", "m4"))
    return perform(scripted, document, folder, names=names, panel=one or panel(), **policy)
