"""The execution of one request by its plan, for every strategy.

routed ──► single | verify | panel ──► a complete answer, or a stream whose first bytes are here
                │ all failed                 │ complete: "answered"
                ▼                            │ cut, stalled, ended early, an error event: "broken", the connection is cut
      "failed", one error for the client     │ the client hangs up: "client_gone", all upstream calls are stopped

What comes before and after it, in `server/endpoints.InferenceEndpoint`: a reservation, accounting, the record.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from autorouter.core.decision.decide import Decision
from autorouter.core.reasons import ReasonCode
from autorouter.core.types import Strategy
from autorouter.engine import outcomes
from autorouter.engine.attempts import AllCandidatesFailed, StepContext, client_error
from autorouter.engine.call import ClientReply, StreamReply
from autorouter.engine.deps import Deps
from autorouter.engine.request_context import RequestContext
from autorouter.engine.router import RoutedRequest, refusal_error
from autorouter.engine.trace import Trace
from autorouter.errors import AutorouterError, RequestError, RoutingError
from autorouter.upstream.transport import TransportError
from autorouter.wire.exchange import CompleteResponse


class StreamBroken(Exception):
    """The answer has started and can't be finished: the client's connection must be cut, never ended cleanly."""


class Step:
    """One request in execution. Call `answer()`, or `open()` and then `chunks()`; at the end `close()`. `refusal`: why
    it is refused, although a plan was found."""

    def __init__(
        self, context: RequestContext, routed: RoutedRequest, deps: Deps, *, refusal: AutorouterError | None = None
    ) -> None:
        self.context = context
        self.routed = routed
        self.deps = deps
        self.trace = Trace()
        self.calls = StepContext(context, routed, deps, self.trace)
        self.stream_reply: StreamReply | None = None
        self._refusal = refusal

    @property
    def strategy(self) -> Strategy | None:
        """The strategy in execution; None for a refusal."""
        return self.routed.decision.plan.strategy if self.routed.decision.plan else None

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
        self.stream_reply = final
        # No other candidate is asked any more.
        self.context.request.parsed.release()
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
            outcomes.record_answer(stream_reply.attempt, observer.usage, observer.events, self.routed, self.deps)

    def close(self) -> None:
        """Stop the upstream's stream, and note what was wrong with the answer. Once, however the execution ended."""
        stream_reply, trace = self.stream_reply, self.trace
        if stream_reply is not None:
            stream_reply.reply.close()
            if malformed := stream_reply.observer.malformed:
                stream_reply.attempt.malformed = malformed
                trace.degrade(ReasonCode.MALFORMED_EVENTS, count=malformed, candidate=stream_reply.attempt.candidate)
        if trace.answer is not None:
            trace.degraded += trace.answer.losses

    async def _execute(self) -> ClientReply:
        """Carry out the plan. Raises the error of a refusal."""
        decision, trace = self.routed.decision, self.trace
        try:
            if self._refusal is not None:
                raise self._refusal
            if decision.plan is None:
                raise refusal_error(decision)
            return await self._carry_out(decision)
        except AllCandidatesFailed as exc:
            raise client_error(exc.verdicts, trace) from exc
        except (RequestError, RoutingError) as error:
            trace.result, trace.status, trace.error = "refused", error.http_status, error.code
            raise

    async def _carry_out(self, decision: Decision) -> ClientReply:
        plan = decision.plan
        assert plan is not None
        if plan.strategy is Strategy.SINGLE:
            return await self.calls.get_reply([plan.primary, *decision.fallbacks], phase="answer")
        # Imported late: most requests are single, and these modules load the translators.
        from autorouter.engine.strategies import panel, verify

        if plan.strategy is Strategy.VERIFY:
            return await verify.perform(self.calls, plan)
        return await panel.perform(self.calls, plan)

    def _stream_broken(self, stream_reply: StreamReply, kind: str) -> None:
        self.trace.result, self.trace.status, self.trace.error = "broken", 200, f"stream_{kind}"
        if stream_reply.attempt.result == "open":
            outcomes.record_stream_broken(
                stream_reply.attempt, kind, stream_reply.observer.events, self.routed, self.deps
            )
