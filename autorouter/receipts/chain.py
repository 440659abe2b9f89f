"""The hash chain: the format of a line in a day's file, and how a changed, removed, moved or truncated line is detected.

A line is canonical JSON and a newline. Beside its payload it carries four fields of the chain:

    {"id":"r-01","prev":"sha256:9c…","seq":1,"sum":"sha256:4e…",…,"type":"receipt"}

    seq   0, 1, 2 … within the file
    prev  digest of the line before (its bytes without the newline); a file's first line carries the digest of the last
          line of the newest earlier file, or GENESIS
    sum   digest of this record without `sum`, so that a changed byte is found in the last line too
    type  "receipt" | "context" (what receipts refer to by digest) | "lost" | "recovered"

Beside the files is `.head`, rewritten after each write: {"digest":"sha256:4e…","file":"2026-07-01.jsonl","seq":1}.
It reveals whole lines that are missing at the end of the newest file, which the chain itself can't.
The chain detects accidents and partial changes. It doesn't stop an author who rewrites every file and the head.

Canonical JSON: one value, one sequence of bytes, one digest, on every platform.

    {"b": [1, 0.3], "a": "edit"}  --canonical-->  b'{"a":"edit","b":[1,0.3]}'
                                  --digest-->     "sha256:332d…"

UTF-8, keys sorted, no white space, floats in their shortest form that reads back the same. It isn't RFC 8785:
1.0 stays "1.0", so that a number that is read back keeps its type. Nothing is rounded here: what a decision was made
from is kept exactly, and what it computed was rounded where it was computed (core/decision/record.py).
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from autorouter.errors import ReceiptError

RECEIPT_SCHEMA: Final = "autorouter.receipt.v2"
"""The `schema` field of every receipt."""
GENESIS = "sha256:" + "0" * 64
HEAD_FILE = ".head"
_DAY_FILE = re.compile(r"\d{4}-\d\d-\d\d\.jsonl")
_CHAIN_FIELDS = frozenset({"seq", "prev", "sum"})

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainProblem:
    """A broken place of the chain. `line` counts from 1, as editors do."""

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """What verification keeps of a line that is valid by itself."""

    line: int
    seq: int
    prev: str
    digest: str


def seal_line(payload: Mapping[str, Any], seq: int, prev: str) -> bytes:
    """The line for a payload, without newline. A payload without a type is a receipt."""
    if reserved := _CHAIN_FIELDS & payload.keys():
        raise ReceiptError(f"a record can't bring its own {', '.join(sorted(reserved))}")
    record = {"type": "receipt", **payload, "seq": seq, "prev": prev}
    record["sum"] = digest(record)
    return canonical_json(record)


def segment_files(directory: Path) -> list[Path]:
    """The days' files, oldest first; none when there is no such directory."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _DAY_FILE.fullmatch(path.name))


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line with its newline). The last line may lack one: truncated, or being written right now."""
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc


def parse_line(line: bytes) -> Record | None:
    """The record of a line that is a JSON object with a `seq` and a `prev`, else None."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or type(record.get("seq")) is not int or type(record.get("prev")) is not str:
        return None
    return record


