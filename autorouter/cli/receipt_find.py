"""Finding receipts: the folder, one by its id, the newest, and those since a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autorouter.cli.options import settings
from autorouter.errors import ReceiptError, RequestError
from autorouter.receipts import reader


def place(directory: Path | None, config: Path | None) -> Path:
    """The receipts' folder: the one given, else the configured one."""
    if directory is not None:
        return directory
    configured = settings(config).config.receipts.dir
    if configured is None:
        raise ReceiptError("no receipts folder is configured", hint="give --dir")
    return Path(configured).expanduser()


def find(directory: Path, receipt_id: str) -> dict[str, Any]:
    """A receipt by its id, by the beginning of it, or the last one."""
    if receipt_id != "last":
        return reader.find_receipt(directory, receipt_id)
    newest = reader.latest_receipts(directory, 1)
    if not newest:
        raise ReceiptError(f"{directory} holds no receipts", hint="autorouter serve writes them")
    return newest[0]


@contextmanager
def damage_told() -> Iterator[None]:
    """Around the reading of a record's members: one that hasn't what it should have is a ReceiptError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise ReceiptError(
            "the receipt is damaged, or of another version",
            hint="`autorouter receipt verify` names its line, --json prints it",
        ) from exc


def context_of(directory: Path, record: Mapping[str, Any]) -> Any:
    """The policy and the candidates that a receipt refers to. ReceiptError where they are gone."""
    return reader.read_context(directory, str(record.get("context")))


def context_if_there(directory: Path, record: Mapping[str, Any]) -> Any:
    """The same, None where they are gone: a receipt can be read without."""
    try:
        return context_of(directory, record)
    except ReceiptError:
        return None


def moment(text: str) -> str:
    """The time from which on, as receipts write it: `2h` is two hours ago, `2026-11-20` the beginning of that day."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if ago:
        unit = {"m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        when = datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError as exc:
            raise RequestError(
                f"`{text}` is no time", hint="such as 30m, 2h, 7d, 2026-11-20 or 2026-11-20T09:00"
            ) from exc
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def newest(directory: Path, number: int, begin: str, failed: bool) -> Iterator[dict[str, Any]]:
    """The newest receipts, newest first: at most `number`, since `begin` ("" for ever), or only the failed ones."""
    if not begin and not failed:
        yield from reader.latest_receipts(directory, number)
        return
    for path in reversed(reader.segment_files(directory)):
        if path.name[:10] < begin[:10]:
            return
        kept = [r for _, r, _ in reader.read_records(path) if r.get("type") == "receipt" and _wanted(r, begin, failed)]
        for record in kept[: -number - 1 : -1]:
            number -= 1
            yield record


def _wanted(record: dict[str, Any], begin: str, failed: bool) -> bool:
    outcome = record.get("outcome")
    answered = isinstance(outcome, dict) and outcome.get("result") == "answered"
    return str(record.get("at")) >= begin and not (failed and answered)
