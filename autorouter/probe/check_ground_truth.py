"""Does the relay say the truth: about tokens, about the model, about time.

estimate = bytes of the request's text / 4        a rough count that holds for English
plausible: estimate / 3 <= told <= estimate * 3 + 400
"""

from __future__ import annotations

import re
from typing import Any, Final

from autorouter.engine.trace import same_model
from autorouter.probe.relay_session import LINE, PROMPT, SYSTEM, RelayCheck, RelaySession, message_of, text_of
from autorouter.probe.report import CheckFinding, quoted
from autorouter.wire.common import lenient_json
from autorouter.wire.common.usage import parse_chat_usage

BYTES_PER_TOKEN: Final = 4
FACTOR: Final = 3
"""Tokenizers differ by less than two from `BYTES_PER_TOKEN` on English."""
OWN_PROMPT_TOKENS: Final = 400
"""So much may a relay put before a prompt (chat templates, a system prompt of its own)."""
APART: Final = 0.2
"""Share by which the same prompt may be counted differently, whole and streamed."""
SLACK_TOKENS: Final = 32
SLOW_S: Final = 10.0
BURST_SHARE: Final = 0.9
BURST_S: Final = 1.0
"""A stream longer than this whose text all comes in the last tenth is held back on the way."""
_TEXT: Final = re.compile(rb'"content": ?"[^"]')
LABELS: Final = ("openfusion/", "openrouter/auto")
"""Names that stand for a choice: whoever answers has another name."""


async def usage(session: RelaySession) -> CheckFinding:
    """Numbers that can be so."""
    if session.message_problem(session.whole_response):
        return CheckFinding("skipped", "there is no answer to look at")
    told = lenient_json.as_object(session.whole_response.document.get("usage"))
    if not told:
        return CheckFinding("fail", "no usage: neither cost nor the context can be known")
    used = parse_chat_usage(told)
    if not used.input_tokens or not used.output_tokens:
        return CheckFinding("fail", f"usage is zero: {used.input_tokens} + {used.output_tokens} tokens")
    estimate = len((SYSTEM + PROMPT).encode()) / BYTES_PER_TOKEN
    if session.model.startswith(LABELS) and used.input_tokens > estimate * FACTOR + OWN_PROMPT_TOKENS:
        told_of = f"{used.input_tokens:,} for about {estimate:,.0f}"
        return CheckFinding(
            "degraded", f"prompt_tokens {told_of}: the sum of several calls; a context meter reads too high"
        )
    if not estimate / FACTOR <= used.input_tokens <= estimate * FACTOR + OWN_PROMPT_TOKENS:
        return CheckFinding("fail", f"prompt_tokens {used.input_tokens:,} can't be: our estimate is {estimate:,.0f}")
    written = len(text_of(session.whole_response).encode()) / BYTES_PER_TOKEN
    visible = used.output_tokens - used.reasoning_tokens
    thinks = any(
        message_of(session.whole_response).get(name) for name in ("reasoning", "reasoning_content", "reasoning_details")
    )
    if not thinks and not written / FACTOR / 2 <= visible <= written * FACTOR + SLACK_TOKENS:
        return CheckFinding(
            "degraded", f"completion_tokens {visible:,} for {written:,.0f} estimated: hidden reasoning, or wrong"
        )
    total = told.get("total_tokens")
    if isinstance(total, int) and total != used.input_tokens + used.output_tokens:
        return CheckFinding("degraded", f"total_tokens {total:,} isn't {used.input_tokens:,} + {used.output_tokens:,}")
    return CheckFinding(
        "pass", f"{used.input_tokens:,} + {used.output_tokens:,} tokens; our estimate of the prompt {estimate:,.0f}"
    )