def read_head(directory: Path) -> Record | None:
    """The content of `.head`; None when it is missing or unreadable (a copied folder has none)."""
    try:
        head = orjson.loads((directory / HEAD_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return head if isinstance(head, dict) and type(head.get("seq")) is int else None


def verify_directory(directory: Path) -> list[ChainProblem]:
    """Problems of all files and of the links between them. The oldest file may follow one that was deleted since.
    While a writer is running, the newest file's last line may look truncated: it is being written."""
    problems: list[ChainProblem] = []
    head, days = read_head(directory), segment_files(directory)
    prev = None
    for path in days:
        problems += verify_chain(path, prev)
        prev = last_digest(path) or prev
    if head and head.get("file") not in {path.name for path in days}:
        problems.append(
            ChainProblem(file=directory / str(head.get("file")), line=1, reason="the newest file is missing")
        )
    return problems


def last_digest(path: Path) -> str | None:
    """Digest of the last complete line; None when there is none."""
    last = None
    for _, raw in raw_lines(path):
        last = raw if raw.endswith(b"\n") else last
    return digest(last[:-1]) if last else None


def verify_chain(path: Path, prev: str | None = None) -> list[ChainProblem]:
    """Problems of one file, by line. `prev` is the digest that its first line must carry, None to accept any.
    About 30 us per line of 4 kB."""
    head = read_head(path.parent)  # read before the lines: a running writer appends lines, but never removes one
    links: list[_Link] = []
    broken: list[tuple[int, str]] = []
    for number, raw in raw_lines(path):
        link = _link(number, raw)
        if isinstance(link, str):
            broken.append((number, link))
        else:
            links.append(link)
    problems = [*broken, *_order_problems(links), *_gap_problems(links, [number for number, _ in broken], prev)]
    if head and head.get("file") == path.name:
        problems += _end_problems(links, len(links) + len(broken), bool(broken), head)
    return [ChainProblem(file=path, line=line, reason=reason) for line, reason in sorted(problems)]


def _link(number: int, raw: bytes) -> _Link | str:
    """The line's link, or what is wrong with the line itself."""
    if not raw.endswith(b"\n"):
        return f"the line is cut off after {len(raw)} bytes"
    line = raw[:-1]
    record = parse_line(line)
    if record is None:
        return "the line isn't a record"
    if canonical_json(record) != line:
        return "the line isn't canonical JSON: it was changed"
    if record.pop("sum", None) != digest(record):
        return "the record doesn't match its sum: it was changed"
    return _Link(line=number, seq=record["seq"], prev=record["prev"], digest=digest(line))


def _order_problems(links: list[_Link]) -> Iterator[tuple[int, str]]:
    """Two swapped lines are exactly the two whose seq isn't the one of their rank."""
    for link, expected in zip(links, sorted(link.seq for link in links), strict=True):
        if link.seq != expected:
            yield link.line, f"the line is out of place: seq {link.seq} stands where {expected} belongs"


def _gap_problems(links: list[_Link], broken: list[int], first_prev: str | None) -> Iterator[tuple[int, str]]:
    """Missing and repeated lines, and links to a line that was replaced. A broken line explains a gap around it."""
    expected_seq, expected_prev, line_before = 0, first_prev, 0
    for link in sorted(links, key=lambda link: link.seq):
        if link.seq < expected_seq:
            yield link.line, f"seq {link.seq} is there twice"
            continue
        if link.seq > expected_seq:
            if bisect_right(broken, line_before) == bisect_right(broken, link.line):
                yield (
                    link.line,
                    f"{link.seq - expected_seq} line(s) before this one are missing, from seq {expected_seq}",
                )
        elif expected_prev is not None and link.prev != expected_prev:
            before = f"seq {link.seq - 1}" if link.seq else "the file before"
            yield link.line, f"the line doesn't follow the last line of {before}: one of them was replaced or cut"
        expected_seq, expected_prev, line_before = link.seq + 1, link.digest, link.line


def _end_problems(links: list[_Link], lines: int, any_broken: bool, head: Record) -> Iterator[tuple[int, str]]:
    by_seq = {link.seq: link for link in links}
    at_head, newest = by_seq.get(head["seq"]), max(by_seq, default=-1)
    if at_head is not None and at_head.digest != head.get("digest"):
        yield at_head.line, "the line isn't the one that was written: it was replaced"
    elif newest < head["seq"] and not any_broken:
        yield lines, f"{head['seq'] - newest} line(s) after this one are missing"


_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS  # orjson wouldn't sort a dataclass's fields


def canonical_json(obj: object) -> bytes:
    """`obj`, a plain JSON value, as canonical JSON. ReceiptError for what JSON can't say."""
    try:
        return orjson.dumps(obj, option=_OPTIONS)
    except TypeError as exc:
        raise ReceiptError(f"a value can't be written as canonical JSON: {exc}") from exc


def digest(obj: object) -> str:
    """`"sha256:<64 hex>"` of the bytes, or of any other value's canonical JSON."""
    data = obj if isinstance(obj, bytes) else canonical_json(obj)
    return "sha256:" + hashlib.sha256(data).hexdigest()
