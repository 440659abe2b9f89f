"""The segment that is being written: the day's file, the end of its chain, and `.head` beside it.

segment.roll_over("2026-07-02.jsonl")      a new day: seq starts at 0, `prev` goes on
batch = segment.new_batch()               -> batch.add(payload) … -> segment.append(batch): all of its lines, or none
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autorouter.receipts.chain import HEAD_FILE, canonical_json, digest, seal_line
from autorouter.receipts.recovery import RecoveredChain, open_private

_HEAD_BYTES = 160
"""Longer than any head, so that a shorter one covers what was there."""


@dataclass(slots=True, kw_only=True)
class SegmentBatch:
    """Lines to append, and the end of the chain once they are written."""

    seq: int
    prev: str
    contexts: set[str]
    lines: list[bytes] = field(default_factory=list)

    def add(self, payload: Any) -> None:
        """Seal one more line. A payload that can't be sealed is a ReceiptError, and changes nothing."""
        line = seal_line(payload, self.seq, self.prev)
        self.seq, self.prev = self.seq + 1, digest(line)
        self.lines.append(line)


class Segment:
    """Continues the chain that `recover` read. Methods raise OSError; only one thread may call them at a time."""

    def __init__(self, directory: Path, recovered: RecoveredChain) -> None:
        self.name, self.seq, self.prev, self.contexts = (
            recovered.name,
            recovered.seq,
            recovered.prev,
            set(recovered.contexts),
        )
        self._directory = directory
        self._head_fd = open_private(directory / HEAD_FILE, os.O_WRONLY)
        self._fd: int | None = self._open(recovered.name) if recovered.name else None

    def roll_over(self, name: str) -> None:
        """Open the next day's file once that day has begun. A clock that is set back doesn't reopen an older file."""
        if name > self.name:
            fd = self._open(name)
            self._close_file()
            self._fd, self.name, self.seq, self.contexts = fd, name, 0, set()

    def new_batch(self) -> SegmentBatch:
        return SegmentBatch(seq=self.seq, prev=self.prev, contexts=set(self.contexts))

    def append(self, batch: SegmentBatch) -> None:
        """Write the batch's lines together. If the disk is full, a partial write is truncated again."""
        if self._fd is None or not batch.lines:
            return
        start = os.lseek(self._fd, 0, os.SEEK_END)
        data = memoryview(b"\n".join([*batch.lines, b""]))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self.seq, self.prev, self.contexts = batch.seq, batch.prev, batch.contexts
        self._write_head()

    def close(self) -> None:
        self._close_file()
        os.close(self._head_fd)

    def _write_head(self) -> None:
        head = canonical_json({"file": self.name, "seq": self.seq - 1, "digest": self.prev})
        try:
            os.lseek(self._head_fd, 0, os.SEEK_SET)
            os.write(self._head_fd, head.ljust(_HEAD_BYTES) + b"\n")
        except OSError:
            pass  # the lines are written; an older head claims less, and nothing that is false

    def _open(self, name: str) -> int:
        return open_private(self._directory / name, os.O_WRONLY | os.O_APPEND)

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
