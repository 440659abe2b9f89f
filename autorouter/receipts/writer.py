"""The writer of receipts: `put` costs the request a fraction of a microsecond; the rest is done off its path.

    put(build) -> deque -> work() or the thread: build() -> seal -> draft -> thread: one os.write per batch -> .head

Whoever has an event loop may call `work` in it when a few records wait: building in the loop's own thread costs half of
what two threads cost that take the GIL from each other. What nobody builds, the thread does at its next flush.

Nothing is lost in silence. What can't be written is counted in `dropped` and said in the file as soon as that works:

    {"type":"lost","count":3,"reason":"the queue was full, the writer closed or the disk refused",…}
    {"type":"lost","count":1,"reason":"KeyError at recorder.py:88",…}     a builder raised
    {"type":"recovered","file":"2026-07-01.jsonl","torn_bytes":812,"torn_file":"2026-07-01.torn-1","missing_lines":0,…}

The last is said at start when a process was killed in mid-write. Reasons never quote values: these may be a prompt's.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autorouter.errors import ReceiptError, exception_site
from autorouter.receipts.canonical import digest
from autorouter.receipts.chain import Record
from autorouter.receipts.recovery import lock_directory, recover
from autorouter.receipts.segment import Segment, SegmentBatch

_BATCH = 256
"""Records per os.write: 1 MB of typical receipts."""
_DRAFT_LINES = 64
"""So many built lines aren't kept waiting for the next flush: half a megabyte."""
_CONTEXTS = 16
"""Contexts kept for the next file; a change of configuration adds one."""
RecordBuilder = Callable[[], Record]


