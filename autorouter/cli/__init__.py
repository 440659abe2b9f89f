"""Floor 6, the command line. One file per group of commands; each is imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from autorouter import __version__
from autorouter.errors import AutorouterError

COMMANDS = {
    "init": ("autorouter.cli.init", "Write a commented autorouter.toml from the keys and servers found."),
    "serve": ("autorouter.cli.serve", "Start the router."),
    "models": ("autorouter.cli.models", "List the labels and the candidates."),
    "panels": ("autorouter.cli.panels", "List the panels: their members and what they cost."),
    "route": ("autorouter.cli.route", "Show which model a prompt would go to, and why. Calls no model."),
    "chat": ("autorouter.cli.chat", "Ask through the router: one question, stdin, or a conversation."),
    "doctor": ("autorouter.cli.doctor", "Check this installation, or probe a relay."),
    "compat": ("autorouter.cli.compat", "Probe several relays side by side."),
    "mock": ("autorouter.cli.mock", "Serve simulated answers and any fault on a real socket."),
    "receipt": ("autorouter.cli.receipt", "List, show, explain, verify and export receipts."),
    "eval": ("autorouter.cli.eval", "Measure the routing on labelled requests. Calls no model."),
    "bench": ("autorouter.cli.bench", "Recorded outcomes and sessions through the decision. Calls no model."),
    "compare": ("autorouter.cli.compare", "Run the same cases through single models, auto, verify and fusion."),
    "adapter": ("autorouter.cli.adapter", "Point a client here, see where it points, undo it."),
    "codex": ("autorouter.cli.adapter:codex", "Short forms of `adapter codex`."),
    "run": ("autorouter.cli.run", "Start a client that uses this router, for one process only."),
    "keys": ("autorouter.cli.keys", "Create, list and revoke local keys."),
    "config": ("autorouter.cli.config", "Show and check the configuration."),
}
"""Command -> (module, help). Run is the module's `command`, or the attribute named after a colon."""

HELP = """A local-first router for coding agents whose every decision can be inspected.

\b
Try it without a key:
  autorouter serve --dry-run
  autorouter route "fix the off-by-one in parse_range" --explain

\b
Then point a client at http://127.0.0.1:8787/v1 with the model openfusion/auto.
Exit codes: 0 done, 1 a check failed, 2 usage, 3 configuration, 4 upstream,
5 no route or budget, 6 receipt, 7 adapter.
"""


class LazyGroup(click.Group):
    """Lists all commands without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute or "command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from autorouter.suggest import close_matches

            near = close_matches(args[0], COMMANDS)
            hint = f" Did you mean `{near[0]}`?" if near else " `autorouter --help` lists them."
            raise click.UsageError(f"{exc.message.rstrip('.')}.{hint}", ctx) from exc


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="autorouter")
def group() -> None:
    """The root of all commands."""


def main() -> None:
    """Run; render any of our errors as one line, with its exit code."""
    try:
        code = group.main(prog_name="autorouter", standalone_mode=False)
    except AutorouterError as error:
        for line in str(error).splitlines():
            click.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as exc:
        click.echo(f"error: {exc.format_message()}", err=True)
        sys.exit(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
