"""The execution of one request, from its decision to its receipt, for every strategy.

routed ──► single | verify | panel ──► a complete answer, or a stream whose first bytes are here
                │ all failed                 │ complete: "answered"
                ▼                            │ cut, stalled, ended early, an error event: "broken", the connection is cut
      "failed", one error for the client     │ the client hangs up: "client_gone", all upstream calls are stopped
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from autorouter.core.decision.decide import Decision
from autorouter.core.types import Strategy
from autorouter.engine import accounting
from autorouter.engine.attempts import AllCandidatesFailed, client_error
from autorouter.engine.call import ClientReply, StreamReply
from autorouter.engine.context import StepContext
from autorouter.engine.deps import Deps
from autorouter.engine.progress import Progress
from autorouter.engine.receipt import ReceiptInput, request_shape
from autorouter.engine.router import RoutedRequest, refusal_error, session_key
from autorouter.engine.trace import Trace
from autorouter.upstream.transport import TransportError
from autorouter.wire.common.request_body import ClientRequest
from autorouter.wire.exchange import CompleteResponse


class StreamBroken(Exception):
    """The answer has started and can't be finished: the client's connection must be cut, never ended cleanly."""


class Step:
    """One request in execution. Call `answer()`, or `open()` and then `chunks()`; always call `finish()` at the end."""

    def __init__(
        self,
        request: ClientRequest,
        routed: RoutedRequest,
        deps: Deps,
        *,
        receipt_id: str,
        began_s: float,
        fault: str | None = None,
        trace_id: str | None = None,
        key: str | None = None,
    ) -> None:
        self.routed = routed
        self._client_info = {"trace_id": trace_id, "key": key}
        self.receipt_id = receipt_id
        self.trace = Trace()
        self._deps = deps
        self._context = StepContext.create(
            request, routed, deps, self.trace, receipt_id=receipt_id, began_s=began_s, fault=fault
        )
        self._began_s = began_s
        self._reserved_usd = 0.0
        self._stream_reply: StreamReply | None = None
        self._finished = False

    @property
    def strategy(self) -> Strategy | None:
        """The strategy in execution; None for a refusal."""
        return self.routed.decision.plan.strategy if self.routed.decision.plan else None

    @property
    def progress(self) -> Progress:
        """The progress of a panel or a verifier."""
        return self._context.progress

    async def answer(self) -> bytes:
        """The complete answer. Raises the refusal's error, or UpstreamError if no candidate answers."""
        final = await self._execute()
        assert isinstance(final, CompleteResponse)
        self.trace.result, self.trace.status = "answered", 200
        return final.body

    async def open(self) -> StreamReply:
        """The start of a streamed answer. Raises as `answer` does."""
        final = await self._execute()
        assert isinstance(final, StreamReply)
        self._stream_reply = final
        return final

    async def chunks(self, stream_reply: StreamReply) -> AsyncIterator[bytes]:
        """The rest of the stream as it arrives. Raises StreamBroken if it ends before its terminal event."""
        observer = stream_reply.observer
        try:
            async for chunk in stream_reply.source:
                passed = observer.feed(chunk)
                if passed:
                    yield passed
                if observer.error is not None:
                    break
            rest = observer.flush()
            if rest and observer.complete:
                yield rest
        except TransportError as failure:
            # After the terminal event nothing can be missing.
            if not observer.done:
                self._stream_broken(stream_reply, failure.kind)
                raise StreamBroken from failure
        except ValueError as exc:
            self._stream_broken(stream_reply, "protocol")
            raise StreamBroken from exc
        finally:
            stream_reply.reply.close()
        if observer.error is not None or not observer.complete:
            self._stream_broken(stream_reply, "error_event" if observer.error is not None else "early_end")
            raise StreamBroken
        self.trace.result, self.trace.status = "answered", 200
        if stream_reply.attempt.result == "open":
            accounting.record_answer(stream_reply.attempt, observer.usage, observer.events, self.routed, self._deps)

    def finish(self) -> None:
        """Settle the cost, update the session, hand over the receipt. Does nothing the second time."""
        # Synchronous, because it also runs in cancelled tasks, where an `await` would never finish.
        if self._finished:
            return
        self._finished = True
        trace, deps, routed = self.trace, self._deps, self.routed
        if self._stream_reply is not None:
            self._stream_reply.reply.close()
        accounting.close_open_attempts(trace, self._stream_reply, routed, deps)
        if not trace.status:
            trace.result, trace.status = "client_gone", 499
        if trace.answer is not None:
            trace.degraded += trace.answer.losses
        trace.seconds = deps.timer() - self._began_s
        accounting.settle(routed, trace, self._reserved_usd, deps)
        receipt_input = ReceiptInput(
            receipt_id=self.receipt_id,
            shape=request_shape(routed.task) | self._client_info,
            features=routed.features,
            snapshot=routed.snapshot,
            decision=routed.decision,
            trace=trace,
            context=deps.context,
            dry_run=deps.dry_run,
        )
        deps.receipts.put(receipt_input)

    async def _execute(self) -> ClientReply:
        """Carry out the plan. Raises the error of a refusal."""
        decision, trace = self.routed.decision, self.trace
        if decision.plan is None:
            assert decision.refusal is not None
            error = refusal_error(decision.refusal)
            trace.result, trace.status, trace.error = "refused", error.http_status, error.code
            raise error
        self._reserved_usd = decision.plan.reserve_usd
        self._deps.state.reserve(self._reserved_usd)
        if (key := session_key(self.routed.task)) is not None:
            self._deps.state.hold(key, self._reserved_usd)
        try:
            if decision.plan.strategy is Strategy.SINGLE:
                return await perform_single(self._context, decision)
            # Imported late: most requests are single, and these modules load the translators.
            from autorouter.engine.strategies import panel, verify

            if decision.plan.strategy is Strategy.VERIFY:
                return await verify.perform(self._context, decision.plan)
            return await panel.perform(self._context, decision.plan)
        except AllCandidatesFailed as exc:
            raise client_error(exc.verdicts, trace) from exc

    def _stream_broken(self, stream_reply: StreamReply, kind: str) -> None:
        self.trace.result, self.trace.status, self.trace.error = "broken", 200, f"stream_{kind}"
        if stream_reply.attempt.result == "open":
            accounting.record_stream_broken(
                stream_reply.attempt, kind, stream_reply.observer.events, self.routed, self._deps
            )


async def perform_single(context: StepContext, decision: Decision) -> ClientReply:
    """The answer of the primary, or of the first fallback that gives one. Raises AllCandidatesFailed."""
    assert decision.plan is not None
    return await context.get_reply([decision.plan.primary, *decision.fallbacks], phase="answer")
