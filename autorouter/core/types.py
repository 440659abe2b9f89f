"""The nouns of the core: immutable values that go down through the floors once and come back once.

Units end a name: `_s` seconds, `_usd` US dollars, `_usd_per_mtok` US dollars per million tokens, `_tokens`, `_bytes`.
A *step* is one request bound for an upstream, a *turn* a human message up to its final answer, a *session* the
conversation. The *incumbent* is the candidate that served the session last.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Wire = Literal["chat", "responses", "messages"]
TurnPhase = Literal["first", "continuation", "housekeeping"]
"""Where in the turn a step stands: the human just spoke, a tool just answered, or nobody did (a title, a summary)."""


class TaskKind(StrEnum):
    """What the human wants done."""

    EDIT = "edit"
    DEBUG = "debug"
    REVIEW = "review"
    PLAN = "plan"
    EXPLAIN = "explain"
    WRITE = "write"
    HOUSEKEEPING = "housekeeping"


class Role(StrEnum):
    """What a candidate is good for; a label such as `openfusion/coder` asks for one."""

    FAST = "fast"
    REASONER = "reasoner"
    CODER = "coder"
    VERIFIER = "verifier"
    WRITER = "writer"


class Strategy(StrEnum):
    """How many models answer."""

    SINGLE = "single"
    VERIFY = "verify"
    FUSION = "fusion"


VerifyScope = Literal["off", "final", "risky", "always"]
"""Which drafts a verifier sees: `final` answers and risky tool calls, `risky` tool calls only, `always` all of them."""


class Capability(StrEnum):
    """What a model can do beyond text in, text out."""

    TOOLS = "tools"
    VISION = "vision"
    JSON_SCHEMA = "json_schema"
    REASONING = "reasoning"


SKILL_BY_KIND: dict[TaskKind, str] = {
    TaskKind.EDIT: "coding",
    TaskKind.DEBUG: "coding",
    TaskKind.REVIEW: "verification",
    TaskKind.PLAN: "reasoning",
    TaskKind.EXPLAIN: "general",
    TaskKind.WRITE: "writing",
    TaskKind.HOUSEKEEPING: "general",
}
"""Which benchmark column says most about a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """List price in USD per million tokens. `cache_read`: input found in the provider's cache; `cache_write`: input
    that is put there (equal to `input` where the provider asks no premium)."""

    input: float
    output: float
    cache_read: float
    cache_write: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmarks:
    """Percentiles 0..100 among the models of their source; None where nothing is known."""

    general: float | None = None
    coding: float | None = None
    reasoning: float | None = None
    verification: float | None = None
    writing: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model as one upstream offers it. `id` is ours and unique; `model` is what the upstream is asked for.

    `price` None is an unknown price: never zero, and never under a cap. `availability` is a prior, 0..1.
    `local`: the upstream runs on this machine, so that nothing leaves it.
    """

    id: str
    upstream: str
    model: str
    vendor: str = ""
    local: bool = False
    roles: tuple[Role, ...] = ()
    price: Price | None = None
    context_tokens: int = 128_000
    output_tokens: int = 16_000
    capabilities: frozenset[Capability] = frozenset()
    benchmarks: Benchmarks = Benchmarks()
    ttft_s: float = 1.0
    throughput_tokens_per_s: float = 60.0
    availability: float = 0.98
    cache_ttl_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that an upstream says it used. Cached and cache-written tokens are part of `input_tokens`, reasoning
    tokens of `output_tokens` (the convention of OpenTelemetry's GenAI attributes)."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made: the tool's name and its arguments as sent (cut at `EXCERPT_CHARS` in the middle)."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, cut in the middle so that head and tail stay. `is_error`: the client marked it as failed."""

    text: str
    is_error: bool = False


ToolEvent = ToolCall | ToolResult

PROMPT_CHARS = 4_000
"""Only so much of the human's words is read: scoring must cost the same for any prompt."""
EXCERPT_CHARS = 2_000
"""Only so much of a tool's call or result is read: its head and its tail, where summaries and errors stand."""
TOOL_HISTORY_EVENTS = 24
"""Only so many of the latest tool calls and results are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOverrides:
    """What a request asks for besides its label; None is no wish. `models`: the panel's members by candidate id; `verify`:
    which drafts a verifier sees; `max_usd`: what the request may cost at most; `dial` 0 best .. 10 cheapest."""

    strategy: Strategy | None = None
    panel: str | None = None
    models: tuple[str, ...] = ()
    judge: str | None = None
    synthesizer: str | None = None
    verify: VerifyScope | None = None
    max_usd: float | None = None
    dial: float | None = None


NO_OVERRIDES = RequestOverrides()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A request as its wire module read it: the bytes as sent, and the bounded excerpts that a decision needs.

    `ask` is what the human last wrote (not what an agent wrapped around it); `fresh` says that it is the last thing
    in the conversation. `trail` are the tool calls and results since then, oldest first. `tools` are declared names.
    `opening` is the first human text, for a session key when the client sends none. `headers` are lower-case.
    """

    wire: Wire
    label: str
    stream: bool
    body: bytes
    prompt_bytes: int
    prompt: str
    is_new_turn: bool
    system: str = ""
    first_prompt: str = ""
    tool_history: tuple[ToolEvent, ...] = ()
    tools: tuple[str, ...] = ()
    images: int = 0
    json_schema: bool = False
    reasoning_effort: str | None = None
    max_output_tokens: int | None = None
    messages: int = 0
    client: str = "unknown"
    session: str | None = None
    agent: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    overrides: RequestOverrides = NO_OVERRIDES
