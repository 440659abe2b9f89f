"""Canonical JSON: one value, one sequence of bytes, one digest, on every platform.

    {"b": [1, 0.3], "a": "edit"}  --canonical-->  b'{"a":"edit","b":[1,0.3]}'
                                  --digest-->     "sha256:332d…"

UTF-8, keys sorted, no white space, floats in their shortest form that reads back the same. It isn't RFC 8785:
1.0 stays "1.0", so that a number that is read back keeps its type. Nothing is rounded here: what a decision was made
from is kept exactly, and what it computed was rounded where it was computed (core/decision/record.py).
"""

from __future__ import annotations

import hashlib

import orjson

from autorouter.errors import ReceiptError

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS  # orjson wouldn't sort a dataclass's fields


def canonical_json(obj: object) -> bytes:
    """`obj`, a plain JSON value, as canonical JSON. ReceiptError for what JSON can't say."""
    try:
        return orjson.dumps(obj, option=_OPTIONS)
    except TypeError as exc:
        raise ReceiptError(f"a value can't be written as canonical JSON: {exc}") from exc


def digest(obj: object) -> str:
    """`"sha256:<64 hex>"` of the bytes, or of any other value's canonical JSON."""
    data = obj if isinstance(obj, bytes) else canonical_json(obj)
    return "sha256:" + hashlib.sha256(data).hexdigest()
