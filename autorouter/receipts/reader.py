"""Reads receipts from disk. `ReceiptWriter` and the chain's checks are re-exported, so that callers import one module.

A directory holds one file per UTC day, each line one record (its fields: chain.py):

    2026-07-01.jsonl          {"type":"context","digest":"sha256:ab…","record":{…},…}
                              {"type":"receipt","id":"r-01","context":"sha256:ab…",…}
    2026-07-02.jsonl
    2026-07-02.torn-1         the torn last line of a killed process
    .head  .lock              the last line's digest; held by the process that writes

Reading takes no lock and never changes a file. Lines that aren't records are skipped; `verify_directory` reports them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autorouter.errors import ReceiptError
from autorouter.receipts.chain import (
    GENESIS,
    ChainProblem,
    Record,
    canonical_json,
    digest,
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
    "ReceiptWriter",
    "Record",
    "find_receipt",
    "latest_receipts",
    "read_context",
    "read_records",
    "segment_files",
    "verify_chain",
    "verify_directory",
]

_RECEIPT = b'"type":"receipt"'
_MAX_IDS_SHOWN = 5


def read_records(path: Path) -> Iterator[tuple[int, Record, bytes]]:
    """(line number from 1, record, the line without newline) of each whole line; a line that isn't a record is a
    ReceiptError. An incomplete last line is left out: it may be being written right now."""
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
    receipts: list[Record] = []
    for path in reversed(segment_files(directory)):
        if len(receipts) >= n:
            break
        lines = deque((raw for _, raw in raw_lines(path) if _RECEIPT in raw), maxlen=n - len(receipts))
        receipts += [record for raw in reversed(lines) if (record := _parse_typed(raw, "receipt"))]
    return receipts


def find_receipt(directory: Path, id_prefix: str) -> Record:
    """The receipt with this id, or the only one whose id starts with it. Costs one pass over the files, newest first:
    about 1 us per line."""
    needle = b'"id":' + canonical_json(id_prefix)[:-1]
    matches: dict[str, Record] = {}
    for path in reversed(segment_files(directory)):
        for record in _matching(path, needle, "receipt"):
            receipt_id = record.get("id")
            if isinstance(receipt_id, str) and receipt_id.startswith(id_prefix):
                matches.setdefault(receipt_id, record)
        if id_prefix in matches:
            return matches[id_prefix]
    if len(matches) != 1:
        raise _no_unique_match(directory, id_prefix, list(matches))
    return next(iter(matches.values()))


def read_context(source: Path, context_digest: str) -> Any:
    """The record that receipts refer to by this digest. `source` is a file, or a directory that is searched newest first."""
    needle = canonical_json(context_digest)
    for path in reversed(segment_files(source)) if source.is_dir() else [source]:
        for record in _matching(path, needle, "context"):
            if record.get("digest") == context_digest == digest(record.get("record")):
                return record["record"]
    raise ReceiptError(f"no context {context_digest} in {source}", hint="its file may have been deleted")


def _parse_typed(raw: bytes, record_type: str) -> Record | None:
    record = parse_line(raw)
    return record if record and record.get("type") == record_type else None


def _matching(path: Path, needle: bytes, record_type: str) -> Iterator[Record]:
    """Records of a type whose line contains `needle`. Checking the bytes before parsing is what makes a search fast."""
    for _, raw in raw_lines(path):
        if needle in raw and (record := _parse_typed(raw, record_type)):
            yield record


def _no_unique_match(directory: Path, id_prefix: str, ids: list[str]) -> ReceiptError:
    if ids:
        shown = ", ".join(ids[:_MAX_IDS_SHOWN]) + (" …" if len(ids) > _MAX_IDS_SHOWN else "")
        return ReceiptError(f"{len(ids)} receipts start with {id_prefix!r}: {shown}", hint="give more of the id")
    recent = [str(record.get("id")) for record in latest_receipts(directory, 1000)]
    near = close_matches(id_prefix, recent, limit=_MAX_IDS_SHOWN, cutoff=0.5) or recent[:_MAX_IDS_SHOWN]
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
