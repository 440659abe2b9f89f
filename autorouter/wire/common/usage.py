"""The usage objects of the three APIs: parsed to `Usage`, and written.

    chat        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens": 5, ...}
    responses   {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5, ...}
    messages    {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 5, ...}

Numbers that are not whole count as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autorouter.core.types import Usage, Wire
from autorouter.wire.common import lenient_json


def parse_chat_usage(document: dict[str, Any]) -> Usage:
    """A chat usage object as `Usage`. DeepSeek counts cached tokens in a field of its own."""
    prompt = lenient_json.as_object(document.get("prompt_tokens_details"))
    completion = lenient_json.as_object(document.get("completion_tokens_details"))
    cached = lenient_json.as_count(prompt.get("cached_tokens"))
    return Usage(
        input_tokens=lenient_json.as_count(document.get("prompt_tokens")),
        cached_tokens=cached or lenient_json.as_count(document.get("prompt_cache_hit_tokens")),
        cache_write_tokens=lenient_json.as_count(prompt.get("cache_write_tokens")),
        output_tokens=lenient_json.as_count(document.get("completion_tokens")),
        reasoning_tokens=lenient_json.as_count(completion.get("reasoning_tokens")),
    )


def parse_responses_usage(document: dict[str, Any]) -> Usage:
    """A Responses usage object as `Usage`."""
    input_details = lenient_json.as_object(document.get("input_tokens_details"))
    output_details = lenient_json.as_object(document.get("output_tokens_details"))
    return Usage(
        input_tokens=lenient_json.as_count(document.get("input_tokens")),
        cached_tokens=lenient_json.as_count(input_details.get("cached_tokens")),
        cache_write_tokens=lenient_json.as_count(input_details.get("cache_write_tokens")),
        output_tokens=lenient_json.as_count(document.get("output_tokens")),
        reasoning_tokens=lenient_json.as_count(output_details.get("reasoning_tokens")),
    )


def parse_messages_usage(document: dict[str, Any]) -> Usage:
    """A Messages usage object as `Usage`."""
    read = lenient_json.as_count(document.get("cache_read_input_tokens"))
    written = lenient_json.as_count(document.get("cache_creation_input_tokens"))
    details = lenient_json.as_object(document.get("output_tokens_details"))
    # Messages counts cached tokens apart from the input; `Usage` includes them.
    return Usage(
        input_tokens=lenient_json.as_count(document.get("input_tokens")) + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        output_tokens=lenient_json.as_count(document.get("output_tokens")),
        reasoning_tokens=lenient_json.as_count(details.get("thinking_tokens")),
    )


PARSE_USAGE: Mapping[Wire, Callable[[dict[str, Any]], Usage]] = {
    "chat": parse_chat_usage,
    "responses": parse_responses_usage,
    "messages": parse_messages_usage,
}


def format_chat_usage(usage: Usage) -> dict[str, Any]:
    """A chat usage object."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def format_responses_usage(usage: Usage) -> dict[str, Any]:
    """A Responses usage object."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def format_messages_usage(usage: Usage) -> dict[str, Any]:
    """A Messages usage object, where cached tokens are not part of the input."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
