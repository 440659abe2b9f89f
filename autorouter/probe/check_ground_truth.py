"""Does the relay say the truth: about tokens, about the model, about time.

estimate = bytes of the request's text / 4        a rough count that holds for English
plausible: estimate / 3 <= told <= estimate * 3 + 400
"""

from __future__ import annotations

import re
from typing import Any, Final

from autorouter.engine.trace import same_model
from autorouter.probe.relay_session import LINE, PROMPT, SYSTEM, Bench, Probe, message_of, text_of
from autorouter.probe.report import Finding, quoted
from autorouter.wire.chat.passthrough import usage_of
from autorouter.wire.common import lenient_json

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


async def usage(bench: Bench) -> Finding:
    """Numbers that can be so."""
    if bench.no_message(bench.whole):
        return Finding("skipped", "there is no answer to look at")
    told = lenient_json.as_object(bench.whole.document.get("usage"))
    if not told:
        return Finding("fail", "no usage: neither cost nor the context can be known")
    used = usage_of(told)
    if not used.input_tokens or not used.output_tokens:
        return Finding("fail", f"usage is zero: {used.input_tokens} + {used.output_tokens} tokens")
    estimate = len((SYSTEM + PROMPT).encode()) / BYTES_PER_TOKEN
    if bench.model.startswith(LABELS) and used.input_tokens > estimate * FACTOR + OWN_PROMPT_TOKENS:
        told_of = f"{used.input_tokens:,} for about {estimate:,.0f}"
        return Finding("degraded", f"prompt_tokens {told_of}: the sum of several calls; a context meter reads too high")
    if not estimate / FACTOR <= used.input_tokens <= estimate * FACTOR + OWN_PROMPT_TOKENS:
        return Finding("fail", f"prompt_tokens {used.input_tokens:,} can't be: our estimate is {estimate:,.0f}")
    written = len(text_of(bench.whole).encode()) / BYTES_PER_TOKEN
    visible = used.output_tokens - used.reasoning_tokens
    thinks = any(message_of(bench.whole).get(name) for name in ("reasoning", "reasoning_content", "reasoning_details"))
    if not thinks and not written / FACTOR / 2 <= visible <= written * FACTOR + SLACK_TOKENS:
        return Finding(
            "degraded", f"completion_tokens {visible:,} for {written:,.0f} estimated: hidden reasoning, or wrong"
        )
    total = told.get("total_tokens")
    if isinstance(total, int) and total != used.input_tokens + used.output_tokens:
        return Finding("degraded", f"total_tokens {total:,} isn't {used.input_tokens:,} + {used.output_tokens:,}")
    return Finding(
        "pass", f"{used.input_tokens:,} + {used.output_tokens:,} tokens; our estimate of the prompt {estimate:,.0f}"
    )


async def usage_streamed(bench: Bench) -> Finding:
    """The usage event, as asked for; the same numbers as for the whole answer."""
    found = bench.stream
    if not found.frames:
        return Finding("skipped", "there is no stream to look at")
    if not found.usages and (found.errors or not (found.finishes or found.done_at)):
        return Finding("skipped", "the stream didn't come to its end")
    asked = "stream_options" in bench.streamed
    if not found.usages:
        why = "though it was asked for" if asked else "and `stream_options`, which asks for it, is refused"
        return Finding("fail", f"no usage in the stream, {why}")
    streamed = usage_of(found.usages[-1][1])
    if not streamed.input_tokens or not streamed.output_tokens:
        return Finding("fail", f"usage is zero: {streamed.input_tokens} + {streamed.output_tokens} tokens")
    whole = usage_of(lenient_json.as_object(bench.whole.document.get("usage")))
    apart = abs(streamed.input_tokens - whole.input_tokens)
    if whole.input_tokens and apart > APART * whole.input_tokens + SLACK_TOKENS:
        return Finding("fail", f"prompt_tokens {streamed.input_tokens:,} streamed, {whole.input_tokens:,} whole")
    if not asked:
        return Finding("degraded", "told, but `stream_options` is refused: clients send it")
    if found.usage_with_choices:
        return Finding("degraded", "usage comes in an event with choices: SDKs expect one of its own")
    return Finding("pass", f"{streamed.input_tokens:,} + {streamed.output_tokens:,} tokens, an event of its own")


async def served(bench: Bench) -> Finding:
    """Who answers is who was asked."""
    names = {lenient_json.as_text(bench.whole.document.get("model")), *bench.stream.models} - {""}
    if not names:
        return Finding("degraded", "it doesn't say which model answers")
    others = sorted(name for name in names if not same_model(bench.model, name))
    if others and not bench.model.startswith(LABELS):
        return Finding("fail", f"asked for {quoted(bench.model)}, served by {quoted(others[0])}")
    return Finding("pass", f"{quoted(bench.model)} served by {', '.join(map(quoted, sorted(names)[:3]))}")


async def line_kept(bench: Bench) -> Finding:
    """What was to be said back arrived with every character."""
    texts = {"whole": text_of(bench.whole), "streamed": bench.stream.text}
    if not any(texts.values()):
        return Finding("skipped", "there is no text")
    kept = [name for name, text in texts.items() if LINE in text]
    if len(kept) == len(texts):
        return Finding("pass", "said back to the letter, whole and streamed")
    lost = ", ".join(f"{name}: {quoted(text, 50)}" for name, text in texts.items() if name not in kept)
    return Finding("degraded", f"not said back to the letter: {lost}")


async def speed(bench: Bench) -> Finding:
    """First byte, first text, and the pace between."""
    first_byte_s, first_text_s, rate = measured(bench)
    if first_byte_s is None:
        return Finding("skipped", "there is no stream to look at")
    text = f"{first_text_s:.2f} s" if first_text_s is not None else "none"
    words = f"first byte {first_byte_s:.2f} s, first text {text}" + (f", {rate:,.0f} tokens/s" if rate else "")
    whole_s = bench.streaming.seconds
    if whole_s > BURST_S and len(bench.stream.texts) > 2 and (first_text_s or 0) > BURST_SHARE * whole_s:
        return Finding("degraded", f"held back: all text comes at the end; {words}")
    return Finding("degraded" if (first_text_s or 0) > SLOW_S else "pass", words)


def measured(bench: Bench) -> tuple[float | None, float | None, float | None]:
    """Seconds to the first byte and to the first text of the stream; tokens per second of the text, None where it was too
    short to tell."""
    chunks = bench.streaming.chunks
    if not chunks:
        return None, None, None
    marks = [at for at, data in chunks if _TEXT.search(data)]
    if not marks:
        return chunks[0][0], None, None
    tokens: Any = usage_of(bench.stream.usages[-1][1]).output_tokens if bench.stream.usages else 0
    tokens = tokens or len(bench.stream.text.encode()) / BYTES_PER_TOKEN
    took_s = marks[-1] - marks[0]
    return chunks[0][0], marks[0], tokens / took_s if took_s > 0 else None


PROBES = (
    Probe("truth.usage", "budgets, prices and compaction work with these numbers", usage),
    Probe("truth.usage_stream", "agents stream: without this event their cost is unknown", usage_streamed),
    Probe("truth.model", "a cheaper model under a dear name is paid for and isn't seen", served),
    Probe("truth.text", "a relay that changes characters changes files", line_kept),
    Probe("truth.speed", "what a router's latency term is corrected by", speed),
)
