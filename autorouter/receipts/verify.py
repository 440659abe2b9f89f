"""What `receipt verify` looks at: the chain of the lines, and every decision made again.

    check_directory(dir)   all files and the links between them
    check_file(path)       one day's file, or a receipt that `receipt export` wrote
    check_receipt(...)     one receipt by itself: its sum, its context's digest, its decision

A decision made again must equal the recorded one to the canonical byte. Receipts of another version are counted and
left alone: their core may have decided otherwise, and rightly so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from autorouter import __version__
from autorouter.core.decision.replay import replay_decision
from autorouter.errors import AutorouterError, ReceiptError
from autorouter.receipts import reader
from autorouter.receipts.canonical import canonical_json, digest
from autorouter.receipts.chain import RECEIPT_SCHEMA
from autorouter.receipts.reader import ChainProblem

EXPORTED_CONTEXT = "context_record"
"""The member that makes a receipt self-contained."""
MAX_EXPORT_BYTES = 16 * 1024 * 1024
"""A receipt has 10 kB, a context 30 kB."""
ProgressWrapper = Callable[[Iterable[tuple[int, bytes]], str, int], Iterable[tuple[int, bytes]]]
"""Shows progress over the lines of a file, given its name and how many there are."""
_MALFORMED_RECORD_ERRORS = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, AutorouterError)
"""What a record that isn't one of ours can raise."""


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """What was found. `decided`: decisions made again and equal; `lost`: receipts that their writer said are missing;
    `evidence`: evidence files, `absent`: receipts that one of them names and that lie nowhere here."""

    files: int = 0
    receipts: int = 0
    decided: int = 0
    other_version: int = 0
    lost: int = 0
    evidence: int = 0
    absent: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def add_chain_problems(self, faults: Sequence[ChainProblem]) -> VerifyReport:
        """The chain's faults too; all in the order of files and lines."""
        self.problems += [str(fault) for fault in faults]
        self.problems.sort(key=_sort_key)
        return self


def check_directory(directory: Path, track: ProgressWrapper) -> VerifyReport:
    """Check all files. ReceiptError where there is nothing to check."""
    days = reader.segment_files(directory)
    if not days:
        raise ReceiptError(f"{directory} holds no receipts", hint="autorouter serve writes them")
    report = VerifyReport()
    faults = reader.verify_directory(directory)
    for path in days:
        _check_lines(path, report, faults, track)
    return report.add_chain_problems(faults)


def check_file(path: Path, track: ProgressWrapper) -> VerifyReport:
    """Check one file, of either sort."""
    exported = _read_export(path)
    report = VerifyReport()
    if exported is not None:
        context = exported.pop(EXPORTED_CONTEXT)
        report.files = 1
        check_receipt(exported, context, f"{path.name}:1", report)
        return report
    faults = reader.verify_chain(path)
    _check_lines(path, report, faults, track)
    report.add_chain_problems(faults)
    if not report.receipts and report.ok:
        raise ReceiptError(f"{path} holds no receipts", hint="give a day's .jsonl file, or what `receipt export` wrote")
    return report


def check_receipt(record: dict[str, Any], context: Any, place: str, report: VerifyReport) -> None:
    """Check a receipt that stands alone. What it says of the lines around it can't be known here."""
    report.receipts += 1
    body = {key: value for key, value in record.items() if key != "sum"}
    if record.get("sum") != digest(body):
        report.problems.append(f"{place}: the record doesn't match its sum: it was changed")
    if digest(context) != record.get("context"):
        report.problems.append(f"{place}: the context isn't the one that the receipt names: it was changed")
    else:
        _check_decision(record, context, place, report)


def _read_export(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes() if path.stat().st_size < MAX_EXPORT_BYTES else b""
        document = orjson.loads(data)
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and EXPORTED_CONTEXT in document else None


def _check_lines(path: Path, report: VerifyReport, faults: Sequence[ChainProblem], track: ProgressWrapper) -> None:
    """Make the decisions of a file again. A line that the chain has faulted is counted, and not judged twice."""
    report.files += 1
    contexts: dict[str, Any] = {}
    faulty = {fault.line for fault in faults if fault.file.name == path.name}
    for number, raw in track(_read_lines(path), path.name, sum(1 for _ in _read_lines(path))):
        record = _parse_record(raw)
        kind = record.get("type")
        if kind == "context":
            contexts[str(record.get("digest"))] = record.get("record")
        elif kind == "lost":
            report.lost += record["count"] if isinstance(record.get("count"), int) else 0
        elif kind == "receipt":
            report.receipts += 1
            if number in faulty:
                continue
            context = contexts.get(str(record.get("context")))
            if context is None:
                report.problems.append(f"{path.name}:{number}: its context isn't in the file before it")
            else:
                _check_decision(record, context, f"{path.name}:{number}", report)


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc


def _parse_record(raw: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _check_decision(record: dict[str, Any], context: Any, place: str, report: VerifyReport) -> None:
    if record.get("version") != __version__ or record.get("schema") != RECEIPT_SCHEMA:
        report.other_version += 1
        return
    try:
        again = canonical_json(replay_decision(record, context))
        recorded = canonical_json(record["decision"])
    except _MALFORMED_RECORD_ERRORS as exc:
        report.problems.append(f"{place}: the decision can't be made again: {type(exc).__name__}")
        return
    if again == recorded:
        report.decided += 1
    else:
        report.problems.append(f"{place}: the decision made again differs in {_difference(again, recorded)}")


def _difference(again: bytes, recorded: bytes) -> str:
    """The members of the decision that differ."""
    one, other = orjson.loads(again), orjson.loads(recorded)
    if not isinstance(other, dict):
        return "everything"
    return ", ".join(sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))) or "its form"


def _sort_key(problem: str) -> tuple[str, int]:
    """Sorts by file and by line."""
    name, _, rest = problem.partition(":")
    line = rest.partition(":")[0]
    return name, int(line) if line.isdigit() else 0