async def usage_streamed(session: RelaySession) -> CheckFinding:
    """The usage event, as asked for; the same numbers as for the whole answer."""
    trace = session.stream_trace
    if not trace.frames:
        return CheckFinding("skipped", "there is no stream to look at")
    if not trace.usages and (trace.errors or not (trace.finishes or trace.done_at)):
        return CheckFinding("skipped", "the stream didn't come to its end")
    asked = "stream_options" in session.stream_options
    if not trace.usages:
        why = "though it was asked for" if asked else "and `stream_options`, which asks for it, is refused"
        return CheckFinding("fail", f"no usage in the stream, {why}")
    streamed = parse_chat_usage(trace.usages[-1][1])
    if not streamed.input_tokens or not streamed.output_tokens:
        return CheckFinding("fail", f"usage is zero: {streamed.input_tokens} + {streamed.output_tokens} tokens")
    whole = parse_chat_usage(lenient_json.as_object(session.whole_response.document.get("usage")))
    apart = abs(streamed.input_tokens - whole.input_tokens)
    if whole.input_tokens and apart > APART * whole.input_tokens + SLACK_TOKENS:
        return CheckFinding("fail", f"prompt_tokens {streamed.input_tokens:,} streamed, {whole.input_tokens:,} whole")
    if not asked:
        return CheckFinding("degraded", "told, but `stream_options` is refused: clients send it")
    if trace.usage_with_choices:
        return CheckFinding("degraded", "usage comes in an event with choices: SDKs expect one of its own")
    return CheckFinding("pass", f"{streamed.input_tokens:,} + {streamed.output_tokens:,} tokens, an event of its own")


async def served(session: RelaySession) -> CheckFinding:
    """Who answers is who was asked."""
    names = {lenient_json.as_text(session.whole_response.document.get("model")), *session.stream_trace.models} - {""}
    if not names:
        return CheckFinding("degraded", "it doesn't say which model answers")
    others = sorted(name for name in names if not same_model(session.model, name))
    if others and not session.model.startswith(LABELS):
        return CheckFinding("fail", f"asked for {quoted(session.model)}, served by {quoted(others[0])}")
    return CheckFinding("pass", f"{quoted(session.model)} served by {', '.join(map(quoted, sorted(names)[:3]))}")


async def line_kept(session: RelaySession) -> CheckFinding:
    """What was to be said back arrived with every character."""
    texts = {"whole": text_of(session.whole_response), "streamed": session.stream_trace.text}
    if not any(texts.values()):
        return CheckFinding("skipped", "there is no text")
    kept = [name for name, text in texts.items() if LINE in text]
    if len(kept) == len(texts):
        return CheckFinding("pass", "said back to the letter, whole and streamed")
    lost = ", ".join(f"{name}: {quoted(text, 50)}" for name, text in texts.items() if name not in kept)
    return CheckFinding("degraded", f"not said back to the letter: {lost}")


async def speed(session: RelaySession) -> CheckFinding:
    """First byte, first text, and the pace between."""
    first_byte_s, first_text_s, rate = measure_speed(session)
    if first_byte_s is None:
        return CheckFinding("skipped", "there is no stream to look at")
    text = f"{first_text_s:.2f} s" if first_text_s is not None else "none"
    words = f"first byte {first_byte_s:.2f} s, first text {text}" + (f", {rate:,.0f} tokens/s" if rate else "")
    whole_s = session.stream_response.seconds
    if whole_s > BURST_S and len(session.stream_trace.texts) > 2 and (first_text_s or 0) > BURST_SHARE * whole_s:
        return CheckFinding("degraded", f"held back: all text comes at the end; {words}")
    return CheckFinding("degraded" if (first_text_s or 0) > SLOW_S else "pass", words)


def measure_speed(session: RelaySession) -> tuple[float | None, float | None, float | None]:
    """Seconds to the first byte and to the first text of the stream; tokens per second of the text, None where it was too
    short to tell."""
    chunks = session.stream_response.chunks
    if not chunks:
        return None, None, None
    marks = [at for at, data in chunks if _TEXT.search(data)]
    if not marks:
        return chunks[0][0], None, None
    tokens: Any = (
        parse_chat_usage(session.stream_trace.usages[-1][1]).output_tokens if session.stream_trace.usages else 0
    )
    tokens = tokens or len(session.stream_trace.text.encode()) / BYTES_PER_TOKEN
    took_s = marks[-1] - marks[0]
    return chunks[0][0], marks[0], tokens / took_s if took_s > 0 else None


CHECKS = (
    RelayCheck("truth.usage", "budgets, prices and compaction work with these numbers", usage),
    RelayCheck("truth.usage_stream", "agents stream: without this event their cost is unknown", usage_streamed),
    RelayCheck("truth.model", "a cheaper model under a dear name is paid for and isn't seen", served),
    RelayCheck("truth.text", "a relay that changes characters changes files", line_kept),
    RelayCheck("truth.speed", "what a router's latency term is corrected by", speed),
)
