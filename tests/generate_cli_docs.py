"""`docs/cli.md` from the commands' own `--help`.

python -m tests.generate_cli_docs
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from autorouter.cli import group

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
COLUMNS = 100
HEAD = """\
# Command line

Made from `--help` by `python -m tests.generate_cli_docs`; a test checks that it is current.

Results go to standard output, remarks and errors to standard error. `--json` prints one JSON object. Colour is used on a
terminal only, and not under `NO_COLOR`. An error is one line that ends with the next step.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a check failed |
| 2 | usage: an option, a label or a request that can't be right |
| 3 | configuration |
| 4 | upstream: a provider, or the router that was to be asked, failed |
| 5 | no route or no budget |
| 6 | receipt: not found, not readable, or not verified |
| 7 | adapter |
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """(name with its groups, command), the root first."""
    yield from _below("autorouter", group)


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _below(f"{name} {inner}", found)


def help_of(name: str, command: click.Command) -> str:
    """The command's `--help`, as wide as the page."""
    with click.Context(command, info_name=name, terminal_width=COLUMNS, max_content_width=COLUMNS) as context:
        return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    parts += [f"## {name}\n\n```text\n{help_of(name, command)}\n```\n" for name, command in commands()]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
