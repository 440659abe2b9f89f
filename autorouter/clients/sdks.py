"""Libraries and tools that send requests for somebody else. What an agent builds on them is known by its system text."""

from autorouter.clients.profile import ClientProfile

AI_SDK = ClientProfile(name="ai-sdk", title="AI SDK", is_library=True, user_agents=("ai-sdk/openai-compatible",))
OPENAI_PYTHON = ClientProfile(
    name="openai-python",
    title="OpenAI SDK for Python",
    is_library=True,
    user_agents=("openai/python",),
    ignored_header_prefixes=("x-stainless",),
)
OPENAI_JS = ClientProfile(
    name="openai-js",
    title="OpenAI SDK for JavaScript",
    is_library=True,
    user_agents=("openai/js",),
    ignored_header_prefixes=("x-stainless",),
)
ANTHROPIC_PYTHON = ClientProfile(
    name="anthropic-python",
    title="Anthropic SDK for Python",
    api="messages",
    is_library=True,
    user_agents=("anthropic/python",),
    ignored_header_prefixes=("x-stainless",),
)
CURL = ClientProfile(name="curl", title="curl", is_library=True, user_agents=("curl",))
