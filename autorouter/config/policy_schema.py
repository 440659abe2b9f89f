"""What the user wants of decisions: `[policy]`, `[budget]`, `[fusion]`, `[web]` and `[panels.NAME]`.

`[policy.experimental]` has the fields of `core.policy.Tuning`, where each constant says where it comes from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, Strict, create_model, model_validator

from autorouter.config.types import (
    ConfigTable,
    Count,
    Flag,
    HeaderGlobs,
    NonEmptyText,
    NonNegative,
    Percentile,
    Positive,
    RegexText,
)
from autorouter.core import panels
from autorouter.core import policy as core
from autorouter.core.types import Role, Strategy, TaskKind, VerifyScope

_F = panels.FusionPolicy()
_P = panels.Panel(name="")
Members = Annotated[int, Strict(), Field(ge=1, le=panels.MAX_MEMBERS)]
Rounds = Annotated[int, Strict(), Field(ge=1, le=4)]
Temperature = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=2)]

EXPERIMENTAL_DIVISORS = ("discrimination", "point_usd", "bytes_per_token", "output_tokens", "prior_weight")
EXPERIMENTAL_BOUNDS: dict[str, tuple[float, float | None]] = {
    "turn_steps": (1, None),
    "dial_ratio": (1, 10),
    "panel_size": (2, panels.MAX_MEMBERS),
}
"""Constants that the formula needs within bounds; others are at least 0."""
CONDITIONS = ("keywords", "patterns", "paths", "tools", "headers")
EFFECTS = ("kind", "role", "candidate", "strategy")


def _key(default: Any, text: str) -> Any:
    return Field(default, description=text)


class PolicyLimitsConfig(ConfigTable):
    """Hard limits on candidates. A value that nobody knows fails a limit that is set."""

    max_input_usd_per_mtok: NonNegative | None = _key(None, "Highest price of input, USD per million tokens.")
    max_output_usd_per_mtok: NonNegative | None = _key(None, "Highest price of output, USD per million tokens.")
    min_benchmark_percentile: Percentile | None = _key(
        None, "Lowest percentile, 0..100, in the skill that the request needs."
    )
    local_only: Flag = _key(False, "Only candidates on this machine: nothing leaves it.")


class PolicyRuleConfig(ConfigTable):
    """A rule of your own: when one of its conditions holds, its effects are set and its reason is shown."""

    reason: NonEmptyText = Field(description="Why the rule exists; shown wherever it fired.")
    keywords: tuple[NonEmptyText, ...] = _key(
        (), "Condition: one of these stands in what the human asked, in any case."
    )
    patterns: tuple[RegexText, ...] = _key((), "Condition: one of these regular expressions is found in the ask.")
    paths: tuple[NonEmptyText, ...] = _key(
        (), "Condition: a file named in the ask or in a tool call matches one of these globs."
    )
    tools: tuple[NonEmptyText, ...] = _key((), "Condition: the client declares a tool of one of these names.")
    headers: HeaderGlobs = _key({}, "Condition: a request header matches; a table of header name and glob.")
    kind: TaskKind | None = _key(None, "Effect: the kind of work this is.")
    role: Role | None = _key(None, "Effect: the role that the model must have.")
    candidate: NonEmptyText | None = _key(None, "Effect: the id of the candidate that answers.")
    strategy: Strategy | None = _key(None, "Effect: how many models answer.")

    @model_validator(mode="after")
    def _complete(self) -> PolicyRuleConfig:
        if not any(getattr(self, name) for name in CONDITIONS):
            raise ValueError("needs at least one condition: " + ", ".join(CONDITIONS))
        if all(getattr(self, name) is None for name in EFFECTS):
            raise ValueError("needs at least one effect: " + ", ".join(EFFECTS))
        return self


def _experimental_type(name: str, hint: Any) -> Any:
    """The type of a constant's key: numbers within bounds that keep the formula computable."""
    if name in EXPERIMENTAL_DIVISORS:
        return Positive
    least, most = EXPERIMENTAL_BOUNDS.get(name, (0.0, None))
    if hint is float:
        return Annotated[float, Strict(), Field(allow_inf_nan=False, ge=least, le=most)]
    return Annotated[int, Strict(), Field(ge=least, le=most)] if hint is int else hint


class ExperimentalTable(ConfigTable):
    """Constants of the decision by name."""

    inline = True


_T = core.Tuning()
ExperimentalConfig: type[ExperimentalTable] = create_model(  # type: ignore[call-overload]
    "ExperimentalConfig",
    __base__=ExperimentalTable,
    **{name: (_experimental_type(name, hint), getattr(_T, name)) for name, hint in get_type_hints(core.Tuning).items()},
)


