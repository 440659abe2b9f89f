"""The request metrics and the state at the time of the scrape, as Prometheus families. Imported with the first scrape, because
the library takes 70 ms to load.

    families = [*request_families(metrics), *state_families(deps, ...)]     in the loop's thread, so that they are consistent
    body = render(families, accept)                                        in any thread

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from autorouter import __version__
from autorouter.core.state.health import UNKNOWN_HEALTH, Health
from autorouter.engine.deps import Deps
from autorouter.observe.metrics import GaugeValue, LabelledCounter, LabelledHistogram, RequestMetrics

CIRCUIT_STATES = ("closed", "open", "half_open")
"""`open`: cooling down. `half_open`: the cooldown is over, and the next call decides."""


def request_families(metrics: RequestMetrics) -> Iterator[Metric]:
    """What was counted since the start."""
    yield _counter(
        "requests", "Requests by the API asked, strategy and result.", "wire strategy result", metrics.requests
    )
    yield _counter("rejections", "Requests refused before a decision, by error code.", "code", metrics.rejections)
    yield _counter(
        "attempts",
        "Calls to upstreams, by what they were for and how they ended.",
        "upstream phase result",
        metrics.attempts,
    )
    yield _counter("retries", "Calls that asked the same candidate once more.", "wire", metrics.retries)
    yield _counter("fallbacks", "Calls that asked another candidate after one had failed.", "wire", metrics.fallbacks)
    yield _counter("hedges", "Calls begun beside one that was slow to begin.", "upstream", metrics.hedges)
    yield _counter(
        "tokens",
        "Tokens; cached and cache_write are part of input, reasoning of output.",
        "candidate kind",
        metrics.tokens,
    )
    yield _counter("cost_usd", "Dollars at list prices, where the price is known.", "candidate", metrics.cost_usd)
    yield _counter("unpriced_attempts", "Calls that used tokens at an unknown price.", "candidate", metrics.unpriced)
    yield _histogram(
        "overhead_seconds", "From the request to the first call: reading and deciding.", "wire", metrics.overhead_s
    )
    yield _histogram(
        "first_byte_seconds",
        "From a call to its stream's first event, by candidate.",
        "candidate",
        metrics.first_byte_s,
    )
    yield _histogram("duration_seconds", "From the request to its end.", "wire", metrics.duration_s)


def state_families(deps: Deps, gauges: Sequence[GaugeValue]) -> Iterator[Metric]:
    """The current state: circuits, spending, build."""
    now_s = deps.clock()
    circuits = GaugeMetricFamily(
        "autorouter_breaker_state", "1 at the state in which a candidate's breaker is.", labels=["candidate", "state"]
    )
    for candidate in deps.candidates:
        current = circuit_state(deps.state.health.get(candidate.id, UNKNOWN_HEALTH), now_s)
        for state in CIRCUIT_STATES:
            circuits.add_metric([candidate.id, state], float(state == current))
    yield circuits
    build = GaugeMetricFamily("autorouter_build_info", "1; the versions are its labels.", labels=["version", "python"])
    build.add_metric([__version__, platform.python_version()], 1)
    yield build
    spent_usd = deps.state.spent_today_usd(now_s)
    for name, words, value in (
        ("dry_run", "1 on the dry run: no model is called.", float(deps.dry_run)),
        ("candidates", "Candidates configured.", float(len(deps.candidates))),
        ("spent_today_usd", "Dollars spent and reserved this UTC day, as the budget sees them.", spent_usd),
    ):
        yield GaugeMetricFamily(f"autorouter_{name}", words, value)
    for name, words, value, counter in gauges:
        kind = CounterMetricFamily if counter else GaugeMetricFamily
        yield kind(f"autorouter_{name}", words, value)


def circuit_state(health: Health, now_s: float) -> str:
    """One of `CIRCUIT_STATES`."""
    if health.cooldown_until_s > now_s:
        return "open"
    return "half_open" if health.failures_in_row else "closed"


class ScrapeCollector:
    """The families of one scrape: those made before, and the process's own, read now."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        yield from _PROCESS.collect()


_PROCESS = ProcessCollector(registry=None)


def render(families: Sequence[Metric], accept: str) -> tuple[bytes, str]:
    """The body in the format that the scraper asks for, and its content type."""
    encoder: Callable[[Collector], bytes]
    encoder, kind = choose_encoder(accept)
    return encoder(ScrapeCollector(families)), kind


def _counter(name: str, words: str, labels: str, counts: LabelledCounter) -> Metric:
    family = CounterMetricFamily(f"autorouter_{name}", words, labels=labels.split())
    for values, amount in counts.values.items():
        family.add_metric(values, amount)
    return family


def _histogram(name: str, words: str, label: str, histograms: LabelledHistogram) -> Metric:
    family = HistogramMetricFamily(f"autorouter_{name}", words, labels=[label])
    for value, histogram in histograms.by_label.items():
        bounds = [*map(str, histogram.bounds), "+Inf"]
        family.add_metric([value], list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)
    return family