class ReceiptWriter:
    """Appends to the day's file in `directory`, from a thread of its own, until `close`.

    `clock` gives seconds since the epoch. A record waits at most about `flush_s`. ReceiptError when another process
    writes there, or when the directory can't be used. `problem` says what the disk answered when it refused.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float],
        flush_s: float = 0.05,
        max_pending: int = 10_000,
        fsync: bool = False,
    ) -> None:
        self.dropped = 0
        self.problem: str | None = None
        self._clock, self._flush_s, self._max_pending = clock, flush_s, max_pending
        self._pending: deque[RecordBuilder | threading.Event] = deque()
        self._contexts: dict[str, Any] = {}
        self._said = 0
        self._count_lock = threading.Lock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._closing = False
        self._draft: SegmentBatch | None = None
        self._draft_unsaid = 0
        self._waiting: list[threading.Event] = []
        self._at_page = threading.Lock()
        self._lock_fd = lock_directory(directory)
        try:
            self._page = self._first_page(directory, fsync)
        except OSError as exc:
            os.close(self._lock_fd)
            raise ReceiptError(f"{directory} can't be written: {exc.strerror}", hint="set [receipts].dir") from exc
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._thread = threading.Thread(target=self._run, name="receipts", daemon=True)
        self._thread.start()

    @property
    def seq(self) -> int:
        """The number the next line of the file gets."""
        return self._page.seq

    @property
    def last_digest(self) -> str:
        """Digest of the last line on disk, of an earlier file when this one is empty; GENESIS when there is none."""
        return self._page.prev

    def put(self, build: RecordBuilder) -> None:
        """Hands over a builder of a record; returns at once (0.2 us) and never raises."""
        if self._closing or len(self._pending) >= self._max_pending:
            self._drop(1)
            return
        self._pending.append(build)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def backlog(self) -> int:
        """Builders that wait."""
        return len(self._pending)

    def work(self, most: int) -> None:
        """Build up to `most` waiting records now, in the calling thread; nothing when the writer is at it just then."""
        if self._at_page.acquire(blocking=False):
            try:
                self._build(most)
                if self._draft is not None and len(self._draft.lines) >= _DRAFT_LINES:
                    self._hurry.set()
            finally:
                self._at_page.release()

    def context(self, context_digest: str, record: Any) -> None:
        """Keeps what receipts refer to as `"context": context_digest`; written once per file, before the first that
        does. The digest is that of the record, else ReceiptError: a receipt couldn't be run again."""
        if digest(record) != context_digest:
            raise ReceiptError(f"{context_digest} isn't the digest of this context", hint="digest(record) is")
        self._contexts.pop(context_digest, None)  # the newest stands last, and the oldest goes first
        self._contexts[context_digest] = record
        while len(self._contexts) > _CONTEXTS:
            del self._contexts[next(iter(self._contexts))]

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything put before is on disk (or counted as dropped); False when that takes too long."""
        if not self._thread.is_alive():
            return not self._pending
        written = threading.Event()
        self._pending.append(written)
        self._hurry.set()
        self._wake.set()
        return written.wait(timeout_s)

    def close(self) -> None:
        """Writes what is pending and lets go of the directory. May be called again, and from atexit."""
        with self._count_lock:
            first, self._closing = not self._closing, True
        if first:
            self._hurry.set()
            self._wake.set()
            self._thread.join()
            self._drain()  # what was put between the thread's last look and `_closing`
            self._page.close()
            os.ftruncate(self._lock_fd, 0)  # nobody was killed
            os.close(self._lock_fd)

    def _first_page(self, directory: Path, fsync: bool) -> Segment:
        """Takes up the chain where the newest file ends, and says what had to be moved aside for it."""
        left = recover(directory)
        page = Segment(directory, left, fsync=fsync)
        page.turn(self._today())
        if left.report:
            draft = page.draft()
            draft.add({**left.report, "at_s": self._clock()})
            page.append(draft)
        return page

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d.jsonl")

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait()
            self._hurry.wait(self._flush_s)  # lets a batch gather, unless someone waits for it
            closing = self._closing
            self._hurry.clear()
            self._wake.clear()  # before the draining: what is put from here on wakes the thread again
            self._drain()

    def _drain(self) -> None:
        """Build and write what waits now. What comes meanwhile is left to `work`, or to the next flush: a thread that went
        on as long as something came would build everything itself, and fight the loop for the GIL all the while."""
        with self._at_page:
            left = len(self._pending)
            while left > 0 or self._draft or self.dropped > self._said:
                self._build(min(_BATCH, left))
                left -= _BATCH
                self._append()
                for waiting in self._waiting:
                    waiting.set()
                self._waiting.clear()
                if self.problem:
                    return

    def _build(self, most: int) -> None:
        """Build into the draft; without one the disk refuses, and what waited is counted as dropped."""
        try:
            draft = self._open_draft()
        except OSError as exc:
            self.problem, draft = exc.strerror, None
        for _ in range(min(most, len(self._pending))):
            item = self._pending.popleft()
            if isinstance(item, threading.Event):
                self._waiting.append(item)
            elif draft is None:
                self._drop(1)
            else:
                self._add(draft, item)

    def _open_draft(self) -> SegmentBatch:
        """The draft of today's page; yesterday's is written out first."""
        today = self._today()
        if self._draft is not None and today > self._page.name:
            self._append()
        if self._draft is None:
            self._page.turn(today)
            self._draft = self._page.draft()
            self._draft_unsaid = self.dropped - self._said
            if self._draft_unsaid:
                reason = "the queue was full, the writer closed or the disk refused"
                lost = {"type": "lost", "count": self._draft_unsaid, "reason": reason, "at_s": self._clock()}
                self._draft.add(lost)
        return self._draft

    def _append(self) -> None:
        """Write the draft; what the disk refuses is counted and said later."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        try:
            self._page.append(draft)
            self._said += self._draft_unsaid
            self.problem = None
        except OSError as exc:
            self.problem = exc.strerror
            self._drop(len(draft.lines) - (1 if self._draft_unsaid else 0))

    def _add(self, draft: SegmentBatch, build: RecordBuilder) -> None:
        """The builder's record, after the context it refers to when this file hasn't got that yet."""
        try:
            record = build()
            name: Any = record.get("context")
            context = self._contexts.get(name) if name not in draft.contexts else None
            if context is not None:
                draft.add({"type": "context", "digest": name, "record": context})
                draft.contexts.add(name)
            draft.add(record)
        except Exception as exc:
            # Not the message of a foreign exception: it may quote what was being recorded.
            reason = exc.message if isinstance(exc, ReceiptError) else exception_site(exc, frames=1)
            draft.add({"type": "lost", "count": 1, "reason": reason, "at_s": self._clock()})

    def _drop(self, count: int) -> None:
        with self._count_lock:
            self.dropped += count
