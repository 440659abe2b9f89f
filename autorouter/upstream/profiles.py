"""What each provider accepts, as far as a chat request needs to know it. Grows with the wires.

A field that a provider refuses is dropped or renamed here, and the receipt says so; nothing is sent to fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`stream_usage`: knows `stream_options.include_usage`. `headers` are sent with every call."""

    name: str
    stream_usage: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


_OPENROUTER = {"x-title": "autorouter"}
PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="generic"),
        Profile(name="openai"),
        Profile(name="openrouter", headers=_OPENROUTER),
        Profile(name="anthropic"),
        Profile(name="deepseek"),
        Profile(name="gemini"),
        Profile(name="groq"),
        Profile(name="together"),
        Profile(name="mistral", stream_usage=False),
        Profile(name="xai"),
        Profile(name="moonshot"),
        Profile(name="ollama"),
        Profile(name="vllm"),
        Profile(name="lmstudio"),
        Profile(name="llamacpp"),
    )
}
"""Mistral sends usage unasked and answers 422 to fields that it doesn't know."""


def profile_of(name: str) -> Profile:
    """The profile of that name; an unknown one is generic (the configuration has already refused typing errors)."""
    return PROFILES.get(name, PROFILES["generic"])
