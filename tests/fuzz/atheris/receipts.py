"""Receipts on disk after damage: a good file, changed as the input says.

each 5 bytes   where (2, a share of the file), how (1), how much or which byte (2)
`verify` says so or finds nothing, and never fails; taking the directory up keeps every whole line before the damage
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from autorouter.core.types import Candidate
from autorouter.errors import ReceiptError
from autorouter.receipts import chain, reader
from autorouter.receipts.chain import digest
from autorouter.receipts.recovery import recover
from autorouter.receipts.verify import check_directory, check_file
from autorouter.server.receipts import _summaries
from autorouter.state_file import StateFile
from tests.fuzz.atheris import Target
from tests.fuzz.mutate import mutated, near_body, written

logging.getLogger("autorouter").disabled = "atheris" in sys.modules  # a line for each file that can't be read
_ROOT = Path(__file__).resolve().parents[3]
_PLACE = Path(tempfile.mkdtemp(prefix="autorouter-fuzz-"))
DAY = "2027-01-15.jsonl"
GOLDEN = ("small-talk", "verify-rejected", "panel-ranked", "over-budget")
CANDIDATES = (
    Candidate(id="cheap", upstream="relay", model="vendor/cheap"),
    Candidate(id="strong", upstream="relay", model="vendor/strong"),
)
HEALTH = (
    b'{"schema":"autorouter.health.v1","at":"2026-11-21T01:00:00Z","candidates":{"cheap":{"upstream":"relay","model":"vendor/cheap",'
    b'"health":{"at_s":1800000000.0,"good":41.2,"bad":0.3,"cooldown_until_s":1800000100.0,"cooldown_reason":"server","asked":true,'
    b'"ttft_s":0.6,"throughput_tokens_per_s":80.0,"input_ratio":1.1,"samples":12}},"strong":{"upstream":"x","model":"y","health":{}}}}'
)


@cache
def good_day() -> bytes:
    """A day's file with a few of the golden receipts, each behind its context, sealed anew."""
    lines: list[bytes] = []
    for name in GOLDEN:
        receipt = orjson.loads((_ROOT / "receipts" / f"{name}.json").read_bytes())
        context = receipt.pop("context_record")
        payloads = [{"type": "context", "digest": receipt["context"], "record": context}, receipt]
        for payload in payloads:
            for ours in ("seq", "prev", "sum"):
                payload.pop(ours, None)
            prev = chain.digest(lines[-1]) if lines else chain.GENESIS
            lines.append(chain.seal_line(payload, len(lines), prev))
    return b"".join(line + b"\n" for line in lines)


def damaged(data: bytes) -> bytes:
    """The good file, changed as the input says."""
    found = bytearray(good_day())
    for at in range(0, len(data) - 4, 5):
        place = int.from_bytes(data[at : at + 2], "big") * len(found) // 65_536
        how, more = data[at + 2] % 8, data[at + 3 : at + 5]
        span = int.from_bytes(more, "big")
        match how:
            case 0:
                found[place : place + 1] = more[:1]
            case 1:
                found[place:place] = more
            case 2:
                del found[place : place + span % 64]
            case 3:
                del found[place:]
            case 4:
                found[place:place] = found[max(0, place - span) : place]
            case 5:
                _number(found, place, more)
            case 6:
                end = found.find(b"\n", place) + 1
                found[end:end] = found[: found.find(b"\n") + 1] if end else b""
            case 7:
                found[place : place + span % 8] = (b"null", b"[]", b"{}", b'"x"', b"-1", b"\n", b"1e300", b"\0")[
                    more[0] % 8
                ]
    return bytes(found)


def _number(found: bytearray, place: int, more: bytes) -> None:
    """Another value behind the next colon: damage that leaves the line JSON."""
    start = found.find(b":", place) + 1
    end = min((at for mark in (b",", b"}", b"]") if (at := found.find(mark, start)) > 0), default=0)
    if 0 < start < end:
        values = (
            b"null",
            b"[]",
            b"{}",
            b'"("',
            b"-1",
            b"0",
            b"1e300",
            b"true",
            b"99999999999999",
            b'"openfusion/auto"',
            b"0.5",
        )
        found[start:end] = values[more[0] % len(values)]