class PolicyConfig(ConfigTable):
    """What decides between candidates."""

    dial: Annotated[float, Strict(), Field(allow_inf_nan=False, ge=core.DIAL_MIN, le=core.DIAL_MAX)] = _key(
        5.0, "0 is the best answer at any price, 10 the cheapest that will do."
    )
    allow: tuple[NonEmptyText, ...] = _key((), "Globs over candidate id, model and vendor; empty allows all.")
    deny: tuple[NonEmptyText, ...] = _key((), "Globs over candidate id, model and vendor; wins over allow.")
    max_fallbacks: Annotated[Count, Field(le=20)] = _key(
        3, "Other candidates tried when one fails before its first byte."
    )
    limits: PolicyLimitsConfig = Field(
        default_factory=PolicyLimitsConfig.model_construct, description="Hard limits on candidates."
    )
    rules: tuple[PolicyRuleConfig, ...] = _key((), "Rules of your own; of two that set the same thing the first wins.")
    experimental: ExperimentalConfig = Field(  # type: ignore[valid-type]
        default_factory=ExperimentalConfig.model_construct,
        description="Constants of the decision by name, for evaluations; docs/decision.md lists them. No promise of stability.",
    )


class BudgetConfig(ConfigTable):
    """Caps in USD, checked before a call and settled after it."""

    per_request_usd: NonNegative | None = _key(None, "Highest cost of one request.")
    per_session_usd: NonNegative | None = _key(None, "Highest cost of one conversation.")
    per_day_usd: NonNegative | None = _key(None, "Highest cost of one UTC day; kept over a restart where receipts are.")


class FusionConfig(ConfigTable):
    """How verifiers and panels work."""

    default_panel: NonEmptyText = _key(
        _F.panel, "The panel that is used where a request names none; quality, budget, code, self or yours."
    )
    verify: VerifyScope = _key(
        _F.care,
        "Drafts that a verifier sees: final answers and risky tool calls, risky calls only, always all, or off.",
    )
    quorum: Members = _key(_F.quorum, "So many members' answers are enough.")
    straggler_timeout_s: Positive = _key(
        _F.grace_s, "How long the other members are waited for once the quorum has answered, seconds."
    )
    member_timeout_s: Positive = _key(_F.member_s, "Longest time for a member's answer, seconds.")
    judge_timeout_s: Positive | None = _key(
        None,
        f"Longest time for a judge or a verifier, seconds; then the draft goes out unverified. Default: {_F.judge_s:g} for a "
        f"judge, {_F.verifier_s:g} for a verifier.",
    )
    allow_overrides: Flag = _key(
        _F.overrides, "Requests may ask for a strategy, a panel, models, a cap and a dial of their own."
    )
    prompts_dir: NonEmptyText | None = _key(
        None, "Folder with Markdown files that replace the instructions of the same name (docs/fusion.md)."
    )


class WebConfig(ConfigTable):
    """What panels may look up, for requests without tools. Off by default: a question leaves this machine."""

    mode: Literal["off", "upstream", "local"] = _key(
        "off", "By OpenRouter's server tools, for members there; by a command of your own; or not at all."
    )
    command: tuple[NonEmptyText, ...] = _key(
        (), "The command of `local`: question on standard input, results on standard output (docs/fusion.md)."
    )
    command_timeout_s: Positive = _key(15.0, "Longest time for the command, seconds.")

    @model_validator(mode="after")
    def _fits(self) -> WebConfig:
        if self.mode == "local" and not self.command:
            raise ValueError('mode = "local" needs a command')
        return self


class PanelStepConfig(ConfigTable):
    """A step of a pipeline."""

    inline = True
    instruction: NonEmptyText = Field(description="What the model is told in addition to the request.")
    candidate: NonEmptyText | None = _key(None, "Which candidate does it, by id. Default: the lead.")


class PanelConfig(ConfigTable):
    """A panel of your own; a client asks for it as openfusion/panel/NAME."""

    method: panels.PanelMethod = _key(_P.way, "How several answers become one.")
    members: Annotated[tuple[NonEmptyText, ...], Field(max_length=panels.MAX_MEMBERS)] = _key(
        (), "Members by candidate id; an id may be listed several times. Empty: they are selected."
    )
    selection: panels.MemberSelection = _key(
        _P.pick, "Which members are selected where none are listed; different vendors come first."
    )
    size: Annotated[Count, Field(le=panels.MAX_MEMBERS)] = _key(
        0, "How many members are selected, or samples taken with method self; 0 is 3."
    )
    judge: NonEmptyText | None = _key(None, "The judge, by candidate id. Default: the ablest verifier.")
    synthesizer: NonEmptyText | None = _key(None, "The writer of the answer, by candidate id. Default: the lead.")
    rounds: Rounds = _key(_P.rounds, "Rounds of a debate or a refinement, further layers.")
    temperatures: tuple[Temperature, ...] = _key((), "Temperatures of the members, in turn. Empty: as the client sent.")
    instructions: tuple[str, ...] = _key(
        (), "What each member is told in addition to the request, in the order of members."
    )
    steps: Annotated[tuple[PanelStepConfig, ...], Field(max_length=panels.MAX_MEMBERS)] = _key(
        (),
        'Steps of method pipeline, such as `{ instruction = "Plan.", candidate = "ID" }`; without a candidate the lead does it.',
    )

    @model_validator(mode="after")
    def _fits(self) -> PanelConfig:
        if self.method == "pipeline" and not self.steps:
            raise ValueError("a pipeline needs steps")
        if self.steps and self.method != "pipeline":
            raise ValueError('has steps: set method = "pipeline"')
        return self
