"""An answer's usage made the sum of several calls', in its own wire's shape; all other bytes stay as they are.

A panel's answer is written by one model, but paid for are all: its client is told what was really used.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from autorouter.core.types import Usage, Wire
from autorouter.wire.common import lenient_json
from autorouter.wire.common.observer import StreamObserver
from autorouter.wire.common.sse import BlockSplitter

_DATA = re.compile(rb"(?:\A|(?<=[\r\n]))data: ?(\{[^\r\n]*\})[ \t]*(?=[\r\n]|\Z)")
"""One line: who sends an event's data in several isn't known to send its usage so."""


def add_usage(body: bytes, wire: Wire, before: Usage) -> bytes:
    """A whole answer, with `before` added to its usage; as it was where it tells none."""
    document = orjson.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("usage"), dict):
        return body
    _add(document["usage"], wire, before, inputs=True, outputs=True)
    return orjson.dumps(document)


class UsageSumObserver:
    """An observer that adds `before` to the usage in the stream that it passes on; its own `usage` stays the one call's."""

    def __init__(self, inner: StreamObserver, wire: Wire, before: Usage) -> None:
        self._inner, self._wire, self._before = inner, wire, before
        self._blocks = BlockSplitter()
        self._look()

    def _look(self) -> None:
        inner = self._inner
        self.served_model, self.usage, self.error = inner.served_model, inner.usage, inner.error
        self.events, self.malformed = inner.events, inner.malformed

    @property
    def complete(self) -> bool:
        return self._inner.complete

    @property
    def done(self) -> bool:
        return self._inner.done

    def feed(self, chunk: bytes) -> bytes:
        passed = self.convert(self._inner.feed(chunk))
        self._look()
        return passed

    def flush(self) -> bytes:
        last = self.convert(self._inner.flush()) + self._converted(self._blocks.flush())
        self._look()
        return last

    def convert(self, passed: bytes) -> bytes:
        """What the client gets of bytes in its own wire: whole events only, each as soon as it is one."""
        return b"".join(self._converted(block) for block in self._blocks.feed(passed))

    def _converted(self, block: bytes) -> bytes:
        if b'"usage"' not in block or (found := _DATA.search(block)) is None:
            return block
        try:
            document = orjson.loads(found[1])
        except orjson.JSONDecodeError:
            return block
        if not self._changed(document):
            return block
        return block[: found.start(1)] + orjson.dumps(document) + block[found.end(1) :]

    def _changed(self, document: dict[str, Any]) -> bool:
        kind = document.get("type")
        holder: Any = document
        if self._wire == "responses":
            holder = document.get("response")
        elif kind == "message_start":
            holder = document.get("message")
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if not isinstance(usage, dict):
            return False
        inputs = kind != "message_delta" or "input_tokens" in usage
        _add(usage, self._wire, self._before, inputs=inputs, outputs=kind != "message_start")
        return True


def _add(usage: dict[str, Any], wire: Wire, before: Usage, *, inputs: bool, outputs: bool) -> None:
    if wire == "chat":
        _plus(usage, "prompt_tokens", before.input_tokens)
        _plus(usage, "completion_tokens", before.output_tokens)
        _plus(usage, "total_tokens", before.input_tokens + before.output_tokens)
        _plus(usage.get("prompt_tokens_details"), "cached_tokens", before.cached_tokens)
        _plus(usage.get("completion_tokens_details"), "reasoning_tokens", before.reasoning_tokens)
    elif wire == "responses":
        _plus(usage, "input_tokens", before.input_tokens)
        _plus(usage, "output_tokens", before.output_tokens)
        _plus(usage, "total_tokens", before.input_tokens + before.output_tokens)
        _plus(usage.get("input_tokens_details"), "cached_tokens", before.cached_tokens)
        _plus(usage.get("output_tokens_details"), "reasoning_tokens", before.reasoning_tokens)
    else:
        if inputs:
            # Here cached tokens are no part of the input.
            _plus(usage, "input_tokens", before.input_tokens - before.cached_tokens - before.cache_write_tokens)
            _plus(usage, "cache_read_input_tokens", before.cached_tokens)
            _plus(usage, "cache_creation_input_tokens", before.cache_write_tokens)
        if outputs:
            _plus(usage, "output_tokens", before.output_tokens)


def _plus(found: Any, name: str, more: int) -> None:
    """Add to a number that is there; details that the upstream doesn't tell stay untold."""
    if isinstance(found, dict) and isinstance(found.get(name), int):
        found[name] = lenient_json.as_count(found[name]) + more
