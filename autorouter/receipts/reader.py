"""Receipts on disk, for those who read them. `Writer` and the chain's checks are re-exported: this is the one door.

A directory holds one file per UTC day, each line one record (its fields: chain.py):

    2026-07-01.jsonl          {"type":"context","digest":"sha256:ab…","record":{…},…}
                              {"type":"receipt","id":"r-01","context":"sha256:ab…",…}
    2026-07-02.jsonl
    2026-07-02.torn-1         what a killed process left of its last line
    .head  .lock              the last line's digest; held by the process that writes

Reading takes no lock, skips what isn't a record (saying so is `verify_directory`'s work) and never changes a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autorouter.errors import ReceiptError
from autorouter.receipts.canonical import canonical_json, digest
from autorouter.receipts.chain import (
    GENESIS,
    ChainProblem,
    Record,
    parse_line,
    raw_lines,
    segment_files,
    verify_chain,
    verify_directory,
)
from autorouter.receipts.writer import ReceiptWriter
from autorouter.suggest import close_matches

__all__ = [
    "GENESIS",
    "ChainProblem",
    "Record",
    "ReceiptWriter",
    "read_context",
    "segment_files",
    "find_receipt",
    "latest_receipts",
    "read_records",
    "verify_chain",
    "verify_directory",
]

_RECEIPT = b'"type":"receipt"'
_SHOWN = 5


def read_records(path: Path) -> Iterator[tuple[int, Record, bytes]]:
    """(line number from 1, record, the line without newline) of each whole line; a line that isn't a record is a
    ReceiptError. A last line without an end is left out: it may be being written just now."""
    for number, raw in raw_lines(path):
        if not raw.endswith(b"\n"):
            return
        line = raw[:-1]
        record = parse_line(line)
        if record is None:
            raise ReceiptError(f"{path.name}:{number} isn't a record", hint="run: autorouter receipt verify")
        yield number, record, line


def latest_receipts(directory: Path, n: int) -> list[Record]:
    """The newest `n` receipts, newest first."""
    found: list[Record] = []
    for path in reversed(segment_files(directory)):
        if len(found) >= n:
            break
        lines = deque((raw for _, raw in raw_lines(path) if _RECEIPT in raw), maxlen=n - len(found))
        found += [record for raw in reversed(lines) if (record := _typed(raw, "receipt"))]
    return found


def find_receipt(directory: Path, id_prefix: str) -> Record:
    """The receipt with this id, or the only one whose id starts so. Costs one pass over the files, newest first:
    about 1 us per line."""
    needle = b'"id":' + canonical_json(id_prefix)[:-1]
    found: dict[str, Record] = {}
    for path in reversed(segment_files(directory)):
        for record in _matching(path, needle, "receipt"):
            receipt_id = record.get("id")
            if isinstance(receipt_id, str) and receipt_id.startswith(id_prefix):
                found.setdefault(receipt_id, record)
        if id_prefix in found:
            return found[id_prefix]
    if len(found) != 1:
        raise _not_one(directory, id_prefix, list(found))
    return next(iter(found.values()))


def read_context(place: Path, context_digest: str) -> Any:
    """The record that receipts refer to by this digest, looked for in one file or in a directory, newest first."""
    needle = canonical_json(context_digest)
    for path in reversed(segment_files(place)) if place.is_dir() else [place]:
        for record in _matching(path, needle, "context"):
            if record.get("digest") == context_digest == digest(record.get("record")):
                return record["record"]
    raise ReceiptError(f"no context {context_digest} in {place}", hint="its file may have been deleted")


def _typed(raw: bytes, record_type: str) -> Record | None:
    record = parse_line(raw)
    return record if record and record.get("type") == record_type else None


def _matching(path: Path, needle: bytes, record_type: str) -> Iterator[Record]:
    """Records of a type whose line contains `needle`; looking before parsing is what makes a search fast."""
    for _, raw in raw_lines(path):
        if needle in raw and (record := _typed(raw, record_type)):
            yield record


def _not_one(directory: Path, id_prefix: str, ids: list[str]) -> ReceiptError:
    if ids:
        shown = ", ".join(ids[:_SHOWN]) + (" …" if len(ids) > _SHOWN else "")
        return ReceiptError(f"{len(ids)} receipts start with {id_prefix!r}: {shown}", hint="give more of the id")
    recent = [str(record.get("id")) for record in latest_receipts(directory, 1000)]
    near = close_matches(id_prefix, recent, limit=_SHOWN, cutoff=0.5) or recent[:_SHOWN]
    hint = f"near: {', '.join(near)}" if near else f"{directory} holds no receipts"
    return ReceiptError(f"no receipt {id_prefix!r}", hint=hint)


def receipt_summary(record: dict[str, Any]) -> dict[str, Any]:
    """A receipt as one row of a list. Raises KeyError or TypeError for a record that isn't a receipt of this version."""
    outcome, decision = record["outcome"], record["decision"]
    return {
        "id": record["id"],
        "at": record["at"],
        "label": decision["label"],
        "kind": record["features"]["kind"],
        "strategy": outcome["strategy"],
        "candidate": outcome["candidate"],
        "result": outcome["result"],
        "status": outcome["status"],
        "attempts": len(record["attempts"]),
        "cost_usd": outcome["cost_usd"],
        "seconds": outcome["seconds"],
    }
