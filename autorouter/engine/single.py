"""One model answers. Candidates are tried in order until one begins; from its first byte on it is the one.

    routed ──► try primary ──► first byte ──► stream on ──► complete: "answered"
                   │ failed                       │ cut, stalled, ended early, an error: "broken", the client's line is cut
                   ▼                              │ the client hangs up: "client_gone", the upstream is stopped
               next fallback ──► none left: "failed", one verdict for the client

Before the first byte nothing has been promised, so that any failure is ours to absorb. A reset connection is tried once
more on the same candidate: it is most often a pooled connection that the upstream had just closed. So is a request whose
history carries reasoning that the target refuses, without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from autorouter.core.values import Usage
from autorouter.engine import ledger
from autorouter.engine.calling import Caller, Failed, Opened
from autorouter.engine.deps import Deps
from autorouter.engine.recorder import Made, request_shape
from autorouter.engine.router import Routed, error_of
from autorouter.engine.trace import Attempt, Trace
from autorouter.errors import UpstreamError
from autorouter.upstream.failures import Verdict
from autorouter.upstream.transport import Failure
from autorouter.wire.exchange import Request, Whole

T = TypeVar("T")
VERDICT_ORDER = ("context", "rate_limited", "overloaded", "timeout", "server", "cut", "reset", "connect", "protocol")
"""When all attempts failed, the client gets the verdict that helps it most: first those that a wait may cure."""
ONCE_MORE = ("reset", "reasoning")
"""Failures after which the same candidate is asked once more: a pooled connection that had just been closed, and a history
whose reasoning its target doesn't take (then without it)."""


class StreamBroken(Exception):
    """The answer had begun and can't be finished: the client's connection must be cut, never ended cleanly."""


class Step:
    """A request being carried out. Call `answer()`, or `open()` and then `chunks()`; in any case `finish()` at the end."""

    def __init__(
        self,
        request: Request,
        routed: Routed,
        deps: Deps,
        *,
        receipt_id: str,
        began_s: float,
        fault: str | None = None,
    ) -> None:
        self.routed = routed
        self.receipt_id = receipt_id
        self.trace = Trace()
        self._deps = deps
        self._caller = Caller(deps, request, receipt_id, fault, int(routed.snapshot.now_s))
        self._began_s = began_s
        self._reserved_usd = 0.0
        self._opened: Opened | None = None
        self._finished = False

    async def answer(self) -> bytes:
        """The whole answer. Raises the refusal's error, or UpstreamError when nobody answers."""
        whole: Whole = await self._first_that(Caller.whole)
        self._answered(self.trace.attempts[-1], whole.usage, whole.tokens)
        return whole.body

    async def open(self) -> Opened:
        """The beginning of a streamed answer. Raises as `answer` does."""
        self._opened = await self._first_that(Caller.begin)
        return self._opened

    async def chunks(self, opened: Opened) -> AsyncIterator[bytes]:
        """The rest of the stream as it arrives. Raises StreamBroken where it ends without its end."""
        tap = opened.tap
        try:
            async for chunk in opened.source:
                passed = tap.feed(chunk)
                if passed:
                    yield passed
                if tap.error is not None:
                    break
            rest = tap.rest()
            if rest and tap.complete:
                yield rest
        except Failure as failure:
            # Behind the terminal event nothing can be missing.
            if not tap.done:
                self._broke(opened, failure.kind)
                raise StreamBroken from failure
        except ValueError as exc:
            self._broke(opened, "protocol")
            raise StreamBroken from exc
        finally:
            opened.reply.close()
        if tap.error is not None or not tap.complete:
            self._broke(opened, "error_event" if tap.error is not None else "early_end")
            raise StreamBroken
        self._answered(opened.attempt, tap.usage, tap.events)

    def finish(self) -> None:
        """Settle the money, fold the session, hand over the receipt. Synchronous: it runs in cancelled tasks too."""
        if self._finished:
            return
        self._finished = True
        trace, deps, routed = self.trace, self._deps, self.routed
        last = trace.attempts[-1] if trace.attempts else None
        if last is not None and last.result == "open":
            if self._opened is not None:
                self._opened.reply.close()
            ledger.left(last, self._opened.tap.events if self._opened else 0, routed, deps)
            trace.result, trace.status = "client_gone", 499
        if last is not None:
            trace.degraded += last.losses
        trace.seconds = deps.timer() - self._began_s
        ledger.settle(routed, trace, self._reserved_usd, deps)
        made = Made(
            receipt_id=self.receipt_id,
            shape=request_shape(routed.task),
            features=routed.features,
            snapshot=routed.snapshot,
            decision=routed.decision,
            trace=trace,
            context=deps.context,
            dry_run=deps.dry_run,
        )
        deps.receipts.put(made)

    # ---- the order of attempts

    async def _first_that(self, perform: Callable[[Caller, Attempt, int], Awaitable[T]]) -> T:
        queue = self._queue()
        verdicts: list[Verdict] = []
        retried = False
        while queue:
            attempt = self._attempt(queue.pop(0))
            try:
                return await perform(self._caller, attempt, len(self.trace.attempts))
            except Failed as failed:
                verdict, events = failed.verdict, failed.events
            verdicts.append(verdict)
            again = verdict.kind in ONCE_MORE and not retried
            ledger.failed(attempt, verdict, events, self.routed, self._deps)
            if again:
                retried = True
                queue.insert(0, attempt.candidate)
                if verdict.kind == "reasoning":
                    self._caller = replace(self._caller, strip=True)
            elif not verdict.retry_elsewhere:
                break
        raise self._verdict(verdicts)

    def _queue(self) -> list[str]:
        """Whom to try, in order. Raises the refusal's error where the decision is one."""
        decision, trace = self.routed.decision, self.trace
        if decision.plan is None:
            assert decision.refusal is not None
            error = error_of(decision.refusal)
            trace.result, trace.status, trace.error = "refused", error.http_status, error.code
            raise error
        self._reserved_usd = decision.plan.reserve_usd
        self._deps.state.reserve(self._reserved_usd)
        return [decision.plan.primary, *decision.fallbacks]

    def _attempt(self, candidate_id: str) -> Attempt:
        candidate, now_s = self._deps.by_id[candidate_id], self._deps.timer()
        if not self.trace.attempts:
            self.trace.overhead_s = now_s - self._began_s
        attempt = Attempt(candidate=candidate.id, upstream=candidate.upstream, model=candidate.model, began_s=now_s)
        self.trace.attempts.append(attempt)
        return attempt

    def _verdict(self, verdicts: list[Verdict]) -> UpstreamError:
        """The one error that the client gets."""
        rank = {kind: place for place, kind in enumerate(VERDICT_ORDER)}
        final = verdicts[-1]
        best = min(verdicts, key=lambda v: rank.get(v.kind, len(rank))) if final.retry_elsewhere else final
        error = best.error
        if len(self.trace.attempts) > 1:
            error.message += "; tried " + ", ".join(f"{a.candidate}: {a.result}" for a in self.trace.attempts)
        self.trace.result, self.trace.status, self.trace.error = "failed", error.http_status, error.code
        return error

    # ---- how it ended

    def _answered(self, attempt: Attempt, usage: Usage | None, tokens: int) -> None:
        self.trace.result, self.trace.status = "answered", 200
        ledger.answered(attempt, usage, tokens, self.routed, self._deps)

    def _broke(self, opened: Opened, kind: str) -> None:
        self.trace.result, self.trace.status, self.trace.error = "broken", 200, f"stream_{kind}"
        ledger.broke(opened.attempt, kind, opened.tap.events, self.routed, self._deps)
