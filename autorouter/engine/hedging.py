"""How much may be hedged, and when: see `hedge`. What stands here has no I/O and no clock."""

from __future__ import annotations

from autorouter.core.state.health import Health, ttft_at

SAVED = 5.0
SAMPLES = 8
"""Answers after which an estimate of the slow end is trusted."""
LEAST_S = 0.05
"""Below it a rival can't be ahead any more."""


class Hedging:
    """The configured percentile and what may still be hedged."""

    def __init__(self, percentile: float, max_share: float) -> None:
        self._percentile = percentile
        self._max_share = max_share
        self._saved = 1.0

    def earn(self) -> None:
        """A request came."""
        self._saved = min(SAVED, self._saved + self._max_share)

    def spend(self) -> bool:
        """Take one hedge, if there is one."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def after_s(self, health: Health) -> float | None:
        """How long the first event may take before a rival is worth it; None while too little was measured."""
        slow_s = ttft_at(health, self._percentile) if health.samples >= SAMPLES else None
        return None if slow_s is None else max(LEAST_S, slow_s)
