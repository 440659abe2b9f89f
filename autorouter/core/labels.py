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

import difflib
from collections.abc import Collection
from dataclasses import dataclass, replace

from autorouter.core.policy import Policy
from autorouter.core.values import Role, Strategy
from autorouter.errors import UnknownModel

PREFIX = "openfusion/"
AUTO = "openfusion/auto"
PROFILE_DIALS = {"cheap": 9.0, "balanced": 5.0, "best": 0.0}
PRIVATE = "private"
PROFILES = (*PROFILE_DIALS, PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A parsed label; at most one of the fields but `name` is set."""

    name: str
    strategy: Strategy | None = None
    role: Role | None = None
    profile: str | None = None
    candidate: str | None = None


def parse(name: str, candidates: Collection[str]) -> Label:
    """Read a label; raises UnknownModel (404) with the nearest names."""
    if name == AUTO:
        return Label(name=name)
    if name in candidates:
        return Label(name=name, candidate=name)
    if name.startswith(PREFIX):
        label = _ours(name, name.removeprefix(PREFIX))
        if label is not None:
            return label
    raise _unknown(name, candidates)


def _ours(name: str, rest: str) -> Label | None:
    if rest in (Strategy.VERIFY, Strategy.FUSION):
        return Label(name=name, strategy=Strategy(rest))
    if rest in tuple(Role):
        return Label(name=name, role=Role(rest))
    head, _, profile = rest.partition(":")
    if head == "auto" and profile in PROFILES:
        return Label(name=name, profile=profile)
    return None


def every(candidates: Collection[str]) -> tuple[str, ...]:
    """All labels that can be asked for now, ours first."""
    ours = [AUTO, *(f"{AUTO}:{profile}" for profile in PROFILES)]
    ours += [PREFIX + Strategy.VERIFY, PREFIX + Strategy.FUSION]
    ours += [PREFIX + role for role in Role]
    return (*ours, *candidates)


def _unknown(name: str, candidates: Collection[str]) -> UnknownModel:
    near = difflib.get_close_matches(name, every(candidates), n=3, cutoff=0.5)
    hint = "`autorouter models` and GET /v1/models list the names"
    if near:
        hint = "did you mean " + " or ".join(f"`{n}`" for n in near) + "?"
    return UnknownModel(f"The model `{name}` does not exist here", hint=hint, param="model")


def apply(label: Label, policy: Policy) -> Policy:
    """The policy that a label's profile asks for. `private` only narrows: local candidates, and the dial as it was."""
    if label.profile is None:
        return policy
    if label.profile == PRIVATE:
        return replace(policy, limits=replace(policy.limits, local_only=True))
    return replace(policy, dial=PROFILE_DIALS[label.profile])
