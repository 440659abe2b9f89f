"""Cline 3 (CLI): Chat through the AI SDK, whose user agent it sends. Older versions and Roo speak XML instead of tool calls. It
retries a failed request, but ends its run when a stream breaks (measured)."""

from autorouter.clients.profile import CHAT_NEEDS, ClientProfile

CLINE = ClientProfile(
    name="cline",
    title="Cline",
    system_marks=("You are Cline",),
    wrappers=("environment_details",),
    prompt_tags=("task", "user_message", "feedback", "user_input"),
    shell_tools=("run_commands", "execute_command"),
    write_tools=("editor", "write_to_file"),
    look_tools=("read_files", "read_file", "list_files", "search_files"),
    observation_starts=(r"\[\w+(?: for '[^\n]*')?\] Result:",),
    retries_broken_stream=False,
    needs=CHAT_NEEDS,
    program="cline",
)
