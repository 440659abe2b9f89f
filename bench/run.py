"""Measures the gateway against a mock upstream and prints a Markdown table.

    python -m bench.run                                      this checkout's gateway
    python -m bench.run --rounds 5 --secs 3 --json FILE      more of it, and the raw figures
    python -m bench.run --direct                             only the mock: the ceiling of the bench itself
    python -m bench.run --cmd 'other --port {port} --upstream {mock}' --model NAME

In a `--cmd`, {port} is where the gateway has to listen, {mock} the mock's base URL, {config} our generated
configuration. Each round starts the gateway anew and measures every cell on both sides, the mock alone and the
gateway; which one goes first alternates from round to round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import bodies, gateway, load, machine, mock, report

SETTLE_S = 1.0
"""Between the first answer and the reading of the idle memory."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One load. With one connection everything shares a core: the path is serial, and waking an idle core of a virtual
    machine takes longer than a gateway does."""

    name: str
    kind: bodies.Kind
    stream: bool
    connections: int


CELLS = (
    Cell("latency-small", "small", False, 1),
    Cell("latency-agent", "agent", False, 1),
    Cell("stream-agent", "agent", True, 1),
    Cell("busy-small", "small", False, 32),
    Cell("busy-agent", "agent", False, 32),
    Cell("busy-stream-small", "small", True, 32),
    Cell("busy-stream-agent", "agent", True, 32),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`gateway_core` is the gateway's alone but for cells of one connection. Cores are None where pins don't exist."""

    args: argparse.Namespace
    folder: Path
    mock_pid: int
    mock_port: int
    gateway_core: int | None
    load_core: int | None

    def place(self, core: int | None) -> None:
        """Moves the mock and the load generator, which is this process."""
        if core is not None:
            machine.pin(self.mock_pid, core)
            machine.pin(os.getpid(), core)

    def measure(self, cell: Cell, port: int, pid: int | None = None) -> load.Result:
        """`pid`: whose CPU time to take."""
        self.place(self.gateway_core if cell.connections == 1 else self.load_core)
        model = self.args.model
        what = load.Load(
            port=port,
            bodies=[bodies.build(cell.kind, model, stream=cell.stream, session=i) for i in range(cell.connections)],
            needle=mock.DONE if cell.stream else mock.NEEDLE,
            connections=cell.connections,
            secs=self.args.secs,
            warm=self.args.warm,
        )
        return load.run(what, lambda: machine.cpu_s(pid) if pid else None)

    def direct_round(self) -> report.Round:
        return report.Round(direct={cell.name: self.measure(cell, self.mock_port) for cell in CELLS})

    def full_round(self, number: int) -> report.Round:
        self.place(self.load_core)
        port = gateway.free_port()
        mock_url = f"http://127.0.0.1:{self.mock_port}/v1"
        words = gateway.command(self.args.cmd, port=port, mock_url=mock_url, folder=self.folder)
        first = bodies.build("small", self.args.model)
        process, cold_start_s = gateway.start(words, port=port, body=first, folder=self.folder, core=self.gateway_core)
        try:
            time.sleep(SETTLE_S)
            idle = machine.pss_mb(process.pid)
            direct, through = self.both_sides(port, process.pid, direct_first=number % 2 == 1)
            after = machine.pss_mb(process.pid)
        finally:
            gateway.end(process)
        return report.Round(
            direct=direct, gateway=through, cold_start_s=cold_start_s, pss_idle_mb=idle, pss_load_mb=after
        )

    def both_sides(
        self, port: int, pid: int, *, direct_first: bool
    ) -> tuple[dict[str, load.Result], dict[str, load.Result]]:
        direct: dict[str, load.Result] = {}
        through: dict[str, load.Result] = {}
        for cell in CELLS:
            if direct_first:
                direct[cell.name] = self.measure(cell, self.mock_port)
            through[cell.name] = self.measure(cell, port, pid)
            if not direct_first:
                direct[cell.name] = self.measure(cell, self.mock_port)
            say(f"  {cell.name}: {through[cell.name].per_s:,.0f} 1/s, mock alone {direct[cell.name].per_s:,.0f} 1/s")
        return direct, through

    def rounds(self) -> list[report.Round]:
        done = []
        for number in range(1, self.args.rounds + 1):
            say(f"round {number} of {self.args.rounds}")
            done.append(self.direct_round() if self.args.direct else self.full_round(number))
        return done


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the gateway costs, measured against a mock upstream.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=2.0, help="length of a measurement")
    parser.add_argument("--warm", type=float, default=0.5, help="load before each measurement that doesn't count")
    parser.add_argument(
        "--cmd", default=gateway.OWN_COMMAND, help="another gateway; {port}, {mock}, {config} are filled in"
    )
    parser.add_argument("--model", default="openfusion/auto", help="the model the clients ask for")
    parser.add_argument("--direct", action="store_true", help="only the mock, no gateway")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.secs <= 0 or args.warm < 0:
        parser.error("--rounds and --secs must be positive")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """1 if any reply was wrong or missing, else 0."""
    args = arguments(argv)
    about = machine.describe()
    settings = {"rounds": args.rounds, "secs": args.secs, "warm_up_s": args.warm}
    gateway_core, load_core = machine.cores() or (None, None)
    process, port = gateway.start_mock()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
            machine.pinned(load_core),
        ):
            bench = Bench(
                args=args,
                folder=Path(folder),
                mock_pid=process.pid,
                mock_port=port,
                gateway_core=gateway_core,
                load_core=load_core,
            )
            rounds = bench.rounds()
    finally:
        gateway.end(process)
    print(report.markdown(about, settings, rounds))
    if args.json:
        args.json.write_text(json.dumps(report.as_json(about, settings, rounds), indent=1) + "\n")
    return 1 if report.failures(rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
