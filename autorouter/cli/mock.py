"""`autorouter mock`: the dry run as a server, with every fault."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast, get_args

import click

from autorouter.cli import output
from autorouter.cli.options import json_option
from autorouter.core.types import Wire
from autorouter.simulator.faults.catalog import FAULTS
from autorouter.simulator.faults.spec import ALIASES, FAMILIES
from autorouter.simulator.faults.spec import parse_faults as parse_faults
from autorouter.simulator.faults.types import ALL_WIRES
from autorouter.simulator.server import rules
from autorouter.simulator.server.app import MockServer, MockSettings, RequestLog

WIRES = get_args(Wire)


@click.command(name="mock")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8790, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--scenario", metavar="NAME[,NAME...]", default="", help="Fault for every request; NAME*N: only the first N."
)
@click.option(
    "--script",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file of rules that map requests to faults.",
)
@click.option("--wire", type=click.Choice(["all", *WIRES]), default="all", show_default=True, help="APIs to serve.")
@click.option("--key", metavar="KEY", help="Accept only this key; default: any, or none.")
@click.option("--model", "models", multiple=True, metavar="ID", help="A model to list; others are served too.")
@click.option("--ttft", type=click.FloatRange(0, 600), default=0.0, help="Seconds to the first byte of a good answer.")
@click.option("--rate", type=click.FloatRange(min=0.1), help="Tokens per second of a good answer; default: at once.")
@click.option("--quiet", is_flag=True, help="No line per request.")
@click.option("--list", "listing", is_flag=True, help="Show the faults, and how to handle each.")
@json_option
def command(
    host: str,
    port: int,
    scenario: str,
    script: Path | None,
    wire: str,
    key: str | None,
    models: tuple[str, ...],
    ttft: float,
    rate: float | None,
    quiet: bool,
    listing: bool,
    as_json: bool,
) -> None:
    """Serve simulated answers and any fault on a real socket.

    For trying a client, a relay or a router: chat completions, responses and messages, whole and
    streamed. It reads errands and declared tools as the dry run does, so that agents complete a loop.

    \b
    Examples:
      autorouter mock                                    good answers on 127.0.0.1:8790
      autorouter mock --list                             every fault
      autorouter mock --scenario 429-retry-after*2       two refusals, then good answers
      autorouter mock --scenario stall-after-20 --wire messages
      autorouter mock --script faults.toml --key sk-test

    \b
    A single request can choose its fault by a header or a suffix of the model name:
      curl -s http://127.0.0.1:8790/v1/chat/completions -H 'x-autorouter-fault: cut-stream' \\
        -d '{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
      {"model": "m#429-no-header", ...}

    \b
    A script:
      seed = 7
      [[rule]]                       # the first rule that matches is used
      model = "gpt-*"                # also: path, wire, stream, nth, repeat, probability, delay_s
      nth = [2, 3]
      scenario = "error-event"

    A line without body and key is printed for each request. Ctrl-C stops the server.
    """
    if listing:
        _list(as_json)
        return
    setting = _setting(scenario, script, wire, key)

    setting = replace(setting, ttft_s=ttft, tokens_per_s=rate or float("inf"), models=models or setting.models)
    asyncio.run(_serve(setting, host, port, quiet=quiet))


def _setting(scenario: str, script: Path | None, wire: str, key: str | None) -> MockSettings:
    if scenario:
        try:
            parse_faults(scenario)
        except ValueError as exc:
            raise click.BadParameter(f"{exc}. `autorouter mock --list` shows all.", param_hint="--scenario") from exc
    script_rules = rules.load_script(script) if script is not None else None
    wires = frozenset(WIRES) if wire == "all" else frozenset({cast(Wire, wire)})
    return MockSettings(chooser=rules.FaultChooser(script_rules, scenario), wires=wires, key=key)


async def _serve(setting: MockSettings, host: str, port: int, *, quiet: bool) -> None:
    server = MockServer(setting, (lambda _: None) if quiet else _print)
    address, taken = await server.start(host, port)
    shown = f"[{address}]" if ":" in address else address
    click.echo(f"autorouter mock on http://{shown}:{taken} (no model is called)")
    click.echo(f"  base URL  http://{shown}:{taken}/v1      any model; faults: autorouter mock --list")
    sys.stdout.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: there Ctrl-C arrives as KeyboardInterrupt
            break
    try:
        await stop.wait()
    finally:
        await server.close()
    click.echo("stopped", err=True)


def _print(line: RequestLog) -> None:
    click.echo(f"{datetime.now().astimezone():%H:%M:%S} {line.text()}")
    sys.stdout.flush()


def _list(as_json: bool) -> None:
    others = {name: [a for a, meant in ALIASES.items() if meant == name] for name in FAULTS}
    rows = [
        (f.name, f.summary, "all" if f.wires == ALL_WIRES else ", ".join(sorted(f.wires)), f.advice, others[f.name])
        for f in FAULTS.values()
    ]
    rows += [(f.display_name, f.summary, "all", FAULTS[f.base_fault].advice, []) for f in FAMILIES]
    if as_json:
        names = ("name", "summary", "wires", "advice", "aliases")
        output.emit({"object": "list", "data": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    shown = [(", ".join([name, *also]), what, wires, advice) for name, what, wires, advice, also in rows]
    output.show(output.table(("fault", "what the upstream does", "wires", "what a good client or router does"), shown))
