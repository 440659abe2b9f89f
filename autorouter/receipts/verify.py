"""Verifies receipts: the chain of the lines is whole, and every decision made again equals the recorded one.

    check_directory(dir)   all files and the links between them
    check_file(path)       one day's file, or a receipt that `receipt export` wrote
    check_receipt(...)     one receipt by itself: its sum, its context's digest, its decision

Decisions are compared to the canonical byte. A decision of another `decision_version` isn't made again, as it may rightly
have come out differently; such receipts are counted. The package's version doesn't matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from autorouter.core.decision.decide import DECISION_VERSION
from autorouter.errors import AutorouterError, ReceiptError
from autorouter.receipts import reader
from autorouter.receipts.chain import RECEIPT_SCHEMA, canonical_json, digest
from autorouter.receipts.reader import ChainProblem
from autorouter.receipts.replay import replay_decision

EXPORTED_CONTEXT = "context_record"
"""The member that makes an exported receipt self-contained."""
MAX_EXPORT_BYTES = 16 * 1024 * 1024
"""Far beyond any export: a receipt is about 10 kB, a context about 30 kB."""
ProgressWrapper = Callable[[Iterable[tuple[int, bytes]], str, int], Iterable[tuple[int, bytes]]]
"""Wraps the iteration over a file's lines to show progress; also gets the file's name and its number of lines."""
_MALFORMED_RECORD_ERRORS = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, AutorouterError)
"""What reading a record that this program didn't write can raise."""


@dataclass(frozen=True, slots=True)
class VerifyProblem:
    """Something wrong in a file. `line` counts from 1; None for a receipt that was looked up by its id, in `file`."""

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}" if self.line is None else f"{self.file}:{self.line}: {self.reason}"

    @property
    def position(self) -> tuple[str, int]:
        """Sorts problems by file and line."""
        return self.file, self.line or 0


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """Counts and problems.

    `decided`: decisions made again and equal; `other_version`: receipts whose decision isn't made again, and
    `other_versions` how many of each version; `lost`: receipts that their writer recorded as dropped; `evidence`:
    evidence files; `absent`: receipts that an evidence file names and that are in none of the folders.
    """

    files: int = 0
    receipts: int = 0
    decided: int = 0
    other_version: int = 0
    other_versions: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    evidence: int = 0
    absent: int = 0
    problems: list[VerifyProblem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def add_problem(self, file: str, line: int | None, reason: str) -> None:
        self.problems.append(VerifyProblem(file, line, reason))

    def add_other_version(self, version: str) -> None:
        self.other_version += 1
        self.other_versions[version] = self.other_versions.get(version, 0) + 1

    def add_chain_problems(self, chain_problems: Sequence[ChainProblem]) -> VerifyReport:
        """Add problems of the chain, and sort all by file and line."""
        for problem in chain_problems:
            self.add_problem(problem.file.name, problem.line, problem.reason)
        self.problems.sort(key=lambda problem: problem.position)
        return self


def check_directory(directory: Path, track: ProgressWrapper) -> VerifyReport:
    """Check all files of a folder. ReceiptError when there are none."""
    days = reader.segment_files(directory)
    if not days:
        raise ReceiptError(f"{directory} holds no receipts", hint="autorouter serve writes them")
    report = VerifyReport()
    chain_problems = reader.verify_directory(directory)
    for path in days:
        _check_lines(path, report, chain_problems, track)
    return report.add_chain_problems(chain_problems)


def check_file(path: Path, track: ProgressWrapper) -> VerifyReport:
    """Check one day's file or one exported receipt."""
    exported = _read_export(path)
    report = VerifyReport()
    if exported is not None:
        context = exported.pop(EXPORTED_CONTEXT)
        report.files = 1
        check_receipt(exported, context, report, file=path.name, line=1)
        return report
    chain_problems = reader.verify_chain(path)
    _check_lines(path, report, chain_problems, track)
    report.add_chain_problems(chain_problems)
    if not report.receipts and report.ok:
        raise ReceiptError(f"{path} holds no receipts", hint="give a day's .jsonl file, or what `receipt export` wrote")
    return report


def check_receipt(record: dict[str, Any], context: Any, report: VerifyReport, *, file: str, line: int | None) -> None:
    """Check a single receipt without its neighbours, so without the links of the chain."""
    report.receipts += 1
    body = {key: value for key, value in record.items() if key != "sum"}
    if record.get("sum") != digest(body):
        report.add_problem(file, line, "the record doesn't match its sum: it was changed")
    if digest(context) != record.get("context"):
        report.add_problem(file, line, "the context isn't the one that the receipt names: it was changed")
    else:
        _check_decision(record, context, report, file=file, line=line)


def _read_export(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes() if path.stat().st_size < MAX_EXPORT_BYTES else b""
        document = orjson.loads(data)
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and EXPORTED_CONTEXT in document else None


def _check_lines(
    path: Path, report: VerifyReport, chain_problems: Sequence[ChainProblem], track: ProgressWrapper
) -> None:
    """Make the decisions of a file again. A line with a problem in the chain is counted but not reported twice."""
    report.files += 1
    contexts: dict[str, Any] = {}
    broken = {problem.line for problem in chain_problems if problem.file.name == path.name}
    for number, raw in track(_read_lines(path), path.name, sum(1 for _ in _read_lines(path))):
        record = _parse_record(raw)
        kind = record.get("type")
        if kind == "context":
            contexts[str(record.get("digest"))] = record.get("record")
        elif kind == "lost":
            report.lost += record["count"] if isinstance(record.get("count"), int) else 0
        elif kind == "receipt":
            report.receipts += 1
            if number in broken:
                continue
            context = contexts.get(str(record.get("context")))
            if context is None:
                report.add_problem(path.name, number, "its context isn't in the file before it")
            else:
                _check_decision(record, context, report, file=path.name, line=number)


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


def _check_decision(record: dict[str, Any], context: Any, report: VerifyReport, *, file: str, line: int | None) -> None:
    if record.get("schema") != RECEIPT_SCHEMA or record.get("decision_version") != DECISION_VERSION:
        report.add_other_version(_decision_version(record))
        return
    try:
        again = canonical_json(replay_decision(record, context))
        recorded = canonical_json(record["decision"])
    except _MALFORMED_RECORD_ERRORS as exc:
        report.add_problem(file, line, f"the decision can't be made again: {type(exc).__name__}")
        return
    if again == recorded:
        report.decided += 1
    else:
        report.add_problem(file, line, f"the decision made again differs in {_difference(again, recorded)}")


def _decision_version(record: Mapping[str, Any]) -> str:
    """The version of a decision; before there was one, the package's."""
    number = record.get("decision_version")
    return str(record.get("version", "unknown") if number is None else number)


def _difference(again: bytes, recorded: bytes) -> str:
    """The members of the decision that differ."""
    one, other = orjson.loads(again), orjson.loads(recorded)
    if not isinstance(other, dict):
        return "everything"
    return ", ".join(sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))) or "its form"
