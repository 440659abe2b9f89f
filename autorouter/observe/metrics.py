"""The counts behind `GET /metrics`: plain numbers, updated once per finished step. `prometheus` renders them; the library isn't
needed here, so that a server that is never scraped doesn't load it.

Label values are bounded by the configuration and by our own codes: candidates and upstreams that were really called, never
what a client wrote. `MAX_SERIES` is the safety net.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from autorouter.engine.receipt import CompletedRequest
from autorouter.engine.trace import Attempt
from autorouter.observe.recorder import RejectedRequest, retries_and_fallbacks

OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""A decision takes about 0.5 ms on an idle core; a second would be a fault."""
FIRST_BYTE_S = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0)
"""Models take 0.3 s and more to the first token; `first_byte_timeout_s` is 60 s by default."""
DURATION_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""`request_timeout_s` is 600 s by default."""
MAX_SERIES = 5_000
"""Per metric; series beyond it are counted under `other`. A hundred candidates with five kinds of token are 500."""

Labels = tuple[str, ...]


class GaugeValue(NamedTuple):
    """A value that is kept elsewhere and read at the scrape. `counter`: it only grows."""

    name: str
    text: str
    value: float
    counter: bool = False


class LabelledCounter:
    """A counter with one value per set of labels."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        values = self.values
        if labels in values:
            values[labels] += amount
        elif len(values) < MAX_SERIES:
            values[labels] = amount
        else:
            other = ("other",) * len(labels)
            values[other] = values.get(other, 0) + amount


class Histogram:
    """One histogram: `counts[i]` observations up to `bounds[i]` and above the bound before; the last count is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class LabelledHistogram:
    """A histogram for each value of a label."""

    __slots__ = ("bounds", "by_label")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.by_label: dict[str, Histogram] = {}

    def observe(self, label: str, value: float) -> None:
        histogram = self.by_label.get(label)
        if histogram is None:
            label = label if len(self.by_label) < MAX_SERIES else "other"
            histogram = self.by_label.setdefault(label, Histogram(self.bounds))
        histogram.observe(value)


class RequestMetrics:
    """Everything that is counted since the start. Used in the event loop's thread only."""

    def __init__(self) -> None:
        self.requests = LabelledCounter()
        self.rejections = LabelledCounter()
        self.attempts = LabelledCounter()
        self.retries = LabelledCounter()
        self.fallbacks = LabelledCounter()
        self.hedges = LabelledCounter()
        self.tokens = LabelledCounter()
        self.cost_usd = LabelledCounter()
        self.unpriced = LabelledCounter()
        self.overhead_s = LabelledHistogram(OVERHEAD_S)
        self.first_byte_s = LabelledHistogram(FIRST_BYTE_S)
        self.duration_s = LabelledHistogram(DURATION_S)

    def on_request(self, completed: CompletedRequest) -> None:
        """Count a finished step."""
        trace, plan = completed.trace, completed.decision.plan
        wire = completed.shape["wire"]
        strategy = str(plan.strategy) if plan is not None else "none"
        self.requests.add((wire, strategy, trace.result))
        if trace.seconds is not None:
            self.duration_s.observe(wire, trace.seconds)
        if trace.overhead_s is not None:
            self.overhead_s.observe(wire, trace.overhead_s)
        for attempt in trace.attempts:
            self._attempt(attempt)
        if len(trace.attempts) > 1:
            retries, fallbacks = retries_and_fallbacks(trace.attempts)
            if retries:
                self.retries.add((wire,), retries)
            if fallbacks:
                self.fallbacks.add((wire,), fallbacks)

    def on_rejected(self, rejected: RejectedRequest) -> None:
        """Count a request that never became a step."""
        self.requests.add((rejected.wire, "none", "rejected"))
        self.rejections.add((rejected.code,))

    def close(self) -> None:
        """Nothing to do: counts live as long as the process."""

    def _attempt(self, attempt: Attempt) -> None:
        candidate = attempt.candidate
        self.attempts.add((attempt.upstream, attempt.phase, attempt.result))
        if attempt.hedge:
            self.hedges.add((attempt.upstream,))
        if attempt.ttft_s is not None:
            self.first_byte_s.observe(candidate, attempt.ttft_s)
        usage = attempt.usage
        if usage is None:
            return
        tokens = self.tokens
        if usage.input_tokens:
            tokens.add((candidate, "input"), usage.input_tokens)
        if usage.cached_tokens:
            tokens.add((candidate, "cached"), usage.cached_tokens)
        if usage.cache_write_tokens:
            tokens.add((candidate, "cache_write"), usage.cache_write_tokens)
        if usage.output_tokens:
            tokens.add((candidate, "output"), usage.output_tokens)
        if usage.reasoning_tokens:
            tokens.add((candidate, "reasoning"), usage.reasoning_tokens)
        if attempt.cost_usd is None:
            self.unpriced.add((candidate,))
        else:
            self.cost_usd.add((candidate,), attempt.cost_usd)
