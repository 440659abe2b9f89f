"""Panels: who answers besides the lead, and how one answer is made of theirs. Named in the configuration, or a preset.

    quality   three of the ablest of different vendors, judged, written anew by the lead
    budget    three of the cheapest that are able enough, judged by the cheapest judge
    code      three of the ablest coders; a judge ranks them twice, in both orders, and the best goes out as it is
    self      the lead three times at spread temperatures; stops where they agree

A way is how answers become one:

    judge     a judge compares, a synthesizer writes                    members + 2 calls
    ranked    a judge orders them, twice, with the order swapped        members + 2
    vote      the answer most members gave; where none can be read from the text, a judge picks       members + 1
    debate    members see each other's answers and answer anew, `rounds` times; then as judge         members x (1 + rounds) + 2
    refine    the lead criticises and rewrites its own answer, `rounds` times                         1 + rounds
    layers    `rounds` further layers of members, each of which sees the one before; then a synthesis members x (1 + rounds) + 1
    self      one model, `samples` times; then as judge, by the same model                            samples + 2
    pipeline  named steps one after the other, each sees what came before                             steps
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autorouter.core.types import VerifyScope

PanelMethod = Literal["judge", "ranked", "vote", "debate", "refine", "layers", "self", "pipeline"]
MemberSelection = Literal["ablest", "cheapest", "coders"]
MAX_MEMBERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelStep:
    """A step of a pipeline. `candidate` None is the lead; `instruction` is what it is told besides the request."""

    name: str
    instruction: str
    candidate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A named panel. `models` are candidate ids, one may stand there several times; empty: `size` of them are picked
    (0: `Tuning.panel_size`).
    `instructions[i]` is said to member i besides the request, so that each looks at it in its own way."""

    name: str
    way: PanelMethod = "judge"
    models: tuple[str, ...] = ()
    pick: MemberSelection = "ablest"
    size: int = 0
    judge: str | None = None
    synthesizer: str | None = None
    rounds: int = 1
    samples: int = 3
    temperatures: tuple[float, ...] = ()
    instructions: tuple[str, ...] = ()
    steps: tuple[PanelStep, ...] = ()


PRESETS: tuple[Panel, ...] = (
    Panel(name="quality"),
    Panel(name="budget", pick="cheapest"),
    Panel(name="code", way="ranked", pick="coders"),
    Panel(name="self", way="self", temperatures=(0.3, 0.7, 1.0)),
)
"""Always there; a panel of the same name in the configuration takes a preset's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionPolicy:
    """How panels and verifiers work. `panel`: the one that is used where none is named. Times in seconds.

    quorum: so many answers are enough once `grace_s` have passed since they were there. member_s, judge_s, verifier_s:
    the longest that one call may take. max_calls: plans that may need more upstream calls than this aren't made.
    """

    panel: str = "quality"
    care: VerifyScope = "final"
    quorum: int = 2
    grace_s: float = 20.0
    member_s: float = 120.0
    judge_s: float = 60.0
    verifier_s: float = 45.0
    max_calls: int = 16
    escalate: bool = True
    overrides: bool = True


def panel_names(panels: tuple[Panel, ...]) -> tuple[str, ...]:
    """Names of all panels, the configured ones first."""
    own = tuple(panel.name for panel in panels)
    return own + tuple(preset.name for preset in PRESETS if preset.name not in own)


def find_panel(name: str, panels: tuple[Panel, ...]) -> Panel | None:
    """The panel of a name; a configured one before a preset."""
    return next((panel for panel in (*panels, *PRESETS) if panel.name == name), None)
