"""mini-swe-agent 1 and 2: Chat through LiteLLM. Version 1 writes one shell command into its answer; the result is a user message.
Shapes are those of recorded sessions."""

from autorouter.clients.profile import ClientProfile

MINI_SWE_AGENT = ClientProfile(
    name="mini-swe-agent",
    title="mini-swe-agent",
    system_marks=(
        "You are a helpful assistant that can interact multiple times with a computer shell",
        "You are a helpful assistant that can interact with a computer.",
    ),
    shell_tools=("bash",),
    observation_starts=(r"<returncode>-?\d+</returncode>",),
    program="mini-swe-agent",
)
