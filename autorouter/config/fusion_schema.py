"""`[fusion]` and `[panels.NAME]`: how verifiers and panels work, and the panels of your own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from autorouter.config.types import ConfigTable, Count, Flag, NonEmptyText, Positive
from autorouter.core import panels as core
from autorouter.core.types import VerifyScope

_F = core.FusionPolicy()
_P = core.Panel(name="")
Members = Annotated[int, Strict(), Field(ge=1, le=core.MAX_MEMBERS)]
Rounds = Annotated[int, Strict(), Field(ge=1, le=4)]
Temperature = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=2)]


def _key(default: Any, text: str) -> Any:
    return Field(default, description=text)


class FusionConfig(ConfigTable):
    """How verifiers and panels work."""

    panel: NonEmptyText = _key(
        _F.panel, "The panel that is used where a request names none; quality, budget, code, self or yours."
    )
    verify: VerifyScope = _key(
        _F.care,
        "Drafts that a verifier sees: final answers and risky tool calls, risky calls only, always all, or off.",
    )
    quorum: Members = _key(_F.quorum, "So many members' answers are enough.")
    grace_s: Positive = _key(_F.grace_s, "How long the others are waited for once these are there, seconds.")
    member_s: Positive = _key(_F.member_s, "Longest time for a member's answer, seconds.")
    judge_s: Positive = _key(_F.judge_s, "Longest time for a judgement, seconds.")
    verifier_s: Positive = _key(
        _F.verifier_s, "Longest time for a verdict, seconds; then the draft goes out unverified."
    )
    max_calls: Annotated[int, Strict(), Field(ge=2, le=64)] = _key(
        _F.max_calls, "Plans that may need more upstream calls for one request than this aren't made."
    )
    escalate: Flag = _key(
        _F.escalate, "A rejected draft may be answered by the next better model instead of its author."
    )
    overrides: Flag = _key(
        _F.overrides, "Requests may wish for a strategy, a panel, models, a cap and a dial of their own."
    )
    prompts_dir: NonEmptyText | None = _key(
        None, "Folder with Markdown files that replace the instructions of the same name (docs/fusion.md)."
    )


class WebConfig(ConfigTable):
    """What panels may look up, for requests without tools. Off by default: a question leaves this machine."""

    how: Literal["off", "upstream", "local"] = _key(
        "off", "By OpenRouter's server tools, for members there; by a command of your own; or not at all."
    )
    results: Annotated[int, Strict(), Field(ge=1, le=20)] = _key(5, "Most results of one search.")
    excluded_domains: tuple[NonEmptyText, ...] = _key((), "Domains left out by the upstream's search and fetch.")
    command: tuple[NonEmptyText, ...] = _key(
        (), "The command of `local`: question on standard input, results on standard output (docs/fusion.md)."
    )
    limit_s: Positive = _key(15.0, "Longest time for the command, seconds.")

    @model_validator(mode="after")
    def _fits(self) -> WebConfig:
        if self.how == "local" and not self.command:
            raise ValueError('how = "local" needs a command')
        return self


class PanelStepConfig(ConfigTable):
    """A step of a pipeline."""

    name: NonEmptyText = Field(description="What it is called on the receipt.")
    instruction: NonEmptyText = Field(description="What the model is told besides the request.")
    candidate: NonEmptyText | None = _key(None, "Who does it, by id; the lead if nobody is named.")


class PanelConfig(ConfigTable):
    """A panel of your own; a client asks for it as openfusion/panel/NAME."""

    way: core.PanelMethod = _key(_P.way, "How answers become one.")
    models: Annotated[tuple[NonEmptyText, ...], Field(max_length=core.MAX_MEMBERS)] = _key(
        (), "Members by candidate id; one may stand there several times. Empty: they are picked."
    )
    pick: core.MemberSelection = _key(
        _P.pick, "Who is picked where no models are named; always of different vendors first."
    )
    size: Annotated[Count, Field(le=core.MAX_MEMBERS)] = _key(0, "How many are picked; 0 is policy.tuning.panel_size.")
    judge: NonEmptyText | None = _key(None, "Who judges, by candidate id. Default: the ablest verifier.")
    synthesizer: NonEmptyText | None = _key(None, "Who writes the answer, by candidate id. Default: the lead.")
    rounds: Rounds = _key(_P.rounds, "Rounds of a debate or a refinement, further layers.")
    samples: Members = _key(_P.samples, "Samples of way self.")
    temperatures: tuple[Temperature, ...] = _key((), "Temperatures of the members, in turn. Empty: as the client sent.")
    instructions: tuple[str, ...] = _key((), "What each member is told besides the request, in the order of models.")
    steps: Annotated[tuple[PanelStepConfig, ...], Field(max_length=core.MAX_MEMBERS)] = _key(
        (), "Steps of way pipeline."
    )

    @model_validator(mode="after")
    def _fits(self) -> PanelConfig:
        if self.way == "pipeline" and not self.steps:
            raise ValueError("a pipeline needs steps")
        if self.steps and self.way != "pipeline":
            raise ValueError('has steps: set way = "pipeline"')
        return self
