"""What a session remembers, as a pure fold: who served it last, and which provider's cache holds how much of it.

    step(session, candidate_id, input_tokens, cost_usd, now_s) -> Session

The pin's lifetime (`Policy.session_ttl_s`) is not the cache's (`Candidate.cache_ttl_s`): an incumbent whose cache has
gone cold is still the incumbent, but it has no price advantage left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autorouter.core.types import Candidate

WARM_KEPT = 4
"""Candidates whose caches are remembered for a session; more than a few are never warm at once."""
LEFT_KEPT = 8
"""Candidates remembered as left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmCache:
    """A provider's cache as far as we know: `tokens` of the conversation were sent there at `at_s`."""

    candidate: str
    tokens: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A conversation. `turn_steps` counts the steps since the human last spoke, `turn_usd` what they cost.

    Contexts are counted as estimated before the call, so that they compare whichever candidate answered: `context_tokens` at
    the last step, `turn_start_tokens` at the first step of the turn. `left` are the candidates that the session moved away
    from, the latest first: a return to one of them needs a better reason than the first visit did.
    """

    incumbent: str | None = None
    at_s: float = 0.0
    warm: tuple[WarmCache, ...] = ()
    steps: int = 0
    turn_steps: int = 0
    spent_usd: float = 0.0
    turn_usd: float = 0.0
    turn_start_tokens: float = 0.0
    context_tokens: float = 0.0
    output_tokens: float = 0.0
    left: tuple[str, ...] = ()


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
    context_tokens: float = 0.0,
    output_tokens: int = 0,
) -> Session:
    """Fold one answered step. With `moves_pin` False (housekeeping) only the money counts: a title never moves the pin.
    `input_tokens` are those that the provider billed, `context_tokens` those that were estimated."""
    spent = session.spent_usd + cost_usd
    if not moves_pin:
        return replace(session, spent_usd=spent)
    others = tuple(w for w in session.warm if w.candidate != candidate)
    context_tokens = context_tokens or float(input_tokens)
    # The turn's first step may have gone unseen: then it began no later than what is known.
    begins = is_new_turn or not session.turn_steps
    return Session(
        incumbent=candidate,
        at_s=now_s,
        warm=(WarmCache(candidate=candidate, tokens=input_tokens, at_s=now_s), *others)[:WARM_KEPT],
        steps=session.steps + 1,
        turn_steps=1 if is_new_turn else session.turn_steps + 1,
        spent_usd=spent,
        turn_usd=cost_usd if is_new_turn else session.turn_usd + cost_usd,
        turn_start_tokens=context_tokens if begins else min(session.turn_start_tokens, context_tokens),
        context_tokens=context_tokens,
        output_tokens=session.output_tokens + output_tokens,
        left=_left(session, candidate),
    )


def _left(session: Session, candidate: str) -> tuple[str, ...]:
    if session.incumbent is None or session.incumbent == candidate:
        return session.left
    return (session.incumbent, *(name for name in session.left if name != session.incumbent))[:LEFT_KEPT]


def warm_tokens(session: Session, candidate: Candidate, now_s: float) -> int:
    """Tokens of this session that the candidate's provider still has in its cache."""
    for entry in session.warm:
        if entry.candidate == candidate.id and now_s - entry.at_s <= candidate.cache_ttl_s:
            return entry.tokens
    return 0


def current_incumbent(session: Session, now_s: float, ttl_s: float) -> str | None:
    """The pin, unless it has expired."""
    return session.incumbent if session.incumbent and now_s - session.at_s <= ttl_s else None
