"""The page that is written on: the day's file, where its chain stands, and `.head` beside it.

page.turn("2026-07-02.jsonl")      a new day: seq starts at 0, `prev` goes on
draft = page.draft()               -> draft.add(payload) … -> page.append(draft): all of its lines, or none
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autorouter.receipts.canonical import canonical_json, digest
from autorouter.receipts.chain import HEAD_FILE, seal_line
from autorouter.receipts.recovery import RecoveredChain, open_private

_HEAD_BYTES = 160
"""Longer than any head, so that a shorter one covers what was there."""


@dataclass(slots=True, kw_only=True)
class SegmentBatch:
    """Lines that go beyond what is on disk, and where the chain would stand with them."""

    seq: int
    prev: str
    contexts: set[str]
    lines: list[bytes] = field(default_factory=list)

    def add(self, payload: Any) -> None:
        """Seals one more line; a payload that can't be one is a ReceiptError, and changes nothing."""
        line = seal_line(payload, self.seq, self.prev)
        self.seq, self.prev = self.seq + 1, digest(line)
        self.lines.append(line)


class Segment:
    """Goes on from what `recover` found. Methods raise OSError; only one thread may call them at a time."""

    def __init__(self, directory: Path, left: RecoveredChain, *, fsync: bool) -> None:
        self.name, self.seq, self.prev, self.contexts = left.name, left.seq, left.prev, set(left.contexts)
        self._directory, self._fsync = directory, fsync
        self._head_fd = open_private(directory / HEAD_FILE, os.O_WRONLY)
        self._fd: int | None = self._open(left.name) if left.name else None

    def turn(self, name: str) -> None:
        """Opens the file of the day when a new one has begun. A clock that goes back turns no page back."""
        if name > self.name:
            fd = self._open(name)
            self._close_file()
            self._fd, self.name, self.seq, self.contexts = fd, name, 0, set()

    def draft(self) -> SegmentBatch:
        return SegmentBatch(seq=self.seq, prev=self.prev, contexts=set(self.contexts))

    def append(self, draft: SegmentBatch) -> None:
        """Writes the draft's lines at once; what a full disk took of them is cut off again."""
        if self._fd is None or not draft.lines:
            return
        start = os.lseek(self._fd, 0, os.SEEK_END)
        data = memoryview(b"\n".join([*draft.lines, b""]))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            if self._fsync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise
        self.seq, self.prev, self.contexts = draft.seq, draft.prev, draft.contexts
        self._mark_head()

    def close(self) -> None:
        self._close_file()
        os.close(self._head_fd)

    def _mark_head(self) -> None:
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
