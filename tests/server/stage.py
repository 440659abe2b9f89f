"""A panel of five scripted models to set scenes on: `fused(cast(...), folder, panel("ranked"))`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autorouter.core.panels import Panel, PanelMethod
from tests.server.cast import (
    Asked,
    Cast,
    Done,
    Line,
    TextAnswer,
    asking,
    perform,
)

ASK = "explain the design of the cache"
FUSION = "openfusion/fusion"

SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOLS = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in ("bash", "read_file")]


def says(**more: Any) -> Callable[[Asked], TextAnswer]:
    return lambda asked: TextAnswer(json.dumps({"key": asked.key} | more))


def cast(
    member: Callable[[Asked], Line] | None = None,
    judge: Callable[[Asked], Line] | None = None,
    writer: Line = TextAnswer("Written anew."),  # noqa: B008
) -> Cast:
    """Members, a judge in whatever role, and who writes; each may be replaced."""

    def play(asked: Asked) -> Line:
        match asked.role:
            case "member" | "debater" | "refiner" | "":
                return member(asked) if member else TextAnswer(f"Use the method of {asked.who}.")
            case "judge":
                return judge(asked) if judge else says(best=None)(asked)
            case "ranker":
                return judge(asked) if judge else says(order=[letter for letter, _ in asked.proposals])(asked)
        return writer

    return Cast(play)


def panel(way: PanelMethod = "judge", **more: Any) -> Panel:
    return Panel(name="p", way=way, **{"models": ("m0", "m1", "m2"), "judge": "m3", "synthesizer": "m4"} | more)


def fused(scripted: Cast, folder: Path, one: Panel | None = None, **more: Any) -> Done:
    """A request at this panel, of a pool of five."""
    policy = {name: more.pop(name) for name in ("fusion", "names", "wire") if name in more}
    document = asking(more.pop("ask", ASK), policy.get("wire", "chat"), model="openfusion/panel/p", **more)
    names = policy.pop("names", ("m0", "m1", "m2", "m3", "m4"))
    return perform(scripted, document, folder, names=names, panel=one or panel(), **policy)
