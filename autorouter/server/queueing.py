"""Who waits, and who is next: first in, first out within a session, and the sessions in turn.

a1 a2 a3 b1 c1        arrived in this order, a, b and c being sessions
a1 b1 c1 a2 a3        let in in this order
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiter(Generic[T]):
    """Somebody who waits; `turn` is done when it is let in."""

    __slots__ = ("session", "turn", "who")

    def __init__(self, session: str, who: T) -> None:
        self.session = session
        self.who = who
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class FairQueue(Generic[T]):
    """Sessions in turn. `len` counts who waits."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, deque[Waiter[T]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, session: str) -> bool:
        return session in self._sessions

    def add(self, session: str, who: T) -> Waiter[T]:
        waiter = Waiter(session, who)
        self._sessions.setdefault(session, deque()).append(waiter)
        self._count += 1
        return waiter

    def take(self, fits: Callable[[T], bool]) -> Waiter[T] | None:
        """The next one that fits, taken out; its session then has to wait for all others."""
        for session, waiting in self._sessions.items():
            if fits(waiting[0].who):
                waiter = waiting[0]
                self.remove(waiter)
                if session in self._sessions:
                    self._sessions.move_to_end(session)
                return waiter
        return None

    def remove(self, waiter: Waiter[T]) -> None:
        """Take somebody out who gave up; nothing when it isn't there any more."""
        waiting = self._sessions.get(waiter.session)
        if waiting is None or waiter not in waiting:
            return
        waiting.remove(waiter)
        self._count -= 1
        if not waiting:
            del self._sessions[waiter.session]

    def clear(self) -> list[Waiter[T]]:
        """Everybody, taken out."""
        found = [waiter for waiting in self._sessions.values() for waiter in waiting]
        self._sessions.clear()
        self._count = 0
        return found
