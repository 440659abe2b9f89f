"""Markdown pages: tables whose cells can't break them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> str:
    """A table; `right`: columns of numbers."""
    marks = ["---:" if name in right else "---" for name in columns]
    lines = [columns, marks, *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """A cell's text on one line, with what would end the cell escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")


def page(*parts: str | None) -> str:
    """Parts with an empty line between them; empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def share(value: float) -> str:
    """`65.4 %`."""
    return f"{100 * value:.1f} %"


def interval(low: float, high: float) -> str:
    """`59.2 .. 71.1 %`."""
    return f"{100 * low:.1f} .. {100 * high:.1f} %"


def usd(value: float | None) -> str:
    """`$0.0202`; `unknown` is not zero."""
    if value is None:
        return "unknown"
    return f"${value:.4f}" if value >= 0.0001 or value == 0 else f"${value:.2g}"


def seconds(value: float) -> str:
    """`1.42 s`."""
    return f"{value:.2f} s"
