"""Rate limits by token bucket, one bucket per client: its local key, else its address.

level(t) = min(burst, level + (t - last) · rate)        burst: one minute's worth
level >= cost        admitted, level -= cost
otherwise            rejected; `Retry-After` is (cost - level) / rate seconds

A request that costs more than a minute's worth is admitted when the bucket is full, and leaves it in debt: otherwise it could
never run.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_BUCKETS = 10_000
"""Buckets kept, about 1 MB; the least recently used is dropped first."""


class TokenBucket:
    """One client's level, in requests or tokens."""

    __slots__ = ("last_s", "level")

    def __init__(self, level: float, now_s: float) -> None:
        self.level = level
        self.last_s = now_s


class RateLimiter:
    """`per_minute` units per client; None is unlimited."""

    __slots__ = ("_buckets", "per_minute")

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait_s(self, client: str, cost: float, now_s: float) -> float:
        """Seconds until the client may have `cost`; 0 when it may now. Takes nothing."""
        if self.per_minute is None:
            return 0.0
        bucket = self._bucket(client, self.per_minute, now_s)
        missing = min(cost, self.per_minute) - bucket.level
        return missing * 60.0 / self.per_minute if missing > 0 else 0.0

    def take(self, client: str, cost: float, now_s: float) -> None:
        """Take `cost`, even if it leaves the bucket in debt."""
        if self.per_minute is not None:
            self._bucket(client, self.per_minute, now_s).level -= cost

    def _bucket(self, client: str, burst: float, now_s: float) -> TokenBucket:
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = TokenBucket(burst, now_s)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
            return bucket
        self._buckets.move_to_end(client)
        bucket.level = min(burst, bucket.level + (now_s - bucket.last_s) * burst / 60.0)
        bucket.last_s = now_s
        return bucket
