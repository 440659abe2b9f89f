"""From measured rounds to a table.

A round is what `bench.run` records: `direct` and `gateway`, each a mapping of cell name to `load.Result`, and the
figures of the process. Everything "added" is the gateway minus the mock itself in the same round, so a slow minute of
the machine weighs on both sides. A row keeps one value per round and shows min, median and max of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.load import Result

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    direct: dict[str, Result]
    gateway: dict[str, Result] = field(default_factory=dict)
    cold_start_s: float | None = None
    pss_idle_mb: float | None = None
    pss_load_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`values`: one per round; None where it could not be measured."""

    name: str
    unit: str
    values: tuple[float | None, ...]
    digits: int = 0

    def low_mid_high(self) -> tuple[float, float, float] | None:
        known = [value for value in self.values if value is not None]
        return (min(known), median(known), max(known)) if known else None


def row(name: str, unit: str, rounds: Sequence[Round], read: Callable[[Round], float | None], digits: int = 0) -> Row:
    return Row(name, unit, tuple(read(one) for one in rounds), digits)


def added(cell: str, figure: str) -> Callable[[Round], float]:
    return lambda one: getattr(one.gateway[cell], figure) - getattr(one.direct[cell], figure)


def per_cpu_s(cell: str) -> Callable[[Round], float | None]:
    """Replies per second of CPU time: what one whole core could do, whoever else uses the machine."""

    def read(one: Round) -> float | None:
        result = one.gateway[cell]
        return result.replies / result.cpu_s if result.cpu_s else None

    return read


def gateway_rows(rounds: Sequence[Round]) -> list[Row]:
    if not all(one.gateway for one in rounds):
        return []
    return [
        row("added latency p50, small body", "µs", rounds, added("latency-small", "p50_us")),
        row("added latency p99, small body", "µs", rounds, added("latency-small", "p99_us")),
        row("added latency p50, agent body", "µs", rounds, added("latency-agent", "p50_us")),
        row("added latency p99, agent body", "µs", rounds, added("latency-agent", "p99_us")),
        row("added time to first byte p50, agent stream", "µs", rounds, added("stream-agent", "first_byte_p50_us")),
        row("added time to first byte p99, agent stream", "µs", rounds, added("stream-agent", "first_byte_p99_us")),
        row("requests per CPU-second, small body", "1/s", rounds, per_cpu_s("busy-small")),
        row("requests per CPU-second, agent body", "1/s", rounds, per_cpu_s("busy-agent")),
        row("streams per CPU-second, small body", "1/s", rounds, per_cpu_s("busy-stream-small")),
        row("streams per CPU-second, agent body", "1/s", rounds, per_cpu_s("busy-stream-agent")),
        row("cold start to the first good answer", "s", rounds, lambda one: one.cold_start_s, 2),
        row("memory (PSS) idle", "MB", rounds, lambda one: one.pss_idle_mb, 1),
        row("memory (PSS) after the load", "MB", rounds, lambda one: one.pss_load_mb, 1),
    ]


def direct_rows(rounds: Sequence[Round]) -> list[Row]:
    """The mock without a gateway: what is subtracted, and the ceiling of mock and load generator on one core."""

    def figure(cell: str, name: str) -> Callable[[Round], float]:
        return lambda one: getattr(one.direct[cell], name)

    return [
        row("latency p50, small body", "µs", rounds, figure("latency-small", "p50_us")),
        row("latency p50, agent body", "µs", rounds, figure("latency-agent", "p50_us")),
        row("time to first byte p50, agent stream", "µs", rounds, figure("stream-agent", "first_byte_p50_us")),
        row("requests per second, small body", "1/s", rounds, figure("busy-small", "per_s")),
        row("requests per second, agent body", "1/s", rounds, figure("busy-agent", "per_s")),
        row("streams per second, small body", "1/s", rounds, figure("busy-stream-small", "per_s")),
        row("streams per second, agent body", "1/s", rounds, figure("busy-stream-agent", "per_s")),
    ]


def table(title: str, rows: Sequence[Row]) -> str:
    lines = [f"| {title} | unit | min | median | max |", "|---|---|---:|---:|---:|"]
    for one in rows:
        known = one.low_mid_high()
        cells = [f"{value:,.{one.digits}f}" for value in known] if known else [NOT_MEASURED] * 3
        lines.append(f"| {one.name} | {one.unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failures(rounds: Sequence[Round]) -> list[str]:
    """One line for each cell in which a reply was wrong or missing."""
    lines = []
    for number, one in enumerate(rounds, 1):
        for side, cells in (("direct", one.direct), ("gateway", one.gateway)):
            bad = ((name, result) for name, result in cells.items() if result.errors)
            lines += [f"round {number}, {side}, {name}: {r.errors} errors, first: {r.error}" for name, r in bad]
    return lines


def markdown(machine: dict[str, Any], settings: dict[str, Any], rounds: Sequence[Round]) -> str:
    about = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in (machine | settings).items())
    parts = [about]
    if rows := gateway_rows(rounds):
        parts.append(table("gateway", rows))
    parts.append(table("mock alone", direct_rows(rounds)))
    if wrong := failures(rounds):
        parts.append("**These figures don't count: replies were wrong or missing.**\n\n" + "\n".join(wrong))
    return "\n\n".join(parts)


def as_json(machine: dict[str, Any], settings: dict[str, Any], rounds: Sequence[Round]) -> dict[str, Any]:
    return {
        "machine": machine,
        "settings": settings,
        "rows": [asdict(one) for one in gateway_rows(rounds) + direct_rows(rounds)],
        "failures": failures(rounds),
        "rounds": [asdict(one) for one in rounds],
    }
