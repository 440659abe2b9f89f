"""SWE-agent: Chat through LiteLLM, with tool calls or with commands in the text; a result is then a user message that ends in a
prompt or begins with OBSERVATION. Shapes are those of recorded sessions."""

from autorouter.clients.profile import ClientProfile

SWE_AGENT = ClientProfile(
    name="swe-agent",
    title="SWE-agent",
    system_marks=(
        "SETTING: You are an autonomous programmer",
        "You are a helpful assistant that can interact with a computer to solve tasks",
    ),
    shell_tools=("bash",),
    write_tools=("str_replace_editor",),
    edit_failures=(r"No replacement was performed\b.*",),
    observation_starts=(r"OBSERVATION:\n",),
    # The first message, with the issue, ends in the same prompt.
    observation_ends=("\nbash-$",),
    program="sweagent",
)
