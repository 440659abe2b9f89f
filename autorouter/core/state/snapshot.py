"""The world as a decision sees it: one immutable value taken before each decision, and recorded with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autorouter.core.state.health import UNKNOWN_HEALTH, Health
from autorouter.core.state.learned import NOTHING_LEARNED, LearnedState
from autorouter.core.state.session import NEW_SESSION, Session
from autorouter.core.types import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Candidates with their health, the session's state, what was learned, money spent, and the time.

    `health` is by candidate id; a candidate that isn't in it was never called. Treat the mapping as frozen.
    """

    now_s: float
    candidates: tuple[Candidate, ...]
    health: Mapping[str, Health] = field(default_factory=dict)
    session: Session = NEW_SESSION
    spent_today_usd: float = 0.0
    learned: LearnedState = NOTHING_LEARNED

    def health_of(self, candidate_id: str) -> Health:
        return self.health.get(candidate_id, UNKNOWN_HEALTH)
