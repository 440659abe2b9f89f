"""Cursor: Chat from its own servers, so that the router needs a public address. Read off published requests, not tried."""

from autorouter.clients.profile import ClientProfile

CURSOR = ClientProfile(
    name="cursor",
    title="Cursor",
    user_agents=("cursor/",),
    system_marks=("You operate in Cursor",),
    prompt_tags=("user_query",),
    shell_tools=("run_terminal_cmd",),
    edit_tools=("edit_file", "search_replace"),
    look_tools=("read_file", "list_dir", "codebase_search", "grep_search", "file_search"),
    poll_tools=("todo_write",),
    program="cursor",
)
