"""Every profile that can be configured exists, says where its facts are from, and contradicts no provider's own list."""

from __future__ import annotations

from typing import get_args

import pytest

from autorouter.config.types import ProfileName as Name
from autorouter.upstream.profiles import PROFILES, ProviderProfile, profile_of

SAMPLED = {
    "model",
    "messages",
    "stream",
    "temperature",
    "top_p",
    "stop",
    "n",
    "tools",
    "tool_choice",
    "response_format",
}
ACCEPTED = {
    # openai-python 3.52.0, completion_create_params
    "openai": SAMPLED
    | {"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens"}
    | {"modalities", "moderation", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key"}
    | {"prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "safety_identifier", "seed"}
    | {"service_tier", "store", "stream_options", "top_logprobs", "user", "verbosity", "web_search_options"},
    # mistralai/client-python, ChatCompletionRequest
    "mistral": SAMPLED
    | {"max_tokens", "random_seed", "metadata", "presence_penalty", "frequency_penalty", "prediction"}
    | {"parallel_tool_calls", "reasoning_effort", "prompt_mode", "guardrails", "prompt_cache_key", "safe_prompt"},
}
"""What they list themselves, but for the old name of the limit."""
each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def changed(profile: ProviderProfile) -> set[str]:
    """All that the profile changes, as its sources name it."""
    names = {*profile.drops, *profile.renames, *(f"messages.{name}" for name in profile.message_drops)}
    return names | ({"developer"} if profile.developer_as_system else set())


def test_every_profile_that_can_be_configured_exists() -> None:
    assert set(PROFILES) == set(get_args(Name))
    assert profile_of("no such").name == "generic"


def test_generic_sends_everything() -> None:
    assert changed(PROFILES["generic"]) == set()


@each_profile
def test_every_change_has_a_source_and_every_source_a_change(profile: ProviderProfile) -> None:
    assert [name for name in changed(profile) if not profile.source_of(name)] == []
    assert set(profile.source) - {"*"} <= changed(profile)


@each_profile
def test_a_profile_is_of_one_mind(profile: ProviderProfile) -> None:
    assert not profile.drops & {*profile.renames, *profile.renames.values()}
    assert not set(profile.renames) & set(profile.renames.values())
    assert set(profile.unless) <= {*profile.drops, *profile.renames}
    assert not (profile.drops | set(profile.renames)) & SAMPLED
    assert profile.stream_usage == ("stream_options" not in profile.drops)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_a_provider_lists_is_sent_and_new_names_are_its_own(name: str) -> None:
    profile = PROFILES[name]
    assert not (profile.drops | set(profile.renames)) & ACCEPTED[name]
    assert set(profile.renames.values()) <= ACCEPTED[name]
