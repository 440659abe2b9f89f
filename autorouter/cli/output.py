"""What commands print: tables, blocks, progress and JSON.

Results go to standard output, everything else to standard error; `--json` prints one object and nothing else there.
Colour only on a terminal and never under NO_COLOR. rich is imported when something is printed with it, not before.
Text that came from outside (names, answers) is never read as markup, and can't move the cursor: see `plain`.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import floor, log10
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from autorouter.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table
    from rich.text import Text

T = TypeVar("T")

PIPE_COLUMNS = 160
"""Width where there is no terminal and no COLUMNS: wide enough that no table of ours wraps."""
PROGRESS_AFTER_S = 2.0
"""Work that takes longer shows its progress."""
_CONTROL_CHARACTERS: dict[int, str] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F)), "\N{REPLACEMENT CHARACTER}"),
    **{0x09: "\t", 0x0A: "\n", 0x0D: ""},
}
"""What could steer a terminal or turn a line around: controls, and marks of writing direction."""
_STYLES = {"good": "green", "bad": "red", "dim": "dim", "strong": "bold", "head": "bold cyan"}


def console(*, stderr: bool = False) -> Console:
    """A console for one of the two streams, as wide as its terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((PIPE_COLUMNS, 50)).columns
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def show(*things: RenderableType | str) -> None:
    """Print results, one below the other."""
    out = console()
    with out.capture() as capture:
        for thing in things:
            out.print(styled(thing) if isinstance(thing, str) else thing)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def note(text: str) -> None:
    """A remark for people, on standard error."""
    click.echo(plain(f"note: {text}"), err=True)


def emit(document: Any) -> None:
    """One JSON object on standard output."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    click.echo(orjson.dumps(document, option=options).decode(), nl=False)


def exit_with(code: int) -> NoReturn:
    """End the command with an exit code, when what had to be said is said."""
    click.get_current_context().exit(code)


def prompt_text(prompt: str | None) -> str:
    """The prompt of the command line, or of standard input for `-` and for a pipe. RequestError when there is none."""
    if prompt == "-" or (prompt is None and not sys.stdin.isatty()):
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not prompt or not prompt.strip():
        raise RequestError("There is no prompt", hint="give it in quotes, or pipe it in")
    return prompt


def plain(text: object) -> str:
    """Text without control characters: what a provider calls its model must not steer the terminal."""
    return str(text).translate(_CONTROL_CHARACTERS)


def styled(text: object, style: str = "") -> Text:
    """Plain text in one of our styles: good, bad, dim, strong, head."""
    from rich.text import Text

    return Text(plain(text), style=_STYLES.get(style, ""))


def section(title: str, body: RenderableType) -> Group:
    """Something under a heading, with an empty line before it."""
    from rich.console import Group

    return Group("", styled(title, "head"), body)


def table(columns: Sequence[str], rows: Iterable[Sequence[Text | object]], *, right: Sequence[str] = ()) -> Table:
    """A table with a line under its head. `right`: columns of numbers. Cells are plain text or `styled`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False)
    for name in columns:
        numeric = name in right
        grid.add_column(styled(name), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else styled(cell) for cell in row))
    return grid


def facts(pairs: Iterable[tuple[str, Text | object]]) -> Table:
    """A block of `name   value` lines; values that are empty are left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        cell = value if isinstance(value, Text) else styled(value)
        if cell.plain:
            grid.add_row(styled(name, "dim"), cell)
    return grid


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The same items; once they take longer than `PATIENCE_S`, a progress bar on standard error, if it is a terminal."""
    began_s = time.monotonic()
    bar = None
    done = 0
    try:
        for item in items:
            if bar is None and sys.stderr.isatty() and time.monotonic() - began_s > PROGRESS_AFTER_S:
                from rich.progress import Progress

                bar = Progress(console=console(stderr=True), transient=True)
                bar.start()
                task = bar.add_task(label, total=total, completed=done)
            yield item
            done += 1
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        if bar is not None:
            bar.stop()


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Around work of unknown length: after `PATIENCE_S` a line on standard error says what is awaited, on a terminal."""
    timer = threading.Timer(PROGRESS_AFTER_S, lambda: click.echo(f"{label} ...", err=True))
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def usd(value: float | None) -> str:
    """Dollars with the digits that count: $12.50, $0.0123, $0.000412; `unknown` is not zero."""
    if value is None:
        return "unknown"
    if value == 0:
        return "$0"
    size = abs(value)
    digits = 2 if size >= 1 else min(12, 2 - floor(log10(size)))
    return f"{'-' if value < 0 else ''}${size:.{digits}f}"


def seconds(value: float | None) -> str:
    """`12 s`, `1.4 s`, `0.42 s`, `8 ms`; `-` where nothing was measured."""
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def count(number: int, noun: str) -> str:
    """`1 receipt`, `1,204 receipts`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
