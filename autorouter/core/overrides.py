"""What a request may ask for besides its label, under `openfusion` in its body or in `x-openfusion-*` headers.

    {"model": "openfusion/auto", "openfusion": {"strategy": "fusion", "models": ["glm", "gpt"], "max_usd": 0.05}, ...}

Wishes choose among what the configuration has, and only lower what it caps: never a URL, never a key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from autorouter.core import panels as all_panels
from autorouter.core.labels import unknown_name
from autorouter.core.panels import Panel
from autorouter.core.policy import Policy
from autorouter.core.types import NO_OVERRIDES, RequestOverrides
from autorouter.errors import RequestError


def check_overrides(wishes: RequestOverrides, policy: Policy, candidates: Collection[str]) -> None:
    """Raises RequestError 403 where the configuration allows no wishes, UnknownModel 404 for names that aren't there."""
    if not policy.fusion.overrides:
        raise RequestError(
            "Wishes in a request are switched off here",
            hint="leave out `openfusion` and x-openfusion-* headers, or set fusion.allow_overrides = true",
            param="openfusion",
            http_status=403,
            code="overrides_not_allowed",
        )
    for field in ("judge", "synthesizer"):
        name = getattr(wishes, field)
        if name is not None and name not in candidates:
            raise unknown_name(name, candidates, f"openfusion.{field}")
    for name in wishes.models:
        if name not in candidates:
            raise unknown_name(name, candidates, "openfusion.models")
    if wishes.panel is not None and all_panels.find_panel(wishes.panel, policy.panels) is None:
        raise unknown_name(wishes.panel, all_panels.panel_names(policy.panels), "openfusion.panel")


def apply_overrides(wishes: RequestOverrides, policy: Policy) -> Policy:
    """The policy with the wishes in it; caps only become lower."""
    if wishes == NO_OVERRIDES:
        return policy
    budget, fusion = policy.budget, policy.fusion
    if wishes.max_usd is not None:
        own = budget.per_request_usd
        budget = replace(budget, per_request_usd=wishes.max_usd if own is None else min(own, wishes.max_usd))
    if wishes.verify is not None:
        fusion = replace(fusion, care=wishes.verify)
    dial = policy.dial if wishes.dial is None else wishes.dial
    return replace(policy, dial=dial, budget=budget, fusion=fusion)


def resolve_panel(wishes: RequestOverrides, asked: str | None, policy: Policy) -> Panel:
    """The panel that a fused answer uses: by wish, by label, or the usual one."""
    name = wishes.panel or asked or policy.fusion.panel
    panel = all_panels.find_panel(name, policy.panels) or all_panels.PRESETS[0]
    changed = {
        field: value
        for field, value in (
            ("models", wishes.models),
            ("judge", wishes.judge),
            ("synthesizer", wishes.synthesizer),
        )
        if value
    }
    return replace(panel, **changed) if changed else panel  # type: ignore[arg-type]
