"""Whether what an upstream says it used can be true, against our own counts; and what is counted for money where it can't.

    input     outside 0.2 to 5 times our estimate, or none at all
    output    none, or less than a tenth of what came; or far more than came and isn't said to be reasoning
    parts     cached or written to the cache, or both, more than the input; reasoning more than the output

Estimates are rough (bytes through four, an upstream's own instructions are unknown), so that only differences beyond
`SLACK_TOKENS` count. A report that is too low is money that somebody will ask for: the estimate is counted then. One that is
too high is counted as it stands, for it is what a bill will say.
"""

from __future__ import annotations

from dataclasses import replace

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.types import Usage

INPUT_LOW, INPUT_HIGH = 0.2, 5.0
OUTPUT_LOW = 0.1
"""Our count of an answer that isn't streamed is its bytes through four, JSON and escapes included."""
OUTPUT_HIGH = 100.0
"""Tokens per event: some upstreams send a paragraph in each."""
SLACK_TOKENS = 1_000
EMPTY_TOKENS = 100
"""An answer without a word is a few events, or so many tokens of JSON."""


def usage_doubts(usage: Usage, *, input_tokens: float, output_tokens: int) -> tuple[Reason, ...]:
    """Why `usage` isn't to be believed; empty where it is. `input_tokens` is our estimate of what was sent,
    `output_tokens` our count of what came: events of a stream, bytes / 4 of an answer that is whole."""
    doubts: list[Reason] = []
    sent = {"reported": usage.input_tokens, "estimated": round(input_tokens)}
    received = {"reported": usage.output_tokens, "counted": output_tokens}
    if _input_low(usage, input_tokens):
        doubts.append(Reason(ReasonCode.INPUT_TOO_LOW, sent))
    elif usage.input_tokens > INPUT_HIGH * input_tokens + SLACK_TOKENS:
        doubts.append(Reason(ReasonCode.INPUT_TOO_HIGH, sent))
    if _output_low(usage, output_tokens):
        doubts.append(Reason(ReasonCode.OUTPUT_TOO_LOW, received))
    elif usage.output_tokens - usage.reasoning_tokens > OUTPUT_HIGH * output_tokens + SLACK_TOKENS:
        doubts.append(Reason(ReasonCode.OUTPUT_TOO_HIGH, received))
    if usage.cached_tokens + usage.cache_write_tokens > usage.input_tokens:
        doubts.append(Reason.of(ReasonCode.CACHED_OVER_INPUT))
    if usage.reasoning_tokens > usage.output_tokens:
        doubts.append(Reason.of(ReasonCode.REASONING_OVER_OUTPUT))
    return tuple(doubts)


def corrected_usage(usage: Usage, *, input_tokens: float, output_tokens: int) -> Usage:
    """What is counted for money: as reported, but our own figure where the reported one is too low to be true."""
    own_input = round(input_tokens) if _input_low(usage, input_tokens) else usage.input_tokens
    own_output = output_tokens if _output_low(usage, output_tokens) else usage.output_tokens
    if (own_input, own_output) == (usage.input_tokens, usage.output_tokens):
        return usage
    return replace(usage, input_tokens=own_input, output_tokens=own_output)


def _input_low(usage: Usage, input_tokens: float) -> bool:
    if not usage.input_tokens:
        return input_tokens >= 1.0
    return usage.input_tokens < INPUT_LOW * input_tokens - SLACK_TOKENS * INPUT_LOW


def _output_low(usage: Usage, output_tokens: int) -> bool:
    if not usage.output_tokens:
        return output_tokens >= EMPTY_TOKENS
    return usage.output_tokens < OUTPUT_LOW * (output_tokens - SLACK_TOKENS)
