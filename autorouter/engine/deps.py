"""The engine's dependencies, passed as arguments: nothing is global, and nothing is created at import."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from autorouter.core.grants import Grant
from autorouter.core.policy import Policy
from autorouter.core.state.health import UNKNOWN_HEALTH, AttemptOutcome, Health, observe
from autorouter.core.state.learned import NOTHING_LEARNED
from autorouter.core.state.session import NEW_SESSION, Session
from autorouter.core.state.snapshot import Snapshot
from autorouter.core.types import Candidate
from autorouter.engine.prompts import PromptTemplates, load
from autorouter.engine.receipt import CompletedRequest
from autorouter.engine.retry import DEFAULT_RETRY_POLICY, HedgeBudget, RetryPolicy
from autorouter.engine.web import WEB_OFF, WebSettings
from autorouter.upstream.transport import Transport, UpstreamTarget

DAY_S = 86_400.0
NOTHING_USD = 1e-9
"""Smaller amounts are rounding errors of float sums."""


class RequestSink(Protocol):
    """Where completed requests go. `record` returns at once; receipt, metrics and log line are made later."""

    def record(self, completed: CompletedRequest) -> None: ...


class KeyBudgetStore(Protocol):
    """The budgets of local keys, which the server keeps."""

    def hold(self, grant: Grant, usd: float) -> None: ...

    def settle(self, grant: Grant, reserved_usd: float, spent_usd: float) -> None: ...


MAX_SESSIONS = 10_000
"""Conversations that are remembered; the least recently used is forgotten first."""


class RouterState:
    """What the router remembers between requests: health by candidate, sessions, today's spending. Bounded."""

    def __init__(self, *, max_sessions: int = MAX_SESSIONS) -> None:
        self.health: dict[str, Health] = {}
        self.learned = NOTHING_LEARNED
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self.max_sessions = max_sessions
        self._day = 0.0
        self._spent_today_usd = 0.0
        self._reserved_usd = 0.0
        self._held_usd: dict[str, float] = {}

    def session(self, key: str | None) -> Session:
        """The session's state; a new one for an unknown key."""
        return self._sessions.get(key, NEW_SESSION) if key else NEW_SESSION

    def session_as_spent(self, key: str | None) -> Session:
        """The session with the reservations of its requests in flight counted as spent: agents send several at a time."""
        session = self.session(key)
        held_usd = self._held_usd.get(key, 0.0) if key else 0.0
        return replace(session, spent_usd=session.spent_usd + held_usd) if held_usd else session

    def hold(self, key: str, usd: float) -> None:
        """Reserve dollars of a session's budget; a negative amount releases them."""
        left_usd = self._held_usd.pop(key, 0.0) + usd
        if left_usd > NOTHING_USD:
            self._held_usd[key] = left_usd

    def keep_session(self, key: str, session: Session) -> None:
        """Remember a session; the least recently used is dropped when there are too many."""
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        while len(self._sessions) > self.max_sessions:
            self._sessions.popitem(last=False)

    def observe(self, candidate: str, outcome: AttemptOutcome, now_s: float) -> None:
        """Fold an attempt into the candidate's health. The mapping is replaced, never changed: snapshots hold it."""
        seen = self.health.get(candidate, UNKNOWN_HEALTH)
        self.health = {**self.health, candidate: observe(seen, outcome, now_s)}

    def spent_today_usd(self, now_s: float) -> float:
        """Settled and reserved dollars of the current UTC day."""
        if now_s // DAY_S != self._day:
            self._day, self._spent_today_usd = now_s // DAY_S, 0.0
        return self._spent_today_usd + self._reserved_usd

    @property
    def spent(self) -> tuple[float, float]:
        """The current UTC day, in days since 1970, and the dollars settled on it."""
        return self._day, self._spent_today_usd

    def resume(self, day: float, usd: float) -> None:
        """Continue with the saved spending of this day; another day starts at zero."""
        self._day, self._spent_today_usd = day, usd

    def reserve(self, usd: float) -> None:
        """Reserve what a request may cost, until `settle`."""
        self._reserved_usd += usd

    def settle(self, reserved_usd: float, spent_usd: float, now_s: float | None) -> None:
        """Replace a reservation by what was really spent. `now_s` may be None if that is nothing."""
        if now_s is not None:
            self.spent_today_usd(now_s)
        self._reserved_usd = max(0.0, self._reserved_usd - reserved_usd)
        self._spent_today_usd += spent_usd


class Reservation:
    """What a request may cost, held back in every budget that applies to it: the day's, its session's, its key's.

    with Reservation(state, 0.02, context, key_budgets) as reservation:
        ...
        reservation.settle(0.0137, now_s)     what was spent takes its place

    Leaving it unsettled, by an error, releases it.
    """

    __slots__ = ("_grant", "_key_budgets", "_open", "_session_key", "_state", "_usd")

    def __init__(
        self,
        state: RouterState,
        usd: float,
        *,
        session_key: str | None,
        grant: Grant | None = None,
        key_budgets: KeyBudgetStore | None = None,
    ) -> None:
        self._state, self._usd, self._session_key = state, usd, session_key
        self._grant, self._key_budgets = grant, key_budgets
        self._open = False

    def __enter__(self) -> Reservation:
        self._open = True
        self._state.reserve(self._usd)
        if self._session_key is not None:
            self._state.hold(self._session_key, self._usd)
        if self._key_budgets is not None and self._grant is not None:
            self._key_budgets.hold(self._grant, self._usd)
        return self

    def settle(self, spent_usd: float, now_s: float | None) -> None:
        """Replace the reservation by what was spent. `now_s` None: nothing was, on whichever day it is."""
        self._open = False
        self._state.settle(self._usd, spent_usd, now_s)
        if self._session_key is not None and self._usd:
            self._state.hold(self._session_key, -self._usd)
        if self._key_budgets is not None and self._grant is not None:
            self._key_budgets.settle(self._grant, self._usd, spent_usd)

    def __exit__(self, *_: object) -> None:
        if self._open:
            self.settle(0.0, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Everything the execution of a request needs. `clock` is wall time in seconds since the epoch, `timer` a monotonic one;
    `context` is the digest under which receipts find the policy and the candidates in force."""

    candidates: tuple[Candidate, ...]
    targets: Mapping[str, UpstreamTarget]
    policy: Policy
    transport: Transport
    receipts: RequestSink
    state: RouterState
    clock: Callable[[], float]
    timer: Callable[[], float]
    new_id: Callable[[], str]
    context: str
    dry_run: bool
    max_answer_bytes: int = 64 * 1024 * 1024
    by_id: Mapping[str, Candidate] = field(default_factory=dict)
    prompts: PromptTemplates = field(default_factory=load)
    web: WebSettings = WEB_OFF
    retry: RetryPolicy = DEFAULT_RETRY_POLICY
    hedging: HedgeBudget | None = None
    """None if slow answers are not hedged."""
    trace_upstream: bool = False
    """Whether trace headers are sent upstream."""
    trace_sampled: bool = False
    """Whether a trace that starts here is marked as sampled."""

    def snapshot(self, session: str | None) -> Snapshot:
        """The current state, for one decision."""
        now_s = self.clock()
        return Snapshot(
            now_s=now_s,
            candidates=self.candidates,
            health=self.state.health,
            session=self.state.session_as_spent(session),
            spent_today_usd=self.state.spent_today_usd(now_s),
            learned=self.state.learned,
        )
