"""What the three encoders share: events in, that wire's bytes out, the terminal event exactly once.

encoder.feed(event) -> bytes     `b""` where an event has no counterpart, and for all after the last
encoder.end() -> bytes           an error event where neither `StreamFinished` nor `StreamFailed` came
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from autorouter.core.types import Usage
from autorouter.wire.common.history import stamp_payload
from autorouter.wire.common.ir import (
    ReasoningEnded,
    StreamEvent,
    StreamFailed,
    StreamFinished,
    StreamStarted,
    UsageEvent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMetadata:
    """What an encoder needs to know besides the events. `seed` is unique to the request: ids that an upstream left out
    are made of it. `model` is what the client is told, `origin` (`upstream/model`) what reasoning is stamped with.
    `created_s` is Unix time. `wants_usage`: a chat client asked for it."""

    seed: str
    model: str
    origin: str
    created_s: int = 0
    wants_usage: bool = True

    def stamped_payload(self, event: ReasoningEnded) -> str:
        """A reasoning's payload as the client gets it."""
        return stamp_payload(event.payload, origin=self.origin, shape=event.shape, ident=event.id)


class StreamEncoder(ABC):
    """Events -> a client's stream."""

    def __init__(self, heading: ResponseMetadata) -> None:
        self.metadata = heading
        self.usage: Usage | None = None
        self.ended = False
        self._began = False

    def feed(self, event: StreamEvent) -> bytes:
        """The bytes of an event."""
        if self.ended:
            return b""
        match event:
            case StreamStarted():
                return self._once()
            case UsageEvent(usage):
                self.usage = usage
                return b""
            case StreamFinished():
                head = self._once()
                self.ended = True
                return head + self._finished(event)
            case StreamFailed():
                head = self._once()
                self.ended = True
                return head + self._failed(event)
            case _:
                return self._once() + self._part(event)

    def end(self) -> bytes:
        """The upstream's events have ended."""
        return self.feed(StreamFailed("the answer ended before its end", "early_end"))

    def _once(self) -> bytes:
        if self._began:
            return b""
        self._began = True
        return self._started()

    @abstractmethod
    def _started(self) -> bytes:
        """The beginning; called once, before all else."""

    @abstractmethod
    def _part(self, event: StreamEvent) -> bytes:
        """Text, reasoning and calls."""

    @abstractmethod
    def _finished(self, event: StreamFinished) -> bytes:
        """The end of a whole answer."""

    @abstractmethod
    def _failed(self, event: StreamFailed) -> bytes:
        """The end of a broken one."""
