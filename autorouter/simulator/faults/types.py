"""What a fault is: one way in which an upstream misbehaves. The catalogue of them is `catalogue`, their syntax `faults`."""

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
    """One way to fail. One of the fields behind `wires` says what happens (`half-json` has two).

    `advice`: what a good client or router does about it. `wires`: elsewhere the answer is a good one. `refusal`: this
    answer instead. `failure`: what happens instead of an answer. `slow_s`: further silence before the first byte.
    `pace_s`: further silence before each further piece. `served_model`: the model that the answer claims to be from.
    `usage_factor`: the told usage is so many times the true one; None is not told. `unstreamed`: a whole answer where a
    stream was asked for. `style`: how a stream cuts a tool call's arguments. `reshape`: the answer's pieces are changed.
    `twist`: another answer is given; with `reshape`, that is left out if it is another. `roles`: in these only, where it
    isn't empty; "" is a call without a role. `lasting`: all attempts unless a number is given.
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
