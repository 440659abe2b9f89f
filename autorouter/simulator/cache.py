"""Which beginning of a prompt a provider's cache would hold: the longest that the same candidate saw before."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence


class PrefixCache:
    """Which prompts a candidate saw: the `limit` latest, each as the digests of its prefixes. Nothing expires by time,
    for the dry run has no clock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[str, bytes], tuple[bytes, ...]] = OrderedDict()

    def cached_bytes(self, candidate_id: str, parts: Sequence[bytes]) -> int:
        """Length of the longest run of first parts that this candidate saw before; remembers these parts."""
        chain = _chain(parts)
        seen = (old for (owner, _), old in self._seen.items() if owner == candidate_id)
        shared = max((_common(old, chain) for old in seen), default=0)
        key = (candidate_id, chain[-1] if chain else b"")
        self._seen[key] = chain
        self._seen.move_to_end(key)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return sum(len(part) for part in parts[:shared])

    def clear(self) -> None:
        self._seen.clear()


def _chain(parts: Sequence[bytes]) -> tuple[bytes, ...]:
    """For each part a digest of it and all before it."""
    digests: list[bytes] = []
    for part in parts:
        before = digests[-1] if digests else b""
        digests.append(hashlib.sha256(before + part).digest()[:16])
    return tuple(digests)


def _common(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    """How many first digests are the same. One that is equal says that all before it are, so it can be bisected."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[middle - 1] == new[middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low
