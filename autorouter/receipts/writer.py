"""The receipt writer: `put` costs the request a fraction of a microsecond; everything else happens off its path.

    put(build) -> deque -> build_pending() or the thread: build() -> seal -> batch -> thread: one os.write per batch -> .head

A caller with an event loop may call `build_pending` in it when a few records wait: building in the loop's own thread costs
half as much as two threads that contend for the GIL. The writer's thread builds the rest at its next flush.

Nothing is lost silently. Records that can't be written are counted in `dropped`, and reported in the file once it can be written:

    {"type":"lost","count":3,"reason":"the queue was full, the writer closed or the disk refused",…}
    {"type":"lost","count":1,"reason":"KeyError at recorder.py:88",…}     a builder raised
    {"type":"recovered","file":"2026-07-01.jsonl","torn_bytes":812,"torn_file":"2026-07-01.torn-1","missing_lines":0,…}

The last is written at start after a process was killed in mid-write. Reasons never quote values: these may be parts of a prompt.
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

_MAX_RECORDS_PER_WRITE = 256
"""Records per os.write: 1 MB of typical receipts."""
_MAX_BATCH_LINES = 64
"""So many built lines aren't kept waiting for the next flush: half a megabyte."""
_MAX_CONTEXTS = 16
"""Contexts kept for the next file; a change of configuration adds one."""
MAX_PENDING = 10_000
"""Records that may wait; one more is dropped, and counted. Some 40 MB of closures at most."""
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
    ) -> None:
        self.dropped = 0
        self.problem: str | None = None
        self._clock, self._flush_s = clock, flush_s
        self._pending: deque[RecordBuilder | threading.Event] = deque()
        self._contexts: dict[str, Any] = {}
        self._reported = 0
        self._count_lock = threading.Lock()
        self._wake, self._flush_now = threading.Event(), threading.Event()
        self._closing = False
        self._batch: SegmentBatch | None = None
        self._batch_unreported = 0
        self._flush_waiters: list[threading.Event] = []
        self._segment_lock = threading.Lock()
        self._lock_fd = lock_directory(directory)
        try:
            self._segment = self._open_segment(directory)
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
        return self._segment.seq

    @property
    def last_digest(self) -> str:
        """Digest of the last line on disk, of an earlier file when this one is empty; GENESIS when there is none."""
        return self._segment.prev

    def put(self, build: RecordBuilder) -> None:
        """Hands over a builder of a record; returns at once (0.2 us) and never raises."""
        if self._closing or len(self._pending) >= MAX_PENDING:
            self._drop(1)
            return
        self._pending.append(build)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def backlog(self) -> int:
        """Builders that wait."""
        return len(self._pending)

    def build_pending(self, limit: int) -> None:
        """Build up to `most` waiting records now, in the calling thread; nothing when the writer is at it just then."""
        if self._segment_lock.acquire(blocking=False):
            try:
                self._build(limit)
                if self._batch is not None and len(self._batch.lines) >= _MAX_BATCH_LINES:
                    self._flush_now.set()
            finally:
                self._segment_lock.release()

    def register_context(self, context_digest: str, record: Any) -> None:
        """Keeps what receipts refer to as `"context": context_digest`; written once per file, before the first that
        does. The digest is that of the record, else ReceiptError: a receipt couldn't be run again."""
        if digest(record) != context_digest:
            raise ReceiptError(f"{context_digest} isn't the digest of this context", hint="digest(record) is")
        self._contexts.pop(context_digest, None)  # the newest stands last, and the oldest goes first
        self._contexts[context_digest] = record
        while len(self._contexts) > _MAX_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything put before is on disk (or counted as dropped); False when that takes too long."""
        if not self._thread.is_alive():
            return not self._pending
        written = threading.Event()
        self._pending.append(written)
        self._flush_now.set()
        self._wake.set()
        return written.wait(timeout_s)

    def close(self) -> None:
        """Writes what is pending and lets go of the directory. May be called again, and from atexit."""
        with self._count_lock:
            first, self._closing = not self._closing, True
        if first:
            self._flush_now.set()
            self._wake.set()
            self._thread.join()
            self._drain()  # what was put between the thread's last look and `_closing`
            self._segment.close()
            os.ftruncate(self._lock_fd, 0)  # nobody was killed
            os.close(self._lock_fd)

    def _open_segment(self, directory: Path) -> Segment:
        """Takes up the chain where the newest file ends, and says what had to be moved aside for it."""
        recovered = recover(directory)
        segment = Segment(directory, recovered)
        segment.roll_over(self._today())
        if recovered.report:
            batch = segment.new_batch()
            batch.add({**recovered.report, "at_s": self._clock()})
            segment.append(batch)
        return segment

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d.jsonl")

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.wait()
            self._flush_now.wait(self._flush_s)  # lets a batch gather, unless someone waits for it
            closing = self._closing
            self._flush_now.clear()
            self._wake.clear()  # before the draining: what is put from here on wakes the thread again
            self._drain()

    def _drain(self) -> None:
        """Build and write what waits now. What comes meanwhile is left to `build_pending`, or to the next flush: a thread that went
        on as long as something came would build everything itself, and fight the loop for the GIL all the while."""
        with self._segment_lock:
            left = len(self._pending)
            while left > 0 or self._batch or self.dropped > self._reported:
                self._build(min(_MAX_RECORDS_PER_WRITE, left))
                left -= _MAX_RECORDS_PER_WRITE
                self._append()
                for waiter in self._flush_waiters:
                    waiter.set()
                self._flush_waiters.clear()
                if self.problem:
                    return

    def _build(self, limit: int) -> None:
        """Build into the batch; without one the disk refuses, and what waited is counted as dropped."""
        try:
            batch = self._open_batch()
        except OSError as exc:
            self.problem, batch = exc.strerror, None
        for _ in range(min(limit, len(self._pending))):
            item = self._pending.popleft()
            if isinstance(item, threading.Event):
                self._flush_waiters.append(item)
            elif batch is None:
                self._drop(1)
            else:
                self._add(batch, item)

    def _open_batch(self) -> SegmentBatch:
        """The batch of today's segment; yesterday's is written out first."""
        today = self._today()
        if self._batch is not None and today > self._segment.name:
            self._append()
        if self._batch is None:
            self._segment.turn(today)
            self._batch = self._segment.batch()
            self._batch_unreported = self.dropped - self._reported
            if self._batch_unreported:
                reason = "the queue was full, the writer closed or the disk refused"
                lost = {"type": "lost", "count": self._batch_unreported, "reason": reason, "at_s": self._clock()}
                self._batch.add(lost)
        return self._batch

    def _append(self) -> None:
        """Write the batch; what the disk refuses is counted and said later."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        try:
            self._segment.append(batch)
            self._reported += self._batch_unreported
            self.problem = None
        except OSError as exc:
            self.problem = exc.strerror
            self._drop(len(batch.lines) - (1 if self._batch_unreported else 0))

    def _add(self, batch: SegmentBatch, build: RecordBuilder) -> None:
        """The builder's record, after the context it refers to when this file hasn't got that yet."""
        try:
            record = build()
            name: Any = record.get("context")
            context = self._contexts.get(name) if name not in batch.contexts else None
            if context is not None:
                batch.add({"type": "context", "digest": name, "record": context})
                batch.contexts.add(name)
            batch.add(record)
        except Exception as exc:
            # Not the message of a foreign exception: it may quote what was being recorded.
            reason = exc.message if isinstance(exc, ReceiptError) else exception_site(exc, frames=1)
            batch.add({"type": "lost", "count": 1, "reason": reason, "at_s": self._clock()})

    def _drop(self, count: int) -> None:
        with self._count_lock:
            self.dropped += count
