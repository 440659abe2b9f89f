"""What a fault is: one way in which an upstream misbehaves. `catalog` lists them, `spec` is their syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from autorouter.core.types import Wire
from autorouter.simulator.codec import DEFAULT_CHUNKING, ArgumentChunking, ResponseBody
from autorouter.simulator.model import SimulatedAnswer, SimulatedRequest

ALL_WIRES: Final[frozenset[Wire]] = frozenset({"chat", "responses", "messages"})
ConnectionFailure = Literal["reset", "closed", "timeout"]
"""RST, a clean close without a byte, or silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """An answer that isn't a success. `anthropic`: the message on the Messages wire, where it is another. `html`: a proxy's
    page in place of an error object. `echo`: the message ends with the key that the client sent. `retry_date_s`: a
    Retry-After as an HTTP date, so many seconds from now."""

    status: int
    code: str
    error_type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    messages_text: str = ""
    html_page: bool = False
    echoes_key: bool = False
    retry_after_date_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to fail. One of the fields after `wires` says what happens (`half-json` has two).

    `advice`: what a good client or router does about it. `wires`: on any other wire the answer is a good one.
    `error_response`: sent instead of the answer. `connection_failure`: happens instead of any response.
    `first_byte_delay_s`: extra silence before the first byte. `event_delay_s`: extra silence before each further piece.
    `served_model`: the model that the answer claims to come from. `usage_factor`: the reported usage is this multiple of
    the true one; None reports none. `ignores_stream`: one document though a stream was requested. `argument_chunking`:
    how a stream cuts a tool call's arguments. `transform_body`: changes the answer's bytes. `answer_override`: another
    answer; if it differs from the good one, `half-json` doesn't transform the body too. `roles`: the fault applies to
    these roles only, if there are any; "" is a call without a role. `every_attempt`: all attempts unless a number is given.
    """

    name: str
    summary: str
    advice: str = ""
    wires: frozenset[Wire] = ALL_WIRES
    error_response: ErrorResponse | None = None
    connection_failure: ConnectionFailure | None = None
    first_byte_delay_s: float = 0.0
    event_delay_s: float = 0.0
    served_model: str | None = None
    usage_factor: int | None = 1
    ignores_stream: bool = False
    argument_chunking: ArgumentChunking = DEFAULT_CHUNKING
    transform_body: Callable[[ResponseBody], ResponseBody] | None = None
    answer_override: Callable[[SimulatedRequest], SimulatedAnswer] | None = None
    roles: frozenset[str] = frozenset()
    every_attempt: bool = False
