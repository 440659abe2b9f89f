"""Evidence files: what a command found, sealed, with the receipts of the requests that it made.

    eval-20261121T011400Z.json    {"type":"evidence","schema":"autorouter.evidence.v1","kind":"eval",…,"sum":"sha256:…"}
    eval-20261121T011400Z.md      the page that was printed

Canonical JSON, one line; `sum` is the digest of all the rest, `page` that of the Markdown beside it. `receipts` names the
requests by id and by the sum of their line in a day's file. Prompts and answers stand in it as digests only.

`receipt verify` checks such a file and the receipts that it names. A receipt is looked up in the day files beside the
evidence, then in the receipts' folder; its line must be the one that is named, and its decision is made again. Receipts
in neither folder are counted, not reported as problems: old days may have been deleted, or the evidence sent elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from autorouter import __version__
from autorouter.errors import ReceiptError
from autorouter.receipts import reader
from autorouter.receipts.chain import canonical_json, digest
from autorouter.receipts.verify import VerifyReport, check_receipt

SCHEMA = "autorouter.evidence.v1"
TYPE = "evidence"
MAX_EVIDENCE_BYTES = 256 * 1024 * 1024
DRY_RUN_NOTICE = (
    "Dry run: the answers are made up here. This proves orchestration, not quality; no cost in it was paid."
)
"""On every page of a dry run."""


def build_document(kind: str, *, now_s: float, dry_run: bool, context: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """An evidence document, unsealed. `context`: the digest of policy and candidates in force."""
    return {
        "type": TYPE,
        "schema": SCHEMA,
        "kind": kind,
        "at": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "version": __version__,
        "dry_run": dry_run,
        "proves": "orchestration" if dry_run and kind != "eval" else "what it measured",
        "context": context,
        **found,
    }


def seal_document(found: Mapping[str, Any], page: str, plot: str | None = None) -> dict[str, Any]:
    """The document with the digests of its page, of its picture and of itself."""
    whole = {key: value for key, value in found.items() if key != "sum"} | {"page": digest(page.encode())}
    whole["plot"] = digest(plot.encode()) if plot is not None else None
    return {**whole, "sum": digest(whole)}


def reserve_path(directory: Path, kind: str, at: str) -> Path:
    """The path of a new evidence file, NAME-TIME.json, made empty so that it is ours. ReceiptError where that fails."""
    stem = f"{kind}-{at.replace('-', '').replace(':', '')}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, 1_000):
            path = directory / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                return path
            except FileExistsError:
                continue
    except OSError as exc:
        raise _unwritable(directory, exc) from exc
    raise ReceiptError(f"{directory} holds a thousand files of this second", hint="give --out DIR")


def write_evidence(path: Path, found: Mapping[str, Any], page: str, plot: str | None = None) -> dict[str, Any]:
    """Write the sealed document, its page and its picture side by side, for their owner alone; the sealed document."""
    whole = seal_document(found, page, plot)
    try:
        _put(path, canonical_json(whole) + b"\n")
        _put(path.with_suffix(".md"), page.encode())
        if plot is not None:
            _put(path.with_suffix(".svg"), plot.encode())
    except OSError as exc:
        raise _unwritable(path.parent, exc) from exc
    return whole


def _unwritable(directory: Path, exc: OSError) -> ReceiptError:
    return ReceiptError(f"{directory} can't be written: {exc.strerror}", hint="give --out DIR")


def _put(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def parse_evidence(data: bytes) -> dict[str, Any] | None:
    """The evidence document in a file's bytes, None if they are something else."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and found.get("type") == TYPE else None


def document_problems(found: Mapping[str, Any], data: bytes, path: Path) -> list[str]:
    """What is wrong with an evidence file in itself, and with the page and the picture where they lie beside it."""
    problems = []
    body = {key: value for key, value in found.items() if key != "sum"}
    if found.get("schema") != SCHEMA:
        problems.append(f"the schema isn't {SCHEMA}")
    if canonical_json(found) != data.rstrip(b"\n"):
        problems.append("the file isn't canonical JSON: it was changed")
    if found.get("sum") != digest(body):
        problems.append("the document doesn't match its sum: it was changed")
    for member, ending in (("page", ".md"), ("plot", ".svg")):
        beside = path.with_suffix(ending)
        if found.get(member) is not None and beside.is_file() and digest(beside.read_bytes()) != found[member]:
            problems.append(f"{beside.name} isn't the file that was written with it: it was changed")
    return problems


def receipt_references(directory: Path | None, ids: Iterable[str]) -> list[dict[str, str | None]]:
    """The ids with the sums of their lines, in the order given; None where no file of the folder holds the receipt."""
    unique_ids = list(dict.fromkeys(ids))
    records = find_records(directory, unique_ids) if directory is not None else {}
    return [{"id": name, "sum": records[name][1].get("sum") if name in records else None} for name in unique_ids]


def find_records(directory: Path, ids: Iterable[str]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Receipts by id, each with its day's file; newest files first, until all are there."""
    missing = set(ids)
    records: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in reversed(reader.segment_files(directory)):
        if not missing:
            break
        for _, record, _ in reader.read_records(path):
            name = record.get("id")
            if record.get("type") == "receipt" and name in missing:
                missing.discard(name)
                records[name] = (path, record)
    return records


def read_evidence(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """The evidence in a file with its bytes, None where it is another sort of file."""
    if path.suffix != ".json":
        return None
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_EVIDENCE_BYTES else b""
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc
    found = parse_evidence(data)
    return None if found is None else (found, data)


def verify_evidence(path: Path, found: Mapping[str, Any], data: bytes, folder: Path | None) -> VerifyReport:
    """Check an evidence file and those of its receipts that are at hand; `folder` is the configured receipts folder."""
    report = VerifyReport(files=1, evidence=1)
    for reason in document_problems(found, data, path):
        report.add_problem(path.name, 1, reason)
    named = _receipts_named(found)
    if named is None:
        report.add_problem(path.name, 1, "`receipts` isn't a list of ids and sums")
        return report
    checked: set[Path] = set()
    for directory in dict.fromkeys((path.parent, *([folder] if folder else []))):
        records = find_records(directory, named)
        for day in sorted({day for day, _ in records.values()} - checked):
            checked.add(day)
            report.add_chain_problems(reader.verify_chain(day))
        for name, (day, record) in records.items():
            if named.pop(name) not in (None, record.get("sum")):
                report.add_problem(path.name, 1, f"receipt {name} in {day.name} isn't the one that is named")
            context = reader.read_context(day, str(record.get("context")))
            check_receipt(record, context, report, file=name, line=None)
    report.absent = len(named)
    return report


def _receipts_named(found: Mapping[str, Any]) -> dict[str, str | None] | None:
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
