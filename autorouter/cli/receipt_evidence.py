"""What `receipt verify` looks at in an evidence file: the file itself, and the receipts that it names.

A receipt is looked for in the day's files beside the evidence, then in the receipts' folder. Where it is found, its line must
be the one that is named, and its decision is made again. Receipts that lie nowhere are counted, and no fault: days may have
been deleted, or the evidence sent to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autorouter.cli.receipt_checks import Report, check_receipt
from autorouter.errors import ReceiptError
from autorouter.evals import evidence
from autorouter.receipts import store

MAX_BYTES = 256 * 1024 * 1024


def read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """The evidence in a file with its bytes, None where it is another sort of file."""
    if path.suffix != ".json":
        return None
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc
    found = evidence.parse(data)
    return None if found is None else (found, data)


def check(path: Path, found: Mapping[str, Any], data: bytes, folder: Path | None) -> Report:
    """Check evidence and, as far as they are there, its receipts; `folder` is the configured one."""
    report = Report(files=1, evidence=1)
    report.problems += [f"{path.name}:1: {fault}" for fault in evidence.faults(found, data, path)]
    named = _named(found)
    if named is None:
        report.problems.append(f"{path.name}:1: `receipts` isn't a list of ids and sums")
        return report
    faulty: set[Path] = set()
    for place in dict.fromkeys((path.parent, *([folder] if folder else []))):
        there = evidence.records_of(place, named)
        for day in sorted({day for day, _ in there.values()} - faulty):
            faulty.add(day)
            report.with_faults(store.verify_chain(day))
        for name, (day, record) in there.items():
            if named.pop(name) not in (None, record.get("sum")):
                report.problems.append(f"{path.name}:1: receipt {name} in {day.name} isn't the one that is named")
            context = store.context_of(day, str(record.get("context")))
            check_receipt(record, context, name, report)
    report.absent = len(named)
    return report


def _named(found: Mapping[str, Any]) -> dict[str, str | None] | None:
    """Ids with the sums that their lines must have."""
    rows = found.get("receipts")
    if not isinstance(rows, list):
        return None
    named: dict[str, str | None] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            return None
        named[row["id"]] = row.get("sum")
    return named
