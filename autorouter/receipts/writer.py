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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autorouter.errors import ReceiptError, exception_site
from autorouter.receipts.chain import digest
from autorouter.receipts.recovery import lock_directory, recover
from autorouter.receipts.segment import Segment, SegmentBatch

_MAX_RECORDS_PER_WRITE = 256
"""Records per os.write: 1 MB of typical receipts."""
_MAX_BATCH_LINES = 64
"""Built lines, about half a megabyte, that trigger a write before the next flush."""
_MAX_CONTEXTS = 16
"""Contexts kept for the next file; a change of configuration adds one."""
FLUSH_INTERVAL_S = 0.25
"""Longest time that a receipt waits in memory: what a kill can lose."""
MAX_PENDING = 10_000
"""Records that may wait; one more is dropped, and counted. Some 40 MB of closures at most."""
RecordBuilder = Callable[[], Mapping[str, Any]]


class ReceiptWriter:
    """Appends to the day's file in `directory`, from a thread of its own, until `close`.

    `clock` gives seconds since the epoch. A record waits at most about `flush_s` (FLUSH_INTERVAL_S).
    ReceiptError when another process writes there, or when the directory can't be used. `problem` is the last error of the disk,
    None after a success.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float], flush_s: float | None = None) -> None:
        self.dropped = 0
        self.problem: str | None = None
        self._clock, self._flush_s = clock, FLUSH_INTERVAL_S if flush_s is None else flush_s
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
        """Queue a builder of a record. Returns at once (0.2 us) and never raises."""
        if self._closing or len(self._pending) >= MAX_PENDING:
            self._drop(1)
            return
        self._pending.append(build)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def backlog(self) -> int:
        """How many builders wait."""
        return len(self._pending)

    def build_pending(self, limit: int) -> None:
        """Build up to `limit` waiting records in the calling thread; does nothing while the writer's thread is building."""
        if self._segment_lock.acquire(blocking=False):
            try:
                self._build(limit)
                if self._batch is not None and len(self._batch.lines) >= _MAX_BATCH_LINES:
                    self._flush_now.set()
            finally:
                self._segment_lock.release()

    def register_context(self, context_digest: str, record: Any) -> None:
        """Keep the record that receipts refer to as `"context": context_digest`. It is written once per file, before the
        first receipt that refers to it. ReceiptError if the digest isn't the record's: no receipt could be replayed."""
        if digest(record) != context_digest:
            raise ReceiptError(f"{context_digest} isn't the digest of this context", hint="digest(record) is")
        self._contexts.pop(context_digest, None)  # re-inserted last: the oldest is evicted first
        self._contexts[context_digest] = record
        while len(self._contexts) > _MAX_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every record put before is on disk or counted as dropped; False on timeout."""
        if not self._thread.is_alive():
            return not self._pending
        written = threading.Event()
        self._pending.append(written)
        self._flush_now.set()
        self._wake.set()
        return written.wait(timeout_s)

    def close(self) -> None:
        """Write what is pending and unlock the directory. May be called twice, and from atexit."""
        with self._count_lock:
            first, self._closing = not self._closing, True
        if first:
            self._flush_now.set()
            self._wake.set()
            self._thread.join()
            self._drain()  # records that were put after the thread's last drain and before `_closing`
            self._segment.close()
            os.ftruncate(self._lock_fd, 0)  # an empty lock file marks a clean shutdown
            os.close(self._lock_fd)

    def _open_segment(self, directory: Path) -> Segment:
        """Continue the chain where the newest file ends, and record the repair if there was one."""
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
            self._flush_now.wait(self._flush_s)  # lets a batch gather, unless a caller waits in `flush`
            closing = self._closing
            self._flush_now.clear()
            self._wake.clear()  # cleared before draining, so that a later `put` wakes the thread again
            self._drain()

    def _drain(self) -> None:
        """Build and write what waits now. Records put meanwhile are left to `build_pending` or to the next flush: a thread
        that kept draining would build every record itself, and contend with the event loop for the GIL."""
        with self._segment_lock:
            remaining = len(self._pending)
            while remaining > 0 or self._batch or self.dropped > self._reported:
                self._build(min(_MAX_RECORDS_PER_WRITE, remaining))
                remaining -= _MAX_RECORDS_PER_WRITE
                self._append()
                for waiter in self._flush_waiters:
                    waiter.set()
                self._flush_waiters.clear()
                if self.problem:
                    return

    def _build(self, limit: int) -> None:
        """Build into the batch. When none can be opened the disk refuses, and the waiting records are counted as dropped."""
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
        """The batch for today's segment, once yesterday's is written."""
        today = self._today()
        if self._batch is not None and today > self._segment.name:
            self._append()
        if self._batch is None:
            self._segment.roll_over(today)
            self._batch = self._segment.new_batch()
            self._batch_unreported = self.dropped - self._reported
            if self._batch_unreported:
                reason = "the queue was full, the writer closed or the disk refused"
                lost = {"type": "lost", "count": self._batch_unreported, "reason": reason, "at_s": self._clock()}
                self._batch.add(lost)
        return self._batch

    def _append(self) -> None:
        """Write the batch. Records that the disk refuses are counted, and reported later."""
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
        """Add the builder's record, preceded by its context where this file doesn't hold that yet."""
        try:
            record = build()
            context_digest: Any = record.get("context")
            context = self._contexts.get(context_digest) if context_digest not in batch.contexts else None
            if context is not None:
                batch.add({"type": "context", "digest": context_digest, "record": context})
                batch.contexts.add(context_digest)
            batch.add(record)
        except Exception as exc:
            # Not the message of a foreign exception: it may quote what was being recorded.
            reason = exc.message if isinstance(exc, ReceiptError) else exception_site(exc, frames=1)
            batch.add({"type": "lost", "count": 1, "reason": reason, "at_s": self._clock()})

    def _drop(self, count: int) -> None:
        with self._count_lock:
            self.dropped += count
