"""What each provider accepts in a chat request, and how it names it.

A field that a provider refuses is dropped or renamed, and the receipt says so; nothing is sent to fail. Only what is known
stands here, each with its source, for a wrong drop is worse than a 400: it loses what the client asked for without need.
What only some of a provider's models refuse (`temperature`, `reasoning_effort`, `stop`) is sent.

    body, changes = adjust_body(body, profile)

`adjust_body` drops and renames. If nothing has to change, it returns the same bytes. It parses the body to find out: on source
files in tool results that takes 0.6 ms per megabyte, less than searching the text for a few names. A provider that accepts
everything costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from autorouter.core.reasons import Reason, ReasonCode
from autorouter.wire.common import lenient_json

SOURCES_READ_ON = "2026-11-20"
"""When the sources were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedFields:
    """What one provider accepts. `drops` and `renames` are top-level members that it refuses, or ignores where they ask
    for something; `unless`: a member -> another one that makes it acceptable, if it is set. `message_drops` are members
    of messages. `developer_as_system`: it doesn't know the role `developer`."""

    name: str
    drops: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    unless: Mapping[str, str] = field(default_factory=dict)
    message_drops: frozenset[str] = frozenset()
    developer_as_system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile(AcceptedFields):
    """`stream_usage`: knows `stream_options.include_usage`. `headers` are sent with every call. `source`: each dropped or
    renamed field, `messages.NAME` and `developer` -> where it is documented; `*` stands for all that aren't named."""

    stream_usage: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)

    def source_of(self, name: str) -> str | None:
        return self.source.get(name, self.source.get("*"))


_OPENROUTER = {"x-title": "autorouter"}
_OLD_LIMIT = {"max_completion_tokens": "max_tokens"}

_OPENAI = ProviderProfile(
    name="openai",
    drops=frozenset(
        {  # Other providers' extensions that clients send.
            "chat_template_kwargs",
            "client_metadata",
            "enable_thinking",
            "extra_body",
            "include_reasoning",
            "metadata",
            "min_p",
            "models",
            "num_ctx",
            "plugins",
            "provider",
            "reasoning",
            "repetition_penalty",
            "route",
            "session_id",
            "thinking",
            "top_k",
            "transforms",
        }
    ),
    renames={"max_tokens": "max_completion_tokens"},
    unless={"metadata": "store", "max_tokens": "prediction"},
    source={
        "*": "openai-python 3.52.0, completion_create_params: no such parameter, and an unknown one is a 400"
        " (`Unrecognized request argument supplied`: nashsu/llm_wiki#336, t8y2/dbx#3411, CherryHQ/cherry-studio#6155)",
        "max_tokens": "openai-python 3.52.0: deprecated, and not for reasoning models (400: devnullvoid/dms-ai-assistant#12);"
        " with `prediction` it is the other way round (community.openai.com/t/1355217)",
        "metadata": "400 unless `store` is true: tmc/langchaingo#1484, QwenLM/qwen-code#243",
    },
)
_MISTRAL = ProviderProfile(
    name="mistral",
    stream_usage=False,  # It sends usage unasked.
    drops=frozenset(
        {
            "logit_bias",
            "logprobs",
            "safety_identifier",
            "service_tier",
            "store",
            "stream_options",
            "top_logprobs",
            "user",
            "verbosity",
        }
    ),
    renames={**_OLD_LIMIT, "seed": "random_seed"},
    message_drops=frozenset({"reasoning_content"}),
    developer_as_system=True,
    source={
        "*": "mistralai/client-python, ChatCompletionRequest: no such field or role, and an unknown one is a 422"
        " (`extra_forbidden`: mistralai/platform-docs-public#7)",
        "stream_options": "422: avante-corp/avante.nvim#2347",
        "store": "422: Gitlawb/openclaude#739",
        "max_completion_tokens": "422: Gitlawb/openclaude#739, editor-code-assistant/eca#231",
        "messages.reasoning_content": "422: charmbracelet/crush#1590, OpenMinis/OpenMinis#87",
    },
)
_GROQ = ProviderProfile(
    name="groq",
    drops=frozenset(
        {"logit_bias", "logprobs", "metadata", "prompt_cache_key", "reasoning", "top_logprobs", "verbosity"}
    ),
    message_drops=frozenset({"reasoning_content"}),
    source={
        "logit_bias": "console.groq.com/docs/openai: 400",
        "logprobs": "console.groq.com/docs/openai: 400",
        "top_logprobs": "console.groq.com/docs/openai: 400",
        "metadata": "400: skye-harris/hass_local_openai_llm#59",
        "prompt_cache_key": "400: eigent-ai/eigent#1827, sipeed/picoclaw#1196",
        "reasoning": "400: musistudio/claude-code-router#1204",
        "verbosity": "400: CherryHQ/cherry-studio#11435",
        "messages.reasoning_content": "400: tashfeenahmed/freellmapi#1070, NousResearch/hermes-agent#11089",
    },
)
_GEMINI = ProviderProfile(
    name="gemini",
    drops=frozenset({"metadata", "prompt_cache_key", "reasoning", "store"}),
    source={
        "metadata": "400: ed-donner/agents#45",
        "prompt_cache_key": "400: leookun/cursor-byok#112",
        "reasoning": "400: SuzumiyaAkizuki/ComfyUI-NewBie-LLM-Formatter#3",
        "store": "400: liliMozi/openhanako#394",
    },
)
_DEEPSEEK = ProviderProfile(
    name="deepseek",
    renames=_OLD_LIMIT,
    developer_as_system=True,
    source={
        "max_completion_tokens": "ignored, so that there is no limit: earendil-works/pi#8018, earendil-works/pi#7811",
        "developer": "400: earendil-works/pi#1048, OpenCoworkAI/open-codesign#316",
    },
)
_XAI = ProviderProfile(
    name="xai",
    drops=frozenset({"presence_penalty"}),
    source={"presence_penalty": "400 from Grok 3 to 4.6: miaoxworld/NativeTavern#83, n8n-io/n8n#14581"},
)
_OLLAMA = ProviderProfile(
    name="ollama",
    renames=_OLD_LIMIT,
    developer_as_system=True,
    source={
        "max_completion_tokens": "ignored, so that there is no limit: ollama/ollama#7125",
        "developer": "templates that don't know it leave it out: fgrehm/pi-ollama-cloud#10, ollama/ollama-python#453",
    },
)
_LLAMACPP = ProviderProfile(
    name="llamacpp",
    renames=_OLD_LIMIT,
    source={"max_completion_tokens": "ignored by builds before 2026-02: ggml-org/llama.cpp#13700, #19831"},
)

