"""What a session remembers, as a pure fold: who served it last, and which provider's cache holds how much of it.

    step(session, candidate_id, input_tokens, cost_usd, now_s) -> Session

The pin's lifetime (`Policy.session_ttl_s`) is not the cache's (`Candidate.cache_ttl_s`): an incumbent whose cache has
gone cold is still the incumbent, but it has no price advantage left.
"""

from __future__ import annotations

from dataclasses import dataclass

from autorouter.core.types import Candidate

WARM_KEPT = 4
"""Candidates whose caches are remembered for a session; more than a few are never warm at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmCache:
    """A provider's cache as far as we know: `tokens` of the conversation were sent there at `at_s`."""

    candidate: str
    tokens: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation. `turn_steps` counts the steps since the human last spoke."""

    incumbent: str | None = None
    at_s: float = 0.0
    warm: tuple[WarmCache, ...] = ()
    steps: int = 0
    turn_steps: int = 0
    spent_usd: float = 0.0


NEW_SESSION = Session()


def record_step(
    session: Session,
    *,
    candidate: str,
    input_tokens: int,
    cost_usd: float,
    is_new_turn: bool,
    moves_pin: bool,
    now_s: float,
) -> Session:
    """Fold one answered step. With `pins` False (housekeeping) only the money counts: no title may move the pin."""
    spent = session.spent_usd + cost_usd
    if not moves_pin:
        return Session(
            incumbent=session.incumbent,
            at_s=session.at_s,
            warm=session.warm,
            steps=session.steps,
            turn_steps=session.turn_steps,
            spent_usd=spent,
        )
    others = tuple(w for w in session.warm if w.candidate != candidate)
    return Session(
        incumbent=candidate,
        at_s=now_s,
        warm=(WarmCache(candidate=candidate, tokens=input_tokens, at_s=now_s), *others)[:WARM_KEPT],
        steps=session.steps + 1,
        turn_steps=1 if is_new_turn else session.turn_steps + 1,
        spent_usd=spent,
    )


def warm_tokens(session: Session, candidate: Candidate, now_s: float) -> int:
    """Tokens of this session that the candidate's provider still has in its cache."""
    for entry in session.warm:
        if entry.candidate == candidate.id and now_s - entry.at_s <= candidate.cache_ttl_s:
            return entry.tokens
    return 0


def current_incumbent(session: Session, now_s: float, ttl_s: float) -> str | None:
    """The pin, unless it has expired."""
    return session.incumbent if session.incumbent and now_s - session.at_s <= ttl_s else None
