"""Rates by token bucket, one for each client: a local key where there are keys, else an address.

level(t) = min(burst, level + (t - last) · rate)        burst: one minute's worth
level >= cost        let in, level -= cost
otherwise            refused; it would do in (cost - level) / rate seconds: that is what `Retry-After` says

A request that costs more than a whole minute's worth is let in when the bucket is full, and leaves it in debt: refused for
ever it would be of no use to anybody.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_BUCKETS = 10_000
"""Buckets kept; the one that was used longest ago goes first. 1 MB or so."""


class TokenBucket:
    """One client's level, in requests or tokens."""

    __slots__ = ("last_s", "level")

    def __init__(self, level: float, now_s: float) -> None:
        self.level = level
        self.last_s = now_s


class RateLimiter:
    """`per_minute` of something for each client; None lets everything through."""

    __slots__ = ("_buckets", "per_minute")

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def wait_s(self, client: str, cost: float, now_s: float) -> float:
        """Seconds until the client may have `cost`; 0 when it may now. Takes nothing."""
        if self.per_minute is None:
            return 0.0
        bucket = self._bucket(client, self.per_minute, now_s)
        lacking = min(cost, self.per_minute) - bucket.level
        return lacking * 60.0 / self.per_minute if lacking > 0 else 0.0

    def take(self, client: str, cost: float, now_s: float) -> None:
        """Take `cost` off, whether it is there or not."""
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