PROFILES: dict[str, ProviderProfile] = {
    profile.name: profile
    for profile in (
        ProviderProfile(name="generic"),
        _OPENAI,
        ProviderProfile(name="openrouter", headers=_OPENROUTER),
        ProviderProfile(name="anthropic"),
        _DEEPSEEK,
        _GEMINI,
        _GROQ,
        ProviderProfile(name="together"),
        _MISTRAL,
        _XAI,
        ProviderProfile(name="moonshot"),
        _OLLAMA,
        ProviderProfile(name="vllm"),
        ProviderProfile(name="lmstudio"),
        _LLAMACPP,
    )
}
"""Anthropic's compatible endpoint ignores what it doesn't know (its `openai-sdk` page); nothing certain was found against
the others that refuse nothing here."""


def profile_of(name: str) -> ProviderProfile:
    """The profile of that name; an unknown one is generic (the configuration has already refused typing errors)."""
    return PROFILES.get(name, PROFILES["generic"])


def adjust_body(body: bytes, rules: AcceptedFields) -> tuple[bytes, tuple[Reason, ...]]:
    """The body as this provider takes it, and what was changed."""
    if not (rules.drops or rules.renames or rules.message_drops or rules.developer_as_system):
        return body, ()
    document = orjson.loads(body)
    noted: list[Reason] = []
    out = _members(document, rules, noted)
    messages = out.get("messages")
    if isinstance(messages, list):
        out["messages"] = [_message(message, rules, noted) for message in messages]
    return (lenient_json.dumps_bytes(out), tuple(noted)) if noted else (body, ())


def _note(noted: list[Reason], code: ReasonCode, **params: str) -> None:
    reason = Reason(code, params)
    if reason not in noted:
        noted.append(reason)


def _members(document: Mapping[str, Any], rules: AcceptedFields, noted: list[Reason]) -> dict[str, Any]:
    """The top-level members in their order. Where the new name is there as well, it is the one that counts."""
    out: dict[str, Any] = {}
    for name, value in document.items():
        kept = name in rules.unless and document.get(rules.unless[name])
        if name in rules.drops and not kept:
            _note(noted, ReasonCode.FIELD_REFUSED, name=name, provider=rules.name)
        elif name in rules.renames and not kept:
            new = rules.renames[name]
            _note(noted, ReasonCode.FIELD_RENAMED, name=name, renamed=new, provider=rules.name)
            if document.get(new) is None:
                out[new] = value
        elif value is not None or name not in out:
            out[name] = value
    return out


def _message(message: Any, rules: AcceptedFields, noted: list[Reason]) -> Any:
    if not isinstance(message, dict):
        return message
    refused = rules.message_drops & message.keys()
    as_system = rules.developer_as_system and message.get("role") == "developer"
    if not refused and not as_system:
        return message
    for name in sorted(refused):
        _note(noted, ReasonCode.FIELD_REFUSED, name=f"messages.{name}", provider=rules.name)
    out = {name: value for name, value in message.items() if name not in refused}
    if as_system:
        _note(noted, ReasonCode.ROLE_RENAMED, name="developer", renamed="system", provider=rules.name)
        out["role"] = "system"
    return out
