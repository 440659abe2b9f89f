"""Attempts in their order: candidates are tried one after the other until one gives what a phase needs.

    try primary ──► it did                        the phase has its answer
        │ failed
        ▼
    next fallback ──► none left: NobodyAnswered   one verdict for the client

Before its first byte nothing has been promised, so that any failure is ours to absorb. A reset connection is tried once
more on the same candidate: it is most often a pooled connection that the upstream had just closed. So is a request whose
history carries reasoning that the target refuses, without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from autorouter.engine import ledger
from autorouter.engine.calling import Caller, Failed
from autorouter.engine.deps import Deps
from autorouter.engine.router import Routed
from autorouter.engine.trace import Attempt, Trace
from autorouter.errors import UpstreamError
from autorouter.upstream.failures import Verdict

T = TypeVar("T")
Perform = Callable[[Caller, Attempt, int], Awaitable[T]]
"""One attempt: the caller, the attempt to fill in, and its number within the step, from 1."""
VERDICT_ORDER = ("context", "rate_limited", "overloaded", "timeout", "server", "cut", "reset", "connect", "protocol")
"""When all attempts failed, the client gets the verdict that helps it most: first those that a wait may cure."""
ONCE_MORE = ("reset", "reasoning")
"""Failures after which the same candidate is asked once more: a pooled connection that had just been closed, and a history
whose reasoning its target doesn't take (then without it)."""


class NobodyAnswered(Exception):
    """All candidates of a phase failed; the verdicts in their order, at least one."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        super().__init__(", ".join(verdict.kind for verdict in verdicts))
        self.verdicts = tuple(verdicts)


async def first(
    queue: Sequence[str],
    caller: Caller,
    perform: Perform[T],
    *,
    phase: str,
    routed: Routed,
    trace: Trace,
    began_s: float,
) -> T:
    """What the first candidate that can gives. Raises NobodyAnswered."""
    deps = caller.deps
    waiting = list(queue)
    verdicts: list[Verdict] = []
    retried = False
    while waiting:
        attempt = _begun(waiting.pop(0), phase, caller, trace, began_s)
        try:
            return await perform(caller, attempt, len(trace.attempts))
        except Failed as failed:
            verdict, events = failed.verdict, failed.events
        verdicts.append(verdict)
        again = verdict.kind in ONCE_MORE and not retried
        ledger.failed(attempt, verdict, events, routed, deps)
        if again:
            retried = True
            waiting.insert(0, attempt.candidate)
            if verdict.kind == "reasoning":
                caller = replace(caller, strip=True)
        elif not verdict.retry_elsewhere:
            break
    raise NobodyAnswered(verdicts)


def _begun(candidate_id: str, phase: str, caller: Caller, trace: Trace, began_s: float) -> Attempt:
    deps: Deps = caller.deps
    candidate, now_s = deps.by_id[candidate_id], deps.timer()
    if not trace.attempts:
        trace.overhead_s = now_s - began_s
    attempt = Attempt(
        candidate=candidate.id,
        upstream=candidate.upstream,
        model=candidate.model,
        phase=phase,
        began_s=now_s,
        added_tokens=caller.added_tokens,
    )
    trace.attempts.append(attempt)
    return attempt


def verdict_of(verdicts: Sequence[Verdict], trace: Trace) -> UpstreamError:
    """The one error that the client gets."""
    rank = {kind: place for place, kind in enumerate(VERDICT_ORDER)}
    final = verdicts[-1]
    best = min(verdicts, key=lambda v: rank.get(v.kind, len(rank))) if final.retry_elsewhere else final
    error = best.error
    if len(trace.attempts) > 1:
        error.message += "; tried " + ", ".join(f"{a.candidate}: {a.result}" for a in trace.attempts)
    trace.result, trace.status, trace.error = "failed", error.http_status, error.code
    return error
