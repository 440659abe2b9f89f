"""Recovery: continuing the chain of an earlier process, which may have been killed in mid-write.

2026-07-01.jsonl   …whole line⏎…whole line⏎{"attempts":[{"mod        ->  …whole line⏎…whole line⏎
                                                                         2026-07-01.torn-1: {"attempts":[{"mod
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autorouter.errors import ReceiptError
from autorouter.receipts.chain import (
    GENESIS,
    Record,
    digest,
    last_digest,
    parse_line,
    raw_lines,
    read_head,
    segment_files,
)

if sys.platform != "win32":
    import fcntl

_PRIVATE = 0o600
_CONTEXT = b'"type":"context"'
_TAIL_BYTES = 8 * 1024 * 1024
"""Some thousand receipts: 10 ms."""
_TAIL_LINES = 64
"""So many lines are kept to find the last whole record among; a kill breaks one."""
_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredChain:
    """Where the chain continues: the newest file's `name` ("" for none), the next `seq`, the last line's digest, the
    contexts that the file holds, and the record that reports a repair."""

    name: str = ""
    seq: int = 0
    prev: str = GENESIS
    contexts: frozenset[str] = frozenset()
    report: Record | None = None


def open_private(path: Path, flags: int) -> int:
    """A file descriptor; a new file is created with mode 0600."""
    return os.open(path, flags | os.O_CREAT | _BINARY, _PRIVATE)


def lock_directory(directory: Path) -> int:
    """Create the directory (0700) and lock it until the descriptor is closed or the process dies. ReceiptError when
    another process holds it. Windows has no flock: there nothing prevents a second writer."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = open_private(directory / ".lock", os.O_RDWR)
    except OSError as exc:
        raise ReceiptError(f"{directory} can't be written: {exc.strerror}", hint="set [receipts].dir") from exc
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _lock_holder(fd)
            os.close(fd)
            hint = f"stop {f'process {holder}' if holder else 'the other one'}, or set [receipts].dir"
            raise ReceiptError(f"another autorouter writes receipts in {directory}", hint=hint) from exc
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    return fd


def unclean_shutdown_pid(directory: Path) -> str | None:
    """The id of the last process that wrote here, if it ended without closing. Call before `lock_directory`."""
    try:
        pid = (directory / ".lock").read_bytes().strip()
    except OSError:
        return None
    return pid.decode() if pid.isdigit() else None


def _lock_holder(fd: int) -> str | None:
    """The id of the process that holds the lock, which it wrote into the file."""
    pid = os.read(fd, 20).strip()
    return pid.decode() if pid.isdigit() else None


def recover(directory: Path) -> RecoveredChain:
    """Read the newest file's last `_TAIL_BYTES`, and move what follows its last whole record to a file of its own. A context
    in front of them counts as missing, and is written once more."""
    days = segment_files(directory)
    if not days:
        return RecoveredChain()
    newest = days[-1]
    contexts: set[str] = set()
    ends: deque[tuple[int, bytes]] = deque(maxlen=_TAIL_LINES)
    for end, raw in _tail_lines(newest):
        ends.append((end, raw))
        if _CONTEXT in raw and (record := _complete_record(raw)) and record.get("type") == "context":
            contexts.add(str(record.get("digest")))
    good_bytes, last = _last_record(newest, ends)
    all_bytes = newest.stat().st_size
    tail = parse_line(last)
    seq = tail["seq"] + 1 if tail else 0
    return RecoveredChain(
        name=newest.name,
        seq=seq,
        prev=digest(last[:-1]) if last else _last_digest_of(days[:-1]),
        contexts=frozenset(contexts),
        report=_report(newest, good_bytes, all_bytes - good_bytes, _missing_lines(newest, seq)),
    )


def _tail_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset of its end, line) of the last lines. Only the tail is read, so that a busy day doesn't slow the start."""
    try:
        with path.open("rb") as file:
            at = max(0, path.stat().st_size - _TAIL_BYTES)
            file.seek(at)
            if at:
                at += len(file.readline())
            for raw in file:
                at += len(raw)
                yield at, raw
    except OSError as exc:
        raise ReceiptError(f"{path} can't be read: {exc.strerror}") from exc


def _last_record(newest: Path, ends: Iterable[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Where the last whole record ends, and its line; (0, b"") where there is none. A file whose last lines are all
    broken is read from its beginning."""
    complete = [(end, raw) for end, raw in ends if _complete_record(raw) is not None]
    if complete:
        return complete[-1]
    end, last = 0, (0, b"")
    for _, raw in raw_lines(newest):
        end += len(raw)
        if _complete_record(raw) is not None:
            last = (end, raw)
    return last


def _complete_record(raw: bytes) -> Record | None:
    return parse_line(raw) if raw.endswith(b"\n") else None


def _last_digest_of(earlier: list[Path]) -> str:
    return next((last for path in reversed(earlier) if (last := last_digest(path))), GENESIS)


def _missing_lines(newest: Path, next_seq: int) -> int:
    """Lines that `.head` counts and the file lacks, as after a power cut: lines are not synced to the disk."""
    head = read_head(newest.parent)
    return max(0, head["seq"] + 1 - next_seq) if head and head.get("file") == newest.name else 0


def _report(path: Path, good_bytes: int, torn_bytes: int, missing_lines: int) -> Record | None:
    if not torn_bytes and not missing_lines:
        return None
    torn_file = _save_torn_tail(path, good_bytes) if torn_bytes else None
    return {
        "type": "recovered",
        "file": path.name,
        "torn_bytes": torn_bytes,
        "torn_file": torn_file,
        "missing_lines": missing_lines,
    }


def _save_torn_tail(path: Path, good_bytes: int) -> str:
    """Copy what follows the good bytes to `DAY.torn-<n>`, and only then truncate the file."""
    n = 1
    while (torn := path.with_suffix(f".torn-{n}")).exists():
        n += 1
    with path.open("rb+") as file, open(open_private(torn, os.O_WRONLY), "wb") as aside:
        file.seek(good_bytes)
        aside.write(file.read())
        aside.flush()
        file.truncate(good_bytes)
    return torn.name
