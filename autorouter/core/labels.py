"""What a client may put in `model`, and what it asks for.

    openfusion/auto                    the router decides
    openfusion/auto:cheap              the same with a profile: cheap, balanced, best, private
    openfusion/verify|fusion           force the strategy
    openfusion/fast|reasoner|coder|verifier|writer      the best candidate of that role ("verifier" is the role)
    openfusion/panel/NAME              a named panel
    <candidate id>                     that one model, still with fallback, budget and receipt

Anything else is unknown and is refused with the nearest names: never a hidden fusion.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from autorouter.core.policy import Policy
from autorouter.core.types import Role, Strategy
from autorouter.errors import UnknownModel
from autorouter.suggest import close_matches

PREFIX = "openfusion/"
AUTO = "openfusion/auto"
PROFILE_DIALS = {"cheap": 9.0, "balanced": 5.0, "best": 0.0}
PRIVATE = "private"
PANEL = "panel/"
PROFILES = (*PROFILE_DIALS, PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A parsed label; at most one of the fields but `name` is set (a panel is a fusion by its name)."""

    name: str
    panel: str | None = None
    strategy: Strategy | None = None
    role: Role | None = None
    profile: str | None = None
    candidate: str | None = None


def parse(name: str, candidates: Collection[str], panels: Collection[str] = ()) -> Label:
    """Read a label; raises UnknownModel (404) with the nearest names. `panels`: names of the panels that there are."""
    if name == AUTO:
        return Label(name=name)
    if name in candidates:
        return Label(name=name, candidate=name)
    if name.startswith(PREFIX):
        label = _ours(name, name.removeprefix(PREFIX), panels)
        if label is not None:
            return label
    raise unknown_name(name, all_labels(candidates, panels), "model")


def _ours(name: str, rest: str, panels: Collection[str]) -> Label | None:
    if rest in (Strategy.VERIFY, Strategy.FUSION):
        return Label(name=name, strategy=Strategy(rest))
    if rest in tuple(Role):
        return Label(name=name, role=Role(rest))
    if rest.startswith(PANEL) and rest.removeprefix(PANEL) in panels:
        return Label(name=name, strategy=Strategy.FUSION, panel=rest.removeprefix(PANEL))
    head, _, profile = rest.partition(":")
    if head == "auto" and profile in PROFILES:
        return Label(name=name, profile=profile)
    return None


def all_labels(candidates: Collection[str], panels: Collection[str] = ()) -> tuple[str, ...]:
    """All labels that can be asked for now, ours first."""
    ours = [AUTO, *(f"{AUTO}:{profile}" for profile in PROFILES)]
    ours += [PREFIX + Strategy.VERIFY, PREFIX + Strategy.FUSION]
    ours += [PREFIX + role for role in Role]
    ours += [PREFIX + PANEL + panel for panel in panels]
    return (*ours, *candidates)


def unknown_name(name: str, known: Collection[str], param: str) -> UnknownModel:
    """The error for a name that isn't there, with the nearest that are."""
    near = close_matches(name, known, limit=3, cutoff=0.5)
    hint = "`autorouter models` and GET /v1/models list the names"
    if near:
        hint = "did you mean " + " or ".join(f"`{n}`" for n in near) + "?"
    return UnknownModel(f"The model `{name}` does not exist here", hint=hint, param=param)


def apply_profile(label: Label, policy: Policy) -> Policy:
    """The policy that a label's profile asks for. `private` only narrows: local candidates, and the dial as it was."""
    if label.profile is None:
        return policy
    if label.profile == PRIVATE:
        return replace(policy, limits=replace(policy.limits, local_only=True))
    return replace(policy, dial=PROFILE_DIALS[label.profile])
