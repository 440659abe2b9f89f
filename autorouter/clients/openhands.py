"""OpenHands: Chat through LiteLLM, with tool calls or, for models without them, `<function=...>` in the text. A result is
then a user message. Shapes are those of recorded sessions."""

from autorouter.clients.profile import ClientProfile

OPENHANDS = ClientProfile(
    name="openhands",
    title="OpenHands",
    user_agents=("openhands",),
    system_marks=("You are OpenHands agent",),
    shell_tools=("execute_bash", "terminal"),
    write_tools=("str_replace_editor",),
    edit_failures=(r"No replacement was performed\b.*",),
    observation_starts=(r"EXECUTION RESULT of \[", r"OBSERVATION:\n"),
    program="openhands",
)
