"""A decision as it is shown: its record, with what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autorouter.core.signals.features import Features


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """What is shown. `models`: candidate -> (upstream, what that is asked for)."""

    decision: Mapping[str, Any]
    features: Features
    models: Mapping[str, tuple[str, str]]
    dry_run: bool = False

    def score(self, candidate: str) -> Mapping[str, Any] | None:
        """The candidate's row, None when it was rejected or isn't known."""
        return next((s for s in self.decision["scores"] if s["candidate"] == candidate), None)
