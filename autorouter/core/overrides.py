"""What a request may ask for besides its label, under `openfusion` in its body or in `x-autorouter-*` headers.

    {"model": "openfusion/auto", "openfusion": {"strategy": "fusion", "models": ["glm", "gpt"], "max_usd": 0.05}, ...}

Overrides choose among what the configuration has, and only lower what it caps: never a URL, never a key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from autorouter.core import panels as all_panels
from autorouter.core.labels import unknown_name
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.types import NO_OVERRIDES, RequestOverrides
from autorouter.errors import OverridesNotAllowed


def check_overrides(overrides: RequestOverrides, policy: Policy, candidates: Collection[str]) -> None:
    """Raises OverridesNotAllowed, and UnknownModel for names that aren't there."""
    if not policy.fusion.overrides:
        raise OverridesNotAllowed(
            "Overrides in a request are switched off here",
            hint="leave out `openfusion` and the x-autorouter-* headers of its members, or set fusion.allow_overrides = true",
            param="openfusion",
        )
    for field in ("judge", "synthesizer"):
        name = getattr(overrides, field)
        if name is not None and name not in candidates:
            raise unknown_name(name, candidates, f"openfusion.{field}")
    for name in overrides.models:
        if name not in candidates:
            raise unknown_name(name, candidates, "openfusion.models")
    if overrides.panel is not None and all_panels.find_panel(overrides.panel, policy.panels) is None:
        raise unknown_name(overrides.panel, all_panels.panel_names(policy.panels), "openfusion.panel")


def apply_overrides(overrides: RequestOverrides, policy: Policy) -> Policy:
    """The policy with the overrides applied; caps only become lower."""
    if overrides == NO_OVERRIDES:
        return policy
    budget, fusion = policy.budget, policy.fusion
    if overrides.max_usd is not None:
        own = budget.per_request_usd
        budget = replace(budget, per_request_usd=overrides.max_usd if own is None else min(own, overrides.max_usd))
    if overrides.verify is not None:
        fusion = replace(fusion, care=overrides.verify)
    dial = policy.dial if overrides.dial is None else overrides.dial
    return replace(policy, dial=dial, budget=budget, fusion=fusion)


def resolve_panel(overrides: RequestOverrides, asked: str | None, policy: Policy) -> Panel:
    """The panel that a fused answer uses: by override, by label, or the default."""
    name = overrides.panel or asked or policy.fusion.panel
    panel = all_panels.find_panel(name, policy.panels) or all_panels.PRESETS[0]
    changed = {
        field: value
        for field, value in (
            ("models", overrides.models),
            ("judge", overrides.judge),
            ("synthesizer", overrides.synthesizer),
        )
        if value
    }
    return replace(panel, **changed) if changed else panel  # type: ignore[arg-type]
