"""A finished request as observers get it, and what several of them read from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from autorouter.engine.receipt import ReceiptInput
from autorouter.engine.trace import Attempt, Trace
from autorouter.observe.request_context import RequestContext

NOT_FAILURES = ("answered", "open", "client_gone", "stopped")
"""Results of attempts for which the upstream isn't to blame."""


class CompletedRequest(NamedTuple):
    """A finished step: the input of its receipt, and the request's context, None where no server set one."""

    receipt_input: ReceiptInput
    context: RequestContext | None


class RejectedRequest(NamedTuple):
    """A request that never became a step. `wire` is `other` where the path is none of the three APIs'."""

    wire: str
    code: str
    status: int
    request_id: str | None
    now_s: float


class RequestObserver(Protocol):
    """Gets requests after their responses have been sent, in the event loop: it must not block."""

    def on_request(self, completed: CompletedRequest) -> None: ...

    def on_rejected(self, rejected: RejectedRequest) -> None: ...

    def close(self) -> None: ...


def final_attempt(trace: Trace) -> Attempt | None:
    """The attempt whose answer the client got, else the last one that was tried."""
    return trace.answer or (trace.attempts[-1] if trace.attempts else None)


def time_to_first_byte_s(trace: Trace) -> float | None:
    """From the request to the first byte of a streamed answer. Failed attempts before it count."""
    final = final_attempt(trace)
    if final is None or final.ttft_s is None or trace.overhead_s is None:
        return None
    return trace.overhead_s + final.began_s - trace.attempts[0].began_s + final.ttft_s


def retries_and_fallbacks(attempts: Sequence[Attempt]) -> tuple[int, int]:
    """(retries, fallbacks). A retry asks the same candidate again in the same phase; a fallback asks another candidate after
    one has failed. Panel members that are asked at the same time are neither."""
    if len(attempts) < 2:
        return 0, 0
    retries = fallbacks = 0
    for number, attempt in enumerate(attempts):
        failures = [a for a in attempts[:number] if a.phase == attempt.phase and a.result not in NOT_FAILURES]
        # Only what had ended before this attempt began: a member that failed meanwhile didn't cause it.
        ended = [a for a in failures if a.began_s + (a.seconds or 0.0) <= attempt.began_s]
        if any(a.candidate == attempt.candidate for a in ended):
            retries += 1
        elif ended:
            fallbacks += 1
    return retries, fallbacks
