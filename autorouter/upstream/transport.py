"""The interface between the engine and what carries a call: HTTP, or the dry run.

reply = await transport.send(UpstreamCall(...))     headers have come; raises TransportError
async for chunk in reply.chunks(): ...              bytes as they arrive; raises TransportError
reply.close()                               stops the call at once
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from autorouter.core.types import Candidate, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that each part of a call may take."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    between_bytes_s: float = 60.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTarget:
    """An upstream as the engine needs it. `headers` go with every call; the key is among them and nowhere else."""

    name: str
    base_url: str
    wire: Wire
    profile: str
    headers: Mapping[str, str]
    key: str | None
    key_env: str | None
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamCall:
    """One request to an upstream. `attempt` counts from 1 within a step; `fault` is for the dry run only.

    `slot_timeout_s`: how long to wait for a slot, None for as long as the upstream's configuration says.
    `on_slot_acquired` is called with the seconds that the wait took.
    """

    target: UpstreamTarget
    candidate: Candidate
    path: str
    body: bytes
    stream: bool
    request_id: str
    attempt: int = 1
    fault: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    slot_timeout_s: float | None = None
    on_slot_acquired: Callable[[float], None] = lambda seconds: None


class TransportError(Exception):
    """A call that got no usable answer. `kind` is one of connect, reset, timeout, cut, protocol, too_large,
    busy (a limit of ours)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class UpstreamReply(Protocol):
    """An answer whose headers have come. `headers` are looked up by lower-case names."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """Carries calls. Safe to use from many tasks of one event loop."""

    async def send(self, call: UpstreamCall) -> UpstreamReply: ...

    async def aclose(self) -> None: ...


async def read_all(reply: UpstreamReply, limit_bytes: int) -> bytes:
    """The whole body; raises TransportError("too_large") beyond the limit."""
    parts: list[bytes] = []
    size = 0
    async for chunk in reply.chunks():
        size += len(chunk)
        if size > limit_bytes:
            raise TransportError("too_large", f"an answer of more than {limit_bytes} bytes")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)
