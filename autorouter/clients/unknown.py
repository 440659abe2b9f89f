"""Any other client: conventions that several of them follow, and those of agents that have no file here (Gemini CLI, Copilot)."""

from autorouter.clients.profile import ClientProfile

UNKNOWN = ClientProfile(
    name="unknown",
    title="another client",
    # The router's own instructions to a member of a panel.
    wrappers=("autorouter-task",),
    session_headers=("x-session-id", "x-session-affinity"),
    # `metadata.session` is what our guides tell people to set.
    session_fields=(("metadata", "session"), ("user",)),
    housekeeping_systems=("generate a title", "conversation title", "summarize the conversation"),
    shell_tools=("run_in_terminal", "run_command", "run_shell_command"),
    write_tools=("write_file", "create_file", "save_file", "fs_write", "str_replace_based_edit_tool"),
    edit_failures=(r"Failed to edit, could not find the string\b.*",),
)