def track(lines: Iterable[tuple[int, bytes]], name: str, total: int) -> Iterable[tuple[int, bytes]]:
    """No progress is shown."""
    return lines


def run_receipts(data: bytes) -> None:
    """Verify, read and take up a damaged directory; the head is that of the good file, or damaged too."""
    for old in _PLACE.iterdir():
        old.unlink()
    day, whole = _PLACE / DAY, damaged(data)
    day.write_bytes(whole)
    head = {"digest": chain.digest(good_day().splitlines()[-1]), "file": DAY, "seq": 2 * len(GOLDEN) - 1}
    if data[:1] < b"\x80":
        (_PLACE / chain.HEAD_FILE).write_bytes(orjson.dumps(head) if data[:1] < b"\x60" else data[1:])
    reports = []
    for check in (lambda: check_directory(_PLACE, track), lambda: check_file(day, track)):
        try:
            reports.append(check())
        except ReceiptError:
            continue
    if whole != good_day() and data[:1] < b"\x60":
        assert not any(report.ok for report in reports[:1])
    for line in _summaries(reader.latest_receipts(_PLACE, 10)):
        assert line.keys() >= {"id", "result"}
    _taken_up(day, whole)


def _taken_up(day: Path, whole: bytes) -> None:
    recover(_PLACE)
    kept = day.read_bytes()
    assert whole.startswith(kept)
    aside = b"".join(path.read_bytes() for path in _PLACE.glob("*.torn-*"))
    assert kept + aside == whole
    assert not any(
        chain.parse_line(line) is not None for line in aside.splitlines(keepends=True) if line.endswith(b"\n")
    )


def run_exported(data: bytes) -> None:
    """`receipt verify FILE` on arbitrary bytes. Where byte 0 is 128 or more, the rest says how a good export is changed, and
    sealed anew: else only its sum is judged."""
    if data[:1] >= b"\x80":
        data = _resealed(mutated(orjson.loads(_exports[data[0] % len(_exports)]), data[1:]))
    path = _PLACE / "one.json"
    path.write_bytes(data)
    try:
        check_file(path, track)
    except ReceiptError:
        return


def _resealed(document: Any) -> bytes:
    try:
        context = document["context_record"]
        record = {key: value for key, value in document.items() if key not in ("sum", "context_record")}
        record["context"] = digest(context)
        return orjson.dumps({**record, "sum": digest(record), "context_record": context})
    except (TypeError, KeyError, AttributeError, ReceiptError):
        return written(document)


def run_health(data: bytes) -> None:
    """What an earlier process measured, or nothing. Where byte 0 is 128 or more, the rest says how a good file is changed."""
    if data[:1] >= b"\x80":
        data = near_body(HEALTH, data[1:])
    path = _PLACE / "health.json"
    path.write_bytes(data)
    for name, seen in StateFile(_PLACE, CANDIDATES, clock=lambda: 1.8e9).read().items():
        assert name in ("cheap", "strong")
        assert seen.samples >= 0


_exports = tuple((_ROOT / "receipts" / f"{name}.json").read_bytes() for name in GOLDEN[:2])
_damage = tuple(
    bytes([place, 7, how, how, 3]) + bytes([255 - place, 1, 5, place % 11, 0])
    for how in range(8)
    for place in (0, 90, 200)
)
TARGETS = {
    "receipts": Target(run_receipts, _damage, 100),
    "exported": Target(run_exported, (*_exports, *(bytes([128 + n, 8 * n, n, 2 * n]) for n in range(32))), 20_000),
    "health": Target(run_health, (HEALTH, *(bytes([128, 8 * n, n, 2 * n]) for n in range(32)))),
}
