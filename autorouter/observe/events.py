"""A finished step as observers get it, and what is read from it more than once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from autorouter.engine.receipt import ReceiptInput
from autorouter.engine.trace import Attempt, Trace
from autorouter.observe.request_context import RequestContext

NOT_FAILURES = ("answered", "open", "client_gone", "stopped")
"""Results of attempts that nobody failed at."""


class CompletedRequest(NamedTuple):
    """What the receipt is made from, and the request's mark; None where no server set one."""

    made: ReceiptInput
    mark: RequestContext | None


class RejectedRequest(NamedTuple):
    """A request that never became a step. `wire` is `other` where the path is none of the three APIs'."""

    wire: str
    code: str
    status: int
    request_id: str | None
    now_s: float


class RequestObserver(Protocol):
    """Is told of requests after their answers have left, in the event loop: it must not wait."""

    def saw(self, seen: CompletedRequest) -> None: ...

    def rejected(self, rejected: RejectedRequest) -> None: ...

    def close(self) -> None: ...


def final_attempt(trace: Trace) -> Attempt | None:
    """The attempt whose answer the client got, else the one that was tried last."""
    return trace.answer or (trace.attempts[-1] if trace.attempts else None)


def time_to_first_byte_s(trace: Trace) -> float | None:
    """From the request to the first byte of a streamed answer: what was tried in vain before it counts."""
    word = final_attempt(trace)
    if word is None or word.ttft_s is None or trace.overhead_s is None:
        return None
    return trace.overhead_s + word.began_s - trace.attempts[0].began_s + word.ttft_s


def retries_and_fallbacks(attempts: Sequence[Attempt]) -> tuple[int, int]:
    """(retries, fallbacks). A retry asks the same candidate once more for the same; a fallback asks another one after a
    candidate has failed at it. Members of a panel that are asked at the same time are neither."""
    if len(attempts) < 2:
        return 0, 0
    retries = fallbacks = 0
    for number, attempt in enumerate(attempts):
        before = [a for a in attempts[:number] if a.phase == attempt.phase and a.result not in NOT_FAILURES]
        over = [a for a in before if a.began_s + (a.seconds or 0.0) <= attempt.began_s]
        if any(a.candidate == attempt.candidate for a in over):
            retries += 1
        elif over:
            fallbacks += 1
    return retries, fallbacks
